/**
 * Decides what the holder of a worker can ask and do. A handle may go stale; it
 * never points at somebody else.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcClient from "effect/rpc/RpcClient"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ExitStatus } from "./ExitStatus.ts"
import type { NotReadyInTime, PostmasterDied, WorkerStopped } from "./HandleError.ts"
import type { Pid, SlotRef } from "./Identity.ts"
import type { LifeRecord } from "./LifeRecord.ts"
import type { ProgressSeen } from "./Progress.ts"
import type { PolicyOptions } from "./Registration.ts"
import type { RegistrationError } from "./RegistrationError.ts"
import type { WorkerAddress } from "./WorkerAddress.ts"
import type { WorkerStatus } from "./WorkerStatus.ts"

/**
 * Calls one life of a worker: a method for each of its `protocol`.
 *
 * @category models
 * @since 0.1.0
 */
export type Client<Rpcs extends Rpc.Any> = RpcClient.RpcClient<Rpcs, WorkerStopped | PostmasterDied>

/**
 * The handle of one registration (PostgreSQL: `BackgroundWorkerHandle`).
 *
 * **Gotchas**
 *
 * `waitForShutdown` answers at the *next* stop, also when the worker will come
 * back; it never misses one, however quickly the worker is back. Use
 * `waitForEnd` to wait for a job through its restarts.
 *
 * A worker whose births fail and are tried again has not started yet: the waits
 * go on. `Postmaster.events` and `Postmaster.snapshot` show the failures.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerHandle<in out Rpcs extends Rpc.Any = never> {
  /** The worker's name. */
  readonly name: string
  /** The slot and generation that name this registration. */
  readonly ref: SlotRef
  /** The same for others: `Postmaster.resolve` makes a handle of it again, here or in another worker. */
  readonly address: WorkerAddress
  /** What the worker is doing now (`GetBackgroundWorkerPid`). */
  readonly status: Effect.Effect<WorkerStatus>
  /** The pid of the life running now. */
  readonly pid: Effect.Effect<Option.Option<Pid>>
  /**
   * The present status, then every change. Ends when the registration has ended.
   * A reader that falls more than 256 changes behind loses the oldest ones.
   */
  readonly statuses: Stream.Stream<WorkerStatus, PostmasterDied>
  /** Waits until the process exists (`WaitForBackgroundWorkerStartup`). Between two lives it answers `WorkerStopped`. */
  readonly waitForStartup: Effect.Effect<Pid, WorkerStopped | PostmasterDied>
  /** Waits until the worker is at work. A failure to get there is `WorkerStopped`, with the exit and its error. */
  readonly waitForReady: Effect.Effect<Pid, WorkerStopped | PostmasterDied>
  /**
   * The same, and no longer than this. `NotReadyInTime` carries how its last life
   * ended, or why its last birth failed.
   */
  readonly waitForReadyWithin: (
    timeout: Duration.Input
  ) => Effect.Effect<Pid, NotReadyInTime | WorkerStopped | PostmasterDied>
  /** How far the life that runs now says that it has come, and when it said so. */
  readonly progress: Effect.Effect<Option.Option<ProgressSeen>>
  /** Waits until the worker is not running (`WaitForBackgroundWorkerShutdown`). */
  readonly waitForShutdown: Effect.Effect<void, PostmasterDied>
  /**
   * Waits until the registration has ended for good, through all its lives:
   * the work is done, it failed and never restarts, it was terminated, or the
   * postmaster shut down. Answers the last exit, if there was one.
   */
  readonly waitForEnd: Effect.Effect<Option.Option<ExitStatus>, PostmasterDied>
  /**
   * The last eight lives that are over, births that failed among them, the
   * newest last: how each ended, who had told it to, how long it lasted, what it
   * last wrote to stderr. In a worker, of a registration that has ended, the
   * very last alone.
   */
  readonly history: Effect.Effect<ReadonlyArray<LifeRecord>>
  /**
   * Ends the registration for good: the worker is sent SIGTERM if it runs, and
   * does not come back (`TerminateBackgroundWorker`). Returns at once; harmless
   * when repeated or stale.
   */
  readonly terminate: Effect.Effect<void>
  /**
   * Starts a worker now that is parked or at rest, with a clean count: the start
   * by hand is no failure, and earlier ones are forgotten. Returns when a parked
   * one is not parked any more; it has not started yet, so `waitForStartup`
   * waits. Harmless when it runs, or when the handle is stale.
   */
  readonly resume: Effect.Effect<void>
  /**
   * Replaces the worker without a gap: another one is registered by the same
   * registration, in a slot of its own, and when that is ready, this one is
   * terminated. Returns the handle of the successor when it is ready.
   *
   * A successor that ends before it is ready, or that is never born, leaves
   * everything as it was, and `WorkerStopped` tells how it ended. Fails with
   * `SlotsExhausted` or `ClassLimitReached` if there is no room for two, and with
   * `NotReplaceable` if the worker is gone, ends, is being replaced already, or
   * has not yet taken the place of another one.
   *
   * If this one ends for good before, or is terminated, its successor stays and
   * is a worker like any other. If the successor is terminated before it is
   * ready, this one stays. Interrupting it leaves the successor to become ready
   * on its own.
   */
  readonly replace: Effect.Effect<WorkerHandle<Rpcs>, RegistrationError | WorkerStopped | PostmasterDied>
  /**
   * Gives the registration another policy, from the next failure or the next
   * request to end on. It is checked as in `register`; what is not said stays as
   * it was.
   *
   * What is under way goes on: a worker at rest starts when it was due (`resume`
   * starts it now), one that has been given up stays so, and one that is being
   * asked to end stays on the rung on which it is. Another `restart` begins with
   * a clean count of failures. A registration that has ended is `NotRegistered`.
   */
  readonly changePolicy: (policy: PolicyOptions) => Effect.Effect<void, RegistrationError>
  /**
   * Calls the life that runs now, and no later one. Waits for the first; between
   * two lives it answers `WorkerStopped`.
   *
   * When that life ends, every call that is pending fails with a `WorkerStopped`
   * that tells how it ended, and so does every later one. Such a call may have
   * been carried out all the same.
   *
   * Closing the scope interrupts the calls that were made with this client.
   */
  readonly client: Effect.Effect<Client<Rpcs>, WorkerStopped | PostmasterDied, Scope.Scope | Rpc.MiddlewareClient<Rpcs>>
  /**
   * The same, but waits for the next life if none runs now. `WorkerStopped` means
   * that there will be none, or that the worker is parked.
   */
  readonly waitForClient: Effect.Effect<
    Client<Rpcs>,
    WorkerStopped | PostmasterDied,
    Scope.Scope | Rpc.MiddlewareClient<Rpcs>
  >
}
