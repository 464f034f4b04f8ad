import { exited } from "@effect-postmaster/core/ExitStatus"
import { PostmasterDied } from "@effect-postmaster/core/HandleError"
import { type Pid, slotRef } from "@effect-postmaster/core/Identity"
import * as WorkerStatus from "@effect-postmaster/core/WorkerStatus"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Watch from "../src/internal/watch.ts"

const setup = () => {
  const watch = Watch.make("mail", slotRef(0, 1))
  const handle = Watch.toHandle(watch, undefined, {
    id: "here",
    terminate: () => Effect.void,
    resume: () => Effect.void,
    history: () => Effect.succeed([]),
    progress: () => Effect.succeedNone,
    replace: () => Effect.never,
    changePolicy: () => Effect.void,
    connect: () => Effect.never
  })
  const hears = (status: WorkerStatus.WorkerStatus, gone = false) => {
    Watch.update(watch, status, gone)
    Watch.tell(watch)
  }
  const waits = {
    startup: handle.waitForStartup,
    ready: handle.waitForReady,
    shutdown: handle.waitForShutdown,
    end: handle.waitForEnd
  }
  return { watch, handle, hears, waits }
}

const now = { startImmediately: true }
const pid = 7 as Pid
const died = new PostmasterDied({ detail: "it was shot" })

describe("what a handle watches", () => {
  it.effect("C121 whoever waits is told that the postmaster has died, and so is whoever asks afterwards", () =>
    Effect.gen(function*() {
      const { handle, watch, waits } = setup()
      const waiting = yield* Effect.forEach(Object.values(waits), (wait) => Effect.forkChild(Effect.flip(wait), now))
      const statuses = yield* Effect.forkChild(Effect.flip(Stream.runDrain(handle.statuses)), now)
      Watch.die(watch, died)
      for (const fiber of [...waiting, statuses]) assert.strictEqual(yield* Fiber.join(fiber), died)
      for (const wait of Object.values(waits)) assert.strictEqual(yield* Effect.flip(wait), died)
      assert.strictEqual(watch.listeners.size, 0)
    }))

  it.effect("whoever was running when the postmaster died is not said to run, nor to have stopped by itself", () =>
    Effect.gen(function*() {
      const { handle, hears, watch, waits } = setup()
      hears(WorkerStatus.ready(pid))
      Watch.die(watch, died)
      assert.deepStrictEqual([(yield* handle.status)._tag, (yield* handle.pid)._tag], ["Stopped", "None"])
      for (const wait of Object.values(waits)) assert.strictEqual(yield* Effect.flip(wait), died)
    }))

  it.effect("a status that is final stays true when the postmaster has died since", () =>
    Effect.gen(function*() {
      const { handle, hears, watch } = setup()
      hears(WorkerStatus.stopped(exited(0)), true)
      Watch.die(watch, died)
      yield* handle.waitForShutdown
      assert.deepStrictEqual((yield* handle.waitForEnd)._tag, "Some")
      assert.strictEqual((yield* Effect.flip(handle.waitForStartup))._tag, "WorkerStopped")
    }))

  it.effect("C126 whoever stops waiting is no longer listened to", () =>
    Effect.gen(function*() {
      const { waits, watch } = setup()
      const waiting = yield* Effect.forEach(Object.values(waits), (wait) => Effect.forkChild(wait, now))
      assert.strictEqual(watch.listeners.size, 4)
      for (const fiber of waiting) yield* Fiber.interrupt(fiber)
      assert.strictEqual(watch.listeners.size, 0)
    }))

  it.effect("C128 being told without a change keeps waiting; every wait ends with its own change", () =>
    Effect.gen(function*() {
      const { hears, waits, watch } = setup()
      const startup = yield* Effect.forkChild(waits.startup, now)
      const ready = yield* Effect.forkChild(waits.ready, now)
      const shutdown = yield* Effect.forkChild(waits.shutdown, now)
      const end = yield* Effect.forkChild(waits.end, now)
      hears(WorkerStatus.notYetStarted)
      assert.strictEqual(watch.listeners.size, 4)
      hears(WorkerStatus.started(pid))
      assert.strictEqual(yield* Fiber.join(startup), pid)
      assert.strictEqual(watch.listeners.size, 3)
      hears(WorkerStatus.ready(pid))
      assert.strictEqual(yield* Fiber.join(ready), pid)
      hears(WorkerStatus.stopped(exited(1)))
      yield* Fiber.join(shutdown)
      assert.strictEqual(watch.listeners.size, 1)
      hears(WorkerStatus.stopped(exited(1)), true)
      assert.strictEqual((yield* Fiber.join(end))._tag, "Some")
    }))
})
