/**
 * Rounds of chaos. In each an application hires a crew, things go wrong at
 * random for some seconds, and the round ends in one of three ways: the crew is
 * dismissed, the postmaster is shut down, or the application is killed. Then
 * everything is counted.
 *
 * What a launcher promises is held against it, and what nobody promises is
 * excused: without one that lives, a worker that never returns to its loop
 * outlives its application, and its end is ours.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import * as Accounts from "./accounts.ts"
import { Violation } from "./accounts.ts"
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
  readonly orphanages: ReadonlyArray<Orphanage>
}

/** What an application that was killed has left behind. */
export interface Orphanage {
  /** Whether a launcher lived to end the workers. */
  readonly guarded: boolean
  readonly workers: number
  /** How many of them would never have ended by themselves. */
  readonly spinning: number
  readonly spares: number
  /** From the death of the application to that of the last of whom it was promised. */
  readonly millis: number
}

const endings = ["dismissal", "kill", "shutdown"] as const

export type Ending = typeof endings[number]

/** What happens to a launcher just before its application is killed. */
const lastMoments = ["left alone", "left alone", "replaced", "killed", "stopped"] as const

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
  "spinsForGood",
  "visits",
  "visits",
  "begets",
  "begetsAndReturns",
  "begetsAndCrashes",
  "beats",
  "beats",
  "attachedBeats",
  "stalls",
  "blocks",
  "dawdles",
  "missing",
  "answers",
  "answers",
  "leads",
  "leads"
]

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
  readonly order: Order
  readonly reports: Array<Report>
  readonly tell: (request: Request) => void
  readonly process: ChildProcess
  readonly ended: () => string | undefined
  /** What it held before its first round. */
  baseline: Counts | undefined
  readonly harm: Accounts.Harm
}

export const run = async (options: Options): Promise<Outcome> => {
  const { below, pick } = makeChance(options.seed)
  /** Draws what must not depend on how many misfortunes there was time for. */
  const fate = makeChance(options.seed + 1)
  const tally = new Map<string, number>()
  const count = (what: string, by = 1): void => void tally.set(what, (tally.get(what) ?? 0) + by)
  const orphanages: Array<Orphanage> = []
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "postmaster-chaos-"))
  const ledger = Path.join(folder, "ledger")
  const guest = Path.join(folder, "guest.mjs")
  const guestText = `export * from ${JSON.stringify(new URL("./crew.ts", import.meta.url))}\n`
  Fs.writeFileSync(guest, guestText)
  const complaintsPath = Path.join(folder, "stderr")
  const token = Path.basename(folder)
  const ground = Ground.make(token, ledger)
  let application: Application | undefined
  let launches = 0
  let kills = 0

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
    const spares = (options.seed + launches) % 3
    const launcher = fate.pick([true, true, true, false])!
    const order: Order = { ledger, guest, maxWorkers, logTo, spares, launcher }
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
    count(`application with ${spares} spares, ${launcher ? "with" : "without"} a launcher`)
    const started: Application = {
      pid: child.pid!,
      log,
      order,
      reports,
      process: child,
      tell: (request) => {
        if (child.connected) child.send(request, () => {})
      },
      ended: () => end,
      baseline: undefined,
      harm: { launcherHurt: false, killed: new Set() }
    }
    application = started
    await said(started, 0, "Ready")
    // One life of each sort of birth, so that what is loaded and opened once is loaded and open.
    started.tell({ _tag: "Register", kind: "works", millis: 1 })
    await said(started, 0, "Exited")
    await dismiss(started)
    await settled(started)
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

  const dismiss = async (app: Application): Promise<void> => {
    const { freeSlots, workers } = await answer(app, { _tag: "Clear" }, "Cleared")
    if (workers !== 0 || freeSlots !== maxWorkers) {
      throw new Violation(`slots do not add up: ${workers} workers, ${freeSlots} of ${maxWorkers} free`)
    }
  }

  // --- who is who ---

  const leaders = (kind?: Kind): ReadonlyArray<number> =>
    ground.entries().filter((entry) =>
      entry.pid === entry.group && (kind === undefined || entry.kind === kind) && ground.isOurs(entry.pid)
    ).map((entry) => entry.pid)
  const workers = (): ReadonlyArray<number> => leaders()
  const spinners = (): ReadonlyArray<number> => [...leaders("spinsForGood"), ...leaders("blocks")]
  const grandchildren = (): ReadonlyArray<number> =>
    ground.entries().filter((entry) => entry.pid !== entry.group && ground.isOurs(entry.pid)).map((entry) => entry.pid)
  const spares = (): ReadonlyArray<number> => ground.survivors().filter(Ground.isSpare)
  const launchers = (app: Application, is = Ground.isLauncher): ReadonlyArray<number> =>
    ground.survivors().filter((pid) => Ground.parentOf(pid) === app.pid && is(pid))
  /** Those that stand ready, as far as it is known here; one may have been taken just now. */
  const waiting = (app: Application): ReadonlyArray<number> =>
    Accounts.standing(app.reports).flatMap(({ pid }) => pid !== undefined && Ground.isSpare(pid) ? [pid] : [])

  const describe = (pids: ReadonlyArray<number>): string => {
    const kinds = new Map(ground.entries().map((entry) => [entry.pid, entry.kind]))
    return pids.map((pid) => {
      const group = Ground.groupOf(pid)
      return `${kinds.get(pid) ?? "unsigned"} ${Ground.describe(pid)} in the group of ${
        kinds.get(group ?? -1) ?? "an unsigned worker"
      } ${group}`
    }).join(", ")
  }

  // --- what is counted in the end ---

  const everybodyIsGone = async (millis: number): Promise<void> => {
    await until("everybody to be gone", () => ground.survivors().length === 0, millis).catch((error: unknown) => {
      const left = describe(ground.survivors())
      throw left === "" ? error : new Violation(`left alive: ${left}`)
    })
    if (ground.inGroups().length > 0) throw new Violation("a group of the ledger is not empty")
  }

  /** No worker is left of a crew that has ended, nor anybody it had started. */
  const crewIsGone = (): void => {
    const left = [...workers(), ...grandchildren(), ...ground.inGroups()]
    if (left.length > 0) throw new Violation(`left alive: ${describe([...new Set(left)])}`)
  }

  const everythingAddsUp = (app: Application): void => {
    Accounts.everyExitIsReported(app.reports, ground.entries())
    Accounts.nobodyWasAnsweredWrong(app.reports, ground.entries())
    Accounts.nothingIsUncaused(app.reports, app.harm)
  }

  /** What keeps an application without workers from being as it was before its first round. */
  const unrest = (
    app: Application,
    { counts, mostSpares, spares }: Extract<Report, { readonly _tag: "Counted" }>
  ): string | undefined => {
    const { launcher, spares: wanted } = app.order
    if (mostSpares > wanted) throw new Violation(`there were ${mostSpares} spares, and ${wanted} were wanted`)
    if (spares.length < wanted || spares.some(({ state }) => state !== "Ready")) {
      return `${wanted} spares are wanted and these stand: ${JSON.stringify(spares)}`
    }
    const told = Accounts.standing(app.reports)
    if (told.length !== spares.length || told.some((one, index) => one.pid !== spares[index]!.pid)) {
      return `by the events these spares stand: ${JSON.stringify(told)}, and these do: ${JSON.stringify(spares)}`
    }
    const guards = launchers(app)
    if (guards.length !== (launcher ? 1 : 0)) return `there are ${guards.length} launchers`
    const expected = new Set([app.pid, ...guards, ...spares.map(({ pid }) => pid!)])
    const others = ground.survivors().filter((pid) => !expected.has(pid))
    if (others.length > 0) return `left alive: ${describe(others)}`
    // One that is stopped may not have come to what it was told. Any other has the channel to us and nothing else.
    const hoarder = guards.find((pid) => Ground.socketsOf(pid) > 1 && !Ground.isStopped(pid))
    if (hoarder !== undefined) return `leaked: a launcher has ${Ground.socketsOf(hoarder)} sockets`
    const before = app.baseline ??= counts
    const grown = (["descriptors", "listeners", "resources"] as const).some((what) => counts[what] > before[what])
    return grown ? `leaked: ${JSON.stringify(before)} has become ${JSON.stringify(counts)}` : undefined
  }

  /** Waits until an application without workers holds no more than it ever did. */
  const settled = async (app: Application): Promise<void> => {
    const started = performance.now()
    while (true) {
      const found = unrest(app, await answer(app, { _tag: "Count" }, "Counted"))
      if (found === undefined) return
      if (performance.now() - started > patienceMillis) throw new Violation(found)
      await sleep(50)
    }
  }

  // --- what goes wrong ---

  const stopped = new Set<number>()
  /** Workers that were sent what leaves them no time to sweep up. */
  const struck = new Set<number>()

  const hire = (app: Application, kind = pick(kinds)!): void => {
    app.tell({ _tag: "Register", kind, millis: below(1500) })
  }

  const strike = (whom: () => ReadonlyArray<number>, signal: NodeJS.Signals, what: string) => (): void => {
    const pid = pick(whom())
    if (pid === undefined || !ground.signal(pid, signal)) return
    count(`done: ${signal} to ${what}`)
    if (signal === "SIGSTOP") stopped.add(pid)
    if (signal === "SIGKILL" || signal === "SIGSEGV") struck.add(pid)
    if (signal === "SIGKILL") application?.harm.killed.add(pid)
  }

  const wakeUp = (): void => {
    const pid = pick([...stopped])
    if (pid === undefined) return
    stopped.delete(pid)
    if (ground.signal(pid, "SIGCONT")) count("done: SIGCONT")
  }

  const strikeLauncher = (app: Application, signal: "SIGKILL" | "SIGSTOP"): number | undefined => {
    const [pid] = launchers(app)
    if (pid === undefined) return undefined
    app.harm.launcherHurt = true
    strike(() => [pid], signal, "a launcher")()
    return pid
  }

  /** As an editor does it, one way or another. In between the module may be missing or not be one. */
  const touchGuest = async (): Promise<void> => {
    const way = pick(["touched", "written again", "replaced", "broken for a moment"] as const)!
    count(`done: a module was ${way}`)
    const now = new Date()
    if (way === "touched") return Fs.utimesSync(guest, now, now)
    if (way === "replaced") Fs.rmSync(guest)
    if (way === "broken for a moment") Fs.writeFileSync(guest, "export {")
    await sleep(below(50))
    Fs.writeFileSync(guest, guestText)
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
    strike(spares, "SIGKILL", "a spare"),
    strike(() => waiting(app), "SIGKILL", "a waiting spare"),
    strike(() => waiting(app), "SIGSTOP", "a waiting spare"),
    () => void strikeLauncher(app, "SIGKILL"),
    // Each may cost ten seconds without births.
    () => void (below(3) === 0 && strikeLauncher(app, "SIGSTOP")),
    touchGuest,
    touchGuest,
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
    // In every round somebody calls and is called.
    hire(app, "answers")
    hire(app, "leads")
    for (let hired = 2; hired < 8; hired++) hire(app)
    while (performance.now() < end) {
      await sleep(20 + below(180))
      await pick(all)!()
      mustLive(app)
    }
  }

  // --- how a round ends ---

  const isOver = (app: Application): void => {
    Accounts.seen(app.reports, count)
    application = undefined
  }

  /** Ends those who are not promised to end by themselves. */
  const excuse = (what: string, whom: ReadonlyArray<number>): void => {
    for (const pid of whom) {
      if (ground.signal(pid, "SIGKILL")) count(`seen: ${what}`)
    }
  }

  /**
   * A worker that crashes is swept up after by whoever has borne it. If that is
   * killed in the same moment, nobody is left who could do it: what the worker
   * had started lives on.
   */
  const abandoned = (): ReadonlyArray<number> => {
    const kinds = new Map(ground.entries().map((entry) => [entry.pid, entry.kind]))
    return ground.survivors().filter((pid) => {
      const group = Ground.groupOf(pid)
      return group !== undefined && !ground.isOurs(group) &&
        (struck.has(group) || kinds.get(group) === "begetsAndCrashes")
    })
  }

  /** Strikes the launcher for the last time and answers who will be there to end the workers, if anybody. */
  const lastMoment = async (app: Application): Promise<number | undefined> => {
    const moment = lastMoments[(options.seed + kills++) % lastMoments.length]!
    count(`done: SIGKILL to the application, ${app.order.launcher ? `its launcher ${moment}` : "without a launcher"}`)
    if (!app.order.launcher) return undefined
    if (moment === "killed" || moment === "replaced") {
      const former = strikeLauncher(app, "SIGKILL")
      if (moment === "killed") return undefined
      await until("another launcher", () => {
        mustLive(app)
        return launchers(app).some((pid) => pid !== former)
      })
    } else if (moment === "stopped") strikeLauncher(app, "SIGSTOP")
    // The storm may have just killed it; and who has no title yet may not know whom to guard.
    return launchers(app)[0]
  }

  const kill = async (app: Application): Promise<void> => {
    for (const pid of launchers(app)) if (stopped.delete(pid)) ground.signal(pid, "SIGCONT")
    // In vain if nobody can be born just now; it will be another time.
    for (let attempts = 0; spinners().length === 0 && attempts < 10; attempts++) {
      app.tell({ _tag: "Terminate", choice: below(1000) })
      hire(app, "spinsForGood")
      await sleep(300)
    }
    const guardian = await lastMoment(app)
    const orphaned = { workers: workers().length, spinning: spinners().length, spares: spares().length }
    process.kill(app.pid, "SIGKILL")
    const killedAt = performance.now()
    await until("the application to be dead", () => app.ended())
    // One that hangs is killed by its application some day, and this may have been the day.
    const guarded = guardian !== undefined && (!stopped.has(guardian) || Ground.isStopped(guardian))
    // Whoever is stopped cannot notice anything; it does so when it goes on. A launcher ends all others as they are.
    for (const pid of guarded ? [guardian] : stopped) ground.signal(pid, "SIGCONT")
    const unpromised = (): ReadonlyArray<number> =>
      guarded ? app.harm.launcherHurt ? abandoned() : [] : [...spinners(), ...abandoned()]
    await until("all who are promised to end to be gone", () => {
      const excused = unpromised()
      return ground.survivors().every((pid) => excused.includes(pid))
    }, 20_000).catch(() => everybodyIsGone(0))
    orphanages.push({ guarded, ...orphaned, millis: performance.now() - killedAt })
    if (!guarded) excuse("spun on with nobody to end it", spinners())
    await until("everybody to be gone", () => ground.survivors().length === 0, 5000).catch(() =>
      excuse("left by a worker that crashed just before its application was killed", unpromised())
    )
    await everybodyIsGone(20_000)
    Accounts.standing(app.reports)
    Accounts.nothingIsUncaused(app.reports, app.harm)
    Accounts.nobodyWasAnsweredWrong(app.reports, ground.entries())
    isOver(app)
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
    await everybodyIsGone(0)
    everythingAddsUp(app)
    const standing = Accounts.standing(app.reports)
    if (standing.length > 0) throw new Violation(`no end was reported of these spares: ${JSON.stringify(standing)}`)
    isOver(app)
  }

  const round = async (ending: Ending, millis: number): Promise<void> => {
    const app = application ?? await launch()
    for (const pid of stopped) if (!ground.isOurs(pid)) stopped.delete(pid)
    struck.clear()
    if (ending === "kill") hire(app, "spinsForGood")
    await storm(app, millis)
    if (ending === "dismissal") {
      await dismiss(app)
      crewIsGone()
      await settled(app)
      everythingAddsUp(app)
    } else if (ending === "shutdown") await shutDown(app)
    else await kill(app)
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
        : fate.pick(["dismissal", "kill", ...endings] as const)!
      options.onRound?.(++rounds, ending, elapsed())
      count(`round ended by ${ending}`)
      await round(ending, Math.min(2000 + below(6000), options.seconds * 1000 / endings.length))
    }
    if (application !== undefined) await shutDown(application)
    return { violation: undefined, tally, rounds, orphanages }
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    const complaints = Fs.existsSync(complaintsPath) ? Fs.readFileSync(complaintsPath, "utf8").slice(-2000) : ""
    if (application !== undefined) isOver(application)
    return { violation: `${error.message}\n${complaints}`.trim(), tally, rounds, orphanages }
  } finally {
    sweep()
  }
}
