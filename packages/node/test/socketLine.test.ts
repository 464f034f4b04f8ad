/** Frames on a socket of this process, without anybody's life around it. */
import { maxFrameBytes } from "@effect-postmaster/core/FramePort"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { headerBytes, putHeader } from "../src/internal/frames.ts"
import { highWaterBytes, type Line } from "../src/internal/line.ts"
import { openSocketLine } from "../src/internal/socketLine.ts"
import { until } from "./support.ts"

const patience = 60_000

/** How a socket is read. */
type Reading = "by its stream" | "into our memory"

/** What reads a socket of ours into memory of its own choice. */
const readers = new WeakMap<Net.Socket, (callback: Net.OnReadOpts["callback"]) => void>()

const connect = (path: string, reading: Reading): Net.Socket => {
  if (reading === "by its stream") return Net.connect(path)
  let hear: Net.OnReadOpts["callback"] | undefined
  const socket = Net.connect({
    path,
    onread: {
      // Used again and again, as the line's own is.
      buffer: new Uint8Array(100_000),
      callback: (bytes, buffer) => hear!(bytes, buffer)
    }
  })
  readers.set(socket, (callback) => {
    hear = callback
  })
  return socket
}

/** Two ends of a connection. */
const connection = (reading: Reading) =>
  Effect.acquireRelease(
    Effect.callback<readonly [Net.Socket, Net.Socket]>((resume) => {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "line-"))
      const path = Path.join(folder, "socket")
      const server = Net.createServer((there) => {
        server.close()
        Fs.rmSync(folder, { recursive: true })
        resume(Effect.succeed([here, there]))
      })
      let here: Net.Socket
      server.listen(path, () => {
        here = connect(path, reading)
      })
    }),
    (both) => Effect.sync(() => both.forEach((socket) => socket.destroy()))
  )

/** An end, and what is heard there. */
interface End extends Line {
  readonly heard: Array<Uint8Array>
  readonly problems: ReadonlyArray<string>
  readonly drains: () => number
  readonly listen: () => void
}

const makeEnd = (socket: Net.Socket): End => {
  const heard: Array<Uint8Array> = []
  const problems: Array<string> = []
  let drains = 0
  const reader = readers.get(socket)
  const source = reader === undefined ? socket : ({ callback }: Net.OnReadOpts) => {
    reader(callback)
    return socket
  }
  const line = openSocketLine(source)((problem) => problems.push(problem))
  return {
    ...line,
    heard,
    problems,
    drains: () => drains,
    listen: () => line.port.listen({ onFrame: (frame) => heard.push(frame), onDrain: () => drains++ })
  }
}

const frameOf = (size: number, seed: number): Uint8Array => {
  const frame = new Uint8Array(size)
  for (let at = 0; at < size; at++) frame[at] = at * 31 + seed
  return frame
}

const encode = (...bodies: ReadonlyArray<Uint8Array>): Uint8Array =>
  Buffer.concat(bodies.flatMap((body) => {
    const header = new Uint8Array(headerBytes)
    putHeader(header, 0, body.length)
    return [header, body]
  }))

const bytesOf = (frames: ReadonlyArray<Uint8Array>): ReadonlyArray<Buffer> => frames.map((frame) => Buffer.from(frame))

/** What is given to the socket to write, as it is given. */
const spy = (socket: Net.Socket): ReadonlyArray<Uint8Array> => {
  const written: Array<Uint8Array> = []
  const write = socket.write.bind(socket) as (bytes: Uint8Array) => boolean
  socket.write = ((bytes: Uint8Array) => {
    written.push(bytes)
    return write(bytes)
  }) as Net.Socket["write"]
  return written
}

/** The end of this turn, with everything that was put off to it. */
const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const sizes = [0, 1, 100, 4_095, 4_096, 16_384, 16_385, 65_532, 65_536, 70_000, 300_000, 1_048_576]

describe.each(["by its stream", "into our memory"] as const)("a line on a socket that is read %s", (reading) => {
  const sockets = connection(reading)
  /** A line, and its far end by hand. */
  const lineAndSocket = Effect.map(sockets, ([here, there]) => [makeEnd(here), there, here] as const)
  const lines = Effect.map(sockets, ([here, there]) => [makeEnd(here), makeEnd(there)] as const)

  it.live("carries frames of every size both ways at once, in order", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lines
      here.listen()
      there.listen()
      const row = (seed: number) => [...sizes, ...sizes.toReversed()].map((size, at) => frameOf(size, seed + at))
      for (const frame of row(1)) here.port.send(frame)
      for (const frame of row(2)) there.port.send(frame)
      yield* until("all frames", () => here.heard.length + there.heard.length === 4 * sizes.length)
      assert.deepStrictEqual(bytesOf(there.heard), bytesOf(row(1)))
      assert.deepStrictEqual(bytesOf(here.heard), bytesOf(row(2)))
    }), patience)

  for (const piece of [1, 3, 100, 65_536]) {
    it.live(`hears frames that come in pieces of ${piece} bytes`, () =>
      Effect.gen(function*() {
        const [here, there] = yield* lineAndSocket
        here.listen()
        const row = [0, 1, 2, 3, 4, 5, 300, 10_000].map((size, at) => frameOf(size, at))
        const bytes = encode(...row)
        for (let at = 0; at < bytes.length; at += piece) {
          // Each in a turn of its own, so that it is read alone.
          there.write(bytes.subarray(at, at + piece))
          if (piece < 100 && at < 100 || piece >= 100) yield* turn
        }
        yield* until("all frames", () => here.heard.length === row.length)
        assert.deepStrictEqual(bytesOf(here.heard), bytesOf(row))
      }), patience)
  }

  it.live("writes what is sent in one turn at once, and before the turn is over", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lines
      there.listen()
      const socket = yield* sockets
      const spied = makeEnd(socket[0])
      const written = spy(socket[0])
      for (let index = 0; index < 100; index++) spied.port.send(frameOf(100, index))
      assert.strictEqual(written.length, 0)
      yield* Effect.callback<void>((resume) => process.nextTick(() => resume(Effect.void)))
      assert.deepStrictEqual(written.map((bytes) => bytes.length), [100 * (100 + headerBytes)])
      here.port.send(frameOf(1, 1))
      here.flush()
      yield* until("the frame", () => there.heard.length === 1)
    }), patience)

  it.live(
    "answers what came at once in a few writes, the first before the last is heard",
    () =>
      Effect.gen(function*() {
        const [here, there, socket] = yield* lineAndSocket
        const written = spy(socket)
        let echoed = 0
        let early = 0
        here.port.listen({
          onFrame: (frame) => {
            early = written.length
            here.port.send(frame)
            echoed++
          },
          onDrain: () => {}
        })
        there.write(encode(...Array.from({ length: 64 }, (_, at) => frameOf(100, at))))
        yield* until("the answers", () => echoed === 64)
        yield* turn
        assert.deepStrictEqual(written.map((bytes) => bytes.length), Array(2).fill(32 * (100 + headerBytes)))
        assert.strictEqual(early, 1)
      }),
    patience
  )

  it.live("copies no large frame", () =>
    Effect.gen(function*() {
      const [here, , socket] = yield* lineAndSocket
      const written = spy(socket)
      const large = frameOf(100_000, 1)
      here.port.send(frameOf(10, 1))
      here.port.send(large)
      assert.deepStrictEqual(written.map((bytes) => bytes.length), [10 + 2 * headerBytes, large.length])
      assert.strictEqual(written[1], large)
    }), patience)

  it.live("has lent bytes out of their owner's hands before it returns", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lines
      there.listen()
      here.listen()
      const sizes = [0, 10, 100_000, 1_000_000, 3_000_000]
      const row: Array<Buffer> = []
      const lent = new Uint8Array(3_000_000)
      // In several turns, so that what was written in one is used again in the next.
      for (let round = 0; round < 3; round++) {
        for (const size of sizes) {
          const part = lent.subarray(0, size)
          part.set(frameOf(size, row.length))
          const first = frameOf(20, row.length)
          row.push(Buffer.concat([first, part, part]))
          here.port.send([first, part, part])
          here.port.send(frameOf(5, row.length))
          row.push(Buffer.from(frameOf(5, row.length)))
          lent.fill(0)
        }
        yield* until("these frames", () => there.heard.length === row.length)
        yield* turn
      }
      assert.isTrue(there.heard.every((frame, at) => row[at]!.equals(frame)))
    }), patience)

  it.live("overwrites nothing that is still to be written", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lines
      const row = Array.from({ length: 2_000 }, (_, at) => frameOf(1_000, at))
      for (const [at, frame] of row.entries()) {
        here.port.send(frame)
        // So that it is written in many pieces, most of which the kernel does not take.
        if (at % 7 === 0) here.flush()
      }
      there.listen()
      yield* until("all frames", () => there.heard.length === row.length)
      assert.deepStrictEqual(bytesOf(there.heard), bytesOf(row))
    }), patience)

  it.live("gives frames whose bytes nobody else writes to", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lines
      here.listen()
      let asBefore = 0
      for (let index = 0; index < 100; index++) {
        there.port.send(frameOf(1_000, index))
        yield* until("the frame", () => here.heard.length === index + 1)
        if (here.heard.every((frame, at) => Buffer.compare(frame, frameOf(1_000, at)) === 0)) asBefore++
      }
      assert.strictEqual(asBefore, 100)
    }), patience)

  it.live("holds frames back from the middle of what came at once", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lineAndSocket
      const heard: Array<number> = []
      here.port.listen({
        onFrame: ([first]) => {
          heard.push(first!)
          here.port.pause(true)
        },
        onDrain: () => {}
      })
      there.write(encode(Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)))
      yield* until("the first frame", () => heard.length > 0)
      there.write(encode(Uint8Array.of(4)))
      yield* turn
      assert.deepStrictEqual(heard, [1])
      // In this very turn: they are here.
      here.port.pause(false)
      here.port.pause(false)
      assert.deepStrictEqual(heard, [1, 2, 3])
      here.port.pause(false)
      yield* until("the last frame", () => heard.length === 4)
    }), patience)

  it.live(
    "reads little that nobody hears, loses none of it, and says once that sending may go on",
    () =>
      Effect.gen(function*() {
        const [here, there] = yield* lines
        here.listen()
        let sent = 0
        while (here.port.send(frameOf(10_000, sent))) sent++
        sent++
        // What the kernel takes is a matter of its own; a turn gives it the chance to take it.
        yield* turn
        assert.isAtMost(here.unwritten(), highWaterBytes + 10_000 + headerBytes)
        assert.strictEqual(here.drains(), 0)
        there.listen()
        yield* until("all frames", () => there.heard.length === sent)
        yield* until("the drain", () => here.drains() > 0)
        yield* turn
        assert.strictEqual(here.drains(), 1)
        assert.strictEqual(here.unwritten(), 0)
        assert.deepStrictEqual(bytesOf(there.heard), bytesOf(there.heard.map((_, at) => frameOf(10_000, at))))
      }),
    patience
  )

  it.live("loses nothing to one who has held frames back before he listens", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lineAndSocket
      here.port.pause(true)
      here.port.pause(false)
      there.write(encode(frameOf(10, 1)))
      // Time enough for it to get lost.
      yield* turn
      yield* turn
      here.listen()
      yield* until("the frame", () => here.heard.length === 1)
      here.port.pause(true)
      there.write(encode(frameOf(20, 2)))
      yield* turn
      here.port.pause(false)
      yield* until("the next frame", () => here.heard.length === 2)
      assert.deepStrictEqual(bytesOf(here.heard), bytesOf([frameOf(10, 1), frameOf(20, 2)]))
    }), patience)

  it.live("closes for too long a frame, once, and has delivered what came before", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lineAndSocket
      here.listen()
      const tooLong = new Uint8Array(headerBytes)
      putHeader(tooLong, 0, maxFrameBytes + 1)
      there.write(Buffer.concat([encode(frameOf(5, 1)), tooLong, encode(frameOf(6, 1))]))
      yield* until("the problem", () => here.problems.length > 0)
      here.end()
      assert.deepStrictEqual(here.problems, [`a frame of ${maxFrameBytes + 1} bytes, and ${maxFrameBytes} are allowed`])
      assert.deepStrictEqual(bytesOf(here.heard), bytesOf([frameOf(5, 1)]))
      assert.isTrue(here.port.send(frameOf(1, 1)))
      yield* until("the far end to be told", () => there.destroyed || !there.writable || (there.resume(), false))
    }), patience)

  it.live(
    "has at its end delivered all that was sent, in that very turn, and drops the half of a frame",
    () =>
      Effect.gen(function*() {
        const [here, there, socket] = yield* lineAndSocket
        here.listen()
        yield* turn
        const row = [frameOf(50_000, 1), frameOf(10, 2)]
        there.write(Buffer.concat([encode(...row), encode(frameOf(10, 3)).subarray(0, 9)]))
        here.end()
        assert.deepStrictEqual(bytesOf(here.heard), bytesOf(row))
        assert.deepStrictEqual(here.problems, [])
        assert.isTrue(socket.destroyed)
      }),
    patience
  )

  it.live("has at its end delivered all that came before anybody listened", () =>
    Effect.gen(function*() {
      const [here, there, socket] = yield* lineAndSocket
      const row = [frameOf(50_000, 1), frameOf(100_000, 2)]
      there.write(encode(...row))
      yield* until("some of it to be read", () => socket.bytesRead > 0)
      here.listen()
      here.end()
      assert.deepStrictEqual(bytesOf(here.heard), bytesOf(row))
    }), patience)

  it.live("delivers at its end what was held back, since nothing more comes", () =>
    Effect.gen(function*() {
      const [here, there] = yield* lines
      here.port.pause(true)
      here.listen()
      there.port.send(frameOf(10, 1))
      there.flush()
      here.end()
      assert.deepStrictEqual(here.heard.length, 1)
      here.port.pause(false)
      yield* turn
      assert.deepStrictEqual(here.heard.length, 1)
    }), patience)

  for (const when of ["before", "after"] as const) {
    it.live(`loses nothing of one who has gone by writing to him ${when} he is heard`, () =>
      Effect.gen(function*() {
        const [here, there, socket] = yield* lineAndSocket
        if (when === "after") here.listen()
        yield* turn
        const row = [frameOf(100, 1), frameOf(200, 2), frameOf(300, 3)]
        there.write(encode(row[0]!))
        // The socket has read it, or has handed it on.
        yield* until("the first frame", () => socket.bytesRead > 0)
        there.write(encode(...row.slice(1)))
        there.destroy()
        // In this turn nothing is read before it fails.
        here.port.send(frameOf(100_000, 1))
        yield* until("the socket to be closed", () => socket.destroyed)
        yield* turn
        if (when === "before") here.listen()
        assert.deepStrictEqual(bytesOf(here.heard), bytesOf(row))
        assert.isTrue(here.port.send(frameOf(1, 1)))
        assert.strictEqual(here.unwritten(), 0)
      }), patience)
  }

  for (const [who, part] of [["it closes", "here"], ["the other side is gone", "there"]] as const) {
    it.live(`keeps nobody waiting to send when ${who}`, () =>
      Effect.gen(function*() {
        const [here, there] = yield* lines
        here.listen()
        while (here.port.send(frameOf(50_000, 1)));
        assert.strictEqual(here.drains(), 0)
        if (part === "here") here.close()
        else there.close()
        yield* until("the drain", () => here.drains() > 0)
        yield* turn
        assert.strictEqual(here.drains(), 1)
        assert.isTrue(here.port.send(frameOf(1, 1)))
      }), patience)
  }

  it.live("that nobody refers to keeps no program running", () =>
    Effect.gen(function*() {
      const [here, there] = yield* sockets
      const handleOf = (socket: Net.Socket) =>
        (socket as unknown as { readonly _handle: { readonly hasRef: () => boolean } })._handle
      assert.isTrue(handleOf(here).hasRef())
      makeEnd(here).listen()
      yield* turn
      assert.isFalse(handleOf(here).hasRef())
      there.destroy()
    }), patience)
})
