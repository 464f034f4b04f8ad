/** Who starts after whom, and how long one waits for somebody to be ready. */
import { BackgroundWorker, Postmaster, preload } from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

const entry = { module: new URL("file:///worker.js") }
const Database = BackgroundWorker.make("database", { entry, restart: "10 seconds" })
const Web = BackgroundWorker.make("web", { entry, after: [Database], restart: "10 seconds" })

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options
) => it.effect(name, () => Effect.provide(body(), TestPostmaster.layerWith(options)))

const states = Effect.gen(function*() {
  const { workers } = yield* (yield* Postmaster).snapshot
  return workers.map(({ name, state, waitingFor }) => [name, state, waitingFor])
})

test("a worker starts when the one before it is ready, not when that has started", () =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    const { script } = yield* TestSpawner
    yield* script("database", Script.serves({ ready: "5 seconds" }))
    yield* postmaster.register(Database)
    const web = yield* postmaster.register(Web)
    yield* TestClock.adjust("4999 millis")
    assert.deepStrictEqual(yield* states, [["database", "Started", undefined], ["web", "Waiting", "database"]])
    yield* TestClock.adjust("1 millis")
    yield* web.waitForReady
    assert.deepStrictEqual(yield* states, [["database", "Ready", undefined], ["web", "Ready", undefined]])
  }))

test(
  "preloads are in order, whichever is listed first",
  () =>
    Effect.gen(function*() {
      const { journal } = yield* TestSpawner
      yield* TestClock.adjust("1 second")
      const spawned = (yield* journal).flatMap((entry) => entry._tag === "Spawned" ? [entry.name] : [])
      assert.deepStrictEqual(spawned, ["database", "web"])
    }),
  { preload: [preload(Web), preload(Database)] }
)

test("a name that nobody bears holds nobody up, nor does one whose last bearer goes", () =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    const { script } = yield* TestSpawner
    yield* (yield* postmaster.register(Web)).waitForReady
    yield* script("database", Script.serves({ ready: "never" }))
    const database = yield* postmaster.register(Database)
    const other = yield* postmaster.register(Web.pipe(BackgroundWorker.named("other")))
    yield* TestClock.adjust("1 hour")
    assert.strictEqual((yield* other.status)._tag, "NotYetStarted")
    yield* database.terminate
    yield* other.waitForReady
  }))

test("each life waits, and one of several is enough", () =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    const { script } = yield* TestSpawner
    yield* script("database", Script.exits(1, { after: "1 second" }), Script.serves({ ready: "30 seconds" }))
    yield* script("web", Script.exits(1, { after: "5 seconds" }), Script.serves())
    yield* postmaster.register(Database)
    yield* postmaster.register(Web)
    yield* TestClock.adjust(0)
    // It has begun in the second in which the database was ready, has failed, and is due again at 15 s.
    yield* TestClock.adjust("20 seconds")
    assert.deepStrictEqual(yield* states, [["database", "Started", undefined], ["web", "Waiting", "database"]])
    yield* script("database", Script.serves())
    yield* (yield* postmaster.register(Database)).waitForReady
    yield* TestClock.adjust(0)
    assert.deepStrictEqual(yield* states, [
      ["database", "Started", undefined],
      ["web", "Ready", undefined],
      ["database", "Ready", undefined]
    ])
  }))

test("one that waits can be terminated, and shut down", () =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    const { script } = yield* TestSpawner
    yield* script("database", Script.serves({ ready: "never" }))
    yield* postmaster.register(Database)
    const [web, second] = [yield* postmaster.register(Web), yield* postmaster.register(Web)]
    yield* TestClock.adjust("1 second")
    yield* web.terminate
    yield* web.waitForEnd
    yield* postmaster.shutdown("Fast")
    yield* second.waitForEnd
    yield* postmaster.awaitHalt
  }))

test("nobody can be asked to start after itself, however long the way", () =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    const define = (name: string, after: ReadonlyArray<string>) => BackgroundWorker.make(name, { entry, after })
    const refused = (worker: typeof Database) => Effect.flip(postmaster.register(worker))
    assert.strictEqual(
      (yield* refused(define("alone", ["alone"]))).message,
      "background worker \"alone\" would start after itself: \"alone\" after \"alone\""
    )
    yield* postmaster.register(define("a", ["b"]))
    yield* postmaster.register(define("b", ["x", "c"]))
    const error = yield* refused(define("c", ["a"]))
    assert(error.reason._tag === "StartOrderCycle")
    assert.deepStrictEqual(error.reason.road, ["c", "a", "b", "c"])
    assert.strictEqual((yield* postmaster.snapshot).workers.length, 2)
  }))

test("waiting for readiness ends, and says what stood in its way", () =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    const { script } = yield* TestSpawner
    yield* script("database", Script.notBorn("no such host"))
    const database = yield* postmaster.register(Database)
    const fiber = yield* Effect.forkChild(Effect.flip(database.waitForReadyWithin("25 seconds")), {
      startImmediately: true
    })
    yield* TestClock.adjust("25 seconds")
    const error = yield* Fiber.join(fiber)
    assert(error._tag === "NotReadyInTime")
    assert.strictEqual(error.lastLife?.endedAt, 20_000)
    assert.include(error.message, "was not ready within 25000 ms; last time it was not started")
    assert.include(error.message, "no such host")
  }))
