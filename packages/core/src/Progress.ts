/**
 * Decides what a worker can say of how far its work has come.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

// The schemas are marked pure, so that a bundler leaves those out of a worker that it has no use for.

/**
 * The longest message, in UTF-16 code units. What is longer is cut.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxMessage = 200

const Count = /* @__PURE__ */ Schema.Finite.check(/* @__PURE__ */ Schema.isGreaterThanOrEqualTo(0))

const fields = {
  /** How much is done, in whatever the worker counts. */
  done: Count,
  /** How much there is to do, if that is known. */
  total: /* @__PURE__ */ Schema.optionalKey(Count),
  message: /* @__PURE__ */ Schema.optionalKey(
    /* @__PURE__ */ Schema.String.check(/* @__PURE__ */ Schema.isMaxLength(maxMessage))
  )
}

/**
 * Schema of a `Progress`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Progress = /* @__PURE__ */ Schema.Struct(fields)

/**
 * How far a worker has come.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress extends Schema.Schema.Type<typeof Progress> {}

/**
 * Schema of a `ProgressSeen`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProgressSeen = /* @__PURE__ */ Schema.Struct({
  ...fields,
  /** When it was heard, in milliseconds since the epoch. */
  at: Schema.Finite
})

/**
 * How far a worker had come when it last said so in its present life.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProgressSeen extends Schema.Schema.Type<typeof ProgressSeen> {}

/**
 * Writes a progress as a log line does: `3 of 10, resizing`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = ({ done, message, total }: Progress): string =>
  `${done}${total === undefined ? "" : ` of ${total}`}${message === undefined ? "" : `, ${inOneLine(message)}`}`

/** A worker's words must not pass for lines of the log, nor colour it. */
const inOneLine = (text: string): string => text.replace(/\p{Cc}+/gu, " ")
