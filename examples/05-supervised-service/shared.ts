/**
 * What the workers and the application share: cells in the postmaster's memory.
 * When an attached worker crashes they are empty again, since nobody knows what
 * it has left in them; a service in earnest would fill them from its database
 * in the `startup` effect of `Postmaster.layer`.
 */
import * as SharedState from "@effect-postmaster/core/SharedState"
import * as Schema from "effect/Schema"

/** All orders up to this one are imported, and this is what they come to. */
export const Books = SharedState.make(
  "books",
  Schema.Struct({ imported: Schema.Natural, cents: Schema.Natural }),
  { imported: 0, cents: 0 }
)

/** What is wrong with the next order, for those who want to watch: the import fails at it, or stands still. */
export const Fault = Schema.Literals(["none", "fail", "stall"])

export const CurrentFault = SharedState.make("fault", Fault, "none")
