/**
 * Decides what shared memory is: cells that the postmaster holds, for the
 * application and for the workers that are attached to it, and how its use can
 * fail.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { PostmasterDied } from "./HandleError.ts"

/**
 * There is no room for what was to be written. The cell keeps what it had.
 *
 * @category errors
 * @since 0.1.0
 */
export class MemoryExhausted extends Schema.TaggedError<MemoryExhausted>(
  "@effect-postmaster/core/SharedMemory/MemoryExhausted"
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
  "@effect-postmaster/core/SharedMemory/CellsExhausted"
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
  "@effect-postmaster/core/SharedMemory/NotAttached"
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
  "@effect-postmaster/core/SharedMemory/CellNotEncoded"
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
  "@effect-postmaster/core/SharedMemory/CellNotDecoded"
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
  "@effect-postmaster/core/SharedMemory/SharedMemoryError"
)("SharedMemoryError", {
  reason: SharedMemoryErrorReason
}) {
  override get message(): string {
    return this.reason.message
  }
}

/**
 * Schema of a `Present`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Present = Schema.Struct({
  /** Another one after every change of the cell, and never one that it had before. */
  version: Schema.Natural,
  /** JSON; `undefined` if nobody has written the cell. */
  text: Schema.UndefinedOr(Schema.String)
})

/**
 * What a cell holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Present extends Schema.Schema.Type<typeof Present> {}

/**
 * Schema of a `Swap`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Swap = Schema.TaggedUnion({
  Swapped: { version: Schema.Natural },
  Lost: { present: Present }
})

/**
 * What became of an attempt to write: `Lost` if somebody else was faster, with
 * what there is now.
 *
 * @category models
 * @since 0.1.0
 */
export type Swap = typeof Swap.Type

/**
 * The shared memory of a postmaster, the same in the application and in an
 * attached worker.
 *
 * **When to use**
 *
 * Use `SharedState` for values; this is what it stands on.
 *
 * **Details**
 *
 * A cell that nobody has written is not there and takes no room. When attached
 * workers crash, the memory is emptied before the startup effect runs again, and
 * versions from before are good for nothing (PostgreSQL: `CreateSharedMemoryAndSemaphores`).
 *
 * @see {@link SharedState} for cells of a schema
 * @category services
 * @since 0.1.0
 */
export class SharedMemory extends Context.Service<SharedMemory, {
  readonly read: (cell: string) => Effect.Effect<Present, SharedMemoryError | PostmasterDied>
  /** Writes the cell if it still has this version. Without a text it is taken away. */
  readonly swap: (
    cell: string,
    version: number,
    text: string | undefined
  ) => Effect.Effect<Swap, SharedMemoryError | PostmasterDied>
  /**
   * What the cell holds, as soon as its version is another. Whoever asks again
   * with the version he was told sees the newest each time, and not everything
   * in between.
   */
  readonly changed: (cell: string, version: number) => Effect.Effect<Present, SharedMemoryError | PostmasterDied>
}>()("@effect-postmaster/core/SharedMemory") {}
