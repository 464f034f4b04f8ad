/**
 * Decides which signs a worker can be killed for not giving.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Schema of a `Missed`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Missed = Schema.Literals(["Ready", "Heartbeat", "Progress"])

/**
 * What was waited for in vain: that the worker is ready (`readyTimeout`), that
 * its main loop runs (`heartbeat`), or that its work goes on
 * (`progressTimeout`).
 *
 * @category models
 * @since 0.1.0
 */
export type Missed = typeof Missed.Type

const words: { readonly [K in Missed]: string } = {
  Ready: "was not ready",
  Heartbeat: "gave no sign of life",
  Progress: "made no progress"
}

/**
 * Writes it as the middle of a sentence: `gave no sign of life`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (self: Missed): string => words[self]
