/**
 * Decides what a worker is given: who it is, and how the postmaster reaches it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { SlotRef, WorkerName } from "./Identity.ts"
import type { Progress } from "./Progress.ts"

/**
 * The service inside a worker, the same in a process and in a fiber.
 *
 * @category services
 * @since 0.1.0
 */
export class WorkerContext extends Context.Service<WorkerContext, {
  /** The worker's name (`bgw_name`). */
  readonly name: WorkerName
  /** The worker's slot and generation. */
  readonly ref: SlotRef
  /**
   * Says that the worker is at work. Done by itself when `main` begins, unless
   * `main` was made with `ready: "Manual"`. Saying it twice is harmless.
   */
  readonly ready: Effect.Effect<void>
  /**
   * Says how far the work has come, for snapshots, events and handles, and to a
   * worker's `progressTimeout`. Cheap, and may be called for every item: of what
   * is said within a tenth of a second the newest is passed on, and the last in
   * any case. A count that is not finite or below 0 is told as 0, a message is
   * cut to 200 characters.
   */
  readonly progress: (progress: Progress) => Effect.Effect<void>
  /** PostgreSQL's latch: `set` (also by SIGUSR1) ends the present or next `wait`; `reset` closes it again. */
  readonly latch: {
    readonly wait: Effect.Effect<void>
    readonly set: Effect.Effect<void>
    readonly reset: Effect.Effect<void>
  }
  /** One element per reload request (SIGHUP). Requests nobody has read yet count as one. */
  readonly reloads: Stream.Stream<void>
  /** Returns when the postmaster is gone. The worker ends by itself then, whether this is used or not. */
  readonly postmasterDeath: Effect.Effect<void>
}>()("@effect-postmaster/core/WorkerContext") {}
