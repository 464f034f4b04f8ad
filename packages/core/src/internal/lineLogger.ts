/**
 * Decides how the log entries of a worker look to those outside of it.
 *
 * One entry is one line, because each line becomes one entry of the
 * application's log, which adds the time and who the worker is. What is a
 * warning or worse is told apart; the level travels no other way.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Formatter from "effect/Formatter"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"

const show = (value: unknown): string => typeof value === "string" ? value : Formatter.format(value)

const plain = /^[^\s="]+$/

const pair = ([key, value]: [string, unknown]): string => {
  const text = show(value)
  return `${key}=${plain.test(text) ? text : JSON.stringify(text)}`
}

/** Message, cause, then annotations as `key=value`; line breaks inside are written as `\n`. */
export const formatEntry = (
  message: unknown,
  cause: Cause.Cause<unknown>,
  annotations: Readonly<Record<string, unknown>>
): string => {
  const words = Array.isArray(message) ? message.map(show) : [show(message)]
  if (cause.reasons.length > 0) words.push(Cause.pretty(cause))
  words.push(...Object.entries(annotations).map(pair))
  return words.join(" ").replaceAll(/\r?\n|\r/g, "\\n")
}

/** `Warn` stands for what is a warning or worse. */
export type LineLevel = "Info" | "Warn"

export const lineLogger = (log: (line: string, level: LineLevel) => void): Logger.Logger<unknown, void> =>
  Logger.make(({ cause, fiber, logLevel, message }) =>
    log(
      formatEntry(message, cause, fiber.getRef(References.CurrentLogAnnotations)),
      LogLevel.isGreaterThanOrEqualTo(logLevel, "Warn") ? "Warn" : "Info"
    )
  )
