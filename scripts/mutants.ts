/**
 * `npm run mutants`: plants one fault after the other in a copy of the core, and asks the search, then the tests,
 * whether they notice. Fails if a fault is missed, or if its place in the source is no longer found exactly once.
 *
 * `--only <text>` picks the faults whose file or description contains a text; `--states <n>` says how far the search
 * goes in each world.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Fault, faults } from "./mutants/faults.ts"

const { values } = parseArgs({
  options: { only: { type: "string", default: "" }, states: { type: "string", default: "3000" } }
})

const root = fileURLToPath(new URL("..", import.meta.url))
const original = join(root, "packages/core")
const workshops = join(root, ".mutants")
// Two runs at once do not meet.
const workshop = join(workshops, String(process.pid))
// A package of the same name finds itself, so that the copied tests test the copy.
const copy = join(workshop, "packages/core")
const condition = "@effect-postmaster/source"

const searchMillis = 90_000
const testMillis = 120_000

let running: ChildProcess | undefined

const end = (child: ChildProcess | undefined): void => {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    // Vitest has children of its own; they share its group.
    process.kill(-child.pid, "SIGKILL")
  } catch {
    child.kill("SIGKILL")
  }
}

const cleanUp = (): void => {
  end(running)
  rmSync(workshop, { recursive: true, force: true, maxRetries: 5 })
  try {
    rmdirSync(workshops)
  } catch {
    // Another run is still at work in it, or nothing was ever made.
  }
}

process.on("exit", cleanUp)
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  process.on(signal, () => process.exit(code))
}

interface Finished {
  readonly code: number | undefined
  readonly output: string
}

const run = (millis: number, args: ReadonlyArray<string>): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: copy,
      detached: true,
      env: { ...process.env, NODE_OPTIONS: `--conditions=${condition}`, NO_COLOR: "1", SHRINK_SECONDS: "0" },
      stdio: ["ignore", "pipe", "pipe"]
    })
    running = child
    let output = ""
    let hung = false
    const patience = setTimeout(() => {
      hung = true
      end(child)
    }, millis)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = (output + text).slice(-200_000)
      })
    }
    child.on("error", reject)
    child.on("close", (code) => {
      clearTimeout(patience)
      running = undefined
      resolve({ code: hung ? undefined : code ?? -1, output })
    })
  })

/** Who noticed, in words; `undefined` if nobody did. */
const search = async (): Promise<string | undefined> => {
  const { code, output } = await run(searchMillis, ["test/explore/main.ts", "--states", values.states, "--bail"])
  if (code === 0) return undefined
  if (code === undefined) return "the search, which hung"
  return /^ +broken: (.*)$/m.exec(output)?.[1] ?? `the search, which died: ${lastWords(output)}`
}

const lastWords = (output: string): string => /^\w*Error\b.*$/m.exec(output)?.[0] ?? output.trim().split("\n").at(-1)!

const test = async (names: ReadonlyArray<string>): Promise<string | undefined> => {
  const tests = names.map((name) => `test/${name}.test.ts`)
  const vitest = join(root, "node_modules/vitest/vitest.mjs")
  const config = join(workshop, "vitest.config.mjs")
  const args = [vitest, "run", "--root", copy, "--config", config, "--bail", "1", "--reporter", "tap-flat", ...tests]
  const { code, output } = await run(testMillis, args)
  if (code === 0) return undefined
  if (code === undefined) return "the tests, which hung"
  return /^not ok \d+ - (.* > .*?)( # time=.*)?$/m.exec(output)?.[1] ?? `the tests, which died: ${lastWords(output)}`
}

const prepare = (): void => {
  rmSync(workshop, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  cpSync(join(root, "tsconfig.base.json"), join(workshop, "tsconfig.base.json"))
  for (const part of ["package.json", "tsconfig.json", "src", "test"]) {
    cpSync(join(original, part), join(copy, part), { recursive: true })
  }
  writeFileSync(
    join(workshop, "vitest.config.mjs"),
    `export default {
      cacheDir: ${JSON.stringify(join(workshop, "cache"))},
      ssr: { resolve: { conditions: [${JSON.stringify(condition)}] } },
      test: { pool: "forks", testTimeout: 3_000 }
    }\n`
  )
}

const source = (fault: Fault): string => readFileSync(join(original, "src", fault.file), "utf8")

/** Whether a fault can be planted: its place is there, once, and something changes. */
const misplaced = (fault: Fault): string | undefined => {
  const found = source(fault).split(fault.find).length - 1
  if (found !== 1) return `its text is found ${found} times in ${fault.file}`
  return fault.find === fault.put ? "it changes nothing" : undefined
}

const main = async (): Promise<number> => {
  const chosen = faults.filter((fault) => `${fault.file} ${fault.fault}`.includes(values.only))
  const lost = chosen.filter((fault) => misplaced(fault) !== undefined)
  for (const fault of lost) console.log(`LOST    ${fault.fault}: ${misplaced(fault)}`)
  if (lost.length > 0) return 1

  prepare()
  const nothing = await search() ?? await test([...new Set(chosen.flatMap(({ tests }) => tests))])
  if (nothing !== undefined) {
    console.log(`mutants: something is wrong without any fault: ${nothing}`)
    return 1
  }
  let missed = 0
  for (const fault of chosen) {
    const started = performance.now()
    const file = join(copy, "src", fault.file)
    const healthy = source(fault)
    writeFileSync(file, healthy.replace(fault.find, () => fault.put))
    const by = (fault.searched ? await search() : undefined) ?? await test(fault.tests)
    writeFileSync(file, healthy)
    if (by === undefined) missed++
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    console.log(`${by === undefined ? "MISSED " : "caught "} ${fault.fault} (${fault.file}, ${seconds} s)`)
    if (by !== undefined) console.log(`        by ${by}`)
  }
  console.log(`${chosen.length} faults: ${chosen.length - missed} caught, ${missed} missed`)
  return missed === 0 ? 0 : 1
}

process.exit(await main())
