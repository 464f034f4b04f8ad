/** A worker is replaced without a gap: its successor is ready before it is told to end. */
import { BackgroundWorker, ExitStatus, Postmaster } from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

const entry = { module: new URL("file:///worker.js") }
const Service = BackgroundWorker.make("service", { entry, restart: "10 seconds" })

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options
) => it.effect(name, () => Effect.provide(body(), TestPostmaster.layerWith(options)))

const setup = (...successors: ReadonlyArray<Script.Script>) => setupWith(Script.serves(), ...successors)

const setupWith = Effect.fnUntraced(function*(...lives: ReadonlyArray<Script.Script>) {
  const postmaster = yield* Postmaster
  const { script } = yield* TestSpawner
  yield* script("service", ...lives)
  const before = yield* postmaster.register(Service)
  yield* before.waitForReady
  const states = Effect.map(postmaster.snapshot, ({ workers }) => workers.map(({ ref, state }) => [ref.slot, state]))
  return { postmaster, before, states }
})

const replacing = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

test("the successor is ready first, then the other one is terminated for good", () =>
  Effect.gen(function*() {
    const { before, states } = yield* setup(Script.serves({ ready: "5 seconds" }))
    const fiber = yield* replacing(before.replace)
    yield* TestClock.adjust("4999 millis")
    assert.deepStrictEqual(yield* states, [[0, "Ready"], [1, "Started"]])
    yield* TestClock.adjust("1 millis")
    const after = yield* Fiber.join(fiber)
    assert.strictEqual(after.ref.slot, 1)
    yield* before.waitForEnd
    assert.strictEqual((yield* before.history).at(-1)!.stopCause, "Replaced")
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(yield* states, [[1, "Ready"]])
  }))

test("a successor that is not ready before it ends leaves everything as it was, and can be tried again", () =>
  Effect.gen(function*() {
    const { before, states } = yield* setup(
      Script.fails("no such table", { ready: "never", after: "1 second" }),
      Script.notBorn("no more processes"),
      Script.serves()
    )
    for (const text of ["no such table", "no more processes"]) {
      const fiber = yield* replacing(Effect.flip(before.replace))
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert(error._tag === "WorkerStopped" && !error.isRetryable)
      assert.include(error.message, text)
      assert.deepStrictEqual(yield* states, [[0, "Ready"]])
    }
    const fiber = yield* replacing(before.replace)
    yield* TestClock.adjust(0)
    yield* Fiber.join(fiber)
    yield* before.waitForEnd
    assert.deepStrictEqual(yield* states, [[1, "Ready"]])
  }))

test("once it is in its place, the successor comes back by the policy like any other", () =>
  Effect.gen(function*() {
    const { before, states } = yield* setup(Script.exits(1, { after: "1 second" }), Script.serves())
    const fiber = yield* replacing(before.replace)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(yield* states, [[1, "Resting"]])
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(yield* states, [[1, "Ready"]])
  }))

test("if the other one ends by itself meanwhile, the successor stays, whatever becomes of its first life", () =>
  Effect.gen(function*() {
    const { before, states } = yield* setup(Script.exits(1, { ready: "never", after: "2 seconds" }), Script.serves())
    const { end } = yield* TestSpawner
    const fiber = yield* replacing(Effect.flip(before.replace))
    yield* TestClock.adjust("1 second")
    yield* end(before.ref, ExitStatus.exited(0))
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(yield* states, [[1, "Resting"]])
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(yield* states, [[1, "Ready"]])
  }))

test("one at a time, and nobody who is gone", () =>
  Effect.gen(function*() {
    const { before } = yield* setup(Script.serves({ ready: "5 seconds" }))
    const fiber = yield* replacing(before.replace)
    yield* TestClock.adjust(0)
    const refused = yield* Effect.flip(before.replace)
    assert.strictEqual(
      refused.message,
      "cannot replace background worker \"service\" (slot 0, generation 1): it is being replaced already"
    )
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(fiber)
    yield* before.waitForEnd
    assert.include((yield* Effect.flip(before.replace)).message, "it is gone")
  }))

test("it needs room for two", () =>
  Effect.gen(function*() {
    const { before, states } = yield* setup(Script.serves())
    const refused = yield* Effect.flip(before.replace)
    assert(refused._tag === "RegistrationError")
    assert.strictEqual(refused.reason._tag, "SlotsExhausted")
    assert.deepStrictEqual(yield* states, [[0, "Ready"]])
  }), { config: { maxWorkers: 1 } })

test("a shutdown ends both", () =>
  Effect.gen(function*() {
    const { before, postmaster } = yield* setup(Script.serves({ birth: "1 minute" }))
    const fiber = yield* replacing(Effect.flip(before.replace))
    yield* TestClock.adjust("1 second")
    yield* postmaster.shutdown("Fast")
    yield* TestClock.adjust("1 minute")
    yield* postmaster.awaitHalt
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "WorkerStopped")
  }))

test("a successor that is terminated before it is ready takes nobody's place, even if it gets ready on its way out", () =>
  Effect.gen(function*() {
    const { before, postmaster, states } = yield* setup(
      Script.serves({ ready: "2 seconds", obeys: "5 seconds" }),
      Script.serves()
    )
    const fiber = yield* replacing(Effect.exit(before.replace))
    yield* TestClock.adjust("1 second")
    const [, successor] = yield* postmaster.find("service")
    yield* successor!.terminate
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(yield* states, [[0, "Ready"]])
    const after = yield* before.replace
    yield* before.waitForEnd
    assert.deepStrictEqual(yield* states, [[after.ref.slot, "Ready"]])
  }))

test("whoever is terminated while it is being replaced leaves its successor behind, for good", () =>
  Effect.gen(function*() {
    const { before, states } = yield* setupWith(
      Script.serves({ obeys: "5 seconds" }),
      Script.exits(1, { ready: "never", after: "2 seconds" }),
      Script.serves()
    )
    const fiber = yield* replacing(Effect.flip(before.replace))
    yield* TestClock.adjust("1 second")
    yield* before.terminate
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(yield* states, [[0, "Stopping"], [1, "Resting"]])
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(yield* states, [[1, "Ready"]])
  }))

test("a successor cannot be replaced before it has taken the other one's place", () =>
  Effect.gen(function*() {
    const { before, postmaster } = yield* setup(Script.serves({ ready: "5 seconds" }), Script.serves())
    const fiber = yield* replacing(before.replace)
    yield* TestClock.adjust(0)
    const [, successor] = yield* postmaster.find("service")
    assert.include((yield* Effect.flip(successor!.replace)).message, "it has not yet taken the place of another one")
    yield* TestClock.adjust("5 seconds")
    const after = yield* Fiber.join(fiber)
    assert.notDeepEqual((yield* after.replace).ref, after.ref)
  }))
