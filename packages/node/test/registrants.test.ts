/**
 * Workers that register, find, watch and call other workers, the same on every
 * spawner. The numbers are those of `docs/CONFORMANCE.md`.
 */
import { ForeignAddress, WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { RegistrationError } from "@effect-postmaster/core/RegistrationError"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import { WorkerAddress } from "@effect-postmaster/core/WorkerAddress"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Callable } from "./fixtures/callable.ts"
import { Free, Leader, Owned } from "./fixtures/leaders.ts"
import { spawners } from "./support.ts"

const patience = 60_000

const postmaster = (layer: Layer.Layer<Spawner>) =>
  Postmaster.layer().pipe(
    Layer.provide([layer, PostmasterConfig.layer({ maxWorkers: 4, shutdownOnRelease: "Immediate" })])
  )

const lead = Effect.gen(function*() {
  const leader = yield* (yield* Postmaster).register(Leader)
  return { leader, client: yield* leader.client }
})

describe.each(spawners)("a worker that registers workers, as a $name", ({ layer, processes }) => {
  const test = (name: string, body: Effect.Effect<void, unknown, Postmaster | Scope.Scope>) =>
    it.live(name, () => Effect.provide(body, postmaster(layer)).pipe(Effect.scoped), patience)

  test(
    "sees their lives from beginning to end",
    Effect.gen(function*() {
      const { client } = yield* lead
      assert.deepStrictEqual(yield* client.LifeOf({ kind: "callable" }), [
        "ready",
        "Ready",
        "Failed",
        "Stopped",
        "Stopped"
      ])
    })
  )

  test(
    "is refused with the error that the application gets",
    Effect.gen(function*() {
      const { client } = yield* lead
      const invalid = yield* Effect.flip(client.Invalid())
      assert(invalid instanceof RegistrationError && invalid.reason._tag === "InvalidName")
      yield* Effect.forEach([1, 2, 3], () => client.Register({ kind: "free" }))
      const full = yield* Effect.flip(client.Register({ kind: "free" }))
      assert(full instanceof RegistrationError && full.reason._tag === "SlotsExhausted")
      assert.strictEqual(full.reason.maxWorkers, 4)
    })
  )

  test(
    "calls them, and passes bytes and streams on",
    Effect.gen(function*() {
      const { client } = yield* lead
      const address = yield* client.Register({ kind: "callable" })
      assert.strictEqual(yield* client.Add({ address, a: 2, b: 3 }), 5)
      const numbers = yield* Stream.runCollect(client.Count({ address, to: 500 }))
      assert.deepStrictEqual(numbers, Array.from({ length: 500 }, (_, n) => n + 1))
      const bytes = Uint8Array.from({ length: 3_000_000 }, (_, n) => n % 251)
      assert.strictEqual(Buffer.compare(yield* client.Echo({ address, bytes }), bytes), 0)
    })
  )

  test(
    "calls whom the application has registered, by name or by an address that was written down",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const { client } = yield* lead
      const worker = yield* service.register(Callable)
      const json = yield* Schema.encodeEffect(Schema.toCodecJson(WorkerAddress))(worker.address)
      const address = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(WorkerAddress))(
        JSON.parse(JSON.stringify(json))
      )
      assert.strictEqual(yield* client.Add({ address, a: 20, b: 3 }), 23)
      assert.deepStrictEqual(yield* client.Find({ name: "callable" }), [worker.address])
      assert.deepStrictEqual(yield* client.Find({ name: "nobody" }), [])
      const handle = yield* service.resolve(address, Callable)
      assert.strictEqual(yield* (yield* handle.client).Add({ a: 1, b: 1 }), 2)
    })
  )

  test(
    "finds nobody at a stale address, and nothing at another postmaster's",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const { client } = yield* lead
      const address = yield* client.Register({ kind: "free" })
      assert.strictEqual(yield* client.Terminate({ address }), "Stopped")
      assert.strictEqual(yield* client.Terminate({ address }), "Stopped")
      const other = yield* client.Register({ kind: "free" })
      assert.strictEqual(other.ref.slot, address.ref.slot)
      const stale = yield* service.resolve(address, Free)
      assert.strictEqual((yield* stale.status)._tag, "Stopped")
      assert.instanceOf(yield* Effect.flip(stale.client), WorkerStopped)
      assert.instanceOf(yield* Effect.flip(service.resolve({ ...address, postmaster: "elsewhere" })), ForeignAddress)
    })
  )

  test(
    "hears what ended a worker that it has called, from every call",
    Effect.gen(function*() {
      const { client } = yield* lead
      const address = yield* client.Register({ kind: "callable" })
      const errors = yield* client.Bereave({ address, pending: 300 })
      assert.strictEqual(errors.length, 300)
      for (const error of errors) assert.include(error, "asked to die")
      assert.strictEqual(yield* client.Add({ address, a: 1, b: 2 }), 3)
    })
  )

  test(
    "has as many views of its postmaster as it likes",
    Effect.gen(function*() {
      const { client } = yield* lead
      assert.strictEqual(yield* client.Again({ times: 5 }), 5)
      assert.deepStrictEqual(yield* client.Names(), ["leader"])
    })
  )

  if (processes) {
    test(
      "waits for a worker that is stopped, and nobody else does",
      Effect.gen(function*() {
        const service = yield* Postmaster
        const { client } = yield* lead
        const address = yield* client.Register({ kind: "callable" })
        const pid = yield* (yield* service.resolve(address)).waitForReady
        const other = yield* client.Register({ kind: "callable" })
        assert.strictEqual(yield* client.Add({ address: other, a: 1, b: 1 }), 2)
        process.kill(pid, "SIGSTOP")
        const echoes = yield* Effect.forEach(
          Array.from({ length: 40 }),
          () => Effect.forkScoped(client.Echo({ address, bytes: new Uint8Array(100_000) }))
        )
        assert.deepStrictEqual((yield* client.Names()).length, 3)
        assert.strictEqual(yield* client.Add({ address: other, a: 2, b: 2 }), 4)
        assert.isTrue(echoes.some((echo) => echo.pollUnsafe() === undefined))
        process.kill(pid, "SIGCONT")
        for (const echo of echoes) assert.strictEqual((yield* Fiber.join(echo)).length, 100_000)
      })
    )
  }

  for (const how of ["fail", "die"] as const) {
    test(
      `takes what it owns along when its life ends by ${how}, and leaves the rest`,
      Effect.gen(function*() {
        const service = yield* Postmaster
        const { client, leader } = yield* lead
        const free = yield* service.resolve(yield* client.Register({ kind: "free" }))
        const owned = yield* service.resolve(yield* client.Register({ kind: "owned" }), Owned)
        const pid = yield* free.waitForReady
        yield* owned.waitForReady
        yield* Effect.flip(client.Leave({ how }))
        yield* owned.waitForEnd
        const next = yield* leader.waitForClient
        assert.deepStrictEqual(yield* free.status, { _tag: "Ready", pid })
        assert.deepStrictEqual((yield* next.Names()).toSorted(), ["leader", "mortal"])
      })
    )
  }

  test(
    "can ask a lot, and keeps nobody else waiting",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const { client } = yield* lead
      const flood = yield* Effect.forkScoped(client.Flood({ times: 5_000 }))
      const other = yield* service.register(Free)
      assert.strictEqual(yield* (yield* other.client).Add({ a: 1, b: 1 }), 2)
      assert.strictEqual(yield* Fiber.join(flood), 5_000)
    })
  )
})
