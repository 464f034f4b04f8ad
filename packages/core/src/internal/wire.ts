/**
 * What callers and callees say to each other on the line between a worker and
 * its postmaster, and how it looks in bytes. Either side may call the other.
 *
 * A frame is a byte that tells what it is, the number of the call (unsigned, 32
 * bits, little-endian), and the rest:
 *
 *     Request    flags, length and text of the tag, [trace], [headers], payload
 *     Ack        nothing
 *     Interrupt  nothing
 *     Chunk      some of a stream's elements
 *     Exit       how the call ended
 *     Relay      another of these, for or from another worker; the number names the way between the two
 *     Hold       nothing; the number names a way on which the other worker is behind
 *     GoOn       nothing; it takes more again
 *
 * What the schemas of a call are needed for is bytes here (`rpcCodec.ts`).
 */
import * as Result from "effect/Result"
import { maxFrameBytes, type Outgoing } from "../FramePort.ts"
import { getNumber, putNumber } from "./numbers.ts"

export interface Trace {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

export interface Request {
  readonly _tag: "Request"
  readonly id: number
  readonly tag: string
  readonly payload: Uint8Array
  readonly discard: boolean
  readonly trace: Trace | undefined
  readonly headers: ReadonlyArray<readonly [string, string]>
}

export type FromCaller =
  | Request
  | { readonly _tag: "Ack"; readonly id: number }
  | { readonly _tag: "Interrupt"; readonly id: number }

export type FromCallee =
  | { readonly _tag: "Chunk"; readonly id: number; readonly values: Uint8Array }
  | { readonly _tag: "Exit"; readonly id: number; readonly exit: Uint8Array }

export interface Relay {
  readonly _tag: "Relay"
  readonly id: number
  readonly message: FromCaller | FromCallee
}

/** To a worker that calls another one: that one is behind, or takes more again. */
export type Credit =
  | { readonly _tag: "Hold"; readonly id: number }
  | { readonly _tag: "GoOn"; readonly id: number }

export type Message = FromCaller | FromCallee | Relay | Credit

export const isFromCallee = (message: FromCaller | FromCallee): message is FromCallee =>
  message._tag === "Chunk" || message._tag === "Exit"

/** The number of the call that this frame ends. */
export const ended = (frame: Outgoing): number | undefined => {
  const first = frame instanceof Uint8Array ? frame : frame[0]
  return first[0] === 4 ? getNumber(first, 1) : undefined
}

/** The longest message that fits a frame, alone or relayed. */
export const maxMessageBytes = maxFrameBytes - 5

/** Numbers of calls are below this. */
export const endOfIds = 2 ** 32

const kinds = ["Request", "Ack", "Interrupt", "Chunk", "Exit", "Relay", "Hold", "GoOn"] as const

const headBytes = 5

const flag = { traced: 1, sampled: 2, discard: 4, headers: 8 } as const

const utf8 = new TextEncoder()
// A fatal decoder: a replacement character would let garbage pass as text.
const fromUtf8 = new TextDecoder("utf-8", { fatal: true })

const begin = (kind: number, id: number, bytes: number): Uint8Array => {
  const frame = new Uint8Array(headBytes + bytes)
  frame[0] = kind
  putNumber(frame, 1, id)
  return frame
}

const filled = (kind: number, id: number, hole: Uint8Array): Uint8Array => {
  const frame = begin(kind, id, hole.length)
  frame.set(hole, headBytes)
  return frame
}

/** Texts of which there are few, so that each is encoded once. */
const encodedTags = new Map<string, Uint8Array>()
const maxEncodedTags = 1024

const encodeTag = (tag: string): Uint8Array => {
  const known = encodedTags.get(tag)
  if (known !== undefined) return known
  const encoded = utf8.encode(tag)
  if (encodedTags.size < maxEncodedTags) encodedTags.set(tag, encoded)
  return encoded
}

const putText = (frame: Uint8Array, at: number, text: Uint8Array): number => {
  putNumber(frame, at, text.length)
  frame.set(text, at + 4)
  return at + 4 + text.length
}

const encodeRequest = ({ discard, headers, id, payload, tag, trace }: Request): Uint8Array => {
  const name = encodeTag(tag)
  const traced = trace === undefined ? undefined : utf8.encode(`${trace.traceId} ${trace.spanId}`)
  const more = headers.length === 0 ? undefined : utf8.encode(JSON.stringify(headers))
  const bytes = 1 + 4 + name.length + (traced === undefined ? 0 : 4 + traced.length) +
    (more === undefined ? 0 : 4 + more.length)
  const frame = begin(0, id, bytes + payload.length)
  frame[headBytes] = (traced === undefined ? 0 : flag.traced) | (trace?.sampled === true ? flag.sampled : 0) |
    (discard ? flag.discard : 0) | (more === undefined ? 0 : flag.headers)
  let at = putText(frame, headBytes + 1, name)
  if (traced !== undefined) at = putText(frame, at, traced)
  if (more !== undefined) at = putText(frame, at, more)
  frame.set(payload, at)
  return frame
}

export const encode = (message: Message): Uint8Array => {
  switch (message._tag) {
    case "Request":
      return encodeRequest(message)
    case "Ack":
      return begin(1, message.id, 0)
    case "Interrupt":
      return begin(2, message.id, 0)
    case "Chunk":
      return filled(3, message.id, message.values)
    case "Exit":
      return filled(4, message.id, message.exit)
    case "Relay":
      return filled(5, message.id, encode(message.message))
    case "Hold":
      return begin(6, message.id, 0)
    case "GoOn":
      return begin(7, message.id, 0)
  }
}

/** The same as a relayed message that is a frame already. */
export const relay = (id: number, frame: Outgoing): Outgoing => {
  if (frame instanceof Uint8Array) return filled(5, id, frame)
  const [first, ...lent] = frame
  return [filled(5, id, first), ...lent]
}

const isHeaders = (u: unknown): u is Request["headers"] =>
  Array.isArray(u) &&
  u.every((pair) =>
    Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string" && typeof pair[1] === "string"
  )

/** Throws what is caught by `decode`, where everything that can be wrong with a frame is one sentence. */
const decodeRequest = (frame: Uint8Array, id: number): Request => {
  let at = headBytes + 1
  const text = (): string => {
    const from = at + 4
    at = from + getNumber(frame, at)
    if (at > frame.length) throw new RangeError()
    return fromUtf8.decode(frame.subarray(from, at))
  }
  const flags = frame[headBytes]!
  const tag = text()
  let trace: Trace | undefined
  if ((flags & flag.traced) !== 0) {
    const [traceId, spanId] = text().split(" ")
    if (spanId !== undefined) trace = { traceId: traceId!, spanId, sampled: (flags & flag.sampled) !== 0 }
  }
  const headers: unknown = (flags & flag.headers) === 0 ? [] : JSON.parse(text())
  if (!isHeaders(headers)) throw new TypeError()
  return {
    _tag: "Request",
    id,
    tag,
    trace,
    headers,
    discard: (flags & flag.discard) !== 0,
    payload: frame.subarray(at)
  }
}

/** The message in a frame, or what is wrong with it. The message shares the frame's bytes. */
export const decode = (frame: Uint8Array): Result.Result<Message, string> => {
  const kind = kinds[frame[0]!]
  if (kind === undefined || frame.length < headBytes) return Result.fail(notUnderstood(frame))
  const id = getNumber(frame, 1)
  switch (kind) {
    case "Request":
      try {
        return Result.succeed(decodeRequest(frame, id))
      } catch {
        return Result.fail(notUnderstood(frame))
      }
    case "Ack":
    case "Interrupt":
    case "Hold":
    case "GoOn":
      return Result.succeed({ _tag: kind, id })
    case "Chunk":
      return Result.succeed({ _tag: kind, id, values: frame.subarray(headBytes) })
    case "Exit":
      return Result.succeed({ _tag: kind, id, exit: frame.subarray(headBytes) })
    case "Relay": {
      // Seen before it is opened: relays of relays without end would be opened without end.
      const relayed = kinds[frame[headBytes]!]
      if (relayed === "Relay" || relayed === "Hold" || relayed === "GoOn") return Result.fail(notUnderstood(frame))
      return Result.map(
        decode(frame.subarray(headBytes)),
        (message) => ({ _tag: kind, id, message: message as FromCaller | FromCallee })
      )
    }
  }
}

const notUnderstood = (frame: Uint8Array): string =>
  `a frame of ${frame.length} bytes that is no message, beginning with ${frame.subarray(0, 8).join(" ")}`
