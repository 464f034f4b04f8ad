/**
 * What fills the messages of a call where its schemas are needed to read them:
 * `SchemaBinary`, in which bytes are bytes, and with large bytes beside it, so
 * that they are copied once, into what is sent, and not at all out of what has
 * arrived (`largeBytes.ts` says which).
 *
 * Without bytes beside it a filling is what `SchemaBinary` makes, which never
 * begins with a zero. With them it is
 *
 *     zero, how many there are (a byte), the place and the length of each, the rest in `SchemaBinary`, the bytes
 *
 * A place is a number among all the places for bytes in the value; numbers are
 * unsigned, 32 bits, little-endian. In the rest, every one of these places is empty.
 */
import * as Effect from "effect/Effect"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { Outgoing } from "../FramePort.ts"
import * as LargeBytes from "./largeBytes.ts"
import { getNumber, putNumber } from "./numbers.ts"

const binary: RpcSerialization.CodecFor = /* @__PURE__ */ Effect.runSync(
  /* @__PURE__ */ Effect.provide(
    /* @__PURE__ */ Effect.map(RpcSerialization.RpcSerialization, (serialization) => serialization.codecFor),
    /* @__PURE__ */ RpcSerialization.layerSchemaBinary()
  )
)

const tableAt = 2

const entryBytes = 8

/** `Outgoing`: what stands first is the codec's, and what follows the sender's own. What is read is one piece. */
const withTable = (rest: Uint8Array, { bytes, places }: LargeBytes.Taken): Outgoing => {
  const restAt = tableAt + entryBytes * places.length
  const first = new Uint8Array(restAt + rest.length)
  first[1] = places.length
  for (const [index, place] of places.entries()) {
    putNumber(first, tableAt + entryBytes * index, place)
    putNumber(first, tableAt + entryBytes * index + 4, bytes[index]!.length)
  }
  first.set(rest, restAt)
  return [first, ...bytes]
}

interface Filling extends LargeBytes.Taken {
  readonly rest: Uint8Array
}

/** Shares the bytes of what it reads. A table that is cut off reads as one whose bytes are, too. */
const withoutTable = (filling: Uint8Array): Filling | undefined => {
  const count = filling[1] ?? 0
  const restAt = tableAt + entryBytes * count
  const places: Array<number> = []
  const lengths: Array<number> = []
  let at = filling.length
  for (let index = 0; index < count; index++) {
    places.push(getNumber(filling, tableAt + entryBytes * index))
    lengths.push(getNumber(filling, tableAt + entryBytes * index + 4))
    at -= lengths[index]!
  }
  if (at < restAt) return undefined
  const view = (from: number, length: number) => new Uint8Array(filling.buffer, filling.byteOffset + from, length)
  const rest = view(restAt, at - restAt)
  const bytes = lengths.map((length) => view((at += length) - length, length))
  return { bytes, places, rest }
}

const beside = (schema: Schema.Top, places: LargeBytes.Places): Schema.Top => {
  const inner = binary(schema)
  const encode = SchemaParser.encodeUnknownEffect(inner)
  const decode = SchemaParser.decodeUnknownEffect(inner)
  return Schema.Any.pipe(
    Schema.decodeTo(
      Schema.Any,
      SchemaTransformation.transformEffect({
        encode: (value, options) => {
          const taken = LargeBytes.take(places, value)
          if (taken.bytes.length === 0) return encode(value, options)
          return Effect.mapEager(encode(taken.value, options), (rest) => withTable(rest as Uint8Array, taken))
        },
        decode: (filling: unknown, options) => {
          if (!(filling instanceof Uint8Array) || filling[0] !== 0) return decode(filling, options)
          const wrong = Effect.fail(
            new SchemaIssue.InvalidValue({ message: "bytes that are where they belong" }, undefined, options)
          )
          const read = withoutTable(filling)
          if (read === undefined) return wrong
          return Effect.flatMapEager(decode(read.rest, options), (value) => {
            const whole = LargeBytes.put(places, value, read)
            return whole === undefined ? wrong : Effect.succeed(whole.value)
          })
        }
      })
    )
  )
}

export const codecFor: RpcSerialization.CodecFor = (schema) => {
  const places = LargeBytes.placesIn(schema.ast)
  return places === undefined ? binary(schema) : beside(schema, places) as never
}

/** The frame around what a codec has made. */
export const around = (filling: unknown, frame: (first: Uint8Array) => Uint8Array): Outgoing => {
  if (filling instanceof Uint8Array) return frame(filling)
  const [first, ...bytes] = filling as Exclude<Outgoing, Uint8Array>
  return [frame(first), ...bytes]
}
