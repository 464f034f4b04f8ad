/**
 * Decides what a worker can say of what it measures, and how much of it: the
 * series of Effect's `Metric`, as they stand in one life.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { SlotRef } from "./Identity.ts"

/**
 * The longest text in which a worker may report, in UTF-16 units. What does not
 * fit one report goes into the next.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxReportLength = 262_144

/**
 * What a series may have, beyond which it is not reported.
 *
 * @category constants
 * @since 0.1.0
 */
export const limits = {
  /** Lengths in UTF-16 units. */
  id: 256,
  description: 1_024,
  attributes: 16,
  attributeKey: 128,
  attributeValue: 256,
  /** Words of a frequency, each of which counts as a series. */
  words: 1_000,
  word: 256,
  buckets: 256,
  quantiles: 64
} as const

const text = (max: number) => Schema.String.check(Schema.isMaxLength(max))

const mostBigInt = 2n ** 127n

/** What a counter or a gauge holds. */
const Amount = Schema.Union([
  Schema.Number,
  Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -mostBigInt, maximum: mostBigInt }))
])

const distribution = { count: Schema.Natural, min: Schema.Number, max: Schema.Number, sum: Schema.Number }

/**
 * Schema of a `SeriesState`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SeriesState = Schema.TaggedUnion({
  Counter: { count: Amount, incremental: Schema.Boolean },
  Gauge: { value: Amount },
  Frequency: {
    occurrences: Schema.Array(Schema.Tuple([text(limits.word), Schema.Natural])).check(Schema.isMaxLength(limits.words))
  },
  Histogram: {
    /** Finite boundaries with how many did not exceed them. */
    buckets: Schema.Array(Schema.Tuple([Schema.Finite, Schema.Natural])).check(Schema.isMaxLength(limits.buckets)),
    ...distribution
  },
  Summary: {
    quantiles: Schema.Array(Schema.Tuple([Schema.Finite, Schema.NullOr(Schema.Number)])).check(
      Schema.isMaxLength(limits.quantiles)
    ),
    ...distribution
  }
})

/**
 * What a series holds, from the beginning of the life on.
 *
 * @category models
 * @since 0.1.0
 */
export type SeriesState = typeof SeriesState.Type

/**
 * Schema of a `Series`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Series = Schema.Struct({
  id: Schema.NonEmptyString.check(Schema.isMaxLength(limits.id)),
  description: Schema.optionalKey(text(limits.description)),
  attributes: Schema.Record(text(limits.attributeKey), text(limits.attributeValue)).check(
    Schema.isMaxProperties(limits.attributes)
  ),
  state: SeriesState
})

/**
 * One series of a worker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Series extends Schema.Schema.Type<typeof Series> {}

/**
 * Which life of which worker reports.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  readonly ref: SlotRef
  readonly name: string
  /** Tells the lives apart that have reported to this postmaster. */
  readonly life: number
}

/**
 * What a life of a worker reports: the series that have changed and how many it
 * does not report, as there are too many or they are too large; or that it has
 * ended.
 *
 * @category models
 * @since 0.1.0
 */
export type WorkerReport =
  | Source & { readonly _tag: "Measured"; readonly series: ReadonlyArray<Series>; readonly dropped: number }
  | Source & { readonly _tag: "Ended" }
