/**
 * The front door: the service applications register workers with, and the
 * layer that brings the postmaster up and takes it down.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Rpc from "effect/rpc/Rpc"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BackgroundWorker from "./BackgroundWorker.ts"
import { ForeignAddress, type PostmasterDied } from "./HandleError.ts"
import type { SlotRef } from "./Identity.ts"
import * as Loop from "./internal/loop.ts"
import * as Remote from "./internal/remote.ts"
import * as Reports from "./internal/reports.ts"
import * as Watch from "./internal/watch.ts"
import * as WorkerDoor from "./internal/workerDoor.ts"
import { CurrentLine } from "./internal/workerLine.ts"
import type { ShutdownMode } from "./Phase.ts"
import { PostmasterConfig } from "./PostmasterConfig.ts"
import type { PostmasterEvent } from "./PostmasterEvent.ts"
import type { Recording } from "./Recording.ts"
import type { Registration } from "./Registration.ts"
import type { RegistrationError } from "./RegistrationError.ts"
import { toMillis } from "./Restart.ts"
import { SharedMemory } from "./SharedMemory.ts"
import type { PostmasterSnapshot } from "./Snapshot.ts"
import type { Spawner } from "./Spawner.ts"
import type { Vitals } from "./Vitals.ts"
import type { WorkerAddress } from "./WorkerAddress.ts"
import type { WorkerContext } from "./WorkerContext.ts"
import type { WorkerHandle } from "./WorkerHandle.ts"
import type { WorkerReport } from "./WorkerReport.ts"

/**
 * A worker that is registered before the postmaster opens its table.
 *
 * @category models
 * @since 0.1.0
 */
export interface Preload {
  readonly registration: Effect.Effect<Registration, RegistrationError>
}

/**
 * Puts a worker on the list of preloads (`shared_preload_libraries`,
 * `RegisterBackgroundWorker`).
 *
 * @category constructors
 * @since 0.1.0
 */
export const preload = <Args extends BackgroundWorker.ArgsSchema & { readonly "EncodingServices": never }>(
  worker: BackgroundWorker.BackgroundWorker<Args, Rpc.Any>,
  ...args: BackgroundWorker.ArgsInput<Args>
): Preload => ({ registration: BackgroundWorker.toRegistration(worker, args[0]) })

/**
 * What the layer may be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = never, R = never> {
  /** Workers registered before the table opens, in this order. One that is refused fails the layer. */
  readonly preload?: ReadonlyArray<Preload> | undefined
  /**
   * The startup process. Workers with start time `ConsistentState` wait until
   * it says `consistent` (or ends), the others until it ends. It runs again
   * after a crash of the attached workers.
   */
  readonly startup?: ((phase: { readonly consistent: Effect.Effect<void> }) => Effect.Effect<void, E, R>) | undefined
}

/**
 * The postmaster.
 *
 * **Example** (Registering a worker and waiting for it)
 *
 * ```ts
 * import { BackgroundWorker, Postmaster } from "@effect-postmaster/core"
 * import * as Effect from "effect/Effect"
 *
 * const Sweep = BackgroundWorker.make("sweep", { entry: { module: new URL("./sweep.ts", import.meta.url) } })
 *
 * export const program = Effect.gen(function*() {
 *   const postmaster = yield* Postmaster
 *   const sweep = yield* postmaster.register(Sweep)
 *   const pid = yield* sweep.waitForStartup
 *   yield* Effect.logInfo(`sweep is process ${pid}`)
 *   yield* sweep.waitForShutdown
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class Postmaster extends Context.Service<Postmaster, {
  /**
   * Registers a worker; it starts as soon as its start time has come
   * (`RegisterDynamicBackgroundWorker`). Returns when the slot is taken, not
   * when the worker runs. A worker with a key that is registered already is
   * answered with the handle of that registration.
   */
  readonly register: <Args extends BackgroundWorker.ArgsSchema, Rpcs extends Rpc.Any = never>(
    worker: BackgroundWorker.BackgroundWorker<Args, Rpcs>,
    ...args: BackgroundWorker.ArgsInput<Args>
  ) => Effect.Effect<WorkerHandle<Rpcs>, RegistrationError, Args["EncodingServices"]>
  /**
   * The same, but waits for so long if there is no room: every slot is taken,
   * its class has reached its limit, or its key is held by a worker that has not
   * ended yet. When the time is over, it fails with the reason for which it had
   * to wait.
   *
   * Whoever has waited longest comes first, of those for whom there is room;
   * `register` does not overtake. 1,024 may wait; whoever comes then is refused
   * at once. A wait that is interrupted takes nothing; a slot that was taken for
   * it in that very moment is given back, unless a worker waits and the answer
   * is already on its way. A shutdown ends all waits with `NotAccepting`.
   */
  readonly registerWithin: <Args extends BackgroundWorker.ArgsSchema, Rpcs extends Rpc.Any = never>(
    timeout: Duration.Input,
    worker: BackgroundWorker.BackgroundWorker<Args, Rpcs>,
    ...args: BackgroundWorker.ArgsInput<Args>
  ) => Effect.Effect<WorkerHandle<Rpcs>, RegistrationError, Args["EncodingServices"]>
  /** The table as it is now (`pg_stat_activity`). */
  readonly snapshot: Effect.Effect<PostmasterSnapshot>
  /**
   * The table as it is now, then the newest one whenever it has changed. It is
   * put together when it is read, so a slow reader sees the newest, never a
   * backlog, and a turn pays nothing for it. Workers that have not changed are
   * the same objects as in the snapshot before. Ends with the postmaster.
   */
  readonly snapshots: Stream.Stream<PostmasterSnapshot>
  /**
   * What happens from now on. A reader more than 1,024 behind loses the oldest,
   * and finds `EventsLost` with their number in their place. Ends with the
   * postmaster.
   */
  readonly events: Stream.Stream<PostmasterEvent>
  /**
   * The workers registered under this name now, in the order of their
   * registration. Names are not unique. Given a definition, it finds those of
   * its name, and they can be called.
   */
  readonly find: {
    (name: string): Effect.Effect<ReadonlyArray<WorkerHandle>>
    <Rpcs extends Rpc.Any = never>(
      worker: BackgroundWorker.BackgroundWorker<BackgroundWorker.ArgsSchema, Rpcs>
    ): Effect.Effect<ReadonlyArray<WorkerHandle<Rpcs>>>
  }
  /**
   * The handle that was written down as its `address`, by whomever. A
   * registration that is over reads Stopped; the address of another postmaster
   * fails, since nothing can be known of its workers.
   */
  readonly resolve: {
    (address: WorkerAddress): Effect.Effect<WorkerHandle, ForeignAddress>
    <Rpcs extends Rpc.Any = never>(
      address: WorkerAddress,
      worker: BackgroundWorker.BackgroundWorker<BackgroundWorker.ArgsSchema, Rpcs>
    ): Effect.Effect<WorkerHandle<Rpcs>, ForeignAddress>
  }
  /** The type of the worker that runs under this pid (`GetBackgroundWorkerTypeByPid`). */
  readonly typeByPid: (pid: number) => Effect.Effect<Option.Option<string>>
  /**
   * Terminates every worker whose definition names this resource
   * (`TerminateBackgroundWorkersForDatabase`), and nobody else. Returns at once.
   */
  readonly terminateUsers: (resource: string) => Effect.Effect<void>
  /**
   * The last thousands of facts the postmaster has heard, for a look at what
   * went wrong: write it down with `Recording.Recording`, feed it to the machine
   * again with `Recording.replay`.
   */
  readonly recording: Effect.Effect<Recording>
  /** How long turns take, and what the workers' lines have carried. */
  readonly vitals: Effect.Effect<Vitals>
  /**
   * What workers with `WorkerMetrics.layer` measure: first everything, then what
   * has changed. They report while somebody reads; a reader who is behind sees
   * the newest of each series. Ends with the postmaster. Only the application is
   * told; inside a worker it is empty.
   */
  readonly workerReports: Stream.Stream<WorkerReport>
  /** Passes a reload request on to every running worker (SIGHUP). */
  readonly reload: Effect.Effect<void>
  /** Asks for a shutdown and returns at once. A harsher mode overtakes a gentler one; a gentler one is ignored. */
  readonly shutdown: (mode: ShutdownMode) => Effect.Effect<void>
  /** Returns when no worker is left and the postmaster has ended; fails if that was not in good order. */
  readonly awaitHalt: Effect.Effect<void, PostmasterDied>
}>()("@effect-postmaster/core/Postmaster") {
  /**
   * Brings the postmaster up: registers the preloads, opens the table, runs the
   * startup effect to its end.
   *
   * **Details**
   *
   * Fails with a preload's `RegistrationError` or the startup effect's error.
   * Releasing the layer shuts down in the mode `PostmasterConfig.shutdownOnRelease`
   * and returns when the last worker is gone. PostgreSQL: `PostmasterMain`.
   *
   * The startup effect is given the `SharedMemory`, which is empty each time it
   * runs.
   */
  static readonly layer = <E = never, R = never>(
    options?: Options<E, R>
  ): Layer.Layer<
    Postmaster | SharedMemory,
    E | RegistrationError,
    Spawner | PostmasterConfig | Exclude<R, Scope.Scope | SharedMemory>
  > => Layer.effectContext(make(options))

  /**
   * The same service inside a worker, over the worker's line.
   *
   * **When to use**
   *
   * Use in the `layer` of a worker's `main` that registers, finds or calls other
   * workers.
   *
   * **Details**
   *
   * The worker is the registrant of what it registers. Its workers live on when
   * it ends, unless their definition says `ownership: "registrant"`.
   *
   * **Gotchas**
   *
   * Building it outside of a worker is a defect.
   *
   * **Example** (A worker that registers workers)
   *
   * ```ts
   * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
   * import { Postmaster } from "@effect-postmaster/core/Postmaster"
   * import * as Effect from "effect/Effect"
   *
   * const Helper = BackgroundWorker.make("helper", {
   *   entry: { module: new URL("./helper.ts", import.meta.url) },
   *   ownership: "registrant"
   * })
   *
   * const Leader = BackgroundWorker.make("leader", { entry: { module: new URL(import.meta.url) } })
   *
   * export const main = BackgroundWorker.main(
   *   Leader,
   *   Effect.fnUntraced(function*() {
   *     const postmaster = yield* Postmaster
   *     const helper = yield* postmaster.register(Helper)
   *     yield* helper.waitForEnd
   *   }, Effect.orDie),
   *   { layer: Postmaster.layerClient }
   * )
   * ```
   */
  static readonly layerClient: Layer.Layer<Postmaster | SharedMemory, never, WorkerContext> = Layer.effectContext(
    Effect.suspend(() => makeClient)
  )
}

const make = Effect.fnUntraced(function*<E, R>(options: Options<E, R> | undefined) {
  const context = yield* Effect.context<Exclude<R, Scope.Scope | SharedMemory>>()
  const { shutdownOnRelease } = yield* PostmasterConfig
  const id = yield* newIdentity
  // The loop lets workers in that it has borne, and it bears nobody before it is opened.
  const reports = Reports.make()
  const door = yield* WorkerDoor.make(id, () => loop, reports)
  const loop: Loop.Loop = yield* Loop.make((phase) =>
    options?.startup === undefined
      ? Effect.void
      : Effect.provideContext(
        Effect.scoped(Effect.provideService(options.startup(phase), SharedMemory, loop.memory)),
        // What is left of R is what the context holds.
        context as Context.Context<Exclude<Exclude<R, SharedMemory>, Scope.Scope>>
      ), door)
  const shutdown = (mode: ShutdownMode) => loop.tell({ _tag: "ShutdownRequested", mode })
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.andThen(shutdown(shutdownOnRelease), Effect.ignore(loop.awaitHalt)),
      Effect.sync(reports.end)
    )
  )

  for (const { registration } of options?.preload ?? []) {
    yield* loop.register(yield* registration, "Preload")
  }
  // What fails here is the startup effect, with its own error.
  yield* loop.open as Effect.Effect<void, E>

  const keeper: Watch.Keeper = {
    id,
    terminate: (ref) => loop.tell({ _tag: "TerminateRequested", ref }),
    resume: (ref) => loop.tell({ _tag: "ResumeRequested", ref }),
    replace: loop.replace,
    progress: loop.progress,
    history: loop.history,
    changePolicy: loop.changePolicy,
    connect: (watch) =>
      Effect.suspend(() =>
        watch.connection === undefined
          ? Effect.fail(Watch.stopped(watch, undefined))
          : Effect.succeed(watch.connection.caller)
      )
  }

  return serviceOf({
    keeper,
    ensureOpen: loop.ensureOpen,
    register: (registration, waitMillis) =>
      waitMillis === undefined
        ? loop.register(registration, "Application")
        : loop.registerWithin(waitMillis, registration, "Application"),
    find: loop.find,
    watch: (name, ref) => Effect.sync(() => loop.watch(ref) ?? Watch.stale(name, ref)),
    snapshot: loop.snapshot,
    snapshots: loop.snapshots,
    events: loop.events,
    typeByPid: loop.typeByPid,
    terminateUsers: (resource) => loop.tell({ _tag: "TerminateUsersRequested", resource }),
    recording: loop.recording,
    vitals: loop.vitals,
    workerReports: reports.stream,
    reload: loop.tell({ _tag: "ReloadRequested" }),
    shutdown,
    awaitHalt: loop.awaitHalt
  }, loop.memory)
})

const makeClient = Effect.gen(function*() {
  const line = yield* CurrentLine
  if (line === undefined) {
    return yield* Effect.die(new Error("Postmaster.layerClient is for workers, and this is none: it has no postmaster"))
  }
  const { memory, ...remote } = yield* Remote.make(line())
  return serviceOf({
    ...remote,
    // Others' metrics would be kept for workers that do not read them.
    workerReports: Stream.empty,
    keeper: remote,
    ensureOpen: () => Effect.void,
    register: (registration, waitMillis) =>
      Effect.flatMap(
        waitMillis === undefined ? remote.register(registration) : remote.registerWithin(waitMillis, registration),
        (ref) => remote.watch(registration.name, ref)
      ),
    find: (name) => Effect.flatMap(remote.find(name), (refs) => Effect.forEach(refs, (ref) => remote.watch(name, ref)))
  }, memory)
})

/** What differs between a postmaster in this process and one at the other end of a line. */
interface Engine extends
  Pick<
    Postmaster["Service"],
    | "snapshot"
    | "snapshots"
    | "events"
    | "typeByPid"
    | "terminateUsers"
    | "recording"
    | "vitals"
    | "workerReports"
    | "reload"
    | "shutdown"
    | "awaitHalt"
  >
{
  readonly keeper: Watch.Keeper
  readonly ensureOpen: (worker: string) => Effect.Effect<void, RegistrationError>
  readonly register: (
    registration: Registration,
    waitMillis: number | undefined
  ) => Effect.Effect<Watch.Watch, RegistrationError>
  readonly find: (name: string) => Effect.Effect<ReadonlyArray<Watch.Watch>>
  readonly watch: (name: string, ref: SlotRef) => Effect.Effect<Watch.Watch>
}

const serviceOf = (
  { ensureOpen, find, keeper, register, watch, ...rest }: Engine,
  memory: SharedMemory["Service"]
): Context.Context<Postmaster | SharedMemory> => {
  const registerWorker = Effect.fn("Postmaster.register")(function*<
    Args extends BackgroundWorker.ArgsSchema,
    Rpcs extends Rpc.Any = never
  >(
    worker: BackgroundWorker.BackgroundWorker<Args, Rpcs>,
    args: Args["Type"] | undefined,
    waitMillis: number | undefined
  ) {
    yield* ensureOpen(worker.name)
    return Watch.toHandle(
      yield* register(yield* BackgroundWorker.toRegistration(worker, args), waitMillis),
      worker.protocol,
      keeper,
      true
    )
  })

  const postmaster = Postmaster.of({
    ...rest,
    register: (worker, ...args) => registerWorker(worker, args[0], undefined),
    registerWithin: (timeout, worker, ...args) => registerWorker(worker, args[0], toMillis(timeout)),
    // The overloads tell what the handles can be called; the compiler cannot follow them into one body.
    find: (worker: string | BackgroundWorker.Any) => {
      const { name, protocol } = typeof worker === "string" ? { name: worker, protocol: undefined } : worker
      return Effect.map(
        find(name),
        (watches) => watches.map((watch) => Watch.toHandle(watch, protocol, keeper)) as never
      )
    },
    resolve: (address: WorkerAddress, worker?: BackgroundWorker.Any) => {
      const { name, postmaster, ref } = address
      if (postmaster !== keeper.id) return Effect.fail(new ForeignAddress({ address, postmaster: keeper.id }))
      return Effect.map(watch(name, ref), (watch) => Watch.toHandle(watch, worker?.protocol, keeper) as never)
    }
  })
  return Context.add(Context.make(Postmaster, postmaster), SharedMemory, memory)
}

/** Distinguishes postmasters; no secret. */
const newIdentity = Effect.map(
  Effect.all(Array.from({ length: 2 }, () => Random.nextIntBetween(0, 2 ** 48))),
  (numbers) => numbers.map((number) => number.toString(36).padStart(10, "0")).join("")
)
