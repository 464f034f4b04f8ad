/**
 * One simulation: an application that lives for so many virtual days with one
 * postmaster after the other, on workers with random lives, under a clock that
 * is set and that oversleeps. The same seed makes the same history.
 */
import {
  BackgroundWorker,
  type Phase,
  Postmaster,
  PostmasterConfig,
  preload,
  Restart,
  type Snapshot,
  Spawner,
  type WorkerHandle
} from "@effect-postmaster/core"
import type { PostmasterDied } from "@effect-postmaster/core/HandleError"
import type { LifeRef } from "@effect-postmaster/core/Registration"
import { RegistrationError } from "@effect-postmaster/core/RegistrationError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Chronicle from "./chronicle.ts"
import * as SimulatedClock from "./clock.ts"
import * as Observer from "./observer.ts"
import * as Random from "./random.ts"
import * as SimulatedSpawner from "./spawner.ts"

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

export interface Options {
  readonly seed: number
  readonly days: number
  /** Called after every virtual day. */
  readonly onDay?: ((day: number) => void) | undefined
}

export interface Outcome {
  readonly digest: string
  readonly counts: Chronicle.Chronicle["counts"]
  readonly violation: Chronicle.Violation | undefined
}

export const simulate = (options: Options): Effect.Effect<Outcome> =>
  // Real time plays no part: a slow machine must not change the history.
  TestClock.testClockWith((clock) => run(options, clock)).pipe(
    Effect.scoped,
    Effect.provide(TestClock.layer({ warningDelay: "1 hour" })),
    Effect.provideService(References.MinimumLogLevel, "None")
  )

// -----------------------------------------------------------------------------
// what is drawn
// -----------------------------------------------------------------------------

const drawRestart = (
  { below, chance, fraction, millis, weighted }: Random.Random
): BackgroundWorker.Options<typeof Schema.Void>["restart"] => {
  const onSuccess = chance(0.15) ? "Restart" : "Unregister"
  const policy = weighted<() => Restart.Restart>([
    [4, () => Restart.never({ onSuccess })],
    [1, () => Restart.after(0, { onSuccess })],
    [5, () => Restart.after(millis(100, 12 * hour), { onSuccess })],
    [2, () =>
      Restart.exponential(millis(1, minute), {
        factor: 1 + 3 * fraction(),
        max: millis(minute, 12 * hour),
        jitter: chance(0.5) ? 0 : fraction(),
        onSuccess
      })],
    [1, () => Restart.delays([millis(1, minute), 0, millis(1, hour)], { onSuccess })]
  ])()
  const healthy = chance(0.3) ? Restart.resetAfter(policy, millis(second, day)) : policy
  if (chance(0.6)) return healthy
  return Restart.giveUp(healthy, {
    failures: 1 + below(6),
    within: millis(second, 20 * day),
    outcome: chance(0.3) ? "Unregister" : "Park"
  })
}

type Worker = BackgroundWorker.BackgroundWorker<typeof Schema.Void>

const entry = { module: new URL("file:///simulated.js") }

const drawWorker = (random: Random.Random, name: string, byWorker: boolean): Worker => {
  const { chance, millis, pick, weighted } = random
  const parallel = chance(0.15)
  const attached = chance(0.45)
  return BackgroundWorker.make(name, {
    entry,
    type: pick(["mail", "resize", "vacuum"]),
    flags: attached ? chance(0.3) ? ["SharedMemory", "DatabaseConnection"] : ["SharedMemory"] : [],
    resources: chance(0.2) ? ["disk"] : [],
    class: parallel ? "parallel" : chance(0.2) ? "io" : undefined,
    startTime: weighted([[1, "PostmasterStart"], [1, "ConsistentState"], [4, "RecoveryFinished"]] as const),
    restart: parallel ? "never" : drawRestart(random),
    spare: chance(0.85),
    heartbeat: chance(0.3) ? millis(10 * minute, 12 * hour) : undefined,
    readyTimeout: chance(0.1) ? millis(second, 2 * minute) : undefined,
    // Of what the application registers it says nothing.
    ownership: chance(byWorker ? 0.6 : 0.1) ? "registrant" : "postmaster",
    stopTimeout: weighted<BackgroundWorker.Options<typeof Schema.Void>["stopTimeout"]>([
      [5, undefined],
      [4, millis(1, 10 * minute)],
      [1, 0],
      [1, "Infinity"]
    ])
  })
}

interface Settings {
  readonly maxWorkers: number
  readonly classLimits: { readonly parallel: number; readonly io: number }
  readonly killAfter: number
  readonly stopTimeout: number
  readonly maxLaunchesPerTurn: number
  readonly restartAfterCrash: boolean
  readonly shutdownOnRelease: Phase.ShutdownMode
  readonly spares: number
}

const drawSettings = ({ below, chance, millis, pick }: Random.Random): Settings => ({
  maxWorkers: 1 + below(10),
  classLimits: { parallel: below(5), io: 1 + below(3) },
  killAfter: millis(1, minute),
  stopTimeout: millis(1, 5 * minute),
  maxLaunchesPerTurn: chance(0.3) ? 1 : 100,
  restartAfterCrash: chance(0.9),
  shutdownOnRelease: pick(["Smart", "Fast", "Immediate"]),
  spares: pick([0, 1, 1, 2, 4])
})

/** Much happens at once, and then nothing for a long time. */
const drawPause = ({ millis, weighted }: Random.Random): number =>
  weighted([
    [2, 1],
    [2, millis(1, second)],
    [3, millis(second, 10 * minute)],
    [4, millis(10 * minute, 5 * hour)]
  ])

// -----------------------------------------------------------------------------
// the simulation
// -----------------------------------------------------------------------------

/** Counts the fibers whose context knows it. */
const makeFiberCounter = () => {
  let living = 0
  const service: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => {
      living++
    },
    recordFiberEnd: () => {
      living--
    }
  }
  return { service, living: () => living }
}

const run = Effect.fnUntraced(function*(options: Options, inner: TestClock.TestClock) {
  const random = Random.make(options.seed)
  const chronicle = Chronicle.make(() => inner.currentTimeMillisUnsafe())
  const clock = SimulatedClock.make(inner, chronicle)
  const fibers = makeFiberCounter()
  const end = options.days * day
  const desk: Desk = { random, chronicle, clock, fibers, end, names: 0, audit: Effect.void }

  const application = yield* Effect.gen(function*() {
    while (chronicle.now() < end && chronicle.violation() === undefined) yield* incarnation(desk)
  }).pipe(
    Effect.provideService(Metric.FiberRuntimeMetrics, fibers.service),
    Effect.catchCause((cause) =>
      Effect.sync(() => chronicle.broken("story", `the application died: ${Cause.pretty(cause)}`))
    ),
    // Nobody waits for it if a broken law makes it hang.
    Effect.forkDetach({ startImmediately: true })
  )
  // The last postmaster ends after the last day; its shutdown has a bound.
  const latest = end + 3 * day
  while (application.pollUnsafe() === undefined && chronicle.violation() === undefined && chronicle.now() < latest) {
    yield* inner.adjust(hour)
    yield* desk.audit
    const now = chronicle.now()
    if (now % day === 0) options.onDay?.(now / day)
  }
  if (application.pollUnsafe() === undefined && chronicle.violation() === undefined) {
    chronicle.broken("shutdown", "the last postmaster does not end")
  }
  if (chronicle.violation() === undefined && fibers.living() !== 0) {
    chronicle.broken("fibers", `${fibers.living()} are left at the end`)
  }
  application.interruptUnsafe()
  return {
    digest: chronicle.digest(),
    counts: chronicle.counts,
    violation: chronicle.violation()
  } satisfies Outcome
})

/** What outlasts a postmaster. */
interface Desk {
  readonly random: Random.Random
  readonly chronicle: Chronicle.Chronicle
  readonly clock: SimulatedClock.SimulatedClock
  readonly fibers: ReturnType<typeof makeFiberCounter>
  readonly end: number
  /** How many names have been given. */
  names: number
  /** Checks every law of the present postmaster. */
  audit: Effect.Effect<void>
}

type WaitKind = "Startup" | "Ready" | "Shutdown" | "End" | "Statuses" | "Replace"

interface Wait {
  readonly kind: WaitKind
  readonly handle: WorkerHandle
  fiber: Fiber.Fiber<void> | undefined
}

/** One postmaster, from its settings to the last fiber of it. */
const live = Effect.fnUntraced(function*(desk: Desk) {
  const { chronicle, clock, fibers, random } = desk
  const { broken } = chronicle
  const settings = drawSettings(random)
  const canSpare = random.chance(0.8)
  const spawner = SimulatedSpawner.make(
    random,
    chronicle,
    settings.maxWorkers,
    canSpare,
    (by, door) => recruit(by, door)
  )
  const maxCrash = settings.killAfter + SimulatedSpawner.maxBirth + SimulatedSpawner.maxDying +
    SimulatedSpawner.maxSweep + 15 * second
  const world: Observer.World = {
    chronicle,
    clock,
    spawner,
    maxWorkers: settings.maxWorkers,
    classLimits: settings.classLimits,
    stopTimeout: settings.stopTimeout,
    spares: canSpare ? settings.spares : 0,
    maxCrash,
    epoch: clock.clock.currentTimeMillisUnsafe() - clock.monotonic(),
    registrations: new Map(),
    registrants: new Map()
  }
  const observer = Observer.make(world)
  const fibersBefore = fibers.living()
  chronicle.count("postmasters")
  chronicle.note(`postmaster ${JSON.stringify(settings)}`)

  const define = (by?: LifeRef): Worker => {
    const worker = drawWorker(random, `worker-${++desk.names}`, by !== undefined)
    if (by !== undefined) world.registrants.set(worker.name, by)
    const { entry, flags, name, resources, restart, startTime, stopTimeoutMillis, type } = worker
    world.registrations.set(name, {
      name,
      type,
      entry,
      args: null,
      flags,
      ...(worker.class === undefined ? undefined : { class: worker.class }),
      startTime,
      restart,
      ...(resources.length === 0 ? undefined : { resources }),
      ...(stopTimeoutMillis === undefined ? undefined : { stopTimeoutMillis }),
      ...(worker.spare ? undefined : { spare: false }),
      ...(worker.ownership === "postmaster" ? undefined : { ownership: worker.ownership })
    })
    return worker
  }

  // --- whom it registers ---

  let asked = 0

  /** Registers one worker and judges the answer by what everybody can see. */
  const enlist = Effect.fnUntraced(function*<A, E>(
    worker: Worker,
    registering: Effect.Effect<A, RegistrationError | E>,
    look: Effect.Effect<Snapshot.PostmasterSnapshot, E>,
    by?: LifeRef
  ): Effect.fn.Return<A | undefined, E> {
    const { workers: before } = yield* look
    asked++
    const answer = yield* Effect.ensuring(Effect.result(registering), Effect.sync(() => asked--))
    if (Result.isSuccess(answer)) return answer.success
    const error = answer.failure
    if (!(error instanceof RegistrationError)) return yield* Effect.fail(error)
    const { phase, workers: after } = yield* look
    chronicle.count("refusals")
    world.registrations.delete(worker.name)
    chronicle.note(`refused ${worker.name} ${error.reason._tag}`)
    judgeRefusal(error.reason, worker, before, after, phase !== "Halted" && !(by !== undefined && isOver(by)))
    return undefined
  })

  type Seen = Snapshot.PostmasterSnapshot["workers"]

  /** By what was there before and after. */
  const judgeRefusal = (
    reason: RegistrationError["reason"],
    worker: { readonly class?: string | undefined; readonly startTime: string },
    before: Seen,
    after: Seen,
    isOpen: boolean
  ): void => {
    switch (reason._tag) {
      case "SlotsExhausted":
        if (Math.max(before.length, after.length) < settings.maxWorkers) {
          broken("answers", `refused with ${after.length} of ${settings.maxWorkers} slots taken`)
        }
        return
      case "ClassLimitReached": {
        const limit = settings.classLimits[worker.class as "io" | "parallel"]
        const classmates = [before, after].map((all) => all.filter((other) => other.class === worker.class).length)
        if (Math.max(...classmates) < limit) broken("answers", `refused with ${classmates[1]} of ${limit} of its class`)
        return
      }
      case "NotAccepting":
        if (isOpen) broken("answers", "refused by a postmaster that lives")
        return
      case "DatabaseNotReady":
        if (worker.startTime !== "PostmasterStart") broken("answers", "refused for its start time")
        return
      default:
        broken("answers", `refused for ${reason._tag}`)
    }
  }

  /** Whether this life is over in truth. */
  const isOver = ({ pid, ref }: LifeRef): boolean => {
    const life = spawner.lives.get(ref.slot)
    return life?.pid !== pid || life.over
  }

  const recruit = Effect.fnUntraced(
    function*(
      by: LifeRef,
      door: SimulatedSpawner.Door
    ): Effect.fn.Return<void, PostmasterDied> {
      chronicle.count("registrations by workers")
      const worker = define(by)
      const registration = world.registrations.get(worker.name)!
      yield* enlist(worker, door.Register({ registration }), door.Snapshot(), by)
    },
    Effect.catchCause((cause) =>
      Effect.sync(() => {
        // Whoever has ended hears nothing more.
        const ended = cause.reasons.every((reason) =>
          Cause.isInterruptReason(reason) || (Cause.isFailReason(reason) && reason.error._tag === "PostmasterDied")
        )
        if (!ended) broken("answers", `to a worker: ${Cause.pretty(cause)}`)
      })
    )
  )

  // --- its beginning ---

  const startup = (phase: { readonly consistent: Effect.Effect<void> }) =>
    Effect.gen(function*() {
      const pauses = [0, 0].map(() => random.chance(0.5) ? 0 : random.millis(1, 10 * minute))
      const outcome = random.weighted([[95, "Good"], [3, "Failed"], [1, "Early"]] as const)
      yield* Effect.sleep(pauses[0]!)
      if (outcome === "Failed") return yield* Effect.fail("no disk" as const)
      if (outcome === "Good") yield* phase.consistent
      yield* Effect.sleep(pauses[1]!)
    })
  const preloads = Array.from({ length: random.below(3) }, () => preload(define()))
  const scope = yield* Scope.make()
  const built = yield* Layer.buildWithScope(
    Postmaster.layer({ preload: preloads, startup }).pipe(
      Layer.provide(PostmasterConfig.layer(settings)),
      Layer.provide(Layer.succeed(Spawner)(spawner.service))
    ),
    scope
  ).pipe(Effect.provideService(Clock.Clock, clock.clock), Effect.exit)

  const nobodyIsLeft = (): void => {
    if (spawner.births.size + spawner.lives.size > 0) {
      broken("halt", `${spawner.births.size} births and ${spawner.lives.size} lives after the release`)
    }
    if (spawner.keepers() > 0) broken("spares", `${spawner.keepers()} outlive the release`)
    const left = fibers.living() - fibersBefore
    if (left !== 0) broken("fibers", `${left} are left after the release`)
  }
  if (Exit.isFailure(built)) {
    chronicle.note("the layer failed")
    yield* Scope.close(scope, Exit.void)
    yield* Effect.sleep(1)
    nobodyIsLeft()
    return
  }
  const postmaster = Context.get(built.value, Postmaster)

  // What was under way when it was ready is over before anybody looks on.
  yield* Effect.sleep(1)
  if ((yield* postmaster.snapshot).phase === "Halted") {
    chronicle.note("halted before anybody looked on")
    yield* Scope.close(scope, Exit.void)
    yield* Effect.sleep(1)
    nobodyIsLeft()
    return
  }

  // --- its onlookers ---

  const streams = new Set<string>()
  const look = <A, E>(name: string, stream: Stream.Stream<A, E>, see: (value: A) => void) => {
    streams.add(name)
    return Stream.runForEach(stream, (value) => Effect.sync(() => see(value))).pipe(
      Effect.ensuring(Effect.sync(() => streams.delete(name))),
      Effect.forkChild({ startImmediately: true })
    )
  }
  let seen: Snapshot.PostmasterSnapshot | undefined
  yield* look("events", postmaster.events, observer.hear)
  observer.prime(yield* postmaster.snapshot)
  if (random.chance(0.3)) {
    yield* look("snapshots", postmaster.snapshots, (snapshot) => {
      seen = snapshot
    })
  }
  // One who subscribes and never reads on.
  if (random.chance(0.3)) {
    yield* Effect.forkChild(Stream.runForEach(postmaster.events, () => Effect.never), { startImmediately: true })
  }

  // --- its users ---

  let handles: Array<WorkerHandle> = []
  const stale: Array<WorkerHandle> = []
  const waits = new Set<Wait>()
  let halted = false

  const hasHalted = Effect.map(postmaster.snapshot, ({ phase }) => phase === "Halted")

  const register = Effect.fnUntraced(function*() {
    chronicle.count("registrations")
    const worker = define()
    const handle = yield* enlist(worker, postmaster.register(worker), postmaster.snapshot)
    if (handle !== undefined) handles.push(handle)
  })

  /** Who waits for a slot. */
  const seekers = new Set<Worker>()

  const seek = Effect.fnUntraced(function*() {
    chronicle.count("seekers")
    const worker = define()
    const millis = random.chance(0.1) ? Number.POSITIVE_INFINITY : random.millis(1, 2 * hour)
    const began = clock.monotonic()
    seekers.add(worker)
    yield* Effect.result(postmaster.registerWithin(millis, worker)).pipe(
      Effect.flatMap(Effect.fnUntraced(function*(answer) {
        if (Result.isSuccess(answer)) return void handles.push(answer.success)
        const { reason } = answer.failure
        chronicle.note(`refused ${worker.name} ${reason._tag}`)
        world.registrations.delete(worker.name)
        if (reason._tag !== "SlotsExhausted" && reason._tag !== "ClassLimitReached") return
        if (clock.monotonic() >= began + millis) return
        // Nobody waits for a slot of a postmaster that shuts down.
        if ((yield* postmaster.snapshot).shutdown !== undefined) return
        broken("answers", `${worker.name} has not waited long enough`)
      })),
      Effect.ensuring(Effect.sync(() => seekers.delete(worker))),
      Effect.forkChild({ startImmediately: true })
    )
  })

  const judgeWait = Effect.fnUntraced(function*(wait: Wait, exit: Exit.Exit<unknown, unknown>) {
    const { handle, kind } = wait
    const wrong = (how: string): void => broken("waits", `${kind} of ${handle.name}: ${how}`)
    if (Exit.isFailure(exit)) {
      if (Cause.hasInterruptsOnly(exit.cause)) return
      const error = exit.cause.reasons.find(Cause.isFailReason)?.error as { readonly _tag: string } | undefined
      if (error?._tag === "PostmasterDied") {
        if (!(yield* hasHalted)) wrong("the postmaster has not died")
      } else if (error?._tag !== "WorkerStopped") wrong(Cause.pretty(exit.cause))
      else if (kind !== "Replace" && (yield* handle.status)._tag !== "Stopped") wrong("it is not stopped")
      return
    }
    if (kind === "Startup" || kind === "Ready") {
      const ref = spawner.bornAs(exit.value as never)
      if (ref?.slot !== handle.ref.slot || ref.generation !== handle.ref.generation) {
        wrong(`pid ${String(exit.value)} is another's`)
      }
    }
    if (kind === "End" && (yield* handle.status)._tag !== "Stopped") wrong("it is not stopped")
  })

  const wait = Effect.fnUntraced(function*(handle: WorkerHandle) {
    chronicle.count("waits")
    const kind = random.pick<Exclude<WaitKind, "Replace">>(["Startup", "Ready", "Shutdown", "End", "Statuses"])
    const entry: Wait = { kind, handle, fiber: undefined }
    const waiting: Effect.Effect<unknown, unknown> = kind === "Startup"
      ? handle.waitForStartup
      : kind === "Ready"
      ? handle.waitForReady
      : kind === "Shutdown"
      ? handle.waitForShutdown
      : kind === "End"
      ? handle.waitForEnd
      : Stream.runDrain(handle.statuses)
    waits.add(entry)
    entry.fiber = yield* Effect.exit(waiting).pipe(
      Effect.flatMap((exit) => judgeWait(entry, exit)),
      Effect.ensuring(Effect.sync(() => waits.delete(entry))),
      Effect.forkChild({ startImmediately: true })
    )
  })

  /** Waits for the answer elsewhere: a successor may take its time. */
  const replace = Effect.fnUntraced(function*(handle: WorkerHandle) {
    const entry: Wait = { kind: "Replace", handle, fiber: undefined }
    const { recovering: wasRecovering, workers: before } = yield* postmaster.snapshot
    // Of whom was asked for at this very moment nobody has told yet.
    const isFirst = ![...waits].some((other) => other.kind === "Replace" && other.handle.name === handle.name)
    const wasReplaceable = isFirst && !wasRecovering && observer.isReplaceable(handle.ref)
    chronicle.note(`replace ${handle.name}`)
    const judged = Effect.fnUntraced(function*(exit: Exit.Exit<WorkerHandle, unknown>) {
      const error = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason)?.error : undefined
      if (!(error instanceof RegistrationError)) {
        if (Exit.isFailure(exit)) return yield* judgeWait(entry, exit)
        if (exit.value.name !== handle.name || exit.value.ref.slot === handle.ref.slot) {
          broken("replacing", `${handle.name} by ${exit.value.name}`)
        }
        handles.push(exit.value)
        return
      }
      const { phase, recovering, workers: after } = yield* postmaster.snapshot
      if (error.reason._tag !== "NotReplaceable") {
        const seated = before.find((worker) => worker.name === handle.name)
        if (seated === undefined) {
          return phase === "Halted"
            ? undefined
            : broken("answers", `refused for ${error.message}`)
        }
        return judgeRefusal(error.reason, seated, before, after, phase !== "Halted")
      }
      const isOpen = phase !== "Halted" && phase !== "Waiting" && !recovering
      if (wasReplaceable && isOpen && observer.isReplaceable(handle.ref)) broken("answers", `refused: ${error.message}`)
    })
    waits.add(entry)
    entry.fiber = yield* Effect.exit(handle.replace).pipe(
      Effect.flatMap(judged),
      Effect.ensuring(Effect.sync(() => waits.delete(entry))),
      Effect.forkChild({ startImmediately: true })
    )
  })

  const terminate = (handle: WorkerHandle): Effect.Effect<void> => {
    observer.doom(handle.ref)
    chronicle.note(`terminate ${handle.name}`)
    return handle.terminate
  }

  const resume = (handle: WorkerHandle): Effect.Effect<void> => {
    observer.wantsStart(handle.ref)
    chronicle.note(`resume ${handle.name}`)
    return handle.resume
  }

  const operations: ReadonlyArray<readonly [number, () => Effect.Effect<unknown, unknown>]> = [
    [30, register],
    // A caller that does not wait for the answer gets its worker all the same.
    [
      2,
      () =>
        Effect.flatMap(
          Effect.forkChild(postmaster.register(define()), { startImmediately: true }),
          (fiber) => Effect.sync(() => fiber.interruptUnsafe())
        )
    ],
    [2, () => Effect.forEach(Array.from({ length: 1 + random.below(12) }), register)],
    [8, seek],
    [10, () => handles.length === 0 ? Effect.void : terminate(random.pick(handles))],
    [5, () => stale.length === 0 ? Effect.void : terminate(random.pick(stale))],
    [8, () => handles.length === 0 ? Effect.void : resume(random.pick(handles))],
    [1, () => stale.length === 0 ? Effect.void : resume(random.pick(stale))],
    [8, () => handles.length === 0 ? Effect.void : replace(random.pick(handles))],
    [1, () => stale.length === 0 ? Effect.void : replace(random.pick(stale))],
    // A successor, perhaps, before it is ready.
    [2, () =>
      handles.length === 0 ? Effect.void : Effect.flatMap(
        postmaster.find(random.pick(handles).name),
        (found) => found.length < 2 ? Effect.void : terminate(found.at(-1)!)
      )],
    [1, () => Effect.forEach(handles, terminate)],
    [1, () => {
      observer.doomUsers("disk")
      chronicle.note("terminate users of disk")
      return postmaster.terminateUsers("disk")
    }],
    [20, () => handles.length === 0 ? Effect.void : wait(random.pick(handles))],
    [2, () => stale.length === 0 ? Effect.void : wait(random.pick(stale))],
    [4, () => {
      const { fiber } = waits.size === 0 ? { fiber: undefined } : random.pick([...waits])
      return Effect.sync(() => fiber?.interruptUnsafe())
    }],
    [6, () =>
      Effect.sync(() => {
        const victims = [...spawner.lives.values()]
        if (victims.length > 0) random.pick(victims).kill(random.pick(["SIGKILL", "SIGSEGV", "SIGTERM"]))
      })],
    [4, () =>
      Effect.sync(() => {
        const victims = [...spawner.spares.values()]
        if (victims.length > 0) random.pick(victims).lose(random.pick(["Died", "Outdated"]))
      })],
    [2, () => postmaster.reload],
    [2, () => Effect.sync(() => clock.setWallClock(random.pick([-1, 1]) * random.millis(1, 30 * day)))],
    [2, () => Effect.sync(() => clock.oversleep(random.millis(1, 6 * hour)))]
  ]

  // --- its laws ---

  const checkWaits = Effect.fnUntraced(function*() {
    for (const { handle, kind } of waits) {
      const { _tag: status } = yield* handle.status
      const known = kind === "Startup"
        ? status !== "NotYetStarted"
        : kind === "Ready"
        ? status === "Ready" || status === "Stopped"
        : kind === "Shutdown"
        ? status === "Stopped"
        : kind === "Replace"
        ? !observer.awaitsSuccessor(handle.ref)
        : !observer.holds(handle.ref)
      if (known) broken("waits", `${kind} of ${handle.name} goes on, and it is ${status}`)
    }
  })

  const checkFibers = (): void => {
    // The application and its onlookers, which are the same in number at every check.
    const onlookers = baseline
    const accounted = onlookers + waits.size + seekers.size + spawner.births.size + spawner.lives.size +
      spawner.timers() +
      spawner.keepers()
    const living = fibers.living()
    // Alarm and startup come and go, and may have been there when the base was counted.
    if (living < accounted - 2 || living > accounted + 2) {
      broken("fibers", `${living} of them, and ${accounted} are accounted for`)
    }
  }

  const audit = Effect.fnUntraced(function*() {
    if (chronicle.violation() !== undefined || halted) return
    const snapshot = yield* postmaster.snapshot
    if (asked > 0) broken("answers", `${asked} registrations have no answer`)
    if (snapshot.waiting !== seekers.size) broken("answers", `${snapshot.waiting} wait, not ${seekers.size}`)
    const classless = [...seekers].some((worker) => worker.class === undefined)
    if (classless && snapshot.freeSlots > 0 && snapshot.phase !== "Waiting") {
      broken("answers", "a free slot is waited for")
    }
    observer.check(snapshot)
    for (const handle of handles) observer.checkHandle(handle.ref, yield* handle.status)
    for (const { pid, registration } of spawner.lives.values()) {
      const type = yield* postmaster.typeByPid(pid)
      if (Option.getOrUndefined(type) !== registration.type) broken("story", `pid ${pid} is no ${registration.type}`)
    }
    for (const handle of stale) {
      if ((yield* handle.status)._tag !== "Stopped") broken("handles", `stale ${handle.name} is not stopped`)
    }
    yield* checkWaits()
    if (observer.halted() === undefined) checkFibers()
    if (seen !== undefined && streams.has("snapshots") && outline(seen) !== outline(snapshot)) {
      broken("story", "the last snapshot of the stream is not the present one")
    }
    const fresh = handles.filter((handle) => observer.holds(handle.ref))
    stale.push(...handles.filter((handle) => !observer.holds(handle.ref)))
    stale.splice(0, Math.max(0, stale.length - 10))
    handles = fresh
  })

  // --- its life ---

  const halting = yield* Effect.forkChild(Effect.exit(postmaster.awaitHalt), { startImmediately: true })
  const goesOn = (): boolean => halting.pollUnsafe() === undefined && chronicle.violation() === undefined
  yield* Effect.sleep(1)
  const baseline = fibers.living() - spawner.births.size - spawner.lives.size - spawner.timers() - spawner.keepers()
  desk.audit = audit()

  const lifetime = random.chance(0.2) ? random.millis(1, day) : random.millis(day, 20 * day)
  const stopAt = Math.min(chronicle.now() + lifetime, desk.end)
  const mode = random.pick<Phase.ShutdownMode | "Release">(["Smart", "Fast", "Immediate", "Release"])
  let released: Fiber.Fiber<void> | undefined
  const stop: { stage: "Working" | Phase.ShutdownMode } = { stage: "Working" }
  let harsherAt = stopAt

  const harsher = Effect.fnUntraced(function*() {
    const first = stop.stage === "Working"
    const next: Phase.ShutdownMode = first
      ? mode === "Release" ? settings.shutdownOnRelease : mode
      : stop.stage === "Smart"
      ? "Fast"
      : "Immediate"
    stop.stage = next
    harsherAt = chronicle.now() + (next === "Immediate" ? maxCrash + minute : random.millis(1, 6 * hour))
    if (first && mode === "Release") {
      released = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
    } else yield* postmaster.shutdown(next)
  })

  while (goesOn()) {
    const pause = drawPause(random)
    const wake = stop.stage === "Working"
      ? Math.min(chronicle.now() + pause, stopAt)
      : chronicle.now() + Math.min(pause, hour)
    yield* Effect.sleep(wake - chronicle.now())
    yield* audit()
    if (!goesOn()) break
    if (chronicle.now() >= harsherAt) {
      if (stop.stage === "Immediate") broken("shutdown", `it was asked for ${maxCrash + minute} ms ago`)
      yield* harsher()
      yield* Effect.sleep(1)
      continue
    }
    const rounds = random.chance(0.2) ? 1 + random.below(4) : 1
    for (let round = 0; round < rounds; round++) yield* random.weighted(operations)()
  }
  if (chronicle.violation() !== undefined) return

  // --- its end ---

  yield* Effect.sleep(1)
  halted = true
  const how = observer.halted()
  if (how === undefined) broken("halt", "no event tells it")
  else if (how.abnormal !== Exit.isFailure(yield* Fiber.join(halting))) {
    broken("halt", "awaitHalt and the event do not agree")
  }
  if (streams.size > 0) broken("halt", `open streams: ${[...streams].join()}`)
  for (const { handle, kind } of waits) broken("halt", `${kind} of ${handle.name} goes on`)
  if (asked + seekers.size > 0) broken("halt", `${asked + seekers.size} registrations have no answer`)
  for (const handle of handles) {
    if ((yield* handle.status)._tag !== "Stopped") broken("handles", `${handle.name} is not stopped`)
    yield* handle.terminate
    yield* Effect.ignore(handle.waitForEnd)
  }
  yield* register()
  if (handles.length > 0 && observer.phase() !== "Halted") broken("halt", `phase ${observer.phase()}`)
  const { workers } = yield* postmaster.snapshot
  if (workers.length > 0) broken("halt", `${workers.length} workers are left in the table`)
  if (spawner.births.size + spawner.lives.size > 0) broken("halt", "a child is left")
  if (released === undefined) yield* Scope.close(scope, Exit.void)
  // The halt does not wait for spares, the release does.
  else yield* Effect.sleep(SimulatedSpawner.maxSweep)
  yield* Effect.sleep(1)
  if (spawner.keepers() > 0) broken("spares", `${spawner.keepers()} outlive the release`)
  if (released !== undefined && released.pollUnsafe() === undefined) broken("halt", "the release does not return")
})

/** Whoever only looks on, and is not ended by the halt, ends with its incarnation. */
const incarnation = Effect.fnUntraced(function*(desk: Desk) {
  const before = desk.fibers.living()
  yield* Fiber.join(yield* Effect.forkChild(live(desk), { startImmediately: true }))
  desk.audit = Effect.void
  if (desk.chronicle.violation() !== undefined) return
  yield* Effect.sleep(1)
  const left = desk.fibers.living() - before
  if (left !== 0) desk.chronicle.broken("fibers", `${left} are left after the release`)
})

/**
 * What two snapshots of the same table have in common even if the wall clock was
 * set in between, or a rest was over while nobody could start: that gives no
 * order, and so no new snapshot.
 */
const outline = (snapshot: Snapshot.PostmasterSnapshot): string =>
  JSON.stringify([
    snapshot.phase,
    snapshot.shutdown,
    snapshot.recovering,
    snapshot.workers.map((worker) => [worker.ref, Observer.stateOf(worker), worker.pid, worker.restarts]),
    snapshot.spares.map(({ pid, spare }) => [spare, pid])
  ])
