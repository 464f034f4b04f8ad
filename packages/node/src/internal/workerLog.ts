/**
 * Decides how what a worker writes becomes entries of the application's log:
 * who is named, at which level, and with whose time.
 *
 * @since 0.1.0
 */
import type { LogEntry } from "@effect-postmaster/core/LogEntry"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import { entryIn } from "./entryLine.ts"

/** Who has written it. */
export type Identity = Readonly<Record<string, unknown>>

/**
 * Nobody can pass for another worker. A worker with workers of its own may well
 * name one of them: what it says by one of our names is kept under another.
 */
const annotate = (ours: Identity, own: LogEntry["annotations"]): Identity => {
  const all = new Map<string, unknown>(Object.entries(ours))
  for (const [key, value] of Object.entries(own)) {
    let name = key
    while (all.has(name)) name = `own.${name}`
    all.set(name, value)
  }
  return Object.fromEntries(all)
}

/** The same text again for whoever asks for it. */
const causeOf = (pretty: string): Cause.Cause<never> => {
  const [, name = "Error", message = pretty] = /^(\w+): (.*)/.exec(pretty) ?? []
  const error = new Error(message)
  error.name = name
  error.stack = pretty
  return Cause.die(error)
}

/** Loggers ask the fiber for its number, annotations and spans: this one has the worker's, all else is the reader's. */
const standIn = (reader: Fiber.Fiber<unknown, unknown>, entry: LogEntry, identity: Identity): typeof reader => {
  const annotations = annotate(
    { ...reader.getRef(References.CurrentLogAnnotations), ...identity },
    entry.annotations
  )
  const context = reader.context.pipe(
    Context.add(References.CurrentLogAnnotations, annotations),
    Context.add(References.CurrentLogSpans, entry.spans.map(([label, began]): [string, number] => [label, began]))
  )
  return Object.create(reader, { id: { value: entry.fiber }, context: { value: context } })
}

/** Past `Effect.log`, which would give it our own time. */
const logEntry = (entry: LogEntry, identity: Identity): Effect.Effect<void> =>
  Effect.withFiber((reader) => {
    if (LogLevel.isGreaterThan(reader.getRef(References.MinimumLogLevel), entry.level)) return Effect.void
    const options: Logger.Options<unknown> = {
      message: entry.message,
      logLevel: entry.level,
      cause: entry.cause === undefined ? Cause.empty : causeOf(entry.cause),
      fiber: standIn(reader, entry, identity),
      date: new Date(entry.time)
    }
    for (const logger of reader.getRef(Logger.CurrentLoggers)) logger.log(options)
    return Effect.void
  })

const logText = (text: string, level: "Info" | "Warn", identity: Identity): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logWithLevel(level)(text), identity)

/** Logs a line of a worker's output, which is an entry of its log or just a line; `level` is for the latter. */
export const logLine = (line: string, level: "Info" | "Warn", identity: Identity): Effect.Effect<void> => {
  const found = entryIn(line)
  if (found === undefined) return logText(line, level, identity)
  const entry = logEntry(found.entry, identity)
  return found.before === "" ? entry : Effect.andThen(logText(found.before, level, identity), entry)
}

/** Logs that lines of a worker's output could not be logged. */
export const logLost = (lines: number, identity: Identity): Effect.Effect<void> =>
  logText(`lost ${lines === 1 ? "a line" : `${lines} lines`} of its output: a logger threw`, "Warn", identity)
