/** Large bytes come out as they went in, from wherever they were, and nobody can have them put where they do not belong. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { type Outgoing, whole } from "../src/FramePort.ts"
import { around, codecFor } from "../src/internal/rpcCodec.ts"

class Picture extends Schema.Class<Picture>("test/Picture")({ pixels: Schema.Uint8Array, name: Schema.String }) {}

const turned = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 255)
/** Nobody may read them on their way. */
const Sealed = Schema.Uint8Array.pipe(
  Schema.decodeTo(Schema.Uint8Array, SchemaTransformation.transform({ decode: turned, encode: turned }))
)

/** Bytes wherever they may be, be it in a place that is looked for or in none. */
const Everywhere = Schema.Struct({
  first: Schema.Uint8Array,
  nested: Schema.Struct({ many: Schema.Array(Schema.Uint8Array), count: Schema.FiniteFromString }),
  perhaps: Schema.optionalKey(Schema.Uint8Array),
  option: Schema.Option(Schema.Uint8Array),
  checked: Schema.Uint8Array.check(Schema.makeFilter((bytes) => bytes.length > 0)),
  picture: Picture,
  sealed: Sealed
})
const Answer = Schema.Exit(Everywhere, Schema.String, Schema.Defect())
const Chunks = Schema.NonEmptyArray(Schema.Uint8Array)

const large = 32 * 1024
const sizes = [0, 1, large - 1, large, large + 1, 200_000]
const Size = Schema.Literals(sizes)

const bytesOf = (size: number, seed: number): Uint8Array => Uint8Array.from({ length: size }, (_, at) => at * 31 + seed)

const encode = <S extends Schema.Top>(schema: S, value: S["Type"]): Outgoing =>
  around(Effect.runSync(Schema.encodeEffect(codecFor(schema))(value) as Effect.Effect<unknown>), (first) => first)

const decode = <S extends Schema.Top>(schema: S, bytes: Uint8Array): Exit.Exit<S["Type"], Schema.SchemaError> =>
  Effect.runSyncExit(
    Schema.decodeUnknownEffect(codecFor(schema))(bytes) as Effect.Effect<S["Type"], Schema.SchemaError>
  )

/** How many bytes are beside the rest. */
const lent = (sent: Outgoing): ReadonlyArray<number> =>
  sent instanceof Uint8Array ? [] : sent.slice(1).map(({ length }) => length)

const everywhere = (seven: ReadonlyArray<number>): typeof Everywhere.Type => ({
  first: bytesOf(seven[0]!, 0),
  nested: { many: [bytesOf(seven[1]!, 1), bytesOf(seven[2]!, 2)], count: 7 },
  ...(seven[3] === 0 ? undefined : { perhaps: bytesOf(seven[3]!, 3) }),
  option: Option.some(bytesOf(seven[4]!, 4)),
  checked: bytesOf(Math.max(1, seven[5]!), 5),
  picture: new Picture({ pixels: bytesOf(seven[6]!, 6), name: "a picture" }),
  sealed: bytesOf(seven[6]!, 7)
})

describe("large bytes", () => {
  it.effect.prop(
    "come out as they went in",
    [Schema.Tuple([Size, Size, Size, Size, Size, Size, Size])],
    ([seven]) =>
      Effect.sync(() => {
        const value = everywhere(seven)
        const answer = encode(Answer, Exit.succeed(value))
        assert.deepStrictEqual(decode(Answer, whole(answer)), Exit.succeed(Exit.succeed(value)))
        assert.deepStrictEqual(lent(answer), seven.slice(0, 4).filter((size) => size >= large))
        // Nothing was taken out of what the caller holds.
        assert.deepStrictEqual(value, everywhere(seven))
        const chunks = [bytesOf(seven[0]!, 1), bytesOf(seven[1]!, 2)] as const
        assert.deepStrictEqual(decode(Chunks, whole(encode(Chunks, chunks))), Exit.succeed(chunks))
      }),
    { arbitrary: { runs: 50 } }
  )

  it("are not copied into what is sent, nor out of what has arrived", () => {
    const bytes = bytesOf(100_000, 1)
    const sent = encode(Schema.Uint8Array, bytes)
    assert(!(sent instanceof Uint8Array))
    assert.strictEqual(sent[1], bytes)
    const frame = whole(sent)
    const decoded = decode(Schema.Uint8Array, frame)
    assert(Exit.isSuccess(decoded))
    assert.strictEqual(decoded.value.buffer, frame.buffer)
  })

  it("are left where they are when there are too many", () => {
    const many = Array.from({ length: 300 }, (_, seed) => bytesOf(large, seed)) as never as typeof Chunks.Type
    const sent = encode(Chunks, many)
    assert.strictEqual(lent(sent).length, 255)
    assert.deepStrictEqual(decode(Chunks, whole(sent)), Exit.succeed(many))
  })

  it("leave failures, and what is no value at all, to the schema", () => {
    assert.deepStrictEqual(decode(Answer, whole(encode(Answer, Exit.fail("no")))), Exit.succeed(Exit.fail("no")))
    for (const wrong of [undefined, null, 1, { first: bytesOf(large, 1) }, Exit.succeed(null)]) {
      const encoded = Effect.runSyncExit(
        Schema.encodeUnknownEffect(codecFor(Answer))(wrong) as Effect.Effect<unknown, Schema.SchemaError>
      )
      assert(Exit.isFailure(encoded))
      assert.isTrue(Exit.hasFails(encoded))
    }
  })
})

describe("a filling", () => {
  const value = { one: bytesOf(large, 1), two: bytesOf(3, 2), three: bytesOf(large, 3) }
  const Three = Schema.Struct({ one: Schema.Uint8Array, two: Schema.Uint8Array, three: Schema.Uint8Array })
  const honest = (): Uint8Array => whole(encode(Three, value))
  const tableAt = 2
  const lies: ReadonlyArray<readonly [string, (filling: Uint8Array) => Uint8Array | void]> = [
    ["is nothing but a zero", (filling) => filling.slice(0, 1)],
    ["ends in its table", (filling) => filling.slice(0, tableAt + 15)],
    ["ends after its table", (filling) => filling.slice(0, tableAt + 16)],
    ["lacks a byte at its end", (filling) => filling.slice(0, -1)],
    ["has bytes longer than all of it", (filling) => void filling.fill(255, tableAt + 4, tableAt + 8)],
    ["counts more bytes than there are", (filling) => void (filling[1] = 3)],
    ["counts less bytes than there are", (filling) => void (filling[1] = 1)],
    ["has bytes for a place that there is not", (filling) => void (filling[tableAt + 8] = 3)],
    ["has bytes for one place twice", (filling) => void (filling[tableAt + 8] = 0)],
    ["has bytes in the wrong order", (filling) => {
      filling[tableAt] = 2
      filling[tableAt + 8] = 0
    }],
    ["has bytes for a place that is taken", (filling) => void (filling[tableAt + 8] = 1)]
  ]
  for (const [lie, tell] of lies) {
    it(`that ${lie} is refused`, () => {
      const filling = honest()
      const decoded = decode(Three, tell(filling) ?? filling)
      assert(Exit.isFailure(decoded))
      assert.isTrue(Exit.hasFails(decoded))
    })
  }

  it("that tells the truth is believed", () => {
    assert.deepStrictEqual(decode(Three, honest()), Exit.succeed(value))
  })

  it("for which there are no places is refused", () => {
    const decoded = decode(Schema.Struct({ one: Schema.String }), honest())
    assert(Exit.isFailure(decoded) && Exit.hasFails(decoded))
  })

  it.effect.prop(
    "of any bytes is refused, or is some value",
    [Schema.Uint8Array, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })), Schema.Int],
    ([rest, at, byte]) =>
      Effect.sync(() => {
        const changed = honest()
        changed[at] = byte
        for (const filling of [rest, Uint8Array.of(0, ...rest), Uint8Array.of(0, 1, 0, 0, 0, 0, ...rest), changed]) {
          const decoded = decode(Three, filling)
          assert.isTrue(Exit.isSuccess(decoded) || Exit.hasFails(decoded))
        }
      }),
    { arbitrary: { runs: 300 } }
  )
})
