/** What a worker and its postmaster send each other on the data line, however the worker is borne. */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { maxFrameBytes } from "@effect-postmaster/core/FramePort"
import type { WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Socket } from "node:net"
import { bootstrap } from "../src/internal/bootstrap.ts"
import { channelFd, decodeToPostmaster, encodeToWorker, maxFrameFromWorker } from "../src/internal/channel.ts"
import { makeDeframer } from "../src/internal/frames.ts"
import { highWaterBytes, lineFd } from "../src/internal/line.ts"
import { startGroup } from "../src/internal/startGroup.ts"
import { rowFrame } from "./fixtures/dataLines.ts"
import {
  birth,
  type BirthOptions,
  born,
  fixture,
  fromSpares,
  isGone,
  launch,
  type Life,
  saw,
  until
} from "./support.ts"

const patience = 60_000

const order = (name: string) => launch(name, { module: fixture("dataLines.ts") })

/** Remembers what is heard. */
const hear = (life: Life): Array<Uint8Array> => {
  const heard: Array<Uint8Array> = []
  life.port.listen({ onFrame: (frame) => heard.push(frame), onDrain: () => {} })
  return heard
}

const assertRow = (heard: ReadonlyArray<Uint8Array>, count: number): void => {
  assert.strictEqual(heard.length, count)
  for (const [at, frame] of heard.entries()) {
    if (Buffer.compare(frame, rowFrame(at + 1)) !== 0) assert.fail(`frame ${at + 1} is another one`)
  }
}

const assertLost = (status: ExitStatus.ExitStatus, detail: string): void => {
  assert.deepStrictEqual(status, ExitStatus.lost(detail))
}

/** What a kernel holds of a socket's bytes at most, so that nobody has to tell how much it is. */
const kernelBytes = 1024 * 1024

const threads = birth === "spare" ? Layer.provide(fromSpares, NodeSpawner.layerThread) : NodeSpawner.layerThread

/** A process of the bootstrap, without the application's side of it. */
const bornByHand = Effect.fnUntraced(function*(name: string) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      startGroup(
        {
          file: process.execPath,
          args: [bootstrap.file],
          env: { ...(process.env as Record<string, string>) },
          cwd: process.cwd(),
          umask: process.umask()
        },
        assert.fail
      )!
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const channel = child.stdio[channelFd] as Socket
  const said = new Set<string>()
  const deframer = makeDeframer(maxFrameFromWorker)
  channel.on("data", (chunk) => {
    deframer.push(chunk)
    for (let frame = deframer.next(); frame instanceof Uint8Array; frame = deframer.next()) {
      const message = Result.getOrThrow(decodeToPostmaster(frame))
      said.add(message._tag === "Report" ? message.report : message._tag)
    }
  })
  let output = ""
  child.stdout!.on("data", (text) => output += String(text))
  channel.write(encodeToWorker({ _tag: "Launch", launch: order(name) }))
  return {
    said,
    line: child.stdio[lineFd] as Socket,
    tell: (signal: WorkerSignal) => void channel.write(encodeToWorker({ _tag: "Signal", signal })),
    closed: until("its channel to be closed", () => channel.closed),
    get output() {
      return output
    }
  }
})

const births: Record<string, BirthOptions> = { "a process": {}, "a thread": { layer: threads } }

for (const [who, options] of Object.entries(births)) {
  const isProcess = who === "a process"
  // Threads are borne in one way.
  if (!isProcess && birth === "direct") continue

  const test = (title: string, body: Effect.Effect<void, unknown, Scope.Scope>) =>
    it.live(title, () => Effect.scoped(body), patience)

  describe.concurrent(`the data line of ${who}`, () => {
    test(
      "carries 1,000 frames of all sizes there and back, in order",
      Effect.gen(function*() {
        const life = yield* born(order("echoes"), options)
        const heard = hear(life)
        for (let index = 1; index <= 1000; index++) life.port.send(rowFrame(index))
        life.port.send(new Uint8Array(0))
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
        assertRow(heard, 1000)
      })
    )

    test(
      "has brought everything before the end is told",
      Effect.gen(function*() {
        const life = yield* born(order("answersAndReturns"), options)
        const heard = hear(life)
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
        assertRow(heard, 200)
      })
    )

    test(
      "brings what was sent in the turn of a process.exit()",
      Effect.gen(function*() {
        const life = yield* born(order("answersAndExits"), options)
        const heard = hear(life)
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
        assertRow(heard, 49)
      })
    )

    test(
      "holds little of what a worker sends that nobody hears, and all of that is heard in the end",
      Effect.gen(function*() {
        const life = yield* born(order("floods"), options)
        const { text } = yield* saw(life, "sent ")
        const sent = Number(text.slice("sent ".length))
        assert.isBelow(sent, highWaterBytes + kernelBytes)
        assert.isUndefined(life.log.find((entry) => entry.text === "drained"))
        const heard = hear(life)
        yield* saw(life, "drained")
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
        assert.strictEqual(heard.reduce((sum, frame) => sum + frame.length, 0), sent)
      })
    )

    test(
      "holds nothing up on the control channel when it is full both ways",
      Effect.gen(function*() {
        const life = yield* born(order("blocks"), options)
        yield* saw(life, "sent ")
        let sent = 0
        while (life.port.send(new Uint8Array(16 * 1024))) sent += 16 * 1024
        assert.isBelow(sent, highWaterBytes + kernelBytes)
        yield* life.signal("SIGTERM", "Process")
        yield* saw(life, "finalizer ran")
        const status = yield* life.exit
        assert(status._tag === "Exited")
        assert.deepStrictEqual([status.code, status.error?.kind], [1, "Interrupted"])
      })
    )

    test(
      "says when the postmaster may go on, and takes what is sent after the end for nothing",
      Effect.gen(function*() {
        const life = yield* born(order("blocks"), options)
        yield* saw(life, "sent ")
        let drained = 0
        life.port.pause(true)
        life.port.listen({ onFrame: () => {}, onDrain: () => drained++ })
        while (life.port.send(new Uint8Array(16 * 1024)));
        assert.strictEqual(drained, 0)
        yield* life.signal("SIGKILL", "Group")
        yield* life.exit
        assert.strictEqual(drained, 1)
        for (let index = 1; index <= 50; index++) assert.isTrue(life.port.send(rowFrame(index)))
      })
    )

    test(
      "that is held back does not hold the end up, and brings what was sent before it",
      Effect.gen(function*() {
        const life = yield* born(order("echoes"), options)
        life.port.pause(true)
        const heard = hear(life)
        life.port.send(Uint8Array.of(1))
        life.port.send(new Uint8Array(0))
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
        assert.deepStrictEqual(heard, [Uint8Array.of(1)])
      })
    )

    test(
      "brings no frame while it is held back, and the next one when it is not",
      Effect.gen(function*() {
        const life = yield* born(order("echoes"), options)
        const heard: Array<number> = []
        life.port.listen({
          onFrame: ([first]) => {
            heard.push(first!)
            life.port.pause(true)
          },
          onDrain: () => {}
        })
        for (let index = 1; index <= 20; index++) life.port.send(Uint8Array.of(index))
        for (let index = 1; index <= 20; index++) {
          yield* until("the next frame", () => heard.length > 0)
          assert.deepStrictEqual(heard.splice(0), [index])
          life.port.pause(false)
        }
      })
    )

    test(
      "keeps nobody from stopping when told to, who waits for nothing else",
      Effect.gen(function*() {
        const life = yield* born(order("listens"), options)
        yield* saw(life, "listening")
        yield* life.signal("SIGTERM", "Process")
        const status = yield* life.exit
        assert(status._tag === "Exited")
        assert.deepStrictEqual([status.code, status.error?.kind], [1, "Interrupted"])
      })
    )

    test(
      "ends a worker that sends too long a frame, and is believed what came before",
      Effect.gen(function*() {
        const life = yield* born(order("sendsTooMuch"), options)
        const heard = hear(life)
        assertLost(
          yield* life.exit,
          `sent a frame of ${maxFrameBytes + 1} bytes, and ${maxFrameBytes} are allowed on its data line`
        )
        assert.deepStrictEqual(heard, [Uint8Array.of(1)])
      })
    )

    test(
      "crashes a worker that is sent too long a frame",
      Effect.gen(function*() {
        const life = yield* born(order("listens"), options)
        life.port.send(new Uint8Array(maxFrameBytes + 1))
        const status = yield* life.exit
        assert(status._tag === "Exited")
        assert.deepStrictEqual([status.code, status.error?.kind], [2, "Defect"])
        assert.include(
          status.error?.message,
          `the postmaster sent a frame of ${maxFrameBytes + 1} bytes, and ${maxFrameBytes} are allowed on the data line`
        )
      })
    )

    test(
      "ends a worker that sends garbage",
      Effect.gen(function*() {
        const life = yield* born(order("sendsGarbage"), options)
        hear(life)
        assertLost(
          yield* life.exit,
          isProcess
            ? `sent a frame of 4294967295 bytes, and ${maxFrameBytes} are allowed on its data line`
            : "sent what is no frame on its data line"
        )
      })
    )

    test(
      "brings nothing more of a worker that was rejected for what it brought",
      Effect.gen(function*() {
        const life = yield* born(order("echoes"), options)
        let heard = 0
        life.port.listen({
          onFrame: () => {
            heard++
            life.reject("sent nonsense")
            life.reject("sent more nonsense")
          },
          onDrain: () => {}
        })
        for (let index = 1; index <= 20; index++) life.port.send(Uint8Array.of(index))
        assertLost(yield* life.exit, "sent nonsense")
        assert.strictEqual(heard, 1)
        if (isProcess) assert.isTrue(isGone(life.pid))
      })
    )

    if (!isProcess) return

    test(
      "drops the half of a frame that a killed worker has left",
      Effect.gen(function*() {
        const life = yield* born(order("diesInMidFrame"), options)
        const heard = hear(life)
        assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: false }))
        assert.deepStrictEqual(heard, [Uint8Array.of(42)])
      })
    )

    test(
      "may end, and the postmaster lives",
      Effect.gen(function*() {
        const life = yield* bornByHand("talks")
        yield* until("the worker to be ready", () => life.said.has("Ready"))
        life.line.destroy()
        life.tell("SIGUSR1")
        yield* until("the worker to have sent into the void", () => life.output.includes("sent"))
        // By now it has heard of the end of its line.
        life.tell("SIGUSR1")
        yield* life.closed
        assert.isTrue(life.said.has("LastWords"), "it was ended like one without a postmaster")
      })
    )

    test(
      "may end before the worker does",
      Effect.gen(function*() {
        const life = yield* born(order("hangsUp"), options)
        hear(life)
        yield* saw(life, "hung up")
        life.port.send(rowFrame(50))
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
      })
    )

    test(
      "that somebody else holds keeps nobody waiting",
      Effect.gen(function*() {
        const life = yield* born(order("lendsItsLine"), options)
        const heard = hear(life)
        assert.deepStrictEqual(yield* life.exit, ExitStatus.exited(0))
        assert.deepStrictEqual(heard, [Uint8Array.of(1)])
        const pid = Number((yield* saw(life, "heir ")).text.slice("heir ".length))
        assert.isFalse(isGone(pid))
        process.kill(pid, "SIGKILL")
      })
    )
  })
}
