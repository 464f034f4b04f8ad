/**
 * Rounds of chaos. In each an application hires a crew, things go wrong at
 * random for some seconds, and the round ends in one of three ways: the crew is
 * dismissed, the postmaster is shut down, or the application is killed. Then
 * everything is counted.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import type { Kind } from "./crew.ts"
import * as Ground from "./ground.ts"
import type { Counts, LogTo, Order, Report, Request } from "./protocol.ts"

export interface Options {
  readonly seed: number
  readonly seconds: number
  /** Called at the beginning of every round. */
  readonly onRound?: ((round: number, ending: Ending, elapsed: number) => void) | undefined
}

export interface Outcome {
  readonly violation: string | undefined
  /** How often what was done and seen, in the order of its first time. */
  readonly tally: ReadonlyMap<string, number>
  readonly rounds: number
  /** Milliseconds from the death of an application to that of its last worker. */
  readonly orphans: ReadonlyArray<number>
}

const endings = ["dismissal", "kill", "shutdown"] as const

export type Ending = typeof endings[number]

/** How long an end may take. It is a bound on a hang, not on a speed. */
const patienceMillis = 60_000

const maxWorkers = 12

/** Where applications log to, one after the other. */
const logs: ReadonlyArray<{ readonly logTo: LogTo; readonly disk: string }> = [
  { logTo: "console", disk: "/dev/full" },
  { logTo: "descriptor", disk: "/dev/full" },
  { logTo: "console", disk: "/dev/null" },
  { logTo: "descriptor", disk: "/dev/null" }
]

const kinds: ReadonlyArray<Kind> = [
  "serves",
  "attachedServes",
  "attachedServes",
  "attachedFails",
  "attachedDies",
  "works",
  "fails",
  "dies",
  "babbles",
  "attachedBabbles",
  "hoards",
  "floods",
  "deaf",
  "spins",
  "begets",
  "begetsAndReturns",
  "begetsAndCrashes",
  "missing"
]

class Violation extends Error {}

/** Mulberry32. Chaos on real processes does not repeat, but its choices do. */
const makeChance = (seed: number) => {
  let state = seed >>> 0
  const below = (bound: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296 * bound)
  }
  return { below, pick: <A>(items: ReadonlyArray<A>): A | undefined => items[below(items.length)] }
}

/** An application and what it has said so far. */
interface Application {
  readonly pid: number
  readonly log: string
  readonly reports: Array<Report>
  readonly tell: (request: Request) => void
  readonly process: ChildProcess
  readonly ended: () => string | undefined
  /** What it held before its first round. */
  baseline: Counts | undefined
}

export const run = async (options: Options): Promise<Outcome> => {
  const { below, pick } = makeChance(options.seed)
  /** Draws what must not depend on how many misfortunes there was time for. */
  const fate = makeChance(options.seed + 1)
  const tally = new Map<string, number>()
  const count = (what: string, by = 1): void => void tally.set(what, (tally.get(what) ?? 0) + by)
  const orphans: Array<number> = []
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "postmaster-chaos-"))
  const ledger = Path.join(folder, "ledger")
  const complaintsPath = Path.join(folder, "stderr")
  const token = Path.basename(folder)
  const ground = Ground.make(token, ledger)
  let application: Application | undefined
  let launches = 0

  const until = async <A>(what: string, look: () => A | undefined | false, millis = patienceMillis): Promise<A> => {
    const started = performance.now()
    while (true) {
      const found = look()
      if (found !== undefined && found !== false) return found
      if (performance.now() - started > millis) throw new Violation(`waited ${millis} ms in vain for ${what}`)
      await sleep(20)
    }
  }

  // --- the application ---

  const launch = async (): Promise<Application> => {
    const { disk, logTo } = logs[(options.seed + launches++) % logs.length]!
    const order: Order = { ledger, maxWorkers, logTo }
    Fs.writeFileSync(ledger, "")
    const output = Fs.openSync(disk, "w")
    // What Node itself has to complain about is for whoever reads of a violation.
    const complaints = Fs.openSync(complaintsPath, "w")
    const program = fileURLToPath(new URL("./application.ts", import.meta.url))
    const child = spawn(process.execPath, [...process.execArgv, program, JSON.stringify(order)], {
      stdio: ["ignore", output, complaints, "ipc"],
      env: { ...process.env, [Ground.tokenName]: token }
    })
    Fs.closeSync(output)
    Fs.closeSync(complaints)
    const reports: Array<Report> = []
    let end: string | undefined
    child.on("message", (report) => reports.push(report as Report))
    child.on("error", () => {})
    child.on("exit", (code, signal) => {
      end = signal ?? String(code)
    })
    const log = `${logTo} on ${disk}`
    count(`application logs to ${log}`)
    const started: Application = {
      pid: child.pid!,
      log,
      reports,
      process: child,
      tell: (request) => {
        if (child.connected) child.send(request, () => {})
      },
      ended: () => end,
      baseline: undefined
    }
    application = started
    await said(started, 0, "Ready")
    // One life of each sort of birth, so that what is loaded and opened once is loaded and open.
    started.tell({ _tag: "Register", kind: "works", millis: 1 })
    await said(started, 0, "Exited")
    await dismiss(started)
    started.baseline = await countIn(started)
    return started
  }

  const since = <Tag extends Report["_tag"]>(app: Application, from: number, tag: Tag) =>
    app.reports.slice(from).find((report): report is Extract<Report, { readonly _tag: Tag }> => report._tag === tag)

  /** The application and its postmaster are as they should be: alive. */
  const mustLive = (app: Application): void => {
    const died = since(app, 0, "Died")
    if (died !== undefined) throw new Violation(`the postmaster died, logging to ${app.log}: ${died.detail}`)
    if (app.ended() !== undefined) {
      throw new Violation(`the application ended with ${app.ended()}, logging to ${app.log}`)
    }
  }

  const said = <Tag extends Report["_tag"]>(app: Application, from: number, tag: Tag) =>
    until(`the application, which logs to ${app.log}, to say ${tag}`, () => {
      mustLive(app)
      return since(app, from, tag)
    })

  const answer = <Tag extends Report["_tag"]>(app: Application, request: Request, tag: Tag) => {
    const from = app.reports.length
    app.tell(request)
    return said(app, from, tag)
  }

  const countIn = async (app: Application): Promise<Counts> => (await answer(app, { _tag: "Count" }, "Counted")).counts

  const dismiss = async (app: Application): Promise<void> => {
    const { freeSlots, workers } = await answer(app, { _tag: "Clear" }, "Cleared")
    if (workers !== 0 || freeSlots !== maxWorkers) {
      throw new Violation(`slots do not add up: ${workers} workers, ${freeSlots} of ${maxWorkers} free`)
    }
  }

  // --- what is counted in the end ---

  const everybodyIsGone = async (app: Application, millis: number): Promise<void> => {
    const left = () => app.ended() === undefined ? ground.survivors(app.pid) : ground.survivors()
    await until("everybody to be gone", () => left().length === 0, millis).catch((error: unknown) => {
      const kinds = new Map(ground.entries().map((entry) => [entry.pid, entry.kind]))
      const names = left().map((pid) => {
        const group = Ground.groupOf(pid)
        return `${kinds.get(pid) ?? "unsigned"} ${Ground.describe(pid)} in the group of ${
          kinds.get(group ?? -1) ?? "an unsigned worker"
        } ${group}`
      })
      throw names.length === 0 ? error : new Violation(`left alive: ${names.join(", ")}`)
    })
    if (ground.inGroups().length > 0) throw new Violation("a group of the ledger is not empty")
  }

  /** Every birth has one exit, and whoever signed the ledger was born. */
  const everyExitIsReported = (app: Application): void => {
    const lives = new Map<number, { name: string; exits: number }>()
    for (const report of app.reports) {
      if (report._tag === "Started") lives.set(report.pid, { name: report.name, exits: 0 })
      if (report._tag !== "Exited") continue
      const life = lives.get(report.pid)
      if (life === undefined) throw new Violation(`pid ${report.pid} has ended and was never born`)
      if (++life.exits > 1) throw new Violation(`the exit of pid ${report.pid} is reported twice`)
    }
    for (const [pid, { exits, name }] of lives) {
      if (exits === 0) throw new Violation(`the exit of ${name} (pid ${pid}) was not reported`)
    }
    for (const { group, kind, pid } of ground.entries()) {
      if (!lives.has(group)) throw new Violation(`${kind} (pid ${pid}) signed and its worker was never reported`)
    }
  }

  const seen = (app: Application, from: number): void => {
    for (const report of app.reports.slice(from)) {
      if (report._tag === "Started") count("seen: births")
      if (report._tag === "NotStarted") count("seen: failed births")
      if (report._tag === "Crash") count("seen: crashes of the attached")
      if (report._tag === "Refused") count(`seen: refused, ${report.reason}`)
      if (report._tag !== "Exited") continue
      const { status } = report
      const how = status._tag === "Exited"
        ? `code ${status.code}`
        : status._tag === "Signaled"
        ? `${status.signal}${status.ordered ? " on order" : ""}`
        : status._tag === "Lost"
        ? "protocol broken"
        : status._tag
      count(`seen: exits, ${how}`)
    }
  }

  const nothingHasLeaked = async (app: Application): Promise<void> => {
    const before = app.baseline!
    let after = before
    const deadline = performance.now() + 10_000
    do {
      after = await countIn(app)
      if (
        after.descriptors <= before.descriptors && after.listeners <= before.listeners &&
        after.resources <= before.resources
      ) return
      await sleep(50)
    } while (performance.now() < deadline)
    throw new Violation(`leaked: ${JSON.stringify(before)} has become ${JSON.stringify(after)}`)
  }

  // --- what goes wrong ---

  const stopped = new Set<number>()
  /** Workers that were sent what leaves them no time to sweep up. */
  const struck = new Set<number>()

  const workers = (): ReadonlyArray<number> =>
    ground.entries().filter((entry) => entry.pid === entry.group && ground.isOurs(entry.pid)).map((entry) => entry.pid)
  const grandchildren = (): ReadonlyArray<number> =>
    ground.entries().filter((entry) => entry.pid !== entry.group && ground.isOurs(entry.pid)).map((entry) => entry.pid)

  const hire = (app: Application): void => {
    app.tell({ _tag: "Register", kind: pick(kinds)!, millis: below(1500) })
  }

  const strike = (whom: () => ReadonlyArray<number>, signal: NodeJS.Signals, what: string) => (): void => {
    const pid = pick(whom())
    if (pid === undefined || !ground.signal(pid, signal)) return
    count(`done: ${signal} to ${what}`)
    if (signal === "SIGSTOP") stopped.add(pid)
    if (signal === "SIGKILL" || signal === "SIGSEGV") struck.add(pid)
  }

  const wakeUp = (): void => {
    const pid = pick([...stopped])
    if (pid === undefined) return
    stopped.delete(pid)
    if (ground.signal(pid, "SIGCONT")) count("done: SIGCONT to a worker")
  }

  const misfortunes = (app: Application): ReadonlyArray<() => void | Promise<void>> => [
    strike(workers, "SIGKILL", "a worker"),
    strike(workers, "SIGKILL", "a worker"),
    strike(workers, "SIGKILL", "a worker"),
    strike(workers, "SIGSTOP", "a worker"),
    strike(workers, "SIGSTOP", "a worker"),
    wakeUp,
    strike(workers, "SIGTERM", "a worker"),
    strike(workers, "SIGSEGV", "a worker"),
    strike(workers, "SIGQUIT", "a worker"),
    strike(grandchildren, "SIGKILL", "a grandchild"),
    () => hire(app),
    () => hire(app),
    () => hire(app),
    () => {
      count("done: terminate")
      app.tell({ _tag: "Terminate", choice: below(1000) })
    },
    () => {
      count("done: reload")
      app.tell({ _tag: "Reload" })
    },
    async () => {
      if (!ground.signal(app.pid, "SIGSTOP")) return
      count("done: SIGSTOP and SIGCONT to the application")
      await sleep(100 + below(400))
      ground.signal(app.pid, "SIGCONT")
    }
  ]

  const storm = async (app: Application, millis: number): Promise<void> => {
    const all = misfortunes(app)
    const end = performance.now() + millis
    for (let hired = 0; hired < 8; hired++) hire(app)
    while (performance.now() < end) {
      await sleep(20 + below(180))
      await pick(all)!()
      mustLive(app)
    }
  }

  // --- how a round ends ---

  /**
   * A worker that crashes is swept up after by its application. If that is
   * killed in the same moment, nobody is left who could do it: what the worker
   * had started lives on. Nothing else excuses a survivor.
   */
  const excuse = (): void => {
    const kinds = new Map(ground.entries().map((entry) => [entry.pid, entry.kind]))
    for (const pid of ground.survivors()) {
      const group = Ground.groupOf(pid)
      if (group === undefined || ground.isOurs(group)) continue
      if (!struck.has(group) && kinds.get(group) !== "begetsAndCrashes") continue
      if (ground.signal(pid, "SIGKILL")) {
        count("seen: left by a worker that crashed just before its application was killed")
      }
    }
  }

  const kill = async (app: Application): Promise<void> => {
    const reported = app.reports.length
    process.kill(app.pid, "SIGKILL")
    count("done: SIGKILL to the application")
    const killedAt = performance.now()
    await until("the application to be dead", () => app.ended())
    // Whoever is stopped cannot notice anything; it does so when it goes on.
    for (const pid of stopped) ground.signal(pid, "SIGCONT")
    await until("everybody to be gone", () => ground.survivors().length === 0, 5000).catch(excuse)
    await everybodyIsGone(app, 20_000)
    orphans.push(performance.now() - killedAt)
    seen(app, reported)
    application = undefined
  }

  const shutDown = async (app: Application): Promise<void> => {
    const mode = fate.pick(["Smart", "Fast", "Immediate"] as const)!
    count(`done: ${mode} shutdown`)
    app.tell({ _tag: "Shutdown", mode })
    if (mode === "Smart") {
      // Jobs that never end are waited for until somebody loses patience.
      await sleep(1000)
      app.tell({ _tag: "Shutdown", mode: "Fast" })
    }
    await until("the application to end by itself", () => app.ended())
    if (app.ended() !== "0") throw new Violation(`the application ended with ${app.ended()}`)
    await until("its last words", () => !app.process.connected)
    if (since(app, 0, "Halted") === undefined) throw new Violation("the postmaster did not say that it has halted")
    await everybodyIsGone(app, 0)
    everyExitIsReported(app)
    application = undefined
  }

  const round = async (ending: Ending, millis: number): Promise<void> => {
    const app = application ?? await launch()
    const from = app.reports.length
    stopped.clear()
    struck.clear()
    await storm(app, millis)
    if (ending === "dismissal") {
      await dismiss(app)
      await everybodyIsGone(app, 0)
      await nothingHasLeaked(app)
      everyExitIsReported(app)
    } else if (ending === "shutdown") await shutDown(app)
    else await kill(app)
    seen(app, from)
  }

  /** Ends whoever is left, all of whom carry our token. */
  const sweep = (): void => {
    for (const pid of ground.survivors()) ground.signal(pid, "SIGKILL")
    Fs.rmSync(folder, { recursive: true, force: true })
  }

  const started = performance.now()
  const elapsed = (): number => (performance.now() - started) / 1000
  let rounds = 0
  try {
    while (elapsed() < options.seconds) {
      // Each ending once, then as it comes.
      const ending = rounds < endings.length
        ? endings[rounds]!
        : fate.pick(["dismissal", "dismissal", ...endings] as const)!
      options.onRound?.(++rounds, ending, elapsed())
      count(`round ended by ${ending}`)
      await round(ending, Math.min(2000 + below(6000), options.seconds * 1000 / endings.length))
    }
    if (application !== undefined) await shutDown(application)
    return { violation: undefined, tally, rounds, orphans }
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    const complaints = Fs.existsSync(complaintsPath) ? Fs.readFileSync(complaintsPath, "utf8").slice(-2000) : ""
    return { violation: `${error.message}\n${complaints}`.trim(), tally, rounds, orphans }
  } finally {
    sweep()
  }
}
