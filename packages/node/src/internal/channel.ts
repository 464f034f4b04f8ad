/**
 * Decides what the postmaster and a worker say to each other, on file descriptor
 * 3 of a process or the message port of a thread: the messages of both directions, their framing, and the order a
 * worker must keep.
 *
 * The body of a frame is UTF-8 JSON. Nothing here reads or writes: bytes and
 * messages go in, messages and bytes come out, and what is wrong comes out as a
 * sentence.
 *
 * @since 0.1.0
 */
import { ExitError } from "@effect-postmaster/core/ExitStatus"
import { Outcome } from "@effect-postmaster/core/Outcome"
import { Progress } from "@effect-postmaster/core/Progress"
import { ChildReport, Launch, type SignOfLife } from "@effect-postmaster/core/Spawner"
import type { LifeOrder } from "@effect-postmaster/core/WorkerLife"
import { WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import type * as LogLevel from "effect/LogLevel"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { headerBytes, putHeader } from "./frames.ts"

/** The file descriptor of the channel in a worker. */
export const channelFd = 3

/** The longest frame a worker may send: its last words are the largest thing it has to say. */
export const maxFrameFromWorker = 1024 * 1024

/** The longest frame a worker accepts. It carries the arguments, and the postmaster is trusted. */
export const maxFrameToWorker = 64 * 1024 * 1024

/** What the application logs; a worker need not tell more. */
const MinimumLogLevel = /* @__PURE__ */ Schema.Literals([
  "All",
  "Fatal",
  "Error",
  "Warn",
  "Info",
  "Debug",
  "Trace",
  "None"
])

/** What the postmaster tells a process. `Launch` comes once; before it, to a spare, `Prepare`. */
export const ToWorker = /* @__PURE__ */ Schema.TaggedUnion({
  /** Import these modules ahead of a launch. */
  Prepare: { modules: /* @__PURE__ */ Schema.Array(Schema.String) },
  Launch: { launch: Launch, minimumLogLevel: /* @__PURE__ */ Schema.optionalKey(MinimumLogLevel) },
  Signal: { signal: WorkerSignal }
})

export type ToWorker = typeof ToWorker.Type

/** The same as the worker reads it: what it has no use for stays in its JSON form. */
export type Told = Exclude<ToWorker, { readonly _tag: "Launch" }> | {
  readonly _tag: "Launch"
  readonly launch: LifeOrder
  readonly minimumLogLevel?: LogLevel.LogLevel
}

/**
 * What a worker tells the postmaster. `Listening` comes first, `LastWords` last,
 * each message at most once, except for signs of life; `Detached` only after `Attached`.
 */
export const ToPostmaster = /* @__PURE__ */ Schema.TaggedUnion({
  /** The signal handlers stand: from here on signals of the operating system are heard. */
  Listening: {},
  /**
   * A spare has imported what it could. `files` are those that it is made of and
   * that may change on disk, with their stamps of before they were loaded.
   */
  Prepared: {
    failed: /* @__PURE__ */ Schema.Array(Schema.String),
    files: /* @__PURE__ */ Schema.Record(Schema.String, Schema.String)
  },
  Report: { report: ChildReport },
  /** The main loop runs. */
  Beat: {},
  Progress: { progress: Progress },
  /** The worker's own verdict, written just before it leaves. */
  LastWords: {
    code: Schema.Natural,
    error: /* @__PURE__ */ Schema.optionalKey(ExitError),
    outcome: /* @__PURE__ */ Schema.optionalKey(Outcome)
  }
})

export type ToPostmaster = typeof ToPostmaster.Type

const utf8 = new TextEncoder()

const frame = (json: unknown): Uint8Array => {
  const text = JSON.stringify(json)
  const body = utf8.encode(text)
  const bytes = new Uint8Array(headerBytes + body.length)
  putHeader(bytes, 0, body.length)
  bytes.set(body, headerBytes)
  return bytes
}

// Whatever a worker sends is decoded before it is believed. A worker believes its postmaster, and what it says is JSON
// already: it needs no schema, and a bundler leaves all of these out of it.
const jsonToWorker = /* @__PURE__ */ Schema.encodeSync(/* @__PURE__ */ Schema.toCodecJson(ToWorker))
const fromJson = /* @__PURE__ */ Schema.decodeUnknownResult(/* @__PURE__ */ Schema.toCodecJson(ToPostmaster))

export const encodeToWorker = (message: ToWorker): Uint8Array => frame(jsonToWorker(message))
export const encodeToPostmaster = (message: ToPostmaster): Uint8Array => frame(message)

const parse = (body: Uint8Array): Result.Result<unknown, string> => {
  try {
    // A fatal decoder: a replacement character would let garbage pass as text.
    return Result.succeed(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)))
  } catch {
    return Result.fail(`a frame of ${body.length} bytes that is not JSON`)
  }
}

const excerpt = (text: string): string => text.length > 100 ? `${text.slice(0, 100)}…` : text

const notDecoded = (json: unknown): string => `a message that does not decode: ${excerpt(JSON.stringify(json))}`

const toWorkerTags: ReadonlySet<unknown> = new Set<ToWorker["_tag"]>(["Prepare", "Launch", "Signal"])

const isTold = (json: unknown): json is Told =>
  typeof json === "object" && json !== null && "_tag" in json && toWorkerTags.has(json._tag)

export const decodeToWorker = (body: Uint8Array): Result.Result<Told, string> =>
  Result.flatMap(parse(body), (json) => isTold(json) ? Result.succeed(json) : Result.fail(notDecoded(json)))

export const decodeToPostmaster = (body: Uint8Array): Result.Result<ToPostmaster, string> =>
  Result.flatMap(parse(body), (json) => Result.mapError(fromJson(json), () => notDecoded(json)))

/** What a worker has said so far: the tags of its messages, and the names of its reports. */
export type Said = ReadonlySet<string>

const nameOf = (message: ToPostmaster): string => message._tag === "Report" ? message.report : message._tag

/** Whether a message is one that is said again and again. */
export const isSign = (message: ToPostmaster): message is Extract<ToPostmaster, SignOfLife> =>
  message._tag === "Beat" || message._tag === "Progress"

/** What a worker may give in a second, and what it may save up: more than lies in a socket that nobody has read. */
const signsPerMilli = 0.1
const firstSigns = 1_000
const mostSigns = 50_000

/**
 * Counts the signs of life of a worker born now, and says of each whether it may
 * be given. What has piled up while nobody read is not held against it.
 */
export const makeAllowance = (bornAt: number): (now: number) => boolean => {
  let left = firstSigns
  let at = bornAt
  return (now) => {
    left = Math.min(mostSigns, left + (now - at) * signsPerMilli) - 1
    at = now
    return left >= 0
  }
}

/**
 * Adds a message to what a worker has said, or says which rule it breaks:
 * nothing before `Listening`, nothing twice but signs of life, no `Detached`
 * without `Attached`, nothing after `LastWords`.
 */
export const hear = (said: Said, message: ToPostmaster): Result.Result<Said, string> => {
  const name = nameOf(message)
  if (said.has("LastWords")) return Result.fail(`${name} after its LastWords`)
  if (said.has(name)) return isSign(message) ? Result.succeed(said) : Result.fail(`${name} twice`)
  if (name !== "Listening" && !said.has("Listening")) return Result.fail(`${name} before Listening`)
  if (name === "Detached" && !said.has("Attached")) return Result.fail("Detached without Attached")
  return Result.succeed(new Set(said).add(name))
}
