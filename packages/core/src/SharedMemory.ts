/**
 * Decides what shared memory is: cells that the postmaster holds, for the
 * application and for the workers that are attached to it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { PostmasterDied } from "./HandleError.ts"
import type { SharedMemoryError } from "./SharedMemoryError.ts"

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
