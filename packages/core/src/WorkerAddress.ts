/**
 * Decides how a handle is written down, so that somebody else can take it up
 * again: another worker, say.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { SlotRef } from "./Identity.ts"

/**
 * Schema of a `WorkerAddress`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WorkerAddress = Schema.Struct({
  /** The postmaster that has registered the worker; no two have the same. */
  postmaster: Schema.String,
  ref: SlotRef,
  name: Schema.String
})

/**
 * Names one registration of one postmaster, for good. It may go stale; it never
 * names another one.
 *
 * @see {@link WorkerHandle} for what is written down
 * @category models
 * @since 0.1.0
 */
export interface WorkerAddress extends Schema.Schema.Type<typeof WorkerAddress> {}
