/**
 * Decides why a spare, a process that stood ready for a launch, can be lost.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Schema of a `SpareLoss`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpareLoss = Schema.Struct({
  cause: Schema.Literals(["Died", "Outdated"]),
  detail: Schema.String
})

/**
 * Why a spare cannot serve any more.
 *
 * **Details**
 *
 * - `Died`: it was not born, did not get ready, or ended. No crash, since nobody
 *   had given it anything; the next one is held back like a worker after a
 *   failed birth.
 * - `Outdated`: what it was made from has changed since, a module on disk, say.
 *   The next one is made at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpareLoss extends Schema.Schema.Type<typeof SpareLoss> {}
