/**
 * Decides what an entry of a worker's log is when it leaves the worker: plain
 * data, since the application's copy of Effect need not be the worker's.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

// The schemas are marked pure, so that a bundler leaves those out of a worker that it has no use for.

/** The latest and the earliest moment of a `Date`. */
const farthestMillis = 8.64e15

const Millis = /* @__PURE__ */ Schema.Finite.check(
  /* @__PURE__ */ Schema.isBetween({ minimum: -farthestMillis, maximum: farthestMillis })
)

/**
 * Schema of an entry of a worker's log.
 *
 * **Details**
 *
 * What is JSON in a message or an annotation stays what it is. Everything else
 * has become text where the worker knew what it was: errors with their stacks,
 * redacted values as such.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LogEntry = /* @__PURE__ */ Schema.Struct({
  level: /* @__PURE__ */ Schema.Literals(["Fatal", "Error", "Warn", "Info", "Debug", "Trace"]),
  /** By the worker's clock, in milliseconds since 1970. */
  time: Millis,
  /** The number of the fiber in the worker. */
  fiber: Schema.Int,
  /** What was logged, one by one. */
  message: /* @__PURE__ */ Schema.Array(Schema.Json),
  /** The cause that was logged, as `Cause.pretty` shows it. */
  cause: /* @__PURE__ */ Schema.optionalKey(Schema.String),
  annotations: /* @__PURE__ */ Schema.Record(Schema.String, Schema.Json),
  /** Open spans with the time of their beginning. */
  spans: /* @__PURE__ */ Schema.Array(/* @__PURE__ */ Schema.Tuple([Schema.String, Millis]))
})

/**
 * An entry of a worker's log.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogEntry extends Schema.Schema.Type<typeof LogEntry> {}
