/**
 * Decides how the use of shared memory can fail.
 *
 * `SharedMemoryError` wraps a tagged `reason`; recover from one reason with
 * `Effect.catchReason`. Every message names the cell. What has failed has
 * changed nothing.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * There is no room for what was to be written. The cell keeps what it had.
 *
 * @category errors
 * @since 0.1.0
 */
export class MemoryExhausted extends Schema.TaggedError<MemoryExhausted>(
  "@effect-postmaster/core/SharedMemoryError/MemoryExhausted"
)("MemoryExhausted", {
  cell: Schema.String,
  /** What the cell would take. */
  bytes: Schema.Natural,
  /** What the other cells take. */
  taken: Schema.Natural,
  maxBytes: Schema.Natural
}) {
  override get message(): string {
    return `out of shared memory: cell "${this.cell}" would take ${this.bytes} bytes, ` +
      `and ${this.taken} of ${this.maxBytes} are taken; consider a larger PostmasterConfig.maxSharedBytes`
  }
}

/**
 * There are as many cells as there may be.
 *
 * @category errors
 * @since 0.1.0
 */
export class CellsExhausted extends Schema.TaggedError<CellsExhausted>(
  "@effect-postmaster/core/SharedMemoryError/CellsExhausted"
)("CellsExhausted", {
  cell: Schema.String,
  maxCells: Schema.Natural
}) {
  override get message(): string {
    return `out of shared memory: no room for cell "${this.cell}" beside ${this.maxCells} others; ` +
      `consider a larger PostmasterConfig.maxSharedCells`
  }
}

/**
 * The worker has not asked for shared memory: its definition lacks the flag
 * `"SharedMemory"`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAttached extends Schema.TaggedError<NotAttached>(
  "@effect-postmaster/core/SharedMemoryError/NotAttached"
)("NotAttached", {
  worker: Schema.String,
  cell: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}" is not attached to shared memory and may not use cell "${this.cell}"; ` +
      `give it the flag "SharedMemory"`
  }
}

/**
 * The value to be written does not fit the cell's schema.
 *
 * @category errors
 * @since 0.1.0
 */
export class CellNotEncoded extends Schema.TaggedError<CellNotEncoded>(
  "@effect-postmaster/core/SharedMemoryError/CellNotEncoded"
)("CellNotEncoded", {
  cell: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `shared cell "${this.cell}": the value does not fit its schema: ${this.detail}`
  }
}

/**
 * What the cell holds does not fit its schema: somebody uses the name for
 * something else.
 *
 * @category errors
 * @since 0.1.0
 */
export class CellNotDecoded extends Schema.TaggedError<CellNotDecoded>(
  "@effect-postmaster/core/SharedMemoryError/CellNotDecoded"
)("CellNotDecoded", {
  cell: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `shared cell "${this.cell}" holds what does not fit its schema: ${this.detail}`
  }
}

/**
 * Schema of the reasons the use of shared memory can fail for.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SharedMemoryErrorReason = Schema.Union([
  MemoryExhausted,
  CellsExhausted,
  NotAttached,
  CellNotEncoded,
  CellNotDecoded
])

/**
 * Why the use of shared memory failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type SharedMemoryErrorReason = typeof SharedMemoryErrorReason.Type

/**
 * The use of shared memory failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class SharedMemoryError extends Schema.TaggedError<SharedMemoryError>(
  "@effect-postmaster/core/SharedMemoryError/SharedMemoryError"
)("SharedMemoryError", {
  reason: SharedMemoryErrorReason
}) {
  override get message(): string {
    return this.reason.message
  }
}
