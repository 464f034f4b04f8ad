/**
 * Decides how what a worker logs becomes plain data: JSON stays JSON, anything
 * else becomes the text that Effect would show for it.
 *
 * It must not fail, whatever is logged: a log is no reason for a worker to end.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Formatter from "effect/Formatter"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import type * as Schema from "effect/Schema"
import type { LogEntry } from "../LogEntry.ts"

/** What is deeper is shown as text, and so is what contains itself. */
const maxDepth = 16

const isJson = (value: unknown, depth: number): value is Schema.Json => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true
  if (typeof value === "number") return Number.isFinite(value)
  if (typeof value !== "object" || depth === 0) return false
  if (Array.isArray(value)) return value.every((one) => isJson(one, depth - 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  return (prototype === Object.prototype || prototype === null) &&
    // A key that is a symbol can mean that the rest is not for everybody's eyes.
    Object.getOwnPropertySymbols(value).length === 0 &&
    Object.values(value).every((one) => isJson(one, depth - 1))
}

/** A getter that throws, say, costs what it hides and nothing else. */
const attempt = <A>(show: () => A): A | string => {
  try {
    return show()
  } catch {
    return "[showing it threw]"
  }
}

const asJson = (value: unknown): Schema.Json =>
  attempt(() => {
    if (isJson(value, maxDepth)) return value
    return Predicate.isError(value) ? Cause.pretty(Cause.die(value)) : Formatter.format(value)
  })

const level = (level: LogLevel.LogLevel): LogEntry["level"] =>
  level === "All" ? "Trace" : level === "None" ? "Fatal" : level

/** A logger that hands on every entry as plain data, at once. */
export const entryLogger = (log: (entry: LogEntry) => void): Logger.Logger<unknown, void> =>
  Logger.make(({ cause, date, fiber, logLevel, message }) =>
    log({
      level: level(logLevel),
      time: date.getTime(),
      fiber: fiber.id,
      message: Array.isArray(message) ? message.map(asJson) : [asJson(message)],
      ...(cause.reasons.length === 0 ? undefined : { cause: attempt(() => Cause.pretty(cause)) }),
      annotations: Object.fromEntries(
        Object.entries(fiber.getRef(References.CurrentLogAnnotations)).map(([key, value]) => [key, asJson(value)])
      ),
      spans: fiber.getRef(References.CurrentLogSpans)
    })
  )
