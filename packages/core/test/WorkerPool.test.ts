/** Pools of workers that are fibers: who is called, how many there are, and that no call is left waiting. */
import { Postmaster, PostmasterConfig, type PostmasterConfigOptions, SpawnerFiber } from "@effect-postmaster/core"
import * as WorkerPool from "@effect-postmaster/core/WorkerPool"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { held, Mortal, Refused, Returning, Stillborn, Told } from "./fixtures/pooled.ts"

const test = (
  name: string,
  body: () => Effect.Effect<void, unknown, Postmaster | Scope.Scope>,
  config?: PostmasterConfigOptions
) =>
  it.effect(name, () =>
    Effect.suspend(() => {
      held.clear()
      return Effect.scoped(body())
    }).pipe(
      Effect.provide(Postmaster.layer().pipe(Layer.provide([SpawnerFiber.layer, PostmasterConfig.layer(config)])))
    ))

/** Waits for what takes no time of the test's clock: modules are imported, fibers go on. */
const until = <R>(what: string, look: Effect.Effect<boolean, never, R>) =>
  look.pipe(
    Effect.flatMap((isSo) => isSo ? Effect.void : Effect.fail(`not yet: ${what}`)),
    Effect.eventually
  )

const untilReady = (pool: Pick<WorkerPool.WorkerPool<never>, "stats">, ready: number) =>
  until(`${ready} ready`, Effect.map(pool.stats, (stats) => stats.ready === ready))

const untilHeld = (...keys: ReadonlyArray<string>) =>
  until(`${keys} held`, Effect.sync(() => keys.every((key) => held.has(key))))

const release = (key: string) => Effect.suspend(() => held.get(key)!.release)

const now = { startImmediately: true }

/** Has a fiber pause before whatever it would do next. */
class PausingScheduler extends Scheduler.MixedScheduler {
  pauses = false
  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    const pauses = this.pauses
    this.pauses = false
    return pauses || super.shouldYield(fiber)
  }
}

const failure = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.map(
    Fiber.await(fiber),
    (exit) => Exit.isFailure(exit) ? Cause.squash(exit.cause) : assert.fail("it succeeded")
  )

const tagOf = (error: unknown) => (error as { readonly _tag: string })._tag

const names = Effect.gen(function*() {
  return (yield* (yield* Postmaster).snapshot).workers.map((worker) => worker.name)
})

describe("who is called", () => {
  test("each in its turn", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 3, strategy: "RoundRobin" })
      yield* untilReady(pool, 3)
      const answers = yield* Effect.forEach(Array.from({ length: 6 }), () => pool.client.Who())
      assert.deepStrictEqual(answers.slice(0, 3).toSorted(), ["mortal 1", "mortal 2", "mortal 3"])
      assert.deepStrictEqual(answers.slice(3), answers.slice(0, 3))
    }))

  test("the least busy, and of these the oldest; a stream counts until it has ended", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 2 })
      yield* untilReady(pool, 2)
      const first = yield* pool.client.Who()
      assert.strictEqual(yield* pool.client.Who(), first)
      for (const key of ["a", "b", "c"]) {
        yield* Effect.forkChild(pool.client.Hold({ key }), now)
        yield* untilHeld(key)
      }
      assert.deepStrictEqual(["a", "b", "c"].map((key) => held.get(key)!.by === first), [true, false, true])
      const scope = yield* Scope.make()
      yield* Scope.provide(Stream.toPull(pool.client.Drip()), scope).pipe(Effect.flatten)
      // Two calls each now, and the oldest is called; without the stream the other one has one.
      assert.strictEqual(yield* pool.client.Who(), first)
      yield* Scope.close(scope, Exit.void)
      assert.notStrictEqual(yield* pool.client.Who(), first)
      assert.strictEqual((yield* pool.stats).calls, 3)
    }))

  test("errors, streams and queues are those of the worker", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 2, concurrency: 1 })
      assert.deepStrictEqual(yield* Effect.flip(pool.client.Refuse()), new Refused())
      assert.deepStrictEqual(yield* Stream.runCollect(pool.client.Count({ to: 5 })), [1, 2, 3, 4, 5])
      const taken = yield* Effect.scoped(
        Effect.flatMap(pool.client.Count({ to: 3 }, { asQueue: true }), (queue) => Queue.collect(queue))
      )
      assert.deepStrictEqual(taken, [1, 2, 3])
      assert.strictEqual((yield* pool.stats).calls, 0)
    }))
})

describe("calls that wait", () => {
  test("are served in their order, and one that is interrupted is forgotten", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 1, concurrency: 1 })
      const [, second, third] = yield* Effect.forEach(
        ["first", "second", "third"],
        (key) => Effect.forkChild(pool.client.Hold({ key }), now)
      )
      yield* untilHeld("first")
      assert.deepStrictEqual(yield* pool.stats, { workers: 1, ready: 1, calls: 3, waiting: 2 })
      yield* Fiber.interrupt(second!)
      yield* release("first")
      yield* untilHeld("third")
      assert.isFalse(held.has("second"))
      yield* release("third")
      assert.strictEqual(yield* Fiber.join(third!), "mortal 1")
      assert.deepStrictEqual(yield* pool.stats, { workers: 1, ready: 1, calls: 0, waiting: 0 })
    }))

  test("give back the place they are given in the moment of their interruption", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 1, concurrency: 1 })
      yield* untilReady(pool, 1)
      const scheduler = new PausingScheduler()
      const first = yield* Effect.forkChild(
        // Goes on in the same breath in which the other one is given its place.
        Effect.andThen(pool.client.Hold({ key: "first" }), Effect.sync(() => second.interruptUnsafe())),
        now
      )
      yield* untilHeld("first")
      const second: Fiber.Fiber<string, unknown> = yield* pool.client.Hold({ key: "second" }).pipe(
        Effect.provideService(Scheduler.Scheduler, scheduler),
        Effect.forkChild(now)
      )
      yield* until("it waits", Effect.map(pool.stats, ({ waiting }) => waiting === 1))
      scheduler.pauses = true
      yield* release("first")
      yield* Fiber.join(first)
      assert(Exit.hasInterrupts(yield* Fiber.await(second)))
      assert.isFalse(held.has("second"))
      assert.strictEqual((yield* pool.stats).calls, 0)
      assert.strictEqual(yield* pool.client.Who(), "mortal 1")
    }))

  test("are as many as may, and no more", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 1, concurrency: 1, maxWaiting: 1 })
      yield* untilReady(pool, 1)
      const calls = yield* Effect.forEach(["a", "b"], (key) => Effect.forkChild(pool.client.Hold({ key }), now))
      const error = yield* Effect.flip(pool.client.Who())
      assert.deepStrictEqual(error, new WorkerPool.PoolFull({ name: "mortal", maxWaiting: 1 }))
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(pool.client.Count({ to: 1 }))), error)
      const inQueue = yield* Effect.scoped(
        Effect.flatMap(pool.client.Count({ to: 1 }, { asQueue: true }), (queue) => Effect.flip(Queue.take(queue)))
      )
      assert.deepStrictEqual(inQueue, error)
      for (const [n, key] of ["a", "b"].entries()) {
        yield* untilHeld(key)
        yield* release(key)
        assert.strictEqual(yield* Fiber.join(calls[n]!), "mortal 1")
      }
    }))

  test("outlive the worker that would have had them", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 2, concurrency: 1 })
      yield* untilReady(pool, 2)
      yield* Effect.forkChild(pool.client.Hold({ key: "a" }), now)
      const leaving = yield* Effect.forkChild(pool.client.Leave({ how: "die" }), now)
      const waiting = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.forkChild(pool.client.Who(), now)
      )
      assert.strictEqual(tagOf(yield* failure(leaving)), "WorkerStopped")
      assert.strictEqual((yield* pool.stats).waiting, 20)
      yield* untilHeld("a")
      const { by } = held.get("a")!
      yield* release("a")
      for (const fiber of waiting) assert.strictEqual(yield* Fiber.join(fiber), by)
    }))

  test("are refused at most until there is another worker", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { minSize: 1, maxSize: 2, concurrency: 1, maxWaiting: 0 })
      yield* untilReady(pool, 1)
      yield* Effect.forkChild(pool.client.Hold({ key: "a" }), now)
      assert.strictEqual(tagOf(yield* Effect.flip(pool.client.Who())), "PoolFull")
      yield* untilReady(pool, 2)
      yield* untilHeld("a")
      assert.notStrictEqual(yield* pool.client.Who(), held.get("a")!.by)
    }))

  test("do not wait for one that rests, if there may be another", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Returning, { minSize: 1, maxSize: 2 })
      yield* Effect.flip(pool.client.Leave({ how: "die" }))
      assert.strictEqual(yield* pool.client.Who(), "returning 2")
    }))

  test("wait for the next life, if one is due", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Returning, { size: 1 })
      assert.strictEqual(tagOf(yield* Effect.flip(pool.client.Leave({ how: "die" }))), "WorkerStopped")
      const next = yield* Effect.forkChild(pool.client.Who(), now)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(next.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), "returning 1")
    }))
})

describe("a worker that ends", () => {
  test("fails its own calls, and later ones go to the living at once", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 2 })
      yield* untilReady(pool, 2)
      const keys = ["a", "b", "c", "d"]
      const calls = yield* Effect.forEach(keys, (key) => Effect.forkChild(pool.client.Hold({ key }), now))
      yield* untilHeld(...keys)
      const asked = yield* Effect.forkChild(
        // As soon as it is told, and so before anybody else is.
        Effect.catchTag(pool.client.Leave({ how: "die" }), "WorkerStopped", () => pool.client.Who()),
        now
      )
      const survivor = yield* Fiber.join(asked)
      for (const [n, key] of keys.entries()) {
        if (held.get(key)!.by === survivor) {
          yield* release(key)
          assert.strictEqual(yield* Fiber.join(calls[n]!), survivor)
        } else assert.strictEqual(tagOf(yield* failure(calls[n]!)), "WorkerStopped")
      }
      assert.strictEqual(yield* pool.client.Who(), survivor)
    }))

  test("is not called by whoever knows that it has ended", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 2 })
      yield* untilReady(pool, 2)
      const [first, second] = yield* pool.workers
      yield* first!.terminate
      yield* first!.waitForEnd
      assert.strictEqual(yield* pool.client.Who(), second!.name)
      yield* second!.terminate
      yield* second!.waitForEnd
      const next = yield* Effect.forkChild(pool.client.Who(), now)
      yield* TestClock.adjust("1 second")
      assert.isTrue((yield* Fiber.join(next)).startsWith("mortal "))
    }))

  test("for good is replaced, under its name, no sooner than a second after it was registered", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 1 })
      yield* Effect.flip(pool.client.Leave({ how: "return" }))
      const next = yield* Effect.forkChild(pool.client.Who(), now)
      yield* until("it is gone", Effect.map(pool.stats, ({ workers }) => workers === 0))
      // In many steps, so that whoever comes too early has come before the end.
      for (let step = 0; step < 99; step++) yield* TestClock.adjust("10 millis")
      assert.isUndefined(next.pollUnsafe())
      assert.deepStrictEqual(yield* names, [])
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* Fiber.join(next), "mortal 1")
      yield* TestClock.adjust("1 second")
      yield* Effect.flip(pool.client.Leave({ how: "die" }))
      // This one has lived long enough.
      assert.strictEqual(yield* pool.client.Who(), "mortal 1")
    }))

  test("before it is ready fails what waits, and is replaced ever more slowly", () =>
    Effect.gen(function*() {
      const births: Array<string> = []
      yield* (yield* Postmaster).events.pipe(
        Stream.runForEach((event) => Effect.sync(() => void births.push(event._tag))),
        Effect.forkChild(now)
      )
      const pool = yield* WorkerPool.make(Stillborn, { size: 1 })
      const error = yield* Effect.flip(pool.client.Who())
      assert.strictEqual(tagOf(error), "WorkerStopped")
      assert.include((error as Error).message, "no luck")
      const started = () => births.filter((tag) => tag === "Started").length
      for (let minute = 0; minute < 60; minute++) yield* TestClock.adjust("1 minute")
      assert.isAbove(started(), 30)
      assert.isBelow(started(), 120)
    }))
})

describe("how many there are", () => {
  test("as many as there is work for, and fewer when they are idle", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { minSize: 1, maxSize: 3, idleTimeout: "1 minute" })
      assert.deepStrictEqual(yield* names, ["mortal 1"])
      yield* untilReady(pool, 1)
      for (const [n, key] of ["a", "b", "c", "d"].entries()) {
        yield* Effect.forkChild(pool.client.Hold({ key }), now)
        yield* untilReady(pool, Math.min(n + 1, 3))
      }
      yield* untilHeld("a", "b", "c", "d")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* names, ["mortal 1", "mortal 2", "mortal 3"])
      yield* release("d")
      yield* until("d answered", Effect.map(pool.stats, ({ calls }) => calls === 3))
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* pool.stats).workers, 3)
      yield* TestClock.adjust("1 second")
      yield* until("it is gone", Effect.map(names, (names) => names.length < 3))
      assert.strictEqual((yield* pool.stats).workers, 2)
      for (const key of ["a", "b", "c"]) yield* release(key)
      yield* until("all answered", Effect.map(pool.stats, ({ calls }) => calls === 0))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* pool.stats).workers, 1)
      assert.strictEqual(yield* pool.client.Who(), "mortal 1")
    }))

  test("many at once, when many calls come at once", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { minSize: 0, maxSize: 3, concurrency: 2 })
      assert.deepStrictEqual(yield* names, [])
      const calls = yield* Effect.forkChild(
        Effect.forEach(["a", "b", "c"], (key) => pool.client.Hold({ key }), { concurrency: "unbounded" }),
        now
      )
      yield* untilHeld("a", "b", "c")
      assert.strictEqual((yield* names).length, 2)
      for (const key of ["a", "b", "c"]) yield* release(key)
      yield* Fiber.join(calls)
      yield* TestClock.adjust("1 minute")
      yield* until("none is left", Effect.map(names, (names) => names.length === 0))
      assert.isTrue((yield* pool.client.Who()).startsWith("mortal "))
    }))

  test("no more than there are slots, until there are more", () =>
    Effect.gen(function*() {
      const other = yield* (yield* Postmaster).register(Returning)
      const pool = yield* WorkerPool.make(Mortal, { size: 4 })
      yield* untilReady(pool, 2)
      assert.strictEqual((yield* pool.stats).workers, 2)
      yield* other.terminate
      yield* other.waitForEnd
      assert.strictEqual((yield* pool.stats).workers, 2)
      yield* TestClock.adjust("1 minute")
      yield* untilReady(pool, 3)
      assert.deepStrictEqual((yield* names).toSorted(), ["mortal 1", "mortal 2", "mortal 3"])
    }), { maxWorkers: 3 })

  test("no more than the class may have; they are given their arguments", () =>
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Told, { minSize: 2, maxSize: 4, args: { delay: 3 } })
      assert.deepStrictEqual(yield* names, ["told 1"])
      assert.strictEqual(yield* pool.client.Who(), "told 1")
    }), { classLimits: { told: 1 } })

  test(
    "none at all: a pool that needs one fails, and one that needs none fails its calls",
    () =>
      Effect.gen(function*() {
        const other = yield* (yield* Postmaster).register(Returning)
        const error = yield* Effect.flip(WorkerPool.make(Mortal, { size: 2 }))
        assert.strictEqual(error.reason._tag, "SlotsExhausted")
        const pool = yield* WorkerPool.make(Mortal, { minSize: 0, maxSize: 2 })
        for (let n = 0; n < 3; n++) {
          assert.strictEqual(tagOf(yield* Effect.flip(pool.client.Who())), "RegistrationError")
        }
        yield* other.terminate
        yield* other.waitForEnd
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* pool.client.Who(), "mortal 1")
      }),
    { maxWorkers: 1 }
  )

  test("a number that makes sense", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<WorkerPool.Size & WorkerPool.Limits> = [
        { size: 0 },
        { size: 1.5 },
        { minSize: 3, maxSize: 2 },
        { minSize: -1, maxSize: 2 },
        { maxSize: 2, idleTimeout: Number.NaN },
        { size: 2, concurrency: 0 },
        { size: 2, maxWaiting: -1 }
      ]
      for (const options of wrong) {
        const exit = yield* Effect.exit(WorkerPool.make(Mortal, options))
        assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.include(Cause.pretty(exit.cause), "cannot have a")
      }
      assert.deepStrictEqual(yield* names, [])
    }))
})

describe("the end of a pool", () => {
  test("interrupts its calls, waiting or not, and returns when its workers are gone", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(WorkerPool.make(Mortal, { size: 2, concurrency: 2 }), scope)
      yield* untilReady(pool, 2)
      const calls = yield* Effect.forEach(
        Array.from({ length: 10 }),
        (_, n) => Effect.forkChild(pool.client.Hold({ key: `${n}` }), now)
      )
      const streams = yield* Effect.forEach(
        Array.from({ length: 10 }),
        () => Effect.forkChild(Stream.runDrain(pool.client.Drip()), now)
      )
      yield* untilHeld("0", "3")
      assert.deepStrictEqual(yield* pool.stats, { workers: 2, ready: 2, calls: 20, waiting: 16 })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* names, [])
      for (const fiber of [...calls, ...streams]) {
        assert(Exit.hasInterrupts(yield* Fiber.await<unknown, unknown>(fiber)))
      }
      assert(Exit.hasInterrupts(yield* Effect.exit(pool.client.Who())))
      assert.strictEqual((yield* pool.stats).calls, 0)
    }))

  test("comes with its postmaster's: every call ends, and so does every later one", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const pool = yield* WorkerPool.make(Returning, { minSize: 1, maxSize: 2, concurrency: 1 })
      yield* untilReady(pool, 1)
      const calls = yield* Effect.forEach(
        ["a", "b", "c", "d"],
        (key) => Effect.forkChild(pool.client.Hold({ key }), now)
      )
      yield* untilHeld("a", "b")
      yield* postmaster.shutdown("Fast")
      yield* postmaster.awaitHalt
      yield* TestClock.adjust("1 minute")
      for (const call of calls) assert.include(["WorkerStopped", "RegistrationError"], tagOf(yield* failure(call)))
      assert.strictEqual(tagOf(yield* Effect.flip(pool.client.Who())), "RegistrationError")
    }))
})
