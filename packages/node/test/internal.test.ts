import { slotRef } from "@effect-postmaster/core/Identity"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { PassThrough } from "node:stream"
import {
  decodeToPostmaster,
  decodeToWorker,
  encodeToPostmaster,
  encodeToWorker,
  hear,
  maxFrameFromWorker,
  type Said,
  type ToPostmaster
} from "../src/internal/channel.ts"
import { headerBytes, makeDeframer, putHeader } from "../src/internal/frames.ts"
import { makeLineSplitter, maxLineBytes } from "../src/internal/lines.ts"
import { inheritedFlags, inheritedNodeOptions } from "../src/internal/nodeFlags.ts"
import { makeTap, relayLines } from "../src/internal/output.ts"
import { launch } from "./support.ts"

const chunks = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

/** All frames in these chunks, or what is wrong with the first that is none. */
const cut = (pieces: ReadonlyArray<Uint8Array>, maxBytes: number): ReadonlyArray<Uint8Array> | string => {
  const deframer = makeDeframer(maxBytes)
  const frames: Array<Uint8Array> = []
  for (const piece of pieces) {
    deframer.push(piece)
    for (let frame = deframer.next(); frame !== undefined; frame = deframer.next()) {
      if (typeof frame === "string") return frame
      frames.push(frame)
    }
  }
  assert.strictEqual(deframer.isMidFrame(), false)
  return frames
}

const cutAll = (pieces: ReadonlyArray<Uint8Array>, maxBytes: number): ReadonlyArray<Uint8Array> => {
  const frames = cut(pieces, maxBytes)
  assert(typeof frames !== "string", String(frames))
  return frames
}

describe("frames", () => {
  const messages: ReadonlyArray<ToPostmaster> = [
    { _tag: "Listening" },
    { _tag: "Report", report: "Ready" },
    { _tag: "LastWords", code: 1, error: { kind: "Failure", message: "é\n\u{1f600}" } }
  ]
  const bytes = Buffer.concat(messages.map(encodeToPostmaster))

  for (const size of [1, 3, 7, bytes.length]) {
    it(`arrive whole in pieces of ${size} bytes`, () => {
      const frames = cutAll(chunks(bytes, size), maxFrameFromWorker)
      assert.deepStrictEqual(frames.map((frame) => Result.getOrThrow(decodeToPostmaster(frame))), [...messages])
    })
  }

  for (const size of [1_000, 4_095, 4_096, 64 * 1024]) {
    it(`of 10 MB arrive whole in pieces of ${size} bytes`, () => {
      const order = launch("main", { args: "x".repeat(10_000_000) })
      const frames = cutAll(chunks(encodeToWorker({ _tag: "Launch", launch: order }), size), 64 * 1024 * 1024)
      assert.deepStrictEqual(frames.map((frame) => Result.getOrThrow(decodeToWorker(frame))), [
        { _tag: "Launch", launch: order }
      ])
      assert.deepStrictEqual(order.ref, slotRef(3, 7))
    })
  }

  it("of any size arrive whole in pieces of any size", () => {
    const sizes = [0, 1, 3, 4_095, 4_096, 4_097, 8_192, 20_000]
    const row = sizes.map((size, at) => Uint8Array.from({ length: size }, (_, index) => index * 31 + at))
    const bytes = Buffer.concat(row.flatMap((body) => {
      const header = new Uint8Array(headerBytes)
      putHeader(header, 0, body.length)
      return [header, body]
    }))
    // A piece of each size after a piece of each other size.
    const pieces = [1, 2, 3, 5, 100, 4_095, 4_096, 4_097]
    for (const first of pieces) {
      for (const second of pieces) {
        const cuts: Array<Uint8Array> = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = turn % 2 === 0 ? first : second
          cuts.push(bytes.subarray(at, at + size))
          at += size
        }
        const frames = cutAll(cuts, 20_000)
        assert.deepStrictEqual(frames.map((frame) => Buffer.from(frame)), row.map((frame) => Buffer.from(frame)))
      }
    }
  })

  it("of no bytes are frames", () => {
    assert.deepStrictEqual(cutAll([new Uint8Array(8)], 10).map((frame) => frame.length), [0, 0])
  })

  it("take what is lent to them and keep none of it", () => {
    const body = Uint8Array.from({ length: 5_000_000 }, (_, index) => index * 31)
    const deframer = makeDeframer(body.length)
    const header = new Uint8Array(headerBytes)
    putHeader(header, 0, body.length)
    assert.strictEqual(deframer.supply(body), 0)
    deframer.push(header)
    assert.isUndefined(deframer.next())
    const lent = new Uint8Array(300_000)
    for (let at = 0; at < body.length; at += lent.length) {
      assert.isUndefined(deframer.next())
      lent.set(body.subarray(at, at + lent.length))
      assert.strictEqual(deframer.supply(lent), Math.min(lent.length, body.length - at))
      lent.fill(0)
    }
    const frame = deframer.next()
    assert(frame instanceof Uint8Array)
    assert.strictEqual(Buffer.compare(frame, body), 0)
    assert.strictEqual(deframer.supply(lent), 0)
  })

  it("that are announced take little memory before they come", () => {
    const before = process.memoryUsage().arrayBuffers
    const deframers = Array.from({ length: 20 }, () => {
      const deframer = makeDeframer(64 * 1024 * 1024)
      deframer.push(Uint8Array.of(0, 0, 0, 4))
      assert.isUndefined(deframer.next())
      return deframer
    })
    assert.isBelow(process.memoryUsage().arrayBuffers - before, deframers.length * 3 * 1024 * 1024)
  })

  it("over the limit are refused by their header", () => {
    for (const size of [1, 4]) {
      const refused = cut(chunks(Uint8Array.of(11, 0, 0, 0), size), 10)
      assert.strictEqual(refused, "a frame of 11 bytes, and 10 are allowed")
    }
    assert.strictEqual(
      cut([Uint8Array.of(0xff, 0xff, 0xff, 0xff)], 10),
      "a frame of 4294967295 bytes, and 10 are allowed"
    )
  })

  const bodies: ReadonlyArray<readonly [string, RegExp]> = [
    ["", /not JSON/],
    ["{", /not JSON/],
    ["null", /does not decode: null/],
    [`{"_tag":"Launch"}`, /does not decode/],
    [`{"_tag":"Report","report":"Steady"}`, /does not decode/],
    [`{"_tag":"LastWords","code":-1}`, /does not decode/]
  ]
  for (const [body, problem] of bodies) {
    it(`with ${body === "" ? "nothing" : body} in them are not believed`, () => {
      const decoded = decodeToPostmaster(Buffer.from(body))
      assert(Result.isFailure(decoded))
      assert.match(decoded.failure, problem)
    })
  }
  it("that are not UTF-8 are not believed", () => {
    assert.match(Result.getOrThrow(Result.flip(decodeToPostmaster(Uint8Array.of(0x22, 0xff, 0x22)))), /not JSON/)
  })
})

describe("the order of messages", () => {
  const listening: ToPostmaster = { _tag: "Listening" }
  const lastWords: ToPostmaster = { _tag: "LastWords", code: 0 }
  const say = (report: "Ready" | "Attached" | "Detached"): ToPostmaster => ({ _tag: "Report", report })
  const cases: ReadonlyArray<readonly [ReadonlyArray<ToPostmaster>, string | undefined]> = [
    [[listening, say("Attached"), say("Ready"), say("Detached"), lastWords], undefined],
    [[listening, lastWords], undefined],
    [[say("Ready")], "Ready before Listening"],
    [[listening, listening], "Listening twice"],
    [[listening, say("Ready"), say("Ready")], "Ready twice"],
    [[listening, say("Attached"), say("Attached")], "Attached twice"],
    [[listening, say("Detached")], "Detached without Attached"],
    [[listening, lastWords, say("Ready")], "Ready after its LastWords"],
    [[listening, lastWords, lastWords], "LastWords after its LastWords"]
  ]
  for (const [messages, problem] of cases) {
    it(problem ?? `${messages.length} messages in order`, () => {
      const said = messages.reduce<Result.Result<Said, string>>(
        (said, message) => Result.flatMap(said, (said) => hear(said, message)),
        Result.succeed(new Set())
      )
      assert.strictEqual(Result.isFailure(said) ? said.failure : undefined, problem)
    })
  }
})

describe("lines", () => {
  const split = (bytes: Uint8Array, size: number): ReadonlyArray<string> => {
    const splitter = makeLineSplitter()
    return [...chunks(bytes, size).flatMap((chunk) => splitter.push(chunk)), ...splitter.end()]
  }
  const text = "one\r\n\nzwölf \u{1f600}\nlast"
  for (const size of [1, 2, 3, 100]) {
    it(`are whole in pieces of ${size} bytes`, () => {
      assert.deepStrictEqual(split(Buffer.from(text), size), ["one", "", "zwölf \u{1f600}", "last"])
    })
  }
  it("tolerate what is not UTF-8", () => {
    assert.deepStrictEqual(split(Uint8Array.of(0x61, 0xff, 0x62, 0x0a), 10), ["a\ufffdb"])
  })
  for (const size of [1000, maxLineBytes, 1_000_000]) {
    it(`that are too long are broken between characters, in pieces of ${size} bytes`, () => {
      // Three bytes each, and the limit is no multiple of three.
      const long = "€".repeat(50_000)
      const pieces = split(Buffer.from(`${long}\nshort\n`), size)
      assert.strictEqual(pieces.slice(0, -1).join(""), long)
      assert.strictEqual(pieces.at(-1), "short")
      assert.isTrue(pieces.every((piece) => Buffer.byteLength(piece) <= maxLineBytes))
      assert.strictEqual(pieces.length, 4)
    })
  }
  it("of nothing but continuation bytes are broken too", () => {
    assert.deepStrictEqual(split(new Uint8Array(maxLineBytes + 1).fill(0x80), 1000).map((line) => line.length), [
      maxLineBytes,
      1
    ])
  })

  it.live("are read no faster than they are used", () =>
    Effect.gen(function*() {
      const stream = new PassThrough({ highWaterMark: 1024 })
      const tap = makeTap(stream)
      stream.write(Buffer.alloc(2048))
      yield* tap.take
      stream.write(Buffer.alloc(1024))
      assert.strictEqual(stream.write(Buffer.alloc(1024)), false)
      assert.strictEqual(tap.taken(), 2048)
    }))

  it.live("of which some cannot be logged cost nothing else, and are counted", () =>
    Effect.gen(function*() {
      const stream = new PassThrough()
      stream.end("one\nbad\nbad\ntwo\nthree\nbad\n")
      const logged: Array<string> = []
      yield* relayLines(
        makeTap(stream),
        (line) => line === "bad" ? Effect.die("a bad logger") : Effect.sync(() => void logged.push(line)),
        (lines) => Effect.sync(() => void logged.push(`lost ${lines}`))
      )
      assert.deepStrictEqual(logged, ["one", "two", "lost 2", "three", "lost 1"])
    }))

  it.live("that were lost are counted on while that cannot be told either", () =>
    Effect.gen(function*() {
      const stream = new PassThrough()
      stream.end("bad\none\nbad\ntwo\n")
      const told: Array<number> = []
      yield* relayLines(
        makeTap(stream),
        (line) => line === "bad" ? Effect.die("a bad logger") : Effect.void,
        (lines) => lines === 1 ? Effect.die("still bad") : Effect.sync(() => void told.push(lines))
      )
      assert.deepStrictEqual(told, [2])
    }))
})

describe("flags of Node", () => {
  const cases: ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string>]> = [
    [["--inspect", "--inspect-brk=0", "--inspect-wait", "--inspect-port", "9229", "--debug-port=1"], []],
    [["-e", "1 + 1", "--no-warnings"], ["--no-warnings"]],
    [["-p", "-e", "1"], []],
    [["--eval", "1", "--input-type=module", "--input-type", "module"], []],
    [["--print=1", "-i", "--interactive", "-c", "--check", "--run", "start"], []],
    [["--watch", "--watch-path=./src", "--watch-path", "./src", "--watch-preserve-output"], []],
    [["--test", "--test-only", "--test-name-pattern", "x", "--test-reporter=spec"], []],
    [["--cpu-prof", "--cpu-prof-dir", "p", "--heap-prof", "--heap-prof-interval=1"], []],
    [["--disable-sigusr1"], []],
    [["-C", "x", "--conditions", "y", "--conditions=z"], ["-C", "x", "--conditions", "y", "--conditions=z"]],
    [["--import", "./a.js", "--require=b", "-r", "c"], ["--import", "./a.js", "--require=b", "-r", "c"]],
    [["--max-old-space-size=64", "--experimental-x"], ["--max-old-space-size=64", "--experimental-x"]],
    [["--inspect", "--import", "x"], ["--import", "x"]],
    [["--testing", "--inspector"], ["--testing", "--inspector"]]
  ]
  for (const [given, kept] of cases) {
    it(given.join(" "), () => {
      assert.deepStrictEqual(inheritedFlags(given), [...kept])
    })
  }
  it("in NODE_OPTIONS keep their quotes", () => {
    assert.strictEqual(
      inheritedNodeOptions(`--inspect=0  --import "./a file.js" --title="x \\" y" --cpu-prof`),
      `--import "./a file.js" --title="x \\" y"`
    )
  })
})
