/** Shared memory between the application and its workers, the same on every spawner. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { SharedMemory } from "@effect-postmaster/core/SharedMemory"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Count, Isolated, Sharing } from "./fixtures/sharing.ts"
import { spawners } from "./support.ts"

const patience = 60_000

/** Makes every memory anew with a count of 1,000. */
const postmaster = (layer: Layer.Layer<Spawner>) =>
  Postmaster.layer({ startup: () => Count.set(1_000) }).pipe(
    Layer.orDie,
    Layer.provide([
      layer,
      PostmasterConfig.layer({ maxWorkers: 4, shutdownOnRelease: "Immediate", maxSharedBytes: 1_000_000 })
    ])
  )

const register = Effect.gen(function*() {
  const worker = yield* (yield* Postmaster).register(Sharing)
  return { worker, client: yield* worker.client }
})

describe.each(spawners)("shared memory, with a worker that is a $name", ({ layer }) => {
  const test = (name: string, body: Effect.Effect<void, unknown, Postmaster | SharedMemory | Scope.Scope>) =>
    it.live(name, () => Effect.provide(body, postmaster(layer)).pipe(Effect.scoped), patience)

  test(
    "workers and the application add to one count, and nothing is lost",
    Effect.gen(function*() {
      const members = yield* Effect.all([register, register, register])
      const add = Effect.replicateEffect(Effect.andThen(Effect.yieldNow, Count.update((n) => n + 1)), 100)
      yield* Effect.all([add, ...members.map(({ client }) => client.Add({ times: 100 }))], { concurrency: "unbounded" })
      assert.strictEqual(yield* Count.get, 1_400)
      for (const { client } of members) assert.strictEqual(yield* client.Get(), 1_400)
    })
  )

  test(
    "a worker sees what the application writes",
    Effect.gen(function*() {
      const { client } = yield* register
      const counts = yield* Queue.unbounded<number>()
      const watcher = yield* Effect.forkChild(
        Stream.runForEach(client.Counts(), (count) => Queue.offer(counts, count))
      )
      assert.strictEqual(yield* Queue.take(counts), 1_000)
      for (const count of [7, 8]) {
        yield* Count.set(count)
        assert.strictEqual(yield* Queue.take(counts), count)
      }
      yield* Fiber.interrupt(watcher)
    })
  )

  test(
    "a crash of an attached worker makes the memory anew, and the startup effect fills it",
    Effect.gen(function*() {
      const { client: bystander } = yield* register
      const { client, worker } = yield* register
      const isolated = yield* (yield* Postmaster).register(Isolated)
      const pid = yield* isolated.waitForReady
      const counts: Array<number> = []
      const watcher = yield* Effect.forkChild(
        Stream.runForEach(
          Stream.takeUntil(Count.changes, (count) => count === 1_003),
          (count) => Effect.sync(() => counts.push(count))
        ),
        { startImmediately: true }
      )
      yield* bystander.Add({ times: 5 })
      yield* Effect.flip(client.Leave({ how: "fail" }))
      // Its affair alone: exit code 1 is no crash.
      assert.strictEqual(yield* (yield* worker.waitForClient).Get(), 1_005)
      const again = yield* worker.waitForClient
      yield* Effect.flip(again.Leave({ how: "die" }))
      const next = yield* worker.waitForClient
      assert.strictEqual(yield* next.Get(), 1_000)
      yield* next.Add({ times: 3 })
      yield* Fiber.join(watcher)
      assert.deepStrictEqual([counts[0], counts.at(-1)], [1_000, 1_003])
      // Nobody asks it to mourn.
      assert.deepStrictEqual(yield* isolated.pid, Option.some(pid))
    })
  )

  test(
    "what has no room, or no right, is refused with a typed error",
    Effect.gen(function*() {
      const { client } = yield* register
      const full = yield* Effect.flip(client.Fill({ length: 1_000_000 }))
      assert(full._tag === "SharedMemoryError" && full.reason._tag === "MemoryExhausted")
      assert.strictEqual(full.reason.maxBytes, 1_000_000)
      yield* client.Fill({ length: 900_000 })
      const isolated = yield* (yield* Postmaster).register(Isolated)
      const refused = yield* Effect.flip((yield* isolated.client).Get())
      assert(refused._tag === "SharedMemoryError" && refused.reason._tag === "NotAttached")
      assert.strictEqual(refused.reason.worker, "isolated")
    })
  )
})
