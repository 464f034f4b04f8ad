import { BackgroundWorker, Postmaster, PostmasterEvent, Registration, Restart } from "@effect-postmaster/core"
import { signaled } from "@effect-postmaster/core/ExitStatus"
import { slotRef } from "@effect-postmaster/core/Identity"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { pipe } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Restarts from "../src/internal/restarts.ts"
import { attached, define, every, Harness } from "./machineHarness.ts"

const rests = (policy: Restart.Restart, failures: number, luck = 0): ReadonlyArray<number> => {
  assert(policy._tag === "After")
  return Array.from({ length: failures }, (_, index) => Restarts.delay(policy, index + 1, luck))
}

describe("policies are data", () => {
  it("a delay doubles up to five minutes unless it is said otherwise", () => {
    assert.deepStrictEqual(rests(Restart.exponential("1 minute"), 5), [60_000, 120_000, 240_000, 300_000, 300_000])
    assert.deepStrictEqual(rests(Restart.exponential("1 hour"), 2), [3_600_000, 3_600_000])
    assert.deepStrictEqual(rests(Restart.exponential(100, { factor: 3, max: 1_000 }), 4), [100, 300, 900, 1_000])
  })

  it("it stays at its limit however often a worker fails", () => {
    const policy = Restart.exponential(1, { max: "1 hour" })
    assert(policy._tag === "After")
    assert.strictEqual(Restarts.delay(policy, 1_000_000, 0), 3_600_000)
  })

  it("a list is gone through, and its last delay repeats", () => {
    assert.deepStrictEqual(rests(Restart.delays([0, "1 second", "1 minute"]), 5), [0, 1_000, 60_000, 60_000, 60_000])
    assert.deepStrictEqual(rests(Restart.delays(["1 second"]), 2), [1_000, 1_000])
  })

  it("after a list a delay may grow", () => {
    const growth = { factor: 2, maxMillis: 500, jitter: 0 }
    assert.deepStrictEqual(rests({ ...every(0), thenMillis: [100], growth } as Restart.Restart, 6), [
      0,
      100,
      200,
      400,
      500,
      500
    ])
  })

  it("jitter shortens a delay by up to its share", () => {
    const policy = Restart.exponential(1_000, { jitter: 0.5 })
    assert.deepStrictEqual(rests(policy, 2, 0), [1_000, 2_000])
    assert.deepStrictEqual(rests(policy, 2, 0.999_999), [500, 1_000])
  })

  it("luck is the same for the same life, and spread evenly over others", () => {
    const lucks = Array.from({ length: 1_000 }, (_, index) => Restarts.luck(slotRef(index % 10, index % 7), index))
    assert.deepStrictEqual(lucks[17], Restarts.luck(slotRef(7, 3), 17))
    assert.strictEqual(new Set(lucks).size, lucks.length)
    const tenths = Array.from({ length: 10 }, (_, tenth) => lucks.filter((luck) => Math.floor(luck * 10) === tenth))
    for (const { length } of tenths) assert.isTrue(length > 60 && length < 140, `${length} of 1,000 in a tenth`)
    assert.isTrue(lucks.every((luck) => luck >= 0 && luck < 1))
  })

  it("a healthy life lasts sixty seconds, or as long as the longest delay, or as is said", () => {
    const healthy = (policy: Restart.Restart) => policy._tag === "After" ? Restarts.healthyMillis(policy) : undefined
    assert.strictEqual(healthy(Restart.after(0)), 60_000)
    assert.strictEqual(healthy(Restart.exponential("1 second")), 300_000)
    assert.strictEqual(healthy(Restart.delays([0, "1 hour", 0])), 3_600_000)
    assert.strictEqual(healthy(Restart.resetAfter(Restart.after("1 hour"), "1 second")), 1_000)
  })

  it("combinators take the policy first or last, and leave one that never restarts as it is", () => {
    const limit = { failures: 3, within: "1 minute" } as const
    const piped = pipe(Restart.after(5), Restart.giveUp(limit), Restart.resetAfter("1 day"))
    assert.deepStrictEqual(piped, Restart.resetAfter(Restart.giveUp(Restart.after(5), limit), "1 day"))
    assert.deepStrictEqual(piped, {
      _tag: "After",
      delayMillis: 5,
      onSuccess: "Unregister",
      giveUp: { failures: 3, withinMillis: 60_000, outcome: "Park" },
      healthyMillis: 86_400_000
    })
    assert.deepStrictEqual(pipe(Restart.never(), Restart.giveUp(limit), Restart.resetAfter(1)), Restart.never())
  })

  it("they are written down and read back; what was written before there were others is still read", () => {
    const codec = Schema.toCodecJson(Restart.Restart)
    const policy = pipe(
      Restart.exponential(10, { jitter: 0.1 }),
      Restart.giveUp({ failures: 3, within: 7, outcome: "Unregister" }),
      Restart.resetAfter("Infinity")
    )
    for (const one of [policy, Restart.delays([1, 2]), Restart.never()]) {
      const written = JSON.stringify(Schema.encodeUnknownSync(codec)(one))
      assert.deepStrictEqual(Schema.decodeUnknownSync(codec)(JSON.parse(written)), one)
    }
    const old = { _tag: "After", delayMillis: 7, onSuccess: "Restart" } as const
    assert.deepStrictEqual(Schema.decodeSync(codec)(old), Restart.after(7, { onSuccess: "Restart" }))
  })
})

describe("sanity checks of policies", () => {
  const limit = (failures: number, within: number) => Restart.giveUp(Restart.after(0), { failures, within })
  const refused: ReadonlyArray<readonly [string, Restart.Restart, string]> = [
    ["a listed delay below 0", Restart.delays([0, -1]), "restart interval -1 ms"],
    ["a listed delay that is no number", Restart.delays([0, Number.NaN]), "restart interval NaN ms"],
    ["a first delay below 0", Restart.exponential(-1), "restart interval -1 ms"],
    ["growth from nothing", Restart.exponential(0), "restart interval 0 ms, it must be more than 0 ms to grow"],
    ["a factor below 1", Restart.exponential(1, { factor: 0.5 }), "restart factor 0.5"],
    ["an endless factor", Restart.exponential(1, { factor: Number.POSITIVE_INFINITY }), "restart factor Infinity"],
    ["a limit below the first delay", Restart.exponential(2, { max: 1 }), "longest restart interval 1 ms"],
    ["an endless limit", Restart.exponential(2, { max: "Infinity" }), "longest restart interval Infinity ms"],
    ["jitter below 0", Restart.exponential(1, { jitter: -0.1 }), "restart jitter -0.1"],
    ["jitter above 1", Restart.exponential(1, { jitter: 1.1 }), "restart jitter 1.1"],
    ["jitter that is no number", Restart.exponential(1, { jitter: Number.NaN }), "restart jitter NaN"],
    ["a healthy time below 0", Restart.resetAfter(Restart.after(0), -1), "healthy time -1 ms"],
    ["no failures", limit(0, 1), "number of failures 0"],
    ["half a failure", limit(1.5, 1), "number of failures 1.5"],
    ["more failures than are remembered", limit(1_001, 1), "number of failures 1001"],
    ["no window", limit(1, 0), "window of failures 0 ms"],
    ["an endless window", limit(1, Number.POSITIVE_INFINITY), "window of failures Infinity ms"]
  ]
  for (const [name, restart, message] of refused) {
    it(`${name} is refused`, () => {
      const reason = Registration.sanityCheck(define("w", { restart }))
      assert(reason?._tag === "InvalidInterval")
      assert.include(reason.message, `background worker "w": invalid ${message}`)
    })
  }

  const accepted: ReadonlyArray<readonly [string, Restart.Restart]> = [
    ["the widest limits", limit(Restart.maxFailures, Restart.maxDelayMillis)],
    ["the closest limits", limit(1, 1)],
    ["growth that is none", Restart.exponential(1, { factor: 1, max: 1, jitter: 1 })],
    ["a life that is never healthy", Restart.resetAfter(Restart.after(0), "Infinity")],
    ["a life that is always healthy", Restart.resetAfter(Restart.after(0), 0)]
  ]
  for (const [name, restart] of accepted) {
    it(`${name} is accepted`, () => assert.isUndefined(Registration.sanityCheck(define("w", { restart }))))
  }
})

/** Lets the worker live for so long and fail; says when it is due again. */
const failing = (h: Harness, name: string, lived = 0, code = 1): number | undefined => {
  h.born(name).later(lived).exits(name, code)
  const due = h.wakeIn()
  if (due !== undefined && h.life(name) === "Resting") h.wake(due)
  return due
}

describe("rows of failures", () => {
  const doubling = Restart.resetAfter(Restart.exponential(1_000), "1 minute")
  const begin = (restart: Restart.Restart) => new Harness().run().register(define("w", { restart }))

  it("a healthy life ends one, a moment less does not", () => {
    const h = begin(doubling)
    assert.deepStrictEqual([0, 0, 59_999].map((lived) => failing(h, "w", lived)), [1_000, 2_000, 4_000])
    assert.deepStrictEqual([60_000, 0].map((lived) => failing(h, "w", lived)), [1_000, 2_000])
  })

  it("success ends one", () => {
    const h = begin({ ...doubling, onSuccess: "Restart" })
    assert.deepStrictEqual([failing(h, "w"), failing(h, "w")], [1_000, 2_000])
    h.born("w").exits("w", 0)
    assert.strictEqual(failing(h, "w"), 1_000)
  })

  it("births that fail are in it, and wait no less than they did before", () => {
    const h = begin(Restart.exponential(1, { factor: 1_000 }))
    h.notBorn("w")
    assert.strictEqual(h.wakeIn(), 100)
    h.wake(100).notBorn("w")
    assert.strictEqual(h.wakeIn(), 1_000)
  })

  it("recovery from a crash ends a rest, and no row", () => {
    const restart = Restart.exponential(1_000)
    const h = new Harness().run().register(attached("a", { restart })).register(attached("b", { restart: every(0) }))
    h.born("a", "b").exits("a", 1)
    assert.strictEqual(h.wakeIn(), 1_000)
    h.exits("b", 2).run()
    assert.strictEqual(h.life("a"), "Starting")
    assert.strictEqual(failing(h.born("b"), "a"), 2_000)
  })

  it("many that fail together do not come back together", () => {
    const h = new Harness({ maxWorkers: 50 }).run()
    const names = Array.from({ length: 50 }, (_, index) => `w${index}`)
    const restart = Restart.exponential(10_000, { jitter: 0.5 })
    for (const name of names) h.register(define(name, { restart }))
    h.born(...names)
    for (const name of names) h.exits(name, 1)
    const moments = new Set<number>()
    for (let due = h.wakeIn(); due !== undefined; due = h.wakeIn()) {
      h.wake(due)
      moments.add(h.now)
    }
    assert.isAbove(moments.size, 40)
    assert.isAtLeast(Math.min(...moments), 5_000)
    assert.isAtMost(Math.max(...moments), 10_000)
  })
})

describe("a worker that fails too often", () => {
  const limit = { failures: 3, within: 1_000 } as const
  const parking = Restart.giveUp(Restart.after(400), limit)
  const begin = (restart: Restart.Restart) => new Harness().run().register(define("w", { restart }))

  it("is parked at the last failure that is allowed within the window, and keeps its slot", () => {
    const h = begin(parking)
    failing(h, "w")
    failing(h, "w")
    h.born("w").exits("w", 1)
    assert.strictEqual(h.life("w"), "Parked")
    assert.deepStrictEqual(h.told, ["w Stopped"])
    assert.deepStrictEqual(h.events, ["Exited", "Parked"])
    assert.isUndefined(h.wakeIn())
    assert.strictEqual(h.state.table.tenants, 1)
  })

  it("is not parked when the first of them was a moment longer ago", () => {
    const h = begin(parking)
    failing(h, "w")
    failing(h, "w")
    h.later(201).born("w").exits("w", 1)
    assert.strictEqual(h.life("w"), "Resting")
  })

  it("is parked at equality, too", () => {
    const h = begin(parking)
    failing(h, "w")
    failing(h, "w")
    h.later(200).born("w").exits("w", 1)
    assert.strictEqual(h.life("w"), "Parked")
  })

  it("is unregistered if that is wanted, and says why", () => {
    const h = begin(Restart.giveUp(Restart.after(0), { failures: 1, within: 1, outcome: "Unregister" }))
    h.born("w").exits("w", 1)
    assert.deepStrictEqual(h.told, ["w Stopped gone"])
    const event = h.all("Publish").map((order) => order.event).find((event) => event._tag === "Unregistered")
    assert.strictEqual(event?.reason, "GaveUp")
    assert.strictEqual(h.state.table.tenants, 0)
  })

  it("is parked by births that fail", () => {
    const h = begin(Restart.giveUp(Restart.after(0), { failures: 2, within: 1_000 }))
    h.notBorn("w").wake(100).notBorn("w")
    assert.strictEqual(h.life("w"), "Parked")
    assert.deepStrictEqual(h.events, ["NotStarted", "Parked"])
    assert.deepStrictEqual(h.told, ["w Stopped"])
  })

  it("starts again when it is resumed, with a clean count", () => {
    const h = begin(parking)
    for (let failures = 0; failures < 3; failures++) failing(h, "w")
    assert.strictEqual(h.life("w"), "Parked")
    h.resume("w")
    assert.deepStrictEqual([h.events, h.told, h.launched], [["Resumed", "Starting"], ["w NotYetStarted"], ["w"]])
    for (let failures = 0; failures < 2; failures++) failing(h, "w")
    assert.strictEqual(h.life("w"), "Starting")
    h.born("w").exits("w", 1)
    assert.strictEqual(h.life("w"), "Parked")
  })

  it("whoever is at rest is started by hand too, and its row is forgotten", () => {
    const h = begin(Restart.exponential(1_000))
    failing(h, "w")
    failing(h, "w")
    h.born("w").exits("w", 1).resume("w")
    assert.deepStrictEqual(h.launched, ["w"])
    assert.strictEqual(failing(h, "w"), 1_000)
  })

  it("a resume of whoever runs, waits for recovery or is gone changes nothing", () => {
    const h = new Harness().run().register(attached("a", { restart: parking })).register(attached("b")).born("a", "b")
    assert.deepStrictEqual(h.resume("a").orders, [])
    h.exits("a", 2)
    assert.strictEqual(h.life("a"), "Down")
    assert.deepStrictEqual(h.resume("a").orders, [])
    h.exits("b", 2).terminate("a")
    assert.deepStrictEqual(h.resume("a").orders, [])
  })

  it("is released by a termination, and by every shutdown, which does not wait for it", () => {
    const parked = () => begin(Restart.giveUp(Restart.after(0), { failures: 1, within: 1 })).born("w").exits("w", 1)
    const h = parked().terminate("w")
    assert.deepStrictEqual([h.told, h.state.table.tenants], [["w Stopped gone"], 0])
    for (const mode of ["Smart", "Fast", "Immediate"] as const) {
      const h = parked().shutdown(mode)
      assert.deepStrictEqual([h.told, h.state.phase], [["w Stopped gone"], "Halted"])
      assert.isFalse(h.order("Halt")?.abnormal)
    }
  })

  it("is parked by its crashes, and a recovery leaves it parked and starts the others", () => {
    const h = new Harness().run()
      .register(attached("a", { restart: Restart.giveUp(Restart.after(0), { failures: 2, within: 60_000 }) }))
      .register(attached("b", { restart: every(0) }))
    h.born("a", "b").exits("a", signaled("SIGSEGV"))
    assert.strictEqual(h.life("a"), "Down")
    h.exits("b", 2).run().born("a", "b").exits("a", signaled("SIGSEGV"))
    assert.strictEqual(h.life("a"), "Parked")
    assert.deepStrictEqual(h.signals, ["b SIGQUIT Group"])
    h.exits("b", 2).wake(100).run()
    assert.deepStrictEqual([h.life("a"), h.life("b")], ["Parked", "Starting"])
    h.resume("a")
    assert.deepStrictEqual(h.launched, ["a"])
  })

  it("whoever a crash of another takes along has not failed", () => {
    const once = Restart.giveUp(Restart.after(0), { failures: 1, within: 60_000 })
    const h = new Harness().run().register(attached("a", { restart: every(0) })).register(
      attached("b", { restart: once })
    )
    h.born("a", "b").exits("a", 2).exits("b", 2)
    assert.strictEqual(h.life("b"), "Waiting")
  })

  it("is told of by a warning", () => {
    const worker = { ref: slotRef(3, 7), name: "mail", type: "mailer" }
    assert.deepStrictEqual(
      PostmasterEvent.logLine({ _tag: "Parked", ...worker, failures: 5, withinMillis: 60_000 }),
      {
        level: "Warn",
        message: "background worker \"mailer\" failed 5 times within 60000 ms; \"mail\" is parked until it is resumed"
      }
    )
    assert.strictEqual(PostmasterEvent.logLine({ _tag: "Unregistered", ...worker, reason: "GaveUp" }).level, "Warn")
    assert.strictEqual(PostmasterEvent.logLine({ _tag: "Resumed", ...worker }).level, "Info")
  })
})

const entry = { module: new URL("file:///worker.js") }

const test = <E>(name: string, body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(body(), TestPostmaster.layer))

describe("in the loop", () => {
  test("ten hours of crashes with a growing delay are few births, and none is too early", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      yield* script("down", Script.dies("SIGSEGV"))
      yield* postmaster.register(
        BackgroundWorker.make("down", { entry, restart: Restart.exponential("1 second", { max: "10 minutes" }) })
      )
      yield* TestClock.adjust("10 hours")
      const births = (yield* journal).filter((entry) => entry._tag === "Spawned").map(({ at }) => at / 1_000)
      const pauses = births.slice(1).map((at, index) => at - births[index]!)
      assert.deepStrictEqual(pauses.slice(0, 11), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600])
      assert.isTrue(pauses.slice(10).every((pause) => pause === 600))
      // 1,023 seconds of growth, then one every ten minutes.
      assert.strictEqual(births.length, 11 + Math.floor((36_000 - 1_023) / 600))
      const [worker] = (yield* postmaster.snapshot).workers
      assert.deepInclude(worker, { state: "Resting", restarts: births.length - 1 })
    }))

  const Parking = BackgroundWorker.make("parking", {
    entry,
    restart: Restart.giveUp(Restart.after("1 second"), { failures: 3, within: "1 minute" })
  })

  test("whoever holds a parked worker is told not to wait, and may resume it", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      const fails = Script.fails("no disk")
      yield* script("parking", fails, fails, fails, Script.serves())
      const events: Array<string> = []
      yield* Effect.forkScoped(
        Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event._tag))),
        { startImmediately: true }
      )
      const parking = yield* postmaster.register(Parking)
      yield* TestClock.adjust("1 hour")

      const [worker] = (yield* postmaster.snapshot).workers
      assert.deepInclude(worker, { state: "Parked", restarts: 2 })
      assert.notProperty(worker, "nextStartAt")
      assert.deepInclude(yield* parking.status, { _tag: "Stopped", parked: true })
      for (
        const wait of [
          parking.waitForStartup,
          parking.waitForReady,
          Effect.scoped(parking.client),
          Effect.scoped(parking.waitForClient)
        ]
      ) {
        const error = yield* Effect.flip(wait)
        assert(error._tag === "WorkerStopped")
        assert.isFalse(error.isRetryable)
        assert.include(error.message, "no disk")
      }
      yield* parking.waitForShutdown
      assert.strictEqual(events.filter((tag) => tag === "Parked").length, 1)

      yield* parking.resume
      const pid = yield* parking.waitForReady
      assert.deepStrictEqual(yield* parking.status, { _tag: "Ready", pid })
      assert.deepInclude((yield* postmaster.snapshot).workers[0], { state: "Ready", restarts: 3 })
    }).pipe(Effect.scoped))

  test("a worker resumes another one over its line", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      const seen: Array<string> = []
      const over = yield* Deferred.make<void>()
      const nursing: Script.Calls = Effect.gen(function*() {
        const postmaster = Context.get(yield* Layer.build(Postmaster.layerClient), Postmaster)
        const [parking] = yield* postmaster.find(Parking)
        const error = yield* Effect.flip(Effect.scoped(parking!.waitForClient))
        seen.push(`${error._tag} ${error._tag === "WorkerStopped" && error.isRetryable}`)
        yield* parking!.resume
        yield* parking!.waitForReady
        seen.push((yield* parking!.status)._tag)
        // It runs by now.
        yield* parking!.resume
        yield* Deferred.succeed(over, undefined)
      }).pipe(
        Effect.provideService(WorkerContext, {} as WorkerContext["Service"]),
        Effect.orDie,
        Effect.forkScoped,
        Effect.asVoid
      )
      const fails = Script.fails("no disk")
      yield* script("parking", fails, fails, fails, Script.serves())
      yield* script("nurse", Script.serves({ calls: nursing }))
      yield* postmaster.register(Parking)
      yield* TestClock.adjust("1 minute")
      assert.deepInclude((yield* postmaster.snapshot).workers[0], { name: "parking", state: "Parked" })
      yield* postmaster.register(BackgroundWorker.make("nurse", { entry }))
      yield* Deferred.await(over)
      assert.deepStrictEqual(seen, ["WorkerStopped false", "Ready"])
      assert.deepInclude((yield* postmaster.snapshot).workers[0], { name: "parking", state: "Ready", restarts: 3 })
    }))

  test("a resumed worker that fails at once is parked again when it has used up its failures", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      yield* script("parking", Script.notBorn("no more processes"))
      const parking = yield* postmaster.register(Parking)
      const client = yield* Effect.forkChild(Effect.flip(Effect.scoped(parking.waitForClient)), {
        startImmediately: true
      })
      const births = Effect.map(journal, (entries) => entries.filter((entry) => entry._tag === "Spawned").length)
      for (const round of [1, 2, 3]) {
        yield* TestClock.adjust("1 hour")
        assert.isTrue((yield* parking.status)._tag === "Stopped")
        assert.deepInclude((yield* postmaster.snapshot).workers[0], { state: "Parked" })
        assert.strictEqual(yield* births, 3 * round)
        yield* parking.resume
      }
      // It had waited for the first life.
      const error = yield* Fiber.join(client)
      assert(error._tag === "WorkerStopped")
      assert.isFalse(error.isRetryable)
      const end = yield* Effect.forkChild(parking.waitForEnd, { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      yield* parking.terminate
      yield* Fiber.join(end)
      assert.deepStrictEqual((yield* postmaster.snapshot).workers, [])
      yield* parking.resume
    }))
})
