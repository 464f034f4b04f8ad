import { PostmasterDied, SharedMemory, type SharedMemoryError, SharedState } from "@effect-postmaster/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as RpcTest from "effect/rpc/RpcTest"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FramePort from "../src/FramePort.ts"
import * as Callee from "../src/internal/callee.ts"
import * as Caller from "../src/internal/caller.ts"
import { mostBytes } from "../src/internal/cells.ts"
import * as Shared from "../src/internal/sharedMemory.ts"
import { fromClient, handlers, SharedMemoryRpcs } from "../src/internal/sharedMemoryRpcs.ts"
import * as Wire from "../src/internal/wire.ts"

const roomy = { maxBytes: 10_000, maxCells: 100 }
const now = { startImmediately: true }
const died = new PostmasterDied({ detail: "it was shot" })

const Count = SharedState.make("count", Schema.Natural, 0)

const Job = Schema.TaggedUnion({
  Idle: { since: Schema.Date },
  Busy: { files: Schema.Array(Schema.String), note: Schema.optionalKey(Schema.String) }
})

/** A line with a memory at one end, and at the other what a worker makes of it. */
const acrossALine = Effect.fnUntraced(function*(memory: SharedMemory["Service"]) {
  const [near, far] = FramePort.pair()
  const callee = yield* Effect.provide(Callee.make(SharedMemoryRpcs), SharedMemoryRpcs.toLayer(handlers(() => memory)))
  const server = callee.connect(near.send)
  const caller = Caller.make<PostmasterDied>({ send: far.send })
  const heard = (frame: Uint8Array) => Result.getOrThrow(Wire.decode(frame)) as never
  near.listen({ onDrain: server.drain, onFrame: (frame) => server.receive(heard(frame)) })
  far.listen({ onDrain: caller.drain, onFrame: (frame) => caller.receive(heard(frame)) })
  const client = yield* caller.client(SharedMemoryRpcs, {})
  return { memory: fromClient(client), cut: () => caller.end(died) }
})

type Place = (memory: SharedMemory["Service"]) => Effect.Effect<SharedMemory["Service"], never, Scope.Scope>

const places: ReadonlyArray<readonly [string, Place]> = [
  ["in the application", Effect.succeed],
  ["in a worker", (memory) => Effect.map(acrossALine(memory), (line) => line.memory)]
]

const setup = Effect.fnUntraced(function*(place: Place, limits = roomy) {
  const held = Shared.make(limits)
  const memory = yield* place(held.memory)
  const use = Effect.provideService(SharedMemory, memory)
  return { held, memory, use, see: Stream.provideService(SharedMemory, memory) }
})

/** What a watcher has seen; it looks on when `next` lets it. */
const watch = Effect.fnUntraced(function*<A, E>(
  changes: Stream.Stream<A, E>,
  next: Effect.Effect<unknown> = Effect.void
) {
  const seen: Array<A> = []
  const news = yield* Queue.unbounded<A>()
  const fiber = yield* Effect.forkChild(
    Stream.runForEach(changes, (value) => {
      seen.push(value)
      Queue.offerUnsafe(news, value)
      return next
    }),
    now
  )
  return { seen, fiber, take: Queue.take(news) }
})

type Failure = SharedMemoryError | PostmasterDied

const reason = Effect.fnUntraced(function*(effect: Effect.Effect<unknown, Failure>) {
  const error = yield* Effect.flip(effect)
  assert(error._tag === "SharedMemoryError")
  return error.reason
})

type Uses = ReadonlyArray<Effect.Effect<unknown, Failure, SharedMemory>>

for (const [where, place] of places) {
  describe(`a shared value ${where}`, () => {
    it.effect("reads as its initial value, then as what was written, of any schema", () =>
      Effect.gen(function*() {
        const { use } = yield* setup(place)
        const initial = { _tag: "Idle", since: new Date(5) } as const
        const cell = SharedState.make("job", Job, initial)
        assert.strictEqual(yield* use(cell.get), initial)
        const busy = { _tag: "Busy", files: ["a", "ü€"] } as const
        yield* use(cell.set(busy))
        assert.deepStrictEqual(yield* use(cell.get), busy)
        assert.strictEqual(yield* use(cell.modify((job) => [job._tag, { _tag: "Idle", since: new Date(7) }])), "Busy")
        assert.deepStrictEqual(yield* use(cell.get), { _tag: "Idle", since: new Date(7) })
        yield* use(cell.reset)
        assert.strictEqual(yield* use(cell.get), initial)
      }))

    it.effect("50 fibers add 20 times each, and none is lost", () =>
      Effect.gen(function*() {
        const { use } = yield* setup(place)
        const add = Effect.andThen(Effect.yieldNow, Count.update((n) => n + 1))
        const answers = yield* use(
          Effect.forEach(
            Array.from({ length: 50 }),
            () => Effect.andThen(Effect.replicateEffect(add, 19), Count.modify((n) => [n, n + 1])),
            { concurrency: "unbounded" }
          )
        )
        assert.strictEqual(yield* use(Count.get), 1_000)
        assert.strictEqual(new Set(answers).size, 50)
      }))

    it.effect("of many who expect the same, one writes", () =>
      Effect.gen(function*() {
        const { use } = yield* setup(place)
        const initial = { _tag: "Idle", since: new Date(0) } as const
        const cell = SharedState.make("job", Job, initial)
        const claims = yield* use(
          Effect.forEach(
            Array.from({ length: 20 }, (_, index) => index),
            // Equal, and not the same.
            (n) => cell.compareAndSet({ _tag: "Idle", since: new Date(0) }, { _tag: "Busy", files: [`${n}`] }),
            { concurrency: "unbounded" }
          )
        )
        assert.strictEqual(claims.filter((claimed) => claimed).length, 1)
        assert.deepStrictEqual(yield* use(cell.get), { _tag: "Busy", files: [`${claims.indexOf(true)}`] })
      }))

    it.effect("a memory made anew reads as initial, tells its watchers, and takes nothing from before", () =>
      Effect.gen(function*() {
        const { held, memory, see, use } = yield* setup(place)
        yield* use(Count.set(7))
        const before = yield* memory.read("count")
        const watcher = yield* watch(see(Count.changes))
        assert.strictEqual(yield* watcher.take, 7)
        held.clear()
        assert.strictEqual(yield* watcher.take, 0)
        const late = yield* memory.swap("count", before.version, "8")
        assert.strictEqual(late._tag, "Lost")
        assert.strictEqual(yield* use(Count.get), 0)
        // Nothing to tell, though there is another version: it was empty before, too.
        const { version } = yield* memory.read("count")
        const made = yield* Effect.forkChild(memory.changed("count", version), now)
        held.clear()
        yield* Fiber.join(made)
        yield* use(Count.set(1))
        assert.strictEqual(yield* watcher.take, 1)
        assert.deepStrictEqual(watcher.seen, [7, 0, 1])
        yield* Fiber.interrupt(watcher.fiber)
      }))

    it.effect("who was adding when the memory was made anew adds to the new one", () =>
      Effect.gen(function*() {
        const { held, use } = yield* setup(place)
        yield* use(Count.set(41))
        let asked = 0
        yield* use(Count.update((n) => {
          if (asked++ === 0) held.clear()
          return n + 1
        }))
        assert.deepStrictEqual([asked, yield* use(Count.get)], [2, 1])
      }))

    it.effect("a slow watcher sees the newest, a quick one every value, and whoever leaves leaves nothing behind", () =>
      Effect.gen(function*() {
        const { see, use } = yield* setup(place)
        const gate = Latch.makeUnsafe()
        const quick = yield* watch(see(Count.changes))
        const slow = yield* watch(see(Count.changes), gate.await)
        const gone = yield* watch(see(Count.changes))
        for (const watcher of [quick, slow, gone]) assert.strictEqual(yield* watcher.take, 0)
        yield* Fiber.interrupt(gone.fiber)
        for (let n = 1; n <= 100; n++) {
          yield* use(Count.set(n))
          assert.strictEqual(yield* quick.take, n)
        }
        yield* gate.open
        assert.strictEqual(yield* slow.take, 100)
        assert.deepStrictEqual(slow.seen, [0, 100])
        assert.deepStrictEqual(gone.seen, [0])
        yield* Fiber.interrupt(quick.fiber)
        yield* Fiber.interrupt(slow.fiber)
      }))

    it.effect("what has no room is refused, and changes nothing", () =>
      Effect.gen(function*() {
        const { use } = yield* setup(place, { maxBytes: 20, maxCells: 2 })
        const text = SharedState.make("text", Schema.String, "")
        yield* use(text.set("0123456789"))
        const exhausted = yield* reason(use(text.set("0123456789abcdef")))
        assert.deepInclude(exhausted, { _tag: "MemoryExhausted", cell: "text", bytes: 22, taken: 0, maxBytes: 20 })
        assert.include(exhausted.message, "maxSharedBytes")
        const beside = yield* reason(use(Count.set(1)))
        assert.deepInclude(beside, { _tag: "MemoryExhausted", cell: "count", bytes: 6, taken: 16 })
        assert.strictEqual(yield* use(text.get), "0123456789")
        yield* use(text.set(""))
        yield* use(Count.set(1))
        const more = yield* reason(use(SharedState.make("x", Schema.Natural, 0).update((n) => n + 1)))
        assert.deepInclude(more, { _tag: "CellsExhausted", cell: "x", maxCells: 2 })
        yield* use(text.reset)
        yield* use(SharedState.make("x", Schema.Natural, 0).set(2))
      }))

    it.effect("what does not fit the schema is a typed error, and can be written over", () =>
      Effect.gen(function*() {
        const { use } = yield* setup(place)
        const unfit = yield* reason(use(Count.update((n) => n - 1)))
        assert.deepInclude(unfit, { _tag: "CellNotEncoded", cell: "count" })
        const namesake = SharedState.make("count", Schema.String, "")
        yield* use(namesake.set("many"))
        for (
          const effect of [
            Count.get,
            Count.update((n) => n),
            Count.compareAndSet(0, 1),
            Stream.runDrain(Count.changes)
          ] satisfies Uses
        ) {
          const error = yield* reason(use(effect))
          assert.deepInclude(error, { _tag: "CellNotDecoded", cell: "count" })
          assert.notInclude(error.message, "\n")
        }
        yield* use(Count.set(3))
        assert.strictEqual(yield* use(Count.get), 3)
      }))

    it.effect("ends with the postmaster: watchers come to their end, and whoever asks is told", () =>
      Effect.gen(function*() {
        const { held, see, use } = yield* setup(place)
        const watcher = yield* watch(see(Count.changes))
        assert.strictEqual(yield* watcher.take, 0)
        held.end(died)
        held.end(new PostmasterDied({ detail: "twice" }))
        yield* Fiber.join(watcher.fiber)
        for (const effect of [Count.get, Count.set(1), Count.reset] satisfies Uses) {
          assert.deepStrictEqual(yield* Effect.flip(use(effect)), died)
        }
        assert.deepStrictEqual(yield* Stream.runCollect(see(Count.changes)), [])
      }))

    it.effect("who is not attached is told so", () =>
      Effect.gen(function*() {
        const use = Effect.provideService(SharedMemory, yield* place(Shared.notAttached("mailer")))
        for (const effect of [Count.get, Count.set(1), Count.reset, Stream.runDrain(Count.changes)] satisfies Uses) {
          const error = yield* reason(use(effect))
          assert.deepInclude(error, { _tag: "NotAttached", worker: "mailer", cell: "count" })
        }
      }))
  })
}

describe("a shared value", () => {
  it.effect("the application and workers see one memory", () =>
    Effect.gen(function*() {
      const { memory } = Shared.make(roomy)
      const members = [memory, (yield* acrossALine(memory)).memory, (yield* acrossALine(memory)).memory]
      yield* Effect.forEach(
        members,
        (member) =>
          Effect.provideService(Effect.replicateEffect(Count.update((n) => n + 1), 100), SharedMemory, member),
        { concurrency: "unbounded" }
      )
      for (const member of members) {
        assert.strictEqual(yield* Effect.provideService(Count.get, SharedMemory, member), 300)
      }
    }))

  it.effect("a line that is cut ends a worker's watching, and fails what it asks", () =>
    Effect.gen(function*() {
      const { cut, memory } = yield* acrossALine(Shared.make(roomy).memory)
      const watcher = yield* watch(Stream.provideService(Count.changes, SharedMemory, memory))
      assert.strictEqual(yield* watcher.take, 0)
      cut()
      yield* Fiber.join(watcher.fiber)
      assert.strictEqual(yield* Effect.flip(Effect.provideService(Count.get, SharedMemory, memory)), died)
    }))

  it.effect("what no frame could carry is refused before it is sent", () =>
    Effect.gen(function*() {
      const memory = fromClient(
        yield* Effect.provide(
          RpcTest.makeClient(SharedMemoryRpcs),
          SharedMemoryRpcs.toLayer(handlers(() => assert.fail("it was sent")))
        )
      )
      const error = yield* reason(memory.swap("a", 0, "x".repeat(mostBytes)))
      assert.deepInclude(error, { _tag: "MemoryExhausted", bytes: mostBytes + 1, maxBytes: mostBytes })
    }))
})
