import { BackgroundWorker, Postmaster } from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Checkpoint from "../src/internal/checkpoint.ts"
import * as SlotTable from "../src/internal/slotTable.ts"
import { attached, define, every, Harness } from "./machineHarness.ts"

const after = (name: string, ...names: ReadonlyArray<string>) => define(name, { after: names, restart: every(0) })

describe("a worker that starts after another", () => {
  it("waits until that is ready, and says for whom", () => {
    const h = new Harness().run().register(define("db")).register(after("web", "db"))
    assert.deepStrictEqual([h.launched, h.waitingFor("web"), h.wakeIn()], [[], "db", undefined])
    h.born("db")
    assert.deepStrictEqual(h.launched, [])
    h.ready("db")
    assert.deepStrictEqual([h.launched, h.waitingFor("web")], [["web"], undefined])
  })

  it("holds up nobody who comes after it", () => {
    const h = new Harness({ maxLaunchesPerTurn: 1 }).run().register(define("db")).register(after("web", "db"))
    assert.deepStrictEqual(h.register(define("other")).launched, ["other"])
  })

  it("does not wait for a name that nobody bears", () => {
    assert.deepStrictEqual(new Harness().run().register(after("web", "db")).launched, ["web"])
  })

  it("does not wait any more when the last of the name has gone for good", () => {
    const h = new Harness().run().register(define("db")).register(after("web", "db")).born("db")
    assert.deepStrictEqual(h.exits("db", 1).launched, ["web"])
    const two = new Harness().run().register(define("db")).register(define("db", { restart: every(1_000) }))
    two.register(after("web", "db"))
    const [first] = SlotTable.namesakes(two.state.table, "db")
    two.hear({ _tag: "TerminateRequested", ref: first!.ref }).hear({
      _tag: "ChildNotStarted",
      ref: first!.ref,
      error: { _tag: "SpawnError" } as never
    })
    assert.strictEqual(two.waitingFor("web"), "db")
  })

  it("waits through all failures of the other, births too", () => {
    const h = new Harness().run().register(define("db", { restart: every(1_000) })).register(after("web", "db"))
    h.notBorn("db").wake(1_000).born("db").exits("db", 2).wake(1_000).born("db")
    assert.deepStrictEqual([h.launched, h.waitingFor("web")], [[], "db"])
    assert.deepStrictEqual(h.ready("db").launched, ["web"])
  })

  it("is ready once one of several is ready that bear the name", () => {
    const h = new Harness().run().register(define("db")).born("db")
    const first = h.ref("db")
    h.register(define("db")).born("db").register(after("web", "db"))
    assert.deepStrictEqual(h.hear({ _tag: "ChildReady", ref: first }).launched, ["web"])
  })

  it("waits for all of its names, one after the other", () => {
    const h = new Harness().run().register(define("db")).register(define("mail")).register(after("web", "db", "mail"))
    h.born("db", "mail").ready("db")
    assert.deepStrictEqual([h.launched, h.waitingFor("web")], [[], "mail"])
    assert.deepStrictEqual(h.ready("mail").launched, ["web"])
  })

  it("waits anew in each life, and goes on when the other goes", () => {
    const h = new Harness().run().register(define("db", { restart: every(0) })).register(after("web", "db"))
    h.born("db").ready("db").born("web").ready("web").exits("db", 1).born("db")
    assert.strictEqual(h.life("web"), "Running")
    h.exits("web", 1)
    assert.deepStrictEqual([h.launched, h.waitingFor("web")], [[], "db"])
    assert.deepStrictEqual(h.ready("db").launched, ["web"])
  })

  it("waits for its phase, too, and is looked at again when that comes", () => {
    const h = new Harness()
    h.register(define("db", { startTime: "PostmasterStart" }), "Preload").register(after("web", "db"), "Preload")
    h.phase("Startup").born("db").ready("db").exits("db", 0)
    assert.deepStrictEqual(h.phase("Run").launched, ["web"])
  })

  it("can be terminated while it waits, and is forgotten", () => {
    const h = new Harness().run().register(define("db")).register(after("web", "db")).terminate("web").born("db")
    assert.deepStrictEqual(h.ready("db").launched, [])
  })

  it("does not keep a shutdown waiting", () => {
    const h = new Harness().run().register(define("db")).register(after("web", "db")).born("db").shutdown("Fast")
    assert.deepStrictEqual(h.told, ["web Stopped gone"])
  })

  it("starts in order again after a crash of those that are attached", () => {
    const h = new Harness().run().register(attached("db", { restart: every(0) }))
    h.register(attached("web", { after: ["db"], restart: every(0) })).born("db").ready("db").born("web")
    h.exits("db", 2).exits("web", 2).phase("Run")
    assert.deepStrictEqual([h.launched, h.waitingFor("web")], [["db"], "db"])
    assert.deepStrictEqual(h.born("db").ready("db").launched, ["web"])
  })

  it("a thousand that wait for one start in the order of their registration", () => {
    const h = new Harness({ maxWorkers: 1_001, maxLaunchesPerTurn: 2_000 }).run().register(define("db")).born("db")
    const names = Array.from({ length: 1_000 }, (_, index) => `w${index}`)
    for (const name of names) h.register(after(name, "db"))
    assert.deepStrictEqual(h.ready("db").launched, names)
  })

  it("goes on from a checkpoint as it would have gone on itself", () => {
    const h = new Harness().run().register(define("db")).register(after("web", "db")).born("db")
    const loaded = Checkpoint.load(h.state.settings, Checkpoint.save(h.state))
    assert.isUndefined(SlotTable.broken(loaded.table))
    const ref = h.ref("db")
    const other = Object.assign(new Harness(), { state: loaded }).hear({ _tag: "ChildReady", ref })
    assert.deepStrictEqual(other.launched, ["web"])
    const gone = Checkpoint.load(h.state.settings, Checkpoint.save(h.ready("db").state))
    assert.strictEqual(gone.table.names.get("db")?.ready, 1)
  })
})

describe("a circle", () => {
  const roads: ReadonlyArray<
    readonly [string, ReadonlyArray<readonly [string, ReadonlyArray<string>]>, ReadonlyArray<string>]
  > = [
    ["of one", [["a", ["a"]]], ["a", "a"]],
    ["of two", [["a", ["b"]], ["b", ["x", "a"]]], ["b", "a", "b"]],
    ["of three, by the shortest way", [["a", ["b", "x"]], ["b", ["c"]], ["x", []], ["c", ["x", "a"]]], [
      "c",
      "a",
      "b",
      "c"
    ]]
  ]
  for (const [how, registrations, road] of roads) {
    it(`${how} is refused, and its road is named`, () => {
      const h = new Harness().run()
      for (const [name, names] of registrations) h.register(after(name, ...names))
      const reason = h.order("Reject")?.reason
      assert(reason?._tag === "StartOrderCycle")
      assert.deepStrictEqual(reason.road, road)
      assert.include(reason.message, `would start after itself: "${road[0]}" after "${road[1]}"`)
      assert.strictEqual(h.state.table.tenants, registrations.length - 1)
    })
  }

  it("that is none is let in: two roads to the same end", () => {
    const h = new Harness().run()
    for (const [name, ...names] of [["a", "b", "c"], ["b", "d"], ["c", "d"], ["d"]] as const) {
      assert.isDefined(h.register(after(name, ...names)).order("Reply"))
    }
  })

  it("a chain of ten thousand is searched without end of the stack", () => {
    const h = new Harness({ maxWorkers: 10_001, maxLaunchesPerTurn: 1 })
    for (let index = 0; index < 3_000; index++) {
      SlotTable.seat(h.state.table, after(`${index}`, `${index + 1}`), { dynamic: true, now: 0 })
    }
    assert.strictEqual(SlotTable.roadBack(h.state.table, "3000", ["0"])?.length, 3_002)
  })
})

describe("scripted workers", () => {
  it.effect("start one after the other, by definition or by name", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      const entry = { module: new URL("file:///worker.js") }
      const Db = BackgroundWorker.make("db", { entry })
      const Cache = BackgroundWorker.make("cache", { entry, after: [Db] })
      const Web = BackgroundWorker.make("web", { entry, after: [Cache, "db", "nobody"] })
      for (const name of ["db", "cache", "web"]) yield* script(name, Script.serves({ ready: "1 second" }))
      const handles = [
        yield* postmaster.register(Db),
        yield* postmaster.register(Cache),
        yield* postmaster.register(Web)
      ]
      yield* TestClock.adjust("3 seconds")
      yield* Effect.forEach(handles, (handle) => handle.waitForReady)
      assert.deepStrictEqual(
        (yield* journal).flatMap((line) => line._tag === "Spawned" ? [`${line.name} ${line.at}`] : []),
        ["db 0", "cache 1000", "web 2000"]
      )
    }).pipe(Effect.provide(TestPostmaster.layer)))
})
