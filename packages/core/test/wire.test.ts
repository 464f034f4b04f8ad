/** What is said on a line comes out as it went in, and what nobody has said does no harm. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { whole } from "../src/FramePort.ts"
import * as Wire from "../src/internal/wire.ts"

const Id = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Wire.endOfIds - 1 }))
const Name = Schema.String.check(Schema.makeFilter((text) => text.isWellFormed()))
const Hex = Schema.String.check(Schema.isPattern(/^[0-9a-f]{1,32}$/))

const FromCaller = Schema.Union([
  Schema.TaggedStruct("Request", {
    id: Id,
    tag: Name,
    payload: Schema.Uint8Array,
    discard: Schema.Boolean,
    trace: Schema.UndefinedOr(Schema.Struct({ traceId: Hex, spanId: Hex, sampled: Schema.Boolean })),
    headers: Schema.Array(Schema.Tuple([Schema.String, Schema.String]))
  }),
  Schema.TaggedStruct("Ack", { id: Id }),
  Schema.TaggedStruct("Interrupt", { id: Id })
])
const FromCallee = Schema.Union([
  Schema.TaggedStruct("Chunk", { id: Id, values: Schema.Uint8Array }),
  Schema.TaggedStruct("Exit", { id: Id, exit: Schema.Uint8Array })
])
const Message: Schema.Codec<Wire.Message, unknown> = Schema.Union([
  FromCaller,
  FromCallee,
  Schema.Struct({ _tag: Schema.Literals(["Hold", "GoOn"]), id: Id }),
  Schema.TaggedStruct("Relay", { id: Id, message: Schema.Union([FromCaller, FromCallee]) })
])

const understood = (frame: Uint8Array): Wire.Message =>
  Result.getOrThrowWith(Wire.decode(frame), (text) => new Error(text))

/** Many, since each is cheap. */
const runs = { arbitrary: { runs: 300 } }

describe("a frame", () => {
  it.effect.prop("holds the message that was put into it", [Message], ([message]) =>
    Effect.sync(() => {
      assert.deepStrictEqual(understood(Wire.encode(message)), message)
    }), runs)

  it.effect.prop(
    "that is cut off anywhere is refused, or is the frame of what it says",
    [Message],
    ([message]) =>
      Effect.sync(() => {
        const frame = Wire.encode(message)
        for (let length = 0; length < frame.length; length++) {
          const part = frame.slice(0, length)
          const read = Wire.decode(part)
          if (Result.isSuccess(read)) assert.deepStrictEqual(Wire.encode(read.success), part)
          else assert.match(read.failure, /^a frame of \d+ bytes that is no message/)
        }
      }),
    runs
  )

  it.effect.prop(
    "of any bytes is refused, or says what can be said again",
    [Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7, 8, 255]), Schema.Uint8Array],
    ([kind, rest]) =>
      Effect.sync(() => {
        for (const frame of [rest, Uint8Array.of(kind, ...rest), Uint8Array.of(5, 1, 0, 0, 0, kind, ...rest)]) {
          const read = Wire.decode(frame)
          if (Result.isSuccess(read)) assert.deepStrictEqual(understood(Wire.encode(read.success)), read.success)
        }
      }),
    runs
  )

  it.effect.prop(
    "one byte of which has changed does not throw",
    [Message, Id, Id],
    ([message, place, byte]) =>
      Effect.sync(() => {
        const frame = Wire.encode(message)
        frame[place % frame.length] = byte
        Wire.decode(frame)
      }),
    runs
  )

  it("that relays a relay is refused, however deep they lie in each other", () => {
    const relays = new Uint8Array(5_000_000).fill(5)
    assert.isTrue(Result.isFailure(Wire.decode(relays)))
    const twice = whole(Wire.relay(1, Wire.relay(2, Wire.encode({ _tag: "Ack", id: 3 }))))
    assert.isTrue(Result.isFailure(Wire.decode(twice)))
  })

  it("tells the call that it ends, if it ends one", () => {
    const last = Wire.endOfIds - 1
    assert.strictEqual(Wire.ended(Wire.encode({ _tag: "Exit", id: last, exit: new Uint8Array(0) })), last)
    assert.isUndefined(Wire.ended(Wire.encode({ _tag: "Chunk", id: 4, values: new Uint8Array(0) })))
    assert.isUndefined(Wire.ended(new Uint8Array(0)))
  })
})

describe("a request", () => {
  const request = (headers: ReadonlyArray<readonly [string, string]>, flags: number): Uint8Array => {
    const frame = Wire.encode({
      _tag: "Request",
      id: 1,
      tag: "Tag",
      payload: Uint8Array.of(9),
      discard: false,
      trace: undefined,
      headers
    })
    frame[5] = flags
    return frame
  }
  const inHeaders = (text: string): Uint8Array => {
    const frame = request([["0", "1".repeat(text.length - "[[\"0\",\"\"]]".length)]], 8)
    frame.set(new TextEncoder().encode(text), 5 + 1 + 4 + 3 + 4)
    return frame
  }

  for (
    const text of ["{\"a\":\"b\", \"c\":\"d\"}", "[[\"alone\"]        ]", "[[1,2],[3,4],[5,6]]", "not JSON at all    "]
  ) {
    it(`whose headers are ${text} is refused`, () => {
      assert.isTrue(Result.isFailure(Wire.decode(inHeaders(text))))
    })
  }

  it("whose text is no UTF-8 is refused", () => {
    const frame = request([], 0)
    assert.isTrue(Result.isSuccess(Wire.decode(frame)))
    frame[5 + 1 + 4] = 0xff
    assert.isTrue(Result.isFailure(Wire.decode(frame)))
  })

  it("that announces a trace or headers and has none is refused", () => {
    assert.isTrue(Result.isFailure(Wire.decode(request([], 1))))
    assert.isTrue(Result.isFailure(Wire.decode(request([], 8))))
  })
})
