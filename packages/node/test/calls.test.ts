/**
 * Typed calls, the same on every spawner: answers, errors, streams, interruption,
 * and what becomes of a call when the life ends that it was made to.
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Callable, Mortal, Narrow, Slow, TooLarge } from "./fixtures/callable.ts"
import { spawners } from "./support.ts"

const patience = 60_000

const postmaster = (layer: Layer.Layer<Spawner>) =>
  Postmaster.layer().pipe(Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })]))

/** Asks again and again, until the worker has written it down. */
const untilNoted = (diary: Effect.Effect<ReadonlyArray<string>, unknown>, text: string) =>
  diary.pipe(
    Effect.flatMap((lines) => lines.includes(text) ? Effect.void : Effect.fail(`not noted: ${text}`)),
    Effect.retry({ while: (error) => typeof error === "string" })
  )

describe.each(spawners)("a worker called as a $name", ({ layer, processes }) => {
  const test = (
    name: string,
    body: Effect.Effect<void, unknown, Postmaster | Scope.Scope>
  ) => it.live(name, () => Effect.provide(body, postmaster(layer)).pipe(Effect.scoped), patience)

  test(
    "answers",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Callable)
      const client = yield* worker.client
      assert.strictEqual(yield* client.Add({ a: 2, b: 3 }), 5)
      const many = yield* Effect.forEach(
        Array.from({ length: 200 }, (_, n) => n),
        (n) => client.Add({ a: n, b: 1 }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(many, Array.from({ length: 200 }, (_, n) => n + 1))
    })
  )

  test(
    "is called before it is ready, and answers when it is",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Slow)
      assert.strictEqual(yield* (yield* worker.client).Add({ a: 2, b: 3 }), 5)
    })
  )

  test(
    "fails with its own errors, and lives on",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      assert.deepStrictEqual(yield* Effect.flip(client.Add({ a: 999, b: 2 })), new TooLarge({ limit: 1_000 }))
      const exit = yield* Effect.exit(client.Die())
      assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.include(Cause.pretty(exit.cause), "a bug in a handler")
      const wrong = yield* Effect.exit(client.Wrong())
      assert(Exit.isFailure(wrong) && Cause.hasDies(wrong.cause))
      assert.strictEqual(yield* client.Add({ a: 1, b: 1 }), 2)
    })
  )

  test(
    "returns bytes as they were",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      for (const size of [0, 1, 65_535, 65_536, 1_000_003, 5_000_000]) {
        const bytes = Uint8Array.from({ length: size }, (_, n) => (n * 7 + size) % 251)
        const echoed = yield* client.Echo({ bytes })
        assert.strictEqual(Buffer.compare(echoed, bytes), 0, `${size} bytes`)
      }
    })
  )

  test(
    "is given bytes as they were when it was called, whatever becomes of them then",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      for (const size of [1_000, 100_000, 1_000_000]) {
        const bytes = new Uint8Array(size)
        const calls: Array<Fiber.Fiber<Uint8Array, unknown>> = []
        for (let n = 1; n <= 8; n++) {
          calls.push(yield* Effect.forkChild(client.Echo({ bytes: bytes.fill(n) }), { startImmediately: true }))
          bytes.fill(0)
        }
        const echoed = yield* Effect.forEach(calls, (call) => Fiber.join(call))
        assert.deepStrictEqual(
          echoed.map((echo) => [echo.length, new Set(echo)]),
          calls.map((_, at) => [size, new Set([at + 1])])
        )
        // Nor was anything taken away from the caller.
        assert.strictEqual(bytes.length, size)
      }
    })
  )

  test(
    "is given bytes out of a larger whole, and gives bytes that are the caller's",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      const whole = Uint8Array.from({ length: 300_000 }, (_, at) => at * 7)
      const part = whole.subarray(1_001, 201_001)
      const first = yield* client.Echo({ bytes: part })
      const second = yield* client.Echo({ bytes: part })
      first.fill(0)
      assert.strictEqual(Buffer.compare(second, part), 0)
      assert.strictEqual(Buffer.compare(whole, Uint8Array.from({ length: 300_000 }, (_, at) => at * 7)), 0)
      // What was given can be sent again, and stays.
      assert.strictEqual(Buffer.compare(yield* client.Echo({ bytes: second }), part), 0)
      assert.strictEqual(Buffer.compare(second, part), 0)
    })
  )

  test(
    "streams, with the error at its end",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      const numbers = yield* Stream.runCollect(client.Count({ to: 1_000 }))
      assert.deepStrictEqual(numbers, Array.from({ length: 1_000 }, (_, n) => n + 1))
      const seen: Array<number> = []
      const error = yield* client.Count({ to: 2_000 }).pipe(
        Stream.runForEach((n) => Effect.sync(() => void seen.push(n))),
        Effect.flip
      )
      assert.deepStrictEqual(error, new TooLarge({ limit: 1_000 }))
      assert.strictEqual(seen.at(-1), 1_000)
    })
  )

  test(
    "is held back by a reader who is slow, and answers others meanwhile",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      const pull = yield* Stream.toPull(client.Pour({ chunks: 250, bytes: 10_000 }))
      yield* pull
      // Whatever could be poured without being drunk has been poured when the same answer comes three times.
      const poured = Effect.map(client.Diary(), (lines) => lines.length)
      let count = 0
      for (let same = 0; same < 3;) {
        yield* client.Add({ a: 1, b: 1 })
        const now = yield* poured
        same = now === count ? same + 1 : 0
        count = now
      }
      assert.isBelow(count, 40)
      let chunks = 1
      yield* Effect.whileLoop({
        while: () => chunks < 250,
        body: () => pull,
        step: (some) => void (chunks += some.length)
      })
      assert.strictEqual(chunks, 250)
    })
  )

  test(
    "hears that a call was interrupted, and no other",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      const [one, other] = yield* Effect.forEach(["one", "other"], (name) => Effect.forkScoped(client.Hang({ name })))
      yield* untilNoted(client.Diary(), "one hangs")
      yield* untilNoted(client.Diary(), "other hangs")
      yield* Fiber.interrupt(one!)
      yield* untilNoted(client.Diary(), "one was interrupted")
      assert.isUndefined(other!.pollUnsafe())
      assert.notInclude(yield* client.Diary(), "other was interrupted")
    })
  )

  test(
    "hears that a client is gone, and keeps those of others",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const stays = yield* worker.client
      const scope = yield* Scope.make()
      const goes = yield* Scope.provide(worker.client, scope)
      const left = yield* Effect.forkScoped(goes.Hang({ name: "left" }))
      const kept = yield* Effect.forkScoped(stays.Hang({ name: "kept" }))
      yield* untilNoted(stays.Diary(), "left hangs")
      yield* untilNoted(stays.Diary(), "kept hangs")
      yield* Scope.close(scope, Exit.void)
      yield* untilNoted(stays.Diary(), "left was interrupted")
      assert(Exit.hasInterrupts(yield* Fiber.await(left)))
      assert.isUndefined(kept.pollUnsafe())
    })
  )

  test(
    "answers a few at a time, if it is told to",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Narrow)
      const client = yield* worker.client
      const first = yield* Effect.forkScoped(client.Hang({ name: "first" }))
      yield* untilNoted(client.Diary(), "first hangs")
      const second = yield* Effect.forkScoped(client.Hang({ name: "second" }))
      const third = yield* Effect.forkScoped(client.Add({ a: 1, b: 1 }))
      yield* Fiber.interrupt(first)
      assert.strictEqual(yield* Fiber.join(third), 2)
      yield* Fiber.interrupt(second)
    })
  )

  test(
    "is called within the caller's trace",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      const [span, seen] = yield* Effect.all([Effect.currentSpan, client.Span()]).pipe(Effect.withSpan("caller"))
      assert.strictEqual(seen.traceId, span.traceId)
      // The parent is the span of the call itself, which the caller's tracer has made.
      assert.notStrictEqual(seen.parent, "none")
    })
  )

  const expected = { return: "Done", fail: "Failed", die: "Crashed", "kill -9": "Crashed" }
  for (const how of ["return", "fail", "die", ...(processes ? ["kill -9"] as const : [])] as const) {
    test(
      `leaves nobody waiting when it ends by ${how}`,
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Mortal)
        const client = yield* worker.client
        const pending = yield* Effect.forEach(
          Array.from({ length: 500 }),
          () => Effect.forkScoped(client.Hang({ name: "pending" }))
        )
        const streams = yield* Effect.forEach(
          Array.from({ length: 500 }),
          () => Effect.forkScoped(Stream.runForEach(client.Drip(), () => Effect.sleep("10 millis")))
        )
        yield* untilNoted(client.Diary(), "pending hangs")
        if (how === "kill -9") process.kill(yield* worker.waitForStartup, "SIGKILL")
        else pending.push(yield* Effect.forkScoped(client.Leave({ how })))
        const ends = yield* Effect.forEach([...pending, ...streams], (fiber) => Fiber.await(fiber))
        for (const end of ends) {
          const error = Exit.isFailure(end) ? Cause.squash(end.cause) : end
          assert.instanceOf(error, WorkerStopped)
          assert.isFalse(error.isRetryable)
          assert.strictEqual(
            ExitStatus.verdict(error.lastExit!),
            expected[how]
          )
        }
        assert.instanceOf(yield* Effect.flip(client.Add({ a: 1, b: 1 })), WorkerStopped)
        assert.instanceOf(yield* Effect.flip(worker.client), WorkerStopped)
        assert.instanceOf(yield* Effect.flip(worker.waitForClient), WorkerStopped)
      })
    )
  }

  test(
    "is called again in its next life",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Callable)
      for (let life = 0; life < 3; life++) {
        const client = yield* worker.waitForClient
        assert.strictEqual(yield* client.Add({ a: life, b: 1 }), life + 1)
        const error = yield* Effect.flip(client.Leave({ how: "die" }))
        assert.instanceOf(error, WorkerStopped)
        assert.isTrue(error.isRetryable)
        assert.include(error.message, "asked to die")
      }
      const sum = yield* Effect.scoped(Effect.flatMap(worker.waitForClient, (client) => client.Add({ a: 1, b: 2 })))
        .pipe(
          Effect.retry({ while: (error) => error._tag === "WorkerStopped" && error.isRetryable })
        )
      assert.strictEqual(sum, 3)
    })
  )

  test(
    "answers no call with the end of what it needs",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mortal)
      const client = yield* worker.client
      const borrowed = yield* Effect.forkScoped(client.Borrow())
      yield* client.Add({ a: 1, b: 1 })
      yield* worker.terminate
      assert.instanceOf(yield* Effect.flip(Fiber.join(borrowed)), WorkerStopped)
    })
  )

  test(
    "is told to stop in the middle of its calls",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Callable)
      const client = yield* worker.client
      const pending = yield* Effect.forkScoped(client.Hang({ name: "pending" }))
      yield* untilNoted(client.Diary(), "pending hangs")
      yield* worker.terminate
      const error = yield* Effect.flip(Fiber.join(pending))
      assert.instanceOf(error, WorkerStopped)
      assert.isFalse(error.isRetryable)
    })
  )

  test(
    "is found by its definition, and called",
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      yield* postmaster.register(Mortal)
      const [found] = yield* postmaster.find(Mortal)
      const client = yield* found!.client
      assert.strictEqual(yield* client.Add({ a: 2, b: 2 }), 4)
    })
  )
})
