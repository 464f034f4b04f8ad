/**
 * Decides what a handle can learn about its worker.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ExitStatus } from "./ExitStatus.ts"
import { Pid } from "./Identity.ts"
import { LifeRecord } from "./LifeRecord.ts"

/**
 * Schema of a `WorkerStatus`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WorkerStatus = Schema.TaggedUnion({
  /** Registered, and not born yet. */
  NotYetStarted: {},
  /** The process exists and its pid is known. */
  Started: { pid: Pid },
  /** The entry is loaded, the arguments are decoded, and `main` has said so. */
  Ready: { pid: Pid },
  /** Between two lives, or gone for good. `lastExit` is absent if it never lived; `parked`: it is given up until it is resumed. */
  Stopped: {
    lastExit: Schema.optionalKey(ExitStatus),
    /** All there is to say of it. */
    lastLife: Schema.optionalKey(LifeRecord),
    parked: Schema.optionalKey(Schema.Literal(true))
  }
})

/**
 * What a handle can learn about its worker (PostgreSQL: `BgwHandleStatus`;
 * `Ready` is ours).
 *
 * @category models
 * @since 0.1.0
 */
export type WorkerStatus = typeof WorkerStatus.Type

/**
 * Not born yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const notYetStarted: WorkerStatus = { _tag: "NotYetStarted" }

/**
 * Born, not ready yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const started = (pid: Pid): WorkerStatus => ({ _tag: "Started", pid })

/**
 * At work.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ready = (pid: Pid): WorkerStatus => ({ _tag: "Ready", pid })

/**
 * Not running.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stopped = (lastExit?: ExitStatus): WorkerStatus =>
  lastExit === undefined ? { _tag: "Stopped" } : { _tag: "Stopped", lastExit }

/**
 * Given up until it is resumed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parked = (lastExit?: ExitStatus): WorkerStatus =>
  lastExit === undefined ? { _tag: "Stopped", parked: true } : { _tag: "Stopped", lastExit, parked: true }

/**
 * Returns `true` for a worker that is given up until it is resumed.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isParked = (self: WorkerStatus): boolean => self._tag === "Stopped" && self.parked === true
