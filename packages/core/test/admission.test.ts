import { BackgroundWorker, Postmaster } from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Onlook from "../src/internal/onlook.ts"
import { define, every, Harness } from "./machineHarness.ts"

const entry = { module: new URL("file:///worker.js") }

describe("a key", () => {
  const keyed = (name: string, options: Parameters<typeof define>[1] = {}) => define(name, { key: "k", ...options })

  it("M12 is held by one worker; whoever asks for it again is answered with that one, and nothing is told", () => {
    const h = new Harness().run().register(keyed("a")).born("a")
    const ref = h.ref("a")
    assert.deepStrictEqual(h.register(keyed("a")).orders, [{ _tag: "Reply", request: 1, ref }])
    assert.strictEqual(h.state.table.tenants, 1)
    assert.isDefined(h.register(define("a")).order("Reply"), "without the key there may be another")
    assert.strictEqual(h.state.table.tenants, 2)
  })

  it("needs no free slot, and no place in its class, to be answered with its holder", () => {
    const h = new Harness({ maxWorkers: 1, classLimits: { parallel: 1 } }).run()
    h.register(keyed("a", { class: "parallel" }))
    assert.isDefined(h.register(keyed("a", { class: "parallel" })).order("Reply"))
  })

  it("is refused to a worker of another name, type or entry, which is told who holds it", () => {
    const h = new Harness().run().register(keyed("a")).born("a").ready("a").later(7_900)
    const others = [
      keyed("b"),
      keyed("a", { type: "other" }),
      keyed("a", { entry: { module: "file:///other.js", export: "main" } }),
      keyed("a", { entry: { module: "file:///worker.js", export: "other" } })
    ]
    for (const other of others) {
      const reason = h.register(other).order("Reject")!.reason
      assert(reason._tag === "KeyTaken")
      assert.deepStrictEqual(reason.occupant, { ref: h.ref("a"), name: "a", state: "ready", ageMillis: 7_900 })
      assert.include(reason.message, "key \"k\" is held by \"a\" (slot 0, ready, 7 s old), which is another worker")
    }
    assert.strictEqual(h.state.table.tenants, 1)
  })

  it("is refused as long as its holder ends for good, and free as soon as it has ended", () => {
    const h = new Harness().run().register(keyed("a", { restart: every(1_000) })).born("a").terminate("a")
    const before = h.ref("a")
    const reason = h.register(keyed("a")).order("Reject")!.reason
    assert(reason._tag === "KeyTaken" && reason.isEnding)
    assert.include(reason.message, "which has not ended yet")
    assert.isDefined(h.exits("a", 1).register(keyed("a")).order("Reply"))
    assert.notStrictEqual(h.ref("a").generation, before.generation)
  })

  it("stays with its holder through its failures, its rests and a recovery", () => {
    const h = new Harness().run().register(keyed("a", { restart: every(1_000), flags: ["SharedMemory"] })).born("a")
    const holds = () => assert.deepStrictEqual(h.register(keyed("a")).order("Reply")?.ref, h.ref("a"))
    h.exits("a", 1)
    holds()
    h.wake(1_000).born("a").exits("a", 2)
    holds()
    assert.strictEqual(h.phase("Run").life("a"), "Starting")
    holds()
  })

  it("must be a name", () => {
    const reason = new Harness().run().register(keyed("a", { key: " " })).order("Reject")!.reason
    assert(reason._tag === "InvalidName" && reason.field === "key")
  })

  it("is seen in the snapshot", () => {
    const h = new Harness().run().register(keyed("a")).register(define("b"))
    assert.deepStrictEqual(Onlook.snapshot(h.state, 0).workers.map((worker) => worker.key), ["k", undefined])
  })

  it("T13 that comes and goes ten thousand times leaves nothing behind", () => {
    const h = new Harness().run()
    for (let index = 0; index < 10_000; index++) {
      h.register(define("a", { key: `k${index}` })).born("a").exits("a", 0)
    }
    assert.isAtMost(h.state.table.keys.size, 64)
  })
})

layer(TestPostmaster.layer)("a key, over the front door", (it) => {
  it.effect("asked for by fifty callers at once is one worker, which all of them hold and call the same", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      const Index = BackgroundWorker.make("index", { entry, key: "index" })
      yield* script("index", Script.serves())
      const handles = yield* Effect.all(Array.from({ length: 50 }, () => postmaster.register(Index)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(handles.map(({ ref }) => `${ref.slot}/${ref.generation}`)).size, 1)
      assert.strictEqual((yield* postmaster.snapshot).workers.length, 1)
      const pids = yield* Effect.all(handles.map((handle) => handle.waitForReady), { concurrency: "unbounded" })
      assert.strictEqual(new Set(pids).size, 1)
      yield* handles[7]!.terminate
      yield* Effect.all(handles.map((handle) => handle.waitForEnd), { concurrency: "unbounded" })
    }))

  it.effect("is refused with a typed reason, which names whoever holds it", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("one", Script.serves())
      yield* postmaster.register(BackgroundWorker.make("one", { entry }).pipe(BackgroundWorker.keyed("both")))
      const answer = yield* postmaster.register(BackgroundWorker.keyed(BackgroundWorker.make("two", { entry }), "both"))
        .pipe(
          Effect.catchReason("RegistrationError", "KeyTaken", ({ occupant }) => Effect.succeed(occupant.name)),
          Effect.result
        )
      assert.deepStrictEqual(answer, Result.succeed("one") as never)
    }))
})
