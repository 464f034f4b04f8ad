/**
 * Decides what the postmaster can say of its own pace and of what its workers'
 * lines carry.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Up to which durations turns are counted together, in milliseconds.
 *
 * @category constants
 * @since 0.1.0
 */
export const turnBounds: ReadonlyArray<number> = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 100, 1000]

/**
 * Schema of the `Vitals`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Vitals = Schema.Struct({
  /** Facts heard and acted on. */
  turns: Schema.Natural,
  /** Of these, how many took no longer than each of `turnBounds`. */
  turnsWithin: Schema.Array(Schema.Natural),
  turnMillis: Schema.Struct({ sum: Schema.Finite, min: Schema.Finite, max: Schema.Finite }),
  /** What workers have sent over their lines, calls and answers, in whole frames. */
  receivedBytes: Schema.Natural,
  /** What was sent to them. */
  sentBytes: Schema.Natural
})

/**
 * What the postmaster has done since its beginning, in numbers that only rise
 * (but for the extremes).
 *
 * @category models
 * @since 0.1.0
 */
export interface Vitals extends Schema.Schema.Type<typeof Vitals> {}
