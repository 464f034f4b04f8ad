/**
 * Decides how an entry of a worker's log travels among the lines of its
 * standard output, so that it keeps its place there and is as safe as they are.
 *
 * It is a record of a JSON text sequence (RFC 7464): a record separator, JSON,
 * a line break. JSON contains neither of the two, so the entry is found even if
 * the program has left a line unfinished before it. What does not decode is a
 * line like any other: a program that writes a record separator loses nothing.
 *
 * @since 0.1.0
 */
import { LogEntry } from "@effect-postmaster/core/LogEntry"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { maxLineBytes } from "./lines.ts"

const mark = "\u001e"

/** The longest entry that travels as one. It leaves room in its line for what the program has left there. */
const maxEntryBytes = maxLineBytes / 2

/** Characters of text in a piece of an entry that is too long: in JSON each takes up to six bytes. */
const pieceLength = 4 * 1024

/** What else a piece may carry, in characters of JSON. */
const maxLuggage = 2 * 1024

const show = (value: Schema.Json): string => typeof value === "string" ? value : JSON.stringify(value)

/** Cuts between characters, never inside one. */
const pieces = (text: string): ReadonlyArray<string> => {
  const all: Array<string> = []
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + pieceLength, text.length)
    if (to < text.length && /[\ud800-\udbff]/.test(text[to - 1]!)) to--
    all.push(text.slice(from, to))
    from = to
  }
  return all
}

/** As text, in several entries. What is too long beside the message becomes text with it. */
const breakUp = (entry: LogEntry): ReadonlyArray<LogEntry> => {
  const { cause, ...rest } = entry
  const words = entry.message.map(show)
  if (cause !== undefined) words.push(cause)
  const fits = JSON.stringify([entry.annotations, entry.spans]).length <= maxLuggage
  if (!fits) {
    words.push(...Object.entries(entry.annotations).map(([key, value]) => `${key}=${show(value)}`))
    words.push(...entry.spans.map(([label, began]) => `${label}=${entry.time - began}ms`))
  }
  return pieces(words.join(" ")).map((piece) => ({
    ...rest,
    message: [piece],
    ...(fits ? undefined : { annotations: {}, spans: [] })
  }))
}

const lineOf = (entry: LogEntry): string => `${mark}${JSON.stringify(entry)}\n`

/** What a worker writes for an entry of its log. */
export const entryLines = (entry: LogEntry): string => {
  const line = lineOf(entry)
  return Buffer.byteLength(line) <= maxEntryBytes ? line : breakUp(entry).map(lineOf).join("")
}

const decode = /* @__PURE__ */ Schema.decodeUnknownOption(LogEntry)

/** The entry at the end of a line, and what the program had left there. `undefined`: it is only a line. */
export const entryIn = (line: string): { readonly before: string; readonly entry: LogEntry } | undefined => {
  const at = line.lastIndexOf(mark)
  if (at < 0) return undefined
  try {
    const entry = decode(JSON.parse(line.slice(at + 1)))
    return Option.isNone(entry) ? undefined : { before: line.slice(0, at), entry: entry.value }
  } catch {
    return undefined
  }
}
