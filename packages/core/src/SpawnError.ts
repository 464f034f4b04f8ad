/**
 * Decides how the birth of a worker can fail.
 *
 * `SpawnError` wraps a tagged `reason`. It concerns births only: what happens
 * in a worker that was born is an `ExitStatus`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { LimitName } from "./Limits.ts"

/**
 * The operating system (or whatever bears workers) gave no process: no such
 * program, no memory, no more processes.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProcessNotStarted extends Schema.TaggedError<ProcessNotStarted>(
  "@effect-postmaster/core/SpawnError/ProcessNotStarted"
)("ProcessNotStarted", {
  worker: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `could not start a process for background worker "${this.worker}": ${this.detail}`
  }
}

/**
 * The spawner cannot give this worker what it asks for.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotSupported extends Schema.TaggedError<NotSupported>(
  "@effect-postmaster/core/SpawnError/NotSupported"
)("NotSupported", {
  worker: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}" cannot be started here: ${this.detail}`
  }
}

/**
 * A limit of the worker could not be set: the tool for it is not there, or the
 * system refuses it.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitNotSet extends Schema.TaggedError<LimitNotSet>(
  "@effect-postmaster/core/SpawnError/LimitNotSet"
)("LimitNotSet", {
  worker: Schema.String,
  limits: Schema.Array(LimitName),
  detail: Schema.String
}) {
  override get message(): string {
    return `could not limit ${this.limits.join(", ")} of background worker "${this.worker}": ${this.detail}`
  }
}

/**
 * Schema of the reasons a birth can fail.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpawnErrorReason = Schema.Union([ProcessNotStarted, NotSupported, LimitNotSet])

/**
 * Why a birth failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type SpawnErrorReason = typeof SpawnErrorReason.Type

/**
 * A worker could not be born.
 *
 * @category errors
 * @since 0.1.0
 */
export class SpawnError extends Schema.TaggedError<SpawnError>(
  "@effect-postmaster/core/SpawnError/SpawnError"
)("SpawnError", {
  reason: SpawnErrorReason
}) {
  override get message(): string {
    return this.reason.message
  }
}
