/**
 * Bears workers with random lives, and knows the truth about them: who is being
 * born, who lives, who has been told what, and which ends have not yet been
 * reported.
 */
import { again, exited, type ExitStatus, lost, signaled } from "@effect-postmaster/core/ExitStatus"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { PostmasterDied } from "@effect-postmaster/core/HandleError"
import { formatRef, type Pid, type SlotRef } from "@effect-postmaster/core/Identity"
import * as Outcome from "@effect-postmaster/core/Outcome"
import { PostmasterRpcs } from "@effect-postmaster/core/PostmasterRpcs"
import { isAttached, type LifeRef, type Registration } from "@effect-postmaster/core/Registration"
import type { SpareLoss } from "@effect-postmaster/core/SpareLoss"
import {
  type Child,
  type ChildReport,
  type Launch,
  type SignOfLife,
  type Spare,
  Spawner
} from "@effect-postmaster/core/Spawner"
import { ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import { isHarsher, type WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as RpcClient from "effect/rpc/RpcClient"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import type * as Scope from "effect/Scope"
import * as Caller from "../../src/internal/caller.ts"
import * as Wire from "../../src/internal/wire.ts"
import type { Chronicle } from "./chronicle.ts"
import type { Random } from "./random.ts"

const second = 1000
const minute = 60 * second
const hour = 60 * minute

/** The longest a birth, the work of SIGKILL, and the sweeping after an end take. */
export const maxBirth = 5 * minute
export const maxDying = 100
export const maxSweep = second

/** What one life is going to be. */
interface Script {
  readonly birth: number
  readonly outcome: "Born" | "Refused" | "Broken"
  readonly attachesEarly: boolean
  readonly ready: number
  readonly lasts: number
  readonly end: ExitStatus
  /** It leaves the shared state in good order, if it leaves by itself or by SIGTERM. */
  readonly clean: boolean
  readonly obeysTerm: number
  readonly obeysQuit: number
  /** How it obeys SIGTERM. */
  readonly termEnd: ExitStatus
  readonly dying: number
  readonly sweep: number
  /** Its end is an effect that fails: the spawner itself is at fault. */
  readonly exitBreaks: boolean
  /** Passing on a SIGTERM fails. The contract forbids it; it must harm nobody else. */
  readonly signalBreaks: boolean
  /** How long after it is ready its main loop stands still. */
  readonly hangs: number
  /** When it registers others. */
  readonly recruits: ReadonlyArray<number>
  /** It registers one more when it ends. */
  readonly lastWill: boolean
}

const never = Number.POSITIVE_INFINITY

const write = (random: Random): Script => {
  const { below, chance, millis, weighted } = random
  const delay = (longest: number): number => chance(0.6) ? 0 : millis(1, longest)
  const lasts = weighted([
    [2, 0],
    [2, millis(1, second)],
    [4, millis(second, hour)],
    [20, millis(hour, 2 * 24 * hour)],
    [4, never]
  ])
  return {
    birth: chance(0.03) ? millis(minute, maxBirth) : delay(5 * second),
    outcome: weighted([[94, "Born"], [5, "Refused"], [1, "Broken"]] as const),
    attachesEarly: chance(0.3),
    ready: chance(0.05) ? never : delay(minute),
    lasts,
    end: weighted([
      [25, exited(0)],
      [5, again(Outcome.recycle)],
      [5, again(Outcome.retryAfter(chance(0.1) ? 0 : millis(1, 2 * 24 * hour)))],
      [45, exited(1, { kind: "Failure", message: "scripted" })],
      [4, exited(2)],
      [1, exited(137)],
      [3, signaled("SIGSEGV")],
      [1, lost("scripted")]
    ]),
    clean: chance(0.95),
    obeysTerm: chance(0.1) ? never : delay(2 * minute),
    obeysQuit: chance(0.15) ? never : delay(10 * second),
    termEnd: weighted([[8, exited(1)], [2, exited(0)], [1, exited(2)], [1, again(Outcome.recycle)]]),
    dying: chance(0.7) ? 0 : millis(1, maxDying),
    sweep: chance(0.8) ? 0 : millis(1, maxSweep),
    exitBreaks: chance(0.005),
    signalBreaks: chance(0.01),
    hangs: chance(0.85) ? never : millis(1, 24 * hour),
    recruits: chance(0.85)
      ? []
      : Array.from({ length: 1 + below(3) }, () => millis(1, chance(0.5) ? second : 6 * hour)),
    lastWill: chance(0.05)
  }
}

/** What one spare is going to be. */
interface SpareScript {
  readonly birth: number
  readonly outcome: "Born" | "Refused" | "Broken"
  readonly lasts: number
  readonly cause: SpareLoss["cause"]
  readonly sweep: number
  /** That it is lost is an effect that fails: the spawner itself is at fault. */
  readonly lossBreaks: boolean
}

const writeSpare = ({ chance, millis, weighted }: Random): SpareScript => ({
  birth: weighted([[4, 0], [20, millis(1, 5 * second)], [2, millis(minute, maxBirth)], [0.2, never]]),
  outcome: weighted([[90, "Born"], [8, "Refused"], [2, "Broken"]] as const),
  lasts: weighted([[2, 0], [4, millis(1, 2 * minute)], [10, millis(minute, 24 * hour)], [4, never]]),
  cause: chance(0.5) ? "Died" : "Outdated",
  sweep: chance(0.8) ? 0 : millis(1, maxSweep),
  lossBreaks: chance(0.01)
})

/** One that stands ready. */
export interface StandingSpare {
  readonly pid: Pid
  /** Ends it from outside. */
  readonly lose: (cause: SpareLoss["cause"]) => void
}

export interface Life {
  readonly ref: SlotRef
  readonly pid: Pid
  readonly registration: Registration
  readonly told: ReadonlyMap<WorkerSignal, number>
  /** It has joined the shared state and not left it. */
  readonly joined: boolean
  readonly saidReady: boolean
  /** When it gave its last sign of life, and whether there will be none any more. */
  readonly signedAt: number
  readonly hangs: boolean
  readonly over: boolean
  /** Ends it from outside, as `kill` in another terminal would. */
  readonly kill: (signal: string) => void
}

/** An end that the postmaster still has to report. */
export interface Ended {
  readonly ref: SlotRef
  readonly pid: Pid
  readonly status: ExitStatus
  readonly joined: boolean
}

export interface SimulatedSpawner {
  readonly service: Spawner["Service"]
  /** By slot: since when somebody is being born there. */
  readonly births: ReadonlyMap<number, SlotRef>
  /** By slot: who lives, until everything it started is swept up. */
  readonly lives: ReadonlyMap<number, Life>
  /** Takes the end that is reported as this one out of the unreported. */
  readonly reported: (pid: Pid) => Ended | undefined
  readonly unreported: ReadonlyMap<Pid, Ended>
  /** Nobody will report what has been so far: there was no onlooker yet. */
  readonly forget: () => void
  /** Whose birth failed and the postmaster has not yet said so. */
  readonly failedBirths: Set<string>
  /** Fibers of this spawner that wait for their time. */
  readonly timers: () => number
  /** Spares that are being born. */
  readonly spareBirths: () => number
  readonly spares: ReadonlyMap<Pid, StandingSpare>
  /** By pid: losses that the postmaster still has to report; and how many births of spares have failed unreported. */
  readonly lostSpares: Map<Pid, SpareLoss["cause"]>
  readonly failedSpareBirths: () => number
  readonly reportedSpareBirth: () => void
  /** Spares that are held by a scope, being born and being swept up included. */
  readonly keepers: () => number
  /** Whose pid that is or was, as long as anybody may still ask. */
  readonly bornAs: (pid: Pid) => SlotRef | undefined
}

/** What a worker asks its postmaster. */
export type Door = RpcClient.RpcClient<RpcGroup.Rpcs<typeof PostmasterRpcs>, PostmasterDied>

const maxRemembered = 1000

export const make = (
  random: Random,
  chronicle: Chronicle,
  maxWorkers: number,
  canSpare: boolean,
  /** A worker registers another one. */
  recruit: (by: LifeRef, door: Door) => Effect.Effect<void>
): SimulatedSpawner => {
  const births = new Map<number, SlotRef>()
  const lives = new Map<number, Life>()
  const unreported = new Map<Pid, Ended>()
  const failedBirths = new Set<string>()
  const born = new Map<Pid, SlotRef>()
  const spares = new Map<Pid, StandingSpare>()
  const lostSpares = new Map<Pid, SpareLoss["cause"]>()
  let spareBirths = 0
  let failedSpareBirths = 0
  let keepers = 0
  let lastPid = 0
  let timers = 0

  const later = (scope: Scope.Scope, delay: number, f: () => void): Effect.Effect<void> =>
    delay === 0 ? Effect.sync(f) : delay === never ? Effect.void : after(scope, delay, Effect.sync(f))

  const after = (scope: Scope.Scope, delay: number, effect: Effect.Effect<void>): Effect.Effect<void> => {
    const timer = Effect.suspend(() => {
      timers++
      return Effect.sleep(delay)
    }).pipe(
      Effect.andThen(effect),
      Effect.ensuring(Effect.sync(() => timers--))
    )
    return Effect.asVoid(Effect.forkIn(timer, scope, { startImmediately: true }))
  }

  const spare = Effect.fnUntraced(function*(modules: ReadonlyArray<string>) {
    const script = writeSpare(random)
    chronicle.count("spares")
    chronicle.note(`birth of a spare, ${modules.length} modules`)
    keepers++
    spareBirths++
    if (spareBirths > 1) chronicle.broken("spares", `${spareBirths} are being born`)
    if (births.size > 0) chronicle.broken("spares", "born while a launch is under way")
    let unborn = true
    const over = (): void => {
      if (unborn) spareBirths--
      unborn = false
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => keepers--))
    yield* Effect.addFinalizer(() => Effect.sync(over))
    if (script.birth === never) return yield* Effect.never
    if (script.birth > 0) yield* Effect.sleep(script.birth)
    over()
    if (script.outcome !== "Born") {
      failedSpareBirths++
      const error = new SpawnError({ reason: new ProcessNotStarted({ worker: "spare", detail: "scripted" }) })
      return yield* script.outcome === "Refused" ? Effect.fail(error) : Effect.die(new Error("scripted"))
    }
    const scope = yield* Effect.scope
    const pid = ++lastPid as Pid
    const lost = Deferred.makeUnsafe<SpareLoss>()
    const lose = (cause: SpareLoss["cause"]): void => {
      if (!spares.delete(pid)) return
      chronicle.note(`loss of spare ${pid} ${cause}`)
      lostSpares.set(pid, script.lossBreaks ? "Died" : cause)
      Deferred.doneUnsafe(
        lost,
        script.lossBreaks ? Exit.die(new Error("scripted")) : Exit.succeed({ cause, detail: "scripted" })
      )
    }
    spares.set(pid, { pid, lose })
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        spares.delete(pid)
        // Whoever was taken is another's; and a loss that is told by a failure is told when all is swept up.
        return born.has(pid) || script.lossBreaks || script.sweep === 0 ? Effect.void : Effect.sleep(script.sweep)
      })
    )
    yield* later(scope, script.lasts, () => lose(script.cause))
    return { pid, lost: Deferred.await(lost) } satisfies Spare
  })

  /** Makes use of a spare, if it still stands and fits. */
  const take = ({ registration }: Launch, { pid }: Spare): Pid | undefined => {
    if (registration.spare === false) chronicle.broken("spares", `${registration.name} was given one`)
    if (born.has(pid)) chronicle.broken("spares", `pid ${pid} serves a second time`)
    if (!spares.has(pid) && !lostSpares.has(pid)) chronicle.broken("spares", `pid ${pid} does not stand ready`)
    // Of one that is taken no loss is told any more.
    lostSpares.delete(pid)
    const fits = random.chance(0.85)
    return spares.delete(pid) && fits ? pid : undefined
  }

  const bear = Effect.fnUntraced(function*(
    launch: Launch,
    report: (report: ChildReport | SignOfLife) => void,
    given?: Spare
  ) {
    const { ref, registration } = launch
    const written = write(random)
    const taken = given === undefined ? undefined : take(launch, given)
    if (taken !== undefined) chronicle.count("spares taken")
    const script: Script = taken === undefined ? written : { ...written, birth: 0, outcome: "Born" }
    const attached = isAttached(registration)
    chronicle.note(`birth ${registration.name} ${formatRef(ref)}`)
    if (births.has(ref.slot) || lives.has(ref.slot)) chronicle.broken("children", `two in slot ${ref.slot}`)
    births.set(ref.slot, ref)
    if (births.size + lives.size > maxWorkers) {
      chronicle.broken("children", `${births.size + lives.size} children in ${maxWorkers} slots`)
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => births.delete(ref.slot)))
    if (script.birth > 0) {
      // A birth may be given up, which counts as failed.
      yield* Effect.onInterrupt(Effect.sleep(script.birth), () =>
        Effect.sync(() => {
          births.delete(ref.slot)
          failedBirths.add(formatRef(ref))
          chronicle.count("failed births")
        }))
    }
    births.delete(ref.slot)
    if (script.outcome !== "Born") {
      failedBirths.add(formatRef(ref))
      chronicle.count("failed births")
      const error = new SpawnError({
        reason: new ProcessNotStarted({ worker: registration.name, detail: "scripted" })
      })
      return yield* script.outcome === "Refused" ? Effect.fail(error) : Effect.die(new Error("scripted"))
    }

    const scope = yield* Effect.scope
    const pid = taken ?? (++lastPid as Pid)
    const exit = Deferred.makeUnsafe<ExitStatus>()
    const told = new Map<WorkerSignal, number>()
    const [port, theirs] = FramePort.pair()
    const line = Caller.make<PostmasterDied>({ send: theirs.send })
    theirs.listen({
      onDrain: line.drain,
      onFrame: (frame) => line.receive(Result.getOrThrow(Wire.decode(frame)) as Wire.FromCallee)
    })
    // Of what it has asked it hears nothing any more.
    yield* Effect.addFinalizer(() => Effect.sync(() => line.end(new PostmasterDied({ detail: "it has ended itself" }))))
    const door = yield* line.client(PostmasterRpcs, {})
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const another = Effect.suspend(() => status === undefined ? recruit({ ref, pid }, door) : Effect.void)
    let status: ExitStatus | undefined
    let joined = false
    let saidReady = false
    let signedAt = chronicle.now()
    let hangs = false
    chronicle.count("lives")
    born.set(pid, ref)
    born.delete((pid - maxRemembered) as Pid)

    const join = (): void => {
      if (!attached || joined || status !== undefined) return
      joined = true
      report("Attached")
    }
    const end = (how: ExitStatus, clean: boolean): void => {
      if (status !== undefined) return
      if (script.lastWill) fork(recruit({ ref, pid }, door))
      if (joined && clean) {
        joined = false
        report("Detached")
      }
      status = how
      chronicle.note(`end ${pid} ${how._tag}`)
      const done = script.exitBreaks ? Exit.die(new Error("scripted")) : Exit.succeed(how)
      Deferred.doneUnsafe(exit, done)
    }
    lives.set(ref.slot, {
      ref,
      pid,
      registration,
      told,
      get joined() {
        return joined
      },
      get saidReady() {
        return saidReady
      },
      get signedAt() {
        return signedAt
      },
      get hangs() {
        return hangs
      },
      get over() {
        return status !== undefined
      },
      kill: (signal) => end(signaled(signal, { ordered: told.has(signal as WorkerSignal) }), false)
    })
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        if (status === undefined) chronicle.broken("children", `pid ${pid} was swept away alive`)
        if (script.sweep > 0) yield* Effect.sleep(script.sweep)
        lives.delete(ref.slot)
        const reported = script.exitBreaks ? lost("broken") : status ?? lost("swept away")
        unreported.set(pid, { ref, pid, status: reported, joined })
      })
    )

    const third = Math.floor((registration.heartbeatMillis ?? never) / 3)
    const beat: Effect.Effect<void> = Effect.suspend(() => {
      if (status !== undefined || hangs) return Effect.void
      signedAt = chronicle.now()
      report({ _tag: "Beat" })
      return after(scope, third, beat)
    })
    const beats = Effect.suspend(() => {
      if (third === never) return Effect.void
      signedAt = chronicle.now()
      return Effect.andThen(
        after(scope, third, beat),
        later(scope, script.hangs, () => {
          hangs = true
        })
      )
    })

    if (script.attachesEarly) join()
    const beReady = Effect.suspend(() => {
      if (status !== undefined) return Effect.void
      join()
      saidReady = true
      report("Ready")
      return beats
    })
    if (script.ready === 0) yield* beReady
    else if (script.ready !== never) yield* after(scope, script.ready, beReady)
    join()
    for (const delay of script.recruits) yield* after(scope, delay, another)
    yield* later(scope, script.lasts, () => end(script.end, script.clean && isOrderly(script.end)))

    const obey = (signal: WorkerSignal): Effect.Effect<void> => {
      switch (signal) {
        case "SIGTERM":
          return later(scope, script.obeysTerm, () => end(script.termEnd, script.clean && isOrderly(script.termEnd)))
        case "SIGQUIT":
          return later(scope, script.obeysQuit, () => end(exited(2), false))
        case "SIGKILL":
          return later(scope, script.dying, () => end(signaled("SIGKILL", { ordered: true }), false))
        case "SIGHUP":
        case "SIGUSR1":
          return Effect.void
      }
    }

    const signal = (signal: WorkerSignal): Effect.Effect<void> =>
      Effect.suspend(() => {
        chronicle.count("signals")
        chronicle.note(`signal ${pid} ${signal}`)
        if (status !== undefined) return Effect.void
        if (signal !== "SIGHUP") {
          for (const earlier of told.keys()) {
            if (!isHarsher(signal, earlier)) chronicle.broken("signals", `pid ${pid}: ${signal} after ${earlier}`)
          }
          told.set(signal, chronicle.now())
        }
        if (script.signalBreaks && signal === "SIGTERM") return Effect.die(new Error("scripted"))
        return obey(signal)
      })

    return { pid, signal, exit: Deferred.await(exit), port, reject: () => {} } satisfies Child
  })

  return {
    service: Spawner.of(canSpare ? { spawn: bear, spare } : { spawn: bear }),
    births,
    lives,
    unreported,
    failedBirths,
    reported: (pid) => {
      const ended = unreported.get(pid)
      unreported.delete(pid)
      return ended
    },
    forget: () => {
      unreported.clear()
      failedBirths.clear()
      lostSpares.clear()
      failedSpareBirths = 0
    },
    spareBirths: () => spareBirths,
    spares,
    lostSpares,
    failedSpareBirths: () => failedSpareBirths,
    reportedSpareBirth: () => {
      failedSpareBirths--
    },
    keepers: () => keepers,
    timers: () => timers,
    bornAs: (pid) => born.get(pid)
  }
}

const isOrderly = (status: ExitStatus): boolean => status._tag === "Exited" && status.code < 2
