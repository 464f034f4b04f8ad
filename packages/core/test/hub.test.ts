import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Hub from "../src/internal/hub.ts"
import * as History from "./history.ts"

/** What is published are the numbers from 0 on. */
type Heard = number | { readonly lost: number }

const capacity = 16

const listen = (hub: Hub.Hub<Heard>) => Hub.stream(hub, (lost): Heard => ({ lost }))

/** Reads on after each element when `next` says so. */
const read = (hub: Hub.Hub<Heard>, next: Effect.Effect<unknown> = Effect.void) => {
  const heard: Array<Heard> = []
  return Effect.map(
    Effect.forkChild(
      Stream.runForEach(listen(hub), (one) => {
        heard.push(one)
        return next
      }),
      { startImmediately: true }
    ),
    (fiber) => ({ fiber, heard })
  )
}

const publish = (hub: Hub.Hub<Heard>, count: number): void => {
  for (let index = 0; index < count; index++) Hub.publish(hub, hub.published)
}

/** How many were read or lost; fails if a loss is told in the wrong place or with the wrong number. */
const account = (heard: ReadonlyArray<Heard>, first = 0) => {
  let next = first
  let lost = 0
  for (const one of heard) {
    if (typeof one === "number") assert.strictEqual(one, next++)
    else {
      next += one.lost
      lost += one.lost
    }
  }
  return { total: next - first, lost }
}

describe("the hub", () => {
  it.effect("a reader who reads nothing costs the others nothing, keeps no more than its due, and is told its loss", () =>
    Effect.gen(function*() {
      const hub = Hub.make<Heard>(capacity)
      const gate = Latch.makeUnsafe()
      const told = yield* Queue.unbounded<void>()
      const deaf = yield* read(hub, gate.await)
      const [queue] = [...hub.readers]
      const eager = yield* read(hub, Queue.offer(told, undefined))
      for (let burst = 0; burst < 1_000; burst++) {
        publish(hub, capacity)
        // Whoever reads in time has read all of it.
        yield* Queue.takeN(told, capacity)
        assert.isAtMost(Queue.sizeUnsafe(queue!), capacity)
      }
      assert.deepStrictEqual(account(eager.heard), { total: 16_000, lost: 0 })
      assert.strictEqual(deaf.heard.length, 1)
      yield* gate.open
      Hub.end(hub)
      yield* Fiber.join(deaf.fiber)
      yield* Fiber.join(eager.fiber)
      // It has what it took at first, and what its queue held at the end.
      assert.deepStrictEqual(account(deaf.heard), { total: 16_000, lost: 16_000 - 2 * capacity })
      assert.strictEqual(deaf.heard.length, 2 * capacity + 1)
    }))

  it.effect("whatever the pace of reading, what was read and what was lost is what was published, in its order", () =>
    Effect.gen(function*() {
      let losses = 0
      for (let seed = 1; seed <= 20; seed++) {
        const luck = History.random(seed)
        const hub = Hub.make<Heard>(capacity)
        const turns = yield* Queue.unbounded<void>()
        publish(hub, seed)
        const slow = yield* read(hub, Queue.take(turns))
        for (let step = 0; step < 200; step++) {
          publish(hub, Math.floor(luck() * 3 * capacity))
          yield* Queue.offerAll(turns, Array.from({ length: Math.floor(luck() * 3 * capacity) }, () => undefined))
          while (luck() < 0.8) yield* Effect.yieldNow
        }
        Hub.end(hub)
        yield* Queue.offerAll(turns, Array.from({ length: hub.published }, () => undefined))
        yield* Fiber.join(slow.fiber)
        const { lost, total } = account(slow.heard, seed)
        assert.strictEqual(total, hub.published - seed)
        losses += lost
      }
      assert.isAbove(losses, 0)
    }))

  it.effect("whoever leaves leaves nothing behind", () =>
    Effect.gen(function*() {
      const hub = Hub.make<Heard>(capacity)
      const stays = yield* read(hub)
      const goes = yield* read(hub, Effect.never)
      const few = yield* Effect.forkChild(Stream.runDrain(Stream.take(listen(hub), 2)), { startImmediately: true })
      assert.strictEqual(hub.readers.size, 3)
      publish(hub, 2)
      yield* Fiber.join(few)
      assert.strictEqual(hub.readers.size, 2)
      yield* Fiber.interrupt(goes.fiber)
      assert.strictEqual(hub.readers.size, 1)
      Hub.end(hub)
      assert.strictEqual(hub.readers.size, 0)
      yield* Fiber.join(stays.fiber)
      assert.deepStrictEqual(stays.heard, [0, 1])
    }))

  it.effect("who comes after the end hears nothing, and that it is the end", () =>
    Effect.gen(function*() {
      const hub = Hub.make<Heard>(capacity)
      publish(hub, 3)
      Hub.end(hub)
      assert.deepStrictEqual(yield* Stream.runCollect(listen(hub)), [])
      assert.strictEqual(hub.readers.size, 0)
    }))
})
