/**
 * Holds the packages to their floor plan: a file imports only from floors below it, or from its own floor; nothing
 * imports in a circle; the core is free of Node, of barrels and of clocks. A new file must be given a floor here first.
 *
 * Imports that only bring types count like any other.
 */
import { globSync, readFileSync } from "node:fs"
import { dirname, join, normalize, sep } from "node:path"
import { fileURLToPath } from "node:url"

/** What the sources of one package have to obey. Files are named by their path in `src`, without `.ts`. */
export interface Plan {
  /** The files of each floor, lowest first. Every `index` stands above all floors. */
  readonly floors: ReadonlyArray<ReadonlyArray<string>>
  /** The modules of other packages that may be imported. */
  readonly packages: ReadonlyArray<RegExp>
  /** Spawners, which are parts the engine is given: no road may lead from them to the engine. */
  readonly spawners: ReadonlyArray<string>
  /** Whether sources must be free of promises, clocks, timers and chance. */
  readonly pure: boolean
}

// A deep import names one module (`effect/Effect`, `effect/rpc/Rpc`); a barrel (`effect`, `effect/rpc`) costs every
// worker that loads it 200 ms of start.
const deep = {
  effect: /^effect\/([a-z-]+\/)*[A-Z]\w*$/,
  platformNode: /^@effect\/platform-node\/[A-Z]\w*$/,
  core: /^@effect-postmaster\/core\/(testing\/)?[A-Z]\w*$/,
  node: /^node:/
}

const plans: Record<string, Plan> = {
  core: {
    floors: [
      [
        "Identity",
        "WorkerSignal",
        "Phase",
        "Limits",
        "RegistrationError",
        "SharedMemoryError",
        "SpawnError",
        "SpareLoss",
        "FramePort",
        "Vitals",
        "LogEntry",
        "StopCause",
        "Missed",
        "Progress",
        "Restart",
        "internal/cells",
        "internal/largeBytes",
        "internal/numbers",
        "internal/oneLine",
        "internal/rpcCodec",
        "internal/wire"
      ],
      [
        "ExitStatus",
        "LifeRecord",
        "Outcome",
        "Registration",
        "WorkerStatus",
        "HandleError",
        "Snapshot",
        "WorkerAddress",
        "WorkerContext",
        "WorkerReport",
        "internal/caller",
        "internal/callee",
        "internal/desk",
        "internal/meter",
        "internal/progressing",
        "internal/metricsRpcs",
        "internal/restarts",
        "internal/entryLogger",
        "internal/workerLine"
      ],
      [
        "internal/liveness",
        "BackgroundWorker",
        "PostmasterConfig",
        "PostmasterEvent",
        "SharedMemory",
        "Spawner",
        "internal/mergedSeries",
        "internal/reports",
        "WorkerHandle",
        "WorkerLife",
        "WorkerProtocol"
      ],
      [
        "internal/connection",
        "internal/exchange",
        "internal/heap",
        "internal/hub",
        "internal/input",
        "internal/sharedMemory",
        "internal/sharedMemoryRpcs",
        "internal/lobby",
        "internal/slotTable",
        "internal/spares",
        "internal/watch",
        "SharedState",
        "PostmasterTraces",
        "WorkerMetrics",
        "WorkerRuntime",
        "SpawnerFiber",
        "testing/Script",
        "testing/TestSpawner"
      ],
      ["internal/machine"],
      ["internal/checkpoint", "internal/onlook"],
      ["Recording", "internal/recorder"],
      ["PostmasterRpcs", "internal/loop"],
      ["internal/remote", "internal/workerDoor"],
      ["Postmaster"],
      ["PostmasterMetrics", "WorkerPool", "testing/TestPostmaster"]
    ],
    packages: [deep.effect],
    spawners: ["SpawnerFiber", "testing/TestSpawner"],
    pure: true
  },
  node: {
    floors: [
      [
        "internal/bootstrap",
        "internal/frames",
        "internal/fs",
        "internal/line",
        "internal/lines",
        "internal/nodeFlags",
        "internal/oomKills"
      ],
      [
        "internal/bundledModules",
        "internal/channel",
        "internal/entryLine",
        "internal/limits",
        "internal/logBuffer",
        "internal/processGroup",
        "internal/readOut",
        "internal/rollingFile",
        "internal/stamp",
        "internal/startGroup",
        "internal/threadLine",
        "internal/threadOutput"
      ],
      ["internal/lastWords", "internal/output", "internal/preparation", "internal/socketLine", "internal/workerLog"],
      [
        "internal/farSide",
        "internal/fork",
        "internal/forkThread",
        "internal/launcherProtocol",
        "internal/workerProcess"
      ],
      ["internal/launcher", "internal/spare"],
      ["internal/spawning"],
      ["NodeLauncherMain", "NodeLogFile", "NodeSignals", "NodeSpawner", "NodeThreadMain", "NodeWorkerMain"]
    ],
    packages: [deep.effect, deep.platformNode, deep.core, deep.node],
    spawners: ["NodeSpawner"],
    pure: false
  }
}

/** What a spawner must not know: the engine and its front door, by path in the core or by name of the core's export. */
const engine = /(^|\/)(internal\/machine|internal\/loop|Postmaster)$/

const impurities: ReadonlyArray<readonly [pattern: RegExp, name: string]> = [
  [/(?<![.\w$])async\s*(function\b|\(|\*|[\w$]+\s*(=>|\())/, "async"],
  [/(?<![.\w$])await\s+(?!as\b)[\w$([{"`]/, "await"],
  [/\bDate\.now\b/, "Date.now"],
  [/\bnew Date\b/, "new Date"],
  [/\bMath\.random\b/, "Math.random"],
  [/\b(setTimeout|setInterval|setImmediate)\b/, "a timer"]
]

export interface Report {
  /** One sentence per broken rule, beginning with the file. */
  readonly problems: ReadonlyArray<string>
  /** The files found on each floor, lowest first; the last row holds the index files. */
  readonly floors: ReadonlyArray<ReadonlyArray<string>>
}

/** Checks the sources in the folder `src` against a plan. */
export const check = (src: string, plan: Plan): Report => {
  const problems: Array<string> = []
  const files = globSync("**/*.ts", { cwd: src }).map((path) => path.slice(0, -3).replaceAll(sep, "/")).toSorted()
  const sources = new Map(files.map((file) => [file, scan(readFileSync(join(src, `${file}.ts`), "utf8"))]))
  const top = plan.floors.length
  const floorOf = (file: string): number =>
    /(^|\/)index$/.test(file) ? top : plan.floors.findIndex((floor) => floor.includes(file))
  const report = (file: string, problem: string): void => {
    problems.push(`${join(src, file)}.ts: ${problem}`)
  }

  for (const [file, { code, imports }] of sources) {
    const floor = floorOf(file)
    if (floor < 0) report(file, "has no floor; give it one in scripts/floors.ts")
    for (const specifier of imports) {
      const target = resolve(file, specifier)
      if (target === undefined) {
        if (!plan.packages.some((allowed) => allowed.test(specifier))) report(file, `may not import "${specifier}"`)
      } else if (!sources.has(target)) {
        report(file, `imports "${specifier}", which is no source file of this package`)
      } else if (floor >= 0 && floorOf(target) > floor) {
        report(file, `stands on floor ${floor} and climbs to ${target} on floor ${floorOf(target)}`)
      }
    }
    if (plan.pure) {
      for (const [index, line] of code.split("\n").entries()) {
        for (const [pattern, name] of impurities) {
          if (pattern.test(line)) report(file, `uses ${name} in line ${index + 1}`)
        }
      }
    }
  }

  // Within the package the graph has files as nodes; imports of other packages are its leaves.
  const neighbours = (node: string): ReadonlyArray<string> =>
    (sources.get(node)?.imports ?? []).map((specifier) => resolve(node, specifier) ?? specifier)

  for (const cycle of findCycles(files, neighbours)) {
    report(cycle[0]!, `imports itself through ${[...cycle.slice(1), cycle[0]].join(" → ")}`)
  }
  for (const spawner of plan.spawners.filter((file) => sources.has(file))) {
    const known = reachable(spawner, neighbours)
    for (const node of known) {
      if (engine.test(node)) report(spawner, `is a spawner and may not know ${node}`)
    }
  }

  return { problems, floors: Array.from({ length: top + 1 }, (_, floor) => files.filter((f) => floorOf(f) === floor)) }
}

/**
 * Reads a source without a parser: comments and the text of templates are dropped, strings are set aside, so that what
 * remains can be searched. Lines keep their numbers. (A regular expression that contains `//` or a quote hides the rest
 * of its line.)
 */
const scan = (source: string): { readonly code: string; readonly imports: ReadonlyArray<string> } => {
  const token = /\/\/.*|\/\*[^]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[^]|[^\\`])*`/g
  const strings: Array<string> = []
  const code = source.replace(token, (text) => {
    if (text.startsWith("\"") || text.startsWith("'")) return `"${strings.push(text.slice(1, -1)) - 1}"`
    const substitutions = text.startsWith("`") ? text.match(/\$\{[^}]*\}/g) ?? [] : []
    return ` ${substitutions.join(" ")}${text.replaceAll(/[^\n]/g, "")}`
  })
  const imports = Array.from(
    code.matchAll(/\b(?:from\s*|import\s*\(?\s*)"(\d+)"/g),
    ([, index]) => strings[Number(index)]!
  )
  return { code, imports }
}

/** The file that a relative import means; nothing if it names another package. */
const resolve = (file: string, specifier: string): string | undefined =>
  specifier.startsWith(".")
    ? normalize(join(dirname(file), specifier)).replaceAll(sep, "/").replace(/\.ts$/, "")
    : undefined

type Neighbours = (node: string) => ReadonlyArray<string>

/** One cycle for every import that closes one, found on a walk through the whole graph. */
const findCycles = (nodes: ReadonlyArray<string>, neighbours: Neighbours): ReadonlyArray<ReadonlyArray<string>> => {
  const cycles: Array<ReadonlyArray<string>> = []
  const finished = new Set<string>()
  const walk = (node: string, road: ReadonlyArray<string>): void => {
    if (road.includes(node)) return void cycles.push(road.slice(road.indexOf(node)))
    if (finished.has(node)) return
    for (const next of neighbours(node)) walk(next, [...road, node])
    finished.add(node)
  }
  for (const node of nodes) walk(node, [])
  return cycles
}

/** Everything that loading a file loads with it, and the file itself. */
const reachable = (start: string, neighbours: Neighbours): ReadonlySet<string> => {
  const seen = new Set([start])
  for (const node of seen) { // a Set's iterator also visits what is added on the way
    for (const next of neighbours(node)) seen.add(next)
  }
  return seen
}

if (import.meta.main) {
  process.chdir(fileURLToPath(new URL("..", import.meta.url)))
  const reports = Object.entries(plans).map(([name, plan]) => ({ name, ...check(`packages/${name}/src`, plan) }))
  const problems = reports.flatMap((report) => report.problems)
  if (problems.length > 0) {
    console.error(problems.join("\n"))
    process.exit(1)
  }
  for (const { name, floors } of reports) {
    for (const [floor, files] of floors.entries()) {
      if (files.length > 0) console.log(`${name.padEnd(5)} ${floor}  ${files.join("  ")}`)
    }
  }
  console.log(`floors: ${reports.flatMap(({ floors }) => floors.flat()).length} files, no cycle, no climb`)
}
