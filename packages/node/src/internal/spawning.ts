/**
 * Decides what every spawner of this package does with a launch: refuse what
 * cannot be, take the spare if it fits, otherwise bear cold, a few at a time.
 * How a worker is borne is the only thing in which they differ.
 *
 * @since 0.1.0
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { Pid } from "@effect-postmaster/core/Identity"
import type { Limits } from "@effect-postmaster/core/Limits"
import {
  type Child,
  type ChildReport,
  type Launch,
  type SignOfLife,
  type Spare,
  Spawner
} from "@effect-postmaster/core/Spawner"
import { LimitNotSet, NotSupported, ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Os from "node:os"
import { encodeToWorker, maxFrameToWorker } from "./channel.ts"
import type { Forked } from "./fork.ts"
import { limitOrder, type LimitProblem } from "./limits.ts"
import { inheritedNodeOptions } from "./nodeFlags.ts"
import { isSpareProcess, makeSpare, type SpareProcess } from "./spare.ts"
import { awaitAtMost, makeWorkerProcess, type WorkerProcess } from "./workerProcess.ts"

/**
 * Bears one more, with what it must be born with, and has it adopted in the turn
 * in which it can first be heard of. Fails with the reason in words.
 */
export type Bear = <A>(adopt: (forked: Forked) => A, limits: Limits) => Effect.Effect<A, string>

/** How many workers this process is in: 0 for an application, 1 for its worker. */
const depthVariable = "EFFECT_POSTMASTER_DEPTH"
const depth = Number(process.env[depthVariable] ?? 0)

/** Nobody nests so deep on purpose. */
const maxDepth = 4

/** The application's environment with `added` to it, for a worker. */
export const environment = (
  added: Readonly<Record<string, string | undefined>> | undefined,
  defaults: Readonly<Record<string, string>> = {}
): Readonly<Record<string, string>> => {
  const { NODE_OPTIONS: options, ...rest } = { ...defaults, ...process.env, ...added }
  const all: Record<string, string> = {}
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) all[name] = value
  all[depthVariable] = String(depth + 1)
  if (options !== undefined) all["NODE_OPTIONS"] = inheritedNodeOptions(options)
  return all
}

const notSupported = (launch: Launch, detail: string): SpawnError =>
  new SpawnError({ reason: new NotSupported({ worker: launch.registration.name, detail }) })

const notStarted = (worker: string, detail: string): SpawnError =>
  new SpawnError({ reason: new ProcessNotStarted({ worker, detail }) })

const notLimited = (launch: Launch, { detail, limits }: LimitProblem): SpawnError =>
  new SpawnError({ reason: new LimitNotSet({ worker: launch.registration.name, limits, detail }) })

/** The frame that carries the launch, made before there is a process, since it can be refused. */
const launchFrame = Effect.fnUntraced(function*(launch: Launch): Effect.fn.Return<Uint8Array, SpawnError> {
  const { module } = launch.registration.entry
  if (depth >= maxDepth) {
    return yield* notSupported(
      launch,
      `this is a worker inside ${
        depth - 1
      } other workers; does ${module} start the application when a worker imports it? ` +
        "Guard that with import.meta.main"
    )
  }
  if (!/^(?:file|data):/.test(module)) {
    return yield* notSupported(launch, `its entry ${module} is neither a file: nor a data: URL`)
  }
  const frame = encodeToWorker({ _tag: "Launch", launch, minimumLogLevel: yield* References.MinimumLogLevel })
  if (frame.length > maxFrameToWorker) {
    return yield* notSupported(launch, `its launch has ${frame.length} bytes, and ${maxFrameToWorker} are allowed`)
  }
  return frame
})

/** Whatever a worker is made from that may change while an application runs. */
const surroundings = (): string =>
  JSON.stringify([
    process.env,
    process.cwd(),
    process.umask(),
    process.geteuid?.(),
    process.getegid?.(),
    process.getgroups?.()
  ])

interface Born {
  readonly pid: Pid
  readonly worker: WorkerProcess
}

const born = (bear: Bear, limits: Limits = {}): Effect.Effect<Born, string> =>
  Effect.tap(
    bear((forked) => ({ pid: forked.pid, worker: makeWorkerProcess(forked) }), limits),
    // Detached, because it ends by itself once the worker has, which the
    // finalizer sees to; it inherits the caller's loggers like any fork.
    ({ worker }) => Effect.forkDetach(worker.watch, { startImmediately: true })
  )

/** How many workers may boot at once, per core. More of them would only get into each other's way. */
const bootsPerCore = 2

/** A boot that takes longer keeps nobody waiting. */
const bootPatienceMillis = 2_000

/** How long a spare may take to import what it is told to. */
const preparePatienceMillis = 30_000

/** What makes a spawner of a way to bear. `refuse` says why a launch cannot be borne that way, if it cannot. */
export const make = Effect.fnUntraced(function*(
  bear: Bear,
  refuse: (launch: Launch) => string | undefined = () => undefined
) {
  const boots = yield* Semaphore.make(bootsPerCore * Os.availableParallelism())

  /** Who came first boots first, a few at a time, so that the first are at work when the last are not yet. */
  const bearCold = Effect.fnUntraced(function*(
    launch: Launch,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    yield* restore(Semaphore.take(boots, 1))
    const { worker } = yield* Effect.onError(
      Effect.mapError(
        born(bear, launch.registration.limits),
        (detail) => notStarted(launch.registration.name, detail)
      ),
      () => Semaphore.release(boots, 1)
    )
    yield* Effect.forkDetach(
      Effect.andThen(awaitAtMost(worker.booted, bootPatienceMillis), Semaphore.release(boots, 1)),
      { startImmediately: true }
    )
    return worker
  })

  const spawn = Effect.fnUntraced(function*(
    launch: Launch,
    report: (report: ChildReport | SignOfLife) => void,
    spare?: Spare
  ): Effect.fn.Return<Child, SpawnError, Scope.Scope> {
    const refusal = refuse(launch)
    if (refusal !== undefined) return yield* notSupported(launch, refusal)
    const frame = yield* launchFrame(launch)
    const limits = limitOrder(launch.registration.limits)
    if (limits !== undefined && "detail" in limits) return yield* notLimited(launch, limits)
    const worker = yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      const warm = isSpareProcess(spare) && spare.take(launch, surroundings())
      const worker = warm ? spare.worker : yield* bearCold(launch, restore)
      yield* Effect.addFinalizer(() => worker.end)
      return worker
    }))
    // Before the launch: what a worker does is limited from the beginning.
    if (limits !== undefined) yield* Effect.mapError(worker.limit(limits), (problem) => notLimited(launch, problem))
    return worker.launch(launch, frame, report)
  })

  return Spawner.of({ spawn, spare: (modules) => bearSpare(bear, modules) })
})

const ahead = (modules: ReadonlyArray<string>): string =>
  modules.length === 1 ? modules[0]! : `${modules.length} modules ahead`

const bearSpare = Effect.fnUntraced(function*(
  bear: Bear,
  modules: ReadonlyArray<string>
): Effect.fn.Return<SpareProcess, SpawnError, Scope.Scope> {
  const failed = (detail: string) => notStarted("spare", detail)
  const before = surroundings()
  let made: SpareProcess | undefined
  const { pid, worker } = yield* Effect.acquireRelease(
    Effect.mapError(born(bear), failed),
    ({ worker }) => made?.isTaken() === true ? Effect.void : worker.end
  )
  const prepared = yield* worker.prepare(modules).pipe(
    Effect.raceFirst(
      Effect.flatMap(
        worker.exit,
        (status) => Effect.fail(failed(`it ${ExitStatus.format(status)} while it imported ${ahead(modules)}`))
      )
    ),
    Effect.raceFirst(
      Effect.andThen(
        awaitAtMost(Effect.never, preparePatienceMillis),
        Effect.fail(failed(`it had not imported ${ahead(modules)} after ${preparePatienceMillis} ms`))
      )
    )
  )
  for (const module of prepared.failed) {
    // A logger that throws costs its line and nothing else.
    yield* Effect.ignoreCause(Effect.logWarning(
      `a spare (PID ${pid}) could not import ${module}; launches of it start cold, and "spare: false" spares it the try`
    ))
  }
  made = makeSpare(worker, pid, prepared, before)
  return made
})
