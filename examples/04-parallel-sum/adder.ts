/**
 * The parallel worker: adds up the lines of a part of a file, block by block,
 * and answers with a piece of the sum for each. A piece says how far it reaches,
 * and that is all there is to know: whoever goes on from there misses nothing
 * and counts nothing twice.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** The lines that begin at `from` or later, and before `to`; both count bytes. */
const Part = Schema.Struct({ file: Schema.String, from: Schema.Natural, to: Schema.Natural })
export interface Part extends Schema.Schema.Type<typeof Part> {}

/** Exact decimals, so that it does not matter in which order pieces are added up. */
const Piece = Schema.Struct({
  from: Schema.Natural,
  upTo: Schema.Natural,
  numbers: Schema.Natural,
  sum: Schema.BigDecimal
})
export interface Piece extends Schema.Schema.Type<typeof Piece> {}

export class BadLine extends Schema.TaggedError<BadLine>()("BadLine", {
  /** Where the line begins. */
  offset: Schema.Natural,
  text: Schema.String
}) {}

export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", { message: Schema.String }) {}

export const unreadable = (file: string) => ({ message, reason }: PlatformError) =>
  Stream.fail(
    new Unreadable({ message: reason._tag === "NotFound" ? `file "${file}" does not exist` : message })
  )

export const protocol = WorkerProtocol.make(
  Rpc.make("Add", {
    payload: {
      part: Part,
      /** It kills itself after so many pieces; for those who want to watch. */
      diesAfter: Schema.optionalKey(Schema.Natural)
    },
    success: Piece,
    error: Schema.Union([BadLine, Unreadable]),
    stream: true
  })
)

export const Adder = BackgroundWorker.make("adder", {
  entry: { module: new URL(import.meta.url) },
  protocol,
  class: "parallel",
  // What a parallel worker was at is known to its leader alone: it neither comes back nor outlives it.
  restart: "never",
  ownership: "registrant"
})

/** Also the longest line there may be. */
export const blockBytes = 256 * 1024

const shortInteger = /^[+-]?\d{1,15}\r?$/
const anyNumber = /^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?\s*$/i

/** The sum of these lines, or where the first one begins that is no number. Blank ones do not count. */
const addLines = (text: string) => {
  let sum = BigDecimal.fromBigInt(0n)
  let integers = 0
  let numbers = 0
  let offset = 0
  for (const line of text.split("\n")) {
    if (shortInteger.test(line)) {
      integers += Number(line)
      numbers++
      // Before they are too large for a `number` to be exact.
      if (Math.abs(integers) > 2 ** 52) {
        sum = BigDecimal.sum(sum, BigDecimal.fromBigInt(BigInt(integers)))
        integers = 0
      }
    } else if (anyNumber.test(line)) {
      sum = BigDecimal.sum(sum, BigDecimal.fromStringUnsafe(line.trim()))
      numbers++
    } else if (line.trim() !== "") {
      return { offset }
    }
    offset += line.length + 1
  }
  return { numbers, sum: BigDecimal.sum(sum, BigDecimal.fromBigInt(BigInt(integers))) }
}

const newline = 10
const maxShown = 60

export const pieces = ({ file, from, to }: Part, block = blockBytes) =>
  Stream.unwrap(Effect.gen(function*() {
    const handle = yield* (yield* FileSystem.FileSystem).open(file)
    const { size } = yield* handle.stat
    const buffer = Buffer.allocUnsafe(block)
    const read = (offset: number) =>
      Effect.map(handle.read(buffer, { position: BigInt(offset) }), (count) => buffer.subarray(0, count))

    const piece = Effect.fnUntraced(function*(at: number) {
      const bytes = yield* read(at)
      if (bytes.length === 0) return yield* new Unreadable({ message: `file "${file}" has become shorter` })
      // The line that lies across the border belongs to this side of it.
      let end = at + bytes.length < to ? 0 : bytes.indexOf(newline, to - at - 1) + 1
      if (end === 0) end = BigInt(at + bytes.length) >= size ? bytes.length : bytes.lastIndexOf(newline) + 1
      // One byte is one character, so that an offset in the text is one in the file.
      const added = end === 0 ? { offset: 0 } : addLines(bytes.toString("latin1", 0, end))
      if (!("offset" in added)) return { ...added, from: at, upTo: at + end }
      const [line = ""] = bytes.toString("utf8", added.offset).split(/\r?\n/, 1)
      return yield* new BadLine({
        offset: at + added.offset,
        text: line.length > maxShown ? `${line.slice(0, maxShown)}…` : line
      })
    })

    // The first line that begins here: the one before the border has another owner.
    const first = from === 0 ? 0 : from + (yield* read(from - 1)).indexOf(newline)
    // No end of line in a whole block: its owner will complain.
    const begin = first < from ? to : first
    return Stream.unfold(begin, (at) =>
      at < to ? Effect.map(piece(at), (piece) => [piece, piece.upTo] as const) : Effect.undefined)
  })).pipe(Stream.catchTag("PlatformError", unreadable(file)))

const die = Effect.andThen(Effect.sync(() => process.kill(process.pid, "SIGKILL")), Effect.never)

const handlers = protocol.toLayer({
  Add: ({ diesAfter = Infinity, part }) =>
    Stream.mapEffect(pieces(part), (piece, index) => index < diesAfter ? Effect.succeed(piece) : die)
})

export const main = BackgroundWorker.main(Adder, () => Effect.never, {
  layer: Layer.provide(handlers, NodeFileSystem.layer)
})
