/**
 * Decides what the holder of a worker can ask and do. A handle may go stale; it
 * never points at somebody else.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { ExitStatus } from "./ExitStatus.ts"
import type { PostmasterDied, WorkerStopped } from "./HandleError.ts"
import type { Pid, SlotRef } from "./Identity.ts"
import type { WorkerStatus } from "./WorkerStatus.ts"

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
export interface WorkerHandle {
  /** The worker's name. */
  readonly name: string
  /** The slot and generation that name this registration. */
  readonly ref: SlotRef
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
  /** Waits until the worker is not running (`WaitForBackgroundWorkerShutdown`). */
  readonly waitForShutdown: Effect.Effect<void, PostmasterDied>
  /**
   * Waits until the registration has ended for good, through all its lives:
   * the work is done, it failed and never restarts, it was terminated, or the
   * postmaster shut down. Answers the last exit, if there was one.
   */
  readonly waitForEnd: Effect.Effect<Option.Option<ExitStatus>, PostmasterDied>
  /**
   * Ends the registration for good: the worker is sent SIGTERM if it runs, and
   * does not come back (`TerminateBackgroundWorker`). Returns at once; harmless
   * when repeated or stale.
   */
  readonly terminate: Effect.Effect<void>
}
