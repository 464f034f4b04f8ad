/**
 * PostgreSQL's behaviour, case by case: what the other tests of the machine and
 * of the loop leave unsaid. The numbers are those of `docs/CONFORMANCE.md`.
 */
import {
  BackgroundWorker,
  ExitStatus,
  Identity,
  Postmaster,
  PostmasterConfig,
  PostmasterEvent,
  preload,
  Registration,
  Restart,
  WorkerContext,
  type WorkerHandle,
  WorkerStatus
} from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Loop from "../src/internal/loop.ts"
import type * as Machine from "../src/internal/machine.ts"
import * as Watch from "../src/internal/watch.ts"
import { attached, define, every, Harness, owned } from "./machineHarness.ts"

const startTimes = ["PostmasterStart", "ConsistentState", "RecoveryFinished"] as const

const entry = { module: new URL("file:///worker.js") }
const make = (name: string, options?: Partial<BackgroundWorker.Options<typeof Schema.Void>>) =>
  BackgroundWorker.make(name, { entry, ...options })
const Job = make("job")
const Service = make("service", { restart: "10 seconds" })

/** A test of the loop with scripted workers. */
const loop = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options
) => it.effect(name, () => Effect.provide(body(), TestPostmaster.layerWith(options)))

interface Line {
  readonly level: string
  readonly text: string
}

/** The same, with the lines of the log. */
const logged = <E>(
  name: string,
  body: (lines: ReadonlyArray<Line>) => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options
) =>
  it.effect(name, () => {
    const lines: Array<Line> = []
    const remember = Logger.make<unknown, void>(({ logLevel, message }) => {
      lines.push({ level: logLevel, text: Array.isArray(message) ? message.join(" ") : String(message) })
    })
    return body(lines).pipe(
      Effect.provide(TestPostmaster.layerWith(options).pipe(Layer.provideMerge(Logger.layer([remember])))),
      Effect.provideService(References.MinimumLogLevel, "All")
    )
  })

const fork = Effect.forkChild({ startImmediately: true })

/** More turns of the scheduler than anything that follows at once takes; no time passes. */
const settled = Effect.repeat(Effect.yieldNow, { times: 64 })

/** What a scripted worker does that registers others over its line. */
const registering = (...workers: ReadonlyArray<BackgroundWorker.BackgroundWorker<typeof Schema.Void>>): Script.Calls =>
  Effect.gen(function*() {
    const postmaster = Context.get(yield* Layer.build(Postmaster.layerClient), Postmaster)
    yield* Effect.forEach(workers, (worker) => postmaster.register(worker))
  }).pipe(
    Effect.provideService(WorkerContext, {} as WorkerContext["Service"]),
    Effect.orDie,
    Effect.forkScoped,
    Effect.asVoid
  )

const spawned = Effect.gen(function*() {
  const { journal } = yield* TestSpawner
  return (yield* journal).flatMap((line) => line._tag === "Spawned" ? [line.name] : [])
})

const lineOf = (event: PostmasterEvent.PostmasterEvent): readonly [string, string] => {
  const { level, message } = PostmasterEvent.logLine(event)
  return [level, message]
}

describe("checking a registration", () => {
  it("C8 (departs) every negative interval is refused, -1 like any other", () => {
    for (const seconds of [-0.001, -1, -2, -60, -86_400, Number.NEGATIVE_INFINITY]) {
      const found = Registration.sanityCheck(define("w", { restart: Restart.after(seconds * 1000) }))
      assert.strictEqual(found?._tag, "InvalidInterval", `${seconds} s`)
    }
  })

  it("C9 the interval is checked before the class", () => {
    const both = define("w", { class: "parallel", restart: Restart.after(-2000) })
    assert.strictEqual(Registration.sanityCheck(both)?._tag, "InvalidInterval")
  })

  it("C10 (departs) a worker may name resources without a database connection", () => {
    assert.isUndefined(Registration.sanityCheck(define("w", { resources: ["db/a"] })))
  })

  logged(
    "C11 an empty type is the name: in the table, by pid and in the log; the definition is left alone",
    (lines) =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const definition = make("mail 7", { type: "" })
        const worker = yield* postmaster.register(definition)
        const pid = yield* worker.waitForReady
        assert.strictEqual((yield* postmaster.snapshot).workers[0]?.type, "mail 7")
        assert.deepStrictEqual(yield* postmaster.typeByPid(pid), Option.some("mail 7"))
        assert.include(lines.map((line) => line.text), `background worker "mail 7" (PID ${pid}) started`)
        assert.strictEqual(definition.type, "")
      })
  )

  it("C44 (departs) a name of 96 bytes is refused, not cut", () => {
    const name = "x".repeat(Identity.maxNameBytes + 1)
    const reason = new Harness().run().register(define(name)).order("Reject")?.reason
    assert(reason?._tag === "InvalidName")
    assert.deepStrictEqual([reason.field, reason.value, reason.detail], [
      "name",
      name,
      "it has 96 bytes and may have at most 95"
    ])
  })

  logged(
    "C46 (departs) there is one text: what would have to be sanitised is refused, the rest is shown as it is",
    (lines) =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const error = yield* Effect.flip(postmaster.register(make("bell", { type: "bell\u0007" })))
        assert.deepInclude(error.reason, { _tag: "InvalidName", field: "type" })
        const pid = yield* (yield* postmaster.register(make("café 1", { type: "café" }))).waitForReady
        assert.deepStrictEqual(yield* postmaster.typeByPid(pid), Option.some("café"))
        assert.include(lines.map((line) => line.text), `background worker "café" (PID ${pid}) is ready`)
      })
  )
})

describe("preloads", () => {
  it.effect("C13 (departs) when one is refused, none of the others has started", () =>
    Effect.gen(function*() {
      const memo = yield* Layer.makeMemoMap
      const scope = yield* Effect.scope
      const spawner = yield* Layer.buildWithMemoMap(TestSpawner.layer, memo, scope)
      const early = preload(make("early", { startTime: "PostmasterStart" }))
      const bad = preload(make("bad", { restart: -1 }))
      const inner = yield* Scope.fork(scope)
      const error = yield* Effect.flip(
        Layer.buildWithMemoMap(TestPostmaster.layerWith({ preload: [early, bad, early] }), memo, inner)
      )
      assert.deepInclude(error.reason, { _tag: "InvalidInterval", worker: "bad" })
      yield* Scope.close(inner, Exit.void)
      assert.deepStrictEqual(yield* Effect.provide(spawned, spawner), [])
    }))

  it("C15 (departs) one slot: the refusal is in the singular", () => {
    const h = new Harness({ maxWorkers: 1 }).register(define("s1"), "Preload").register(define("s2"), "Preload")
    assert.include(h.order("Reject")?.reason.message, "\"s2\": the only slot is taken, by \"s1\"")
  })

  it("C14 (departs) those too many are refused with the number of slots and the setting, the others run", () => {
    const h = new Harness({ maxWorkers: 2 })
    for (const name of ["s1", "s2"]) assert.isDefined(h.register(define(name), "Preload").order("Reply"))
    for (const name of ["s3", "s4"]) {
      const message = h.register(define(name), "Preload").order("Reject")?.reason.message
      for (const words of [`"${name}": all 2 slots are taken`, "PostmasterConfig.maxWorkers"]) {
        assert.include(message, words)
      }
    }
    assert.deepStrictEqual(h.run().launched, ["s1", "s2"])
  })

  it("C23 (departs) the early ones before the ready line, the others after it, each in the order of registration", () => {
    const h = new Harness()
    const early = { startTime: "PostmasterStart" } as const
    h.register(define("late 1"), "Preload").register(define("early 1", early), "Preload")
    h.register(define("late 2"), "Preload").register(define("early 2", early), "Preload")
    assert.deepStrictEqual(h.phase("Startup").launched, ["early 1", "early 2"])
    assert.deepStrictEqual(h.phase("Run").launched, ["late 1", "late 2"])
    assert.deepStrictEqual(h.events, ["PhaseReached", "Starting", "Starting"])
  })

  it("C24 the dynamic worker has the slot that the preloads have left", () => {
    const h = new Harness({ maxWorkers: 3 }).register(define("s1"), "Preload").register(define("s2"), "Preload").run()
    assert.deepStrictEqual(h.register(define("d")).ref("d"), Identity.slotRef(2, 1))
  })
})

describe("dynamic registration", () => {
  loop("C32 registering without wanting the handle works", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      yield* script("job", Script.exits(0, { after: "1 second" }))
      yield* Effect.asVoid(postmaster.register(Job))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* journal).map((line) => line._tag), ["Spawned", "Ended"])
      assert.strictEqual((yield* postmaster.snapshot).freeSlots, 8)
    }))

  loop("C33 onlookers see a registration whole or not at all", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const registering = yield* fork(postmaster.register(Job))
      assert.deepStrictEqual((yield* postmaster.snapshot).workers, [])
      assert.deepStrictEqual(yield* spawned, [])
      const seen: Array<string> = []
      yield* fork(Stream.runForEach(postmaster.snapshots, ({ freeSlots, workers }) =>
        Effect.sync(() =>
          seen.push(`${freeSlots} ${
            workers.map((one) => `${one.name} ${one.state}`).join()
          }`)
        )))
      yield* Fiber.join(registering)
      yield* settled
      assert.deepStrictEqual([seen[0], seen.at(-1)], ["8 ", "7 job Ready"])
      for (const row of seen.slice(1)) {
        assert.match(row, /^7 job \w+$/)
      }
    }))

  loop(
    "C34 registrations that come together are all taken at the next look, in their order",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const names = ["a", "b", "c", "d", "e"]
        const fibers = yield* Effect.forEach(names, (name) => fork(postmaster.register(make(name))))
        assert.deepStrictEqual((yield* postmaster.snapshot).workers, [])
        yield* settled
        const handles = yield* Effect.forEach(fibers, Fiber.join)
        assert.deepStrictEqual(
          handles.map((handle) => [handle.name, handle.ref.slot]),
          names.map((name, slot) => [name, slot])
        )
        assert.deepStrictEqual(yield* spawned, names)
      })
  )

  loop(
    "C36 whatever happens to the arguments later, every life gets those of the registration",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { journal, script } = yield* TestSpawner
        yield* script("mail", Script.exits(1), Script.serves())
        const args = { to: "cats" }
        const flags: Array<"SharedMemory"> = []
        const Mail = BackgroundWorker.make("mail", {
          entry,
          args: Schema.Record(Schema.String, Schema.String),
          flags,
          restart: "1 second"
        })
        yield* postmaster.register(Mail, args)
        args.to = "dogs"
        flags.push("SharedMemory")
        yield* TestClock.adjust("1 second")
        const told = (yield* journal).flatMap((line) => line._tag === "Spawned" ? [line.args] : [])
        assert.deepStrictEqual(told, [{ to: "cats" }, { to: "cats" }])
        assert.isFalse((yield* postmaster.snapshot).workers[0]?.attached)
      })
  )

  loop("C36 whatever happens to the definition later, the registration is what it was", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("before", Script.exits(1), Script.serves())
      const definition = { ...make("before", { restart: "10 seconds" }) }
      const worker = yield* postmaster.register(definition)
      Object.assign(definition, { name: "after", type: "after", restart: Restart.never(), flags: ["SharedMemory"] })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* worker.status)._tag, "Ready")
      assert.deepInclude((yield* postmaster.snapshot).workers[0], { name: "before", type: "before", attached: false })
      assert.deepStrictEqual(yield* spawned, ["before", "before"])
    }))

  it("C38 a class limit of 0 refuses always, and nobody else", () => {
    const h = new Harness({ classLimits: { parallel: 0 } }).run()
    assert.isDefined(h.register(define("other")).order("Reply"))
    for (const name of ["a", "b"]) {
      assert.strictEqual(
        h.register(define(name, { class: "parallel" })).order("Reject")?.reason._tag,
        "ClassLimitReached"
      )
    }
    assert.isDefined(h.register(define("of another class", { class: "other" })).order("Reply"))
  })

  it("C41 (departs) after a crash the places of attached workers in a class are free, isolated ones keep theirs", () => {
    const parallel = { class: "parallel" }
    const h = new Harness({ classLimits: { parallel: 3 } }).run()
    h.register(attached("a", parallel)).register(attached("b", parallel)).register(define("isolated", parallel))
    h.register(attached("crasher", { restart: every(0) })).born("a", "b", "isolated", "crasher")
    assert.strictEqual(h.register(define("full", parallel)).order("Reject")?.reason._tag, "ClassLimitReached")
    h.exits("crasher", 2).exits("a", 2).exits("b", 2).phase("Run")
    assert.isDefined(h.register(attached("c", parallel)).order("Reply"))
    assert.isDefined(h.register(attached("d", parallel)).order("Reply"))
    assert.strictEqual(h.register(attached("e", parallel)).order("Reject")?.reason._tag, "ClassLimitReached")
  })

  it("C49 a worker that registers another one and is gone before it is heard: it starts, unless it belongs to it", () => {
    const h = new Harness().run().register(define("registrant", { restart: every(0) })).born("registrant")
    h.exits("registrant", 1)
    assert.deepStrictEqual(h.registerBy("registrant", define("free")).launched, ["free"])
    assert.strictEqual(h.registerBy("registrant", owned("owned")).order("Reject")?.reason._tag, "NotAccepting")
  })

  loop(
    "C49 a registrant that is gone before it is heard: its worker starts all the same, and nobody is told",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const registrant = yield* fork(postmaster.register(Job))
        const interruption = yield* fork(Fiber.interrupt(registrant))
        assert.deepStrictEqual(yield* spawned, [])
        yield* Fiber.join(interruption)
        yield* settled
        assert.deepStrictEqual((yield* postmaster.snapshot).workers.map((one) => [one.name, one.state]), [[
          "job",
          "Ready"
        ]])
      })
  )

  loop(
    "C50, C86 a worker that has registered others dies: they live on, but for those that belong to it",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { end, script } = yield* TestSpawner
        yield* script(
          "registrant",
          Script.serves({ calls: registering(make("free"), make("owned", { ownership: "registrant" })) })
        )
        const registrant = yield* postmaster.register(make("registrant", { restart: "1 hour" }))
        yield* registrant.waitForReady
        const workers = Effect.map(
          postmaster.snapshot,
          ({ workers }) => workers.map(({ name, state }) => `${name} ${state}`)
        )
        yield* settled
        assert.deepStrictEqual(yield* workers, ["registrant Ready", "free Ready", "owned Ready"])
        yield* end(registrant.ref, ExitStatus.exited(2))
        assert.deepStrictEqual(yield* workers, ["registrant Resting", "free Ready"])
        // In its next life it registers anew; the lowest free slot is that of the one that has gone.
        yield* TestClock.adjust("1 hour")
        yield* registrant.waitForReady
        yield* settled
        assert.deepStrictEqual(yield* workers, ["registrant Ready", "free Ready", "free Ready", "owned Ready"])
        yield* registrant.terminate
        yield* settled
        assert.deepStrictEqual(yield* workers, ["free Ready", "free Ready"])
      })
  )

  loop("C50 a registrant that is gone later: its workers are unaffected", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const registrant = yield* fork(Effect.gen(function*() {
        const workers = yield* Effect.forEach(["a", "b"], (name) => postmaster.register(make(name, { restart: 0 })))
        yield* Effect.forEach(workers, (worker) => worker.waitForEnd, { concurrency: 2 })
      }))
      yield* settled
      yield* Fiber.interrupt(registrant)
      const [a, b] = (yield* postmaster.snapshot).workers
      assert.deepStrictEqual([a?.state, b?.state], ["Ready", "Ready"])
      yield* end(a!.ref, ExitStatus.exited(1))
      assert.deepStrictEqual((yield* postmaster.snapshot).workers.map((one) => [one.state, one.restarts]), [
        ["Ready", 1],
        ["Ready", 0]
      ])
    }))

  loop("C58 who registers during a shutdown gets a handle, and it reads Stopped", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.serves({ obeys: "1 second" }))
      yield* (yield* postmaster.register(Job)).waitForReady
      yield* postmaster.shutdown("Fast")
      const late = yield* postmaster.register(Service)
      assert.deepStrictEqual(yield* late.status, { _tag: "Stopped" })
      assert.strictEqual((yield* Effect.flip(late.waitForStartup))._tag, "WorkerStopped")
      assert.deepStrictEqual(yield* late.waitForEnd, Option.none())
      yield* TestClock.adjust("1 second")
      yield* postmaster.awaitHalt
      assert.deepStrictEqual(yield* spawned, ["job"])
    }))
})

describe("terminate", () => {
  it("C52 whatever happens before the end, there is no second SIGTERM", () => {
    const h = new Harness().run().register(define("a", { restart: every(1_000) })).born("a").terminate("a")
    assert.deepStrictEqual(h.signals, ["a SIGTERM Process"])
    const signals = [
      ...h.register(define("b")).signals,
      ...h.wake(1_000).signals,
      ...h.ready("a").signals,
      ...h.terminate("a").signals,
      ...h.shutdown("Fast").signals
    ]
    assert.deepStrictEqual(signals, [])
    assert.deepStrictEqual(h.exits("a", 1).told, ["a Stopped gone"])
  })

  it("C54 in the consistent phase, while it waits for Run: gone at once, never launched", () => {
    const h = new Harness().phase("Startup").phase("Consistent").register(define("a"))
    assert.deepStrictEqual(h.launched, [])
    assert.deepStrictEqual(h.terminate("a").told, ["a Stopped gone"])
    assert.deepStrictEqual(h.phase("Run").launched, [])
  })

  loop("C129 before the start, twice, after the end and after the halt: harmless", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      yield* script("job", Script.serves({ birth: "1 second" }))
      const early = yield* postmaster.register(Job)
      yield* early.terminate
      yield* early.terminate
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* early.status)._tag, "Stopped")
      yield* early.terminate
      yield* postmaster.shutdown("Fast")
      yield* postmaster.awaitHalt
      yield* early.terminate
      yield* settled
      const signals = (yield* journal).flatMap((line) => line._tag === "Signaled" ? [line.signal] : [])
      assert.deepStrictEqual(signals, ["SIGTERM"])
    }))
})

describe("reading the table", () => {
  it("C56 a free slot is deaf: no fact about a tenancy that is over changes anything", () => {
    const h = new Harness().run().register(define("a", { restart: every(10) })).born("a").exits("a", 0)
    const before = JSON.stringify(h.state.table.generations)
    const ref = h.ref("a")
    const facts: ReadonlyArray<Machine.Input> = [
      { _tag: "TerminateRequested", ref },
      { _tag: "ChildStarted", ref, pid: 7 as Identity.Pid },
      { _tag: "ChildReady", ref },
      { _tag: "ChildAttached", ref },
      { _tag: "ChildDetached", ref },
      { _tag: "ChildExited", ref, status: ExitStatus.exited(2) },
      { _tag: "ChildReady", ref: Identity.slotRef(7, 0) }
    ]
    for (const fact of facts) assert.deepStrictEqual(h.hear(fact).orders, [], fact._tag)
    assert.deepStrictEqual([h.state.table.tenants, JSON.stringify(h.state.table.generations)], [0, before])
  })

  it("C57 a fact that changes nothing still lets the next ones start", () => {
    const h = new Harness({ maxLaunchesPerTurn: 1 })
    for (const name of ["a", "b"]) h.register(define(name), "Preload")
    assert.deepStrictEqual(h.run().launched, ["a"])
    h.hear({ _tag: "TerminateRequested", ref: Identity.slotRef(5, 5) })
    assert.deepStrictEqual(h.orders.map((order) => order._tag), ["Publish", "Spawn"])
    assert.deepStrictEqual(h.launched, ["b"])
    assert.deepStrictEqual(h.wake().orders, [])
  })
})

describe("launching", () => {
  const phases: ReadonlyArray<readonly [string, (h: Harness) => Harness, ReadonlyArray<string>]> = [
    ["Startup", (h) => h.phase("Startup"), ["PostmasterStart"]],
    ["Consistent", (h) => h.phase("Startup").phase("Consistent"), ["PostmasterStart", "ConsistentState"]],
    ["Run", (h) => h.run(), [...startTimes]],
    ["Run, smart shutdown with a job", (h) => h.run().register(define("job")).born("job").shutdown("Smart"), [
      ...startTimes
    ]],
    ["Waiting, fast shutdown", (h) => h.run().register(define("job")).born("job").shutdown("Fast"), []],
    ["Waiting, crash", (h) => h.run().register(attached("a")).register(attached("b")).born("a", "b").exits("a", 2), []]
  ]
  for (const [phase, bring, allowed] of phases) {
    it(`C59 registered in phase ${phase}, may start: ${allowed.join(", ") || "nobody"}`, () => {
      const h = bring(new Harness())
      const launched = startTimes.flatMap((startTime) => h.register(define(startTime, { startTime })).launched)
      assert.deepStrictEqual(launched, [...allowed])
    })
  }

  it("C59 in phase Halted nobody is even registered", () => {
    const h = new Harness().run().shutdown("Fast")
    for (const startTime of startTimes) {
      assert.strictEqual(h.register(define("late", { startTime })).order("Reject")?.reason._tag, "NotAccepting")
    }
  })

  it("C60 without a consistent phase both start in the same pass", () => {
    const h = new Harness().register(define("finished"), "Preload")
    h.register(define("consistent", { startTime: "ConsistentState" }), "Preload").phase("Startup")
    assert.deepStrictEqual(h.launched, [])
    assert.deepStrictEqual(h.phase("Run").launched, ["finished", "consistent"])
  })

  it("C62 while recovering nobody asks to be woken for a launch that may not be", () => {
    const h = new Harness().run().register(attached("a", { restart: every(0), startTime: "PostmasterStart" })).born("a")
    h.exits("a", 2)
    assert.deepStrictEqual([h.state.phase, h.life("a"), h.launched], ["Startup", "Waiting", []])
    assert.isUndefined(h.wakeIn())
    assert.deepStrictEqual(h.wake(60_000).orders, [])
  })

  it("C64 between two passes an exit is heard", () => {
    const h = new Harness({ maxWorkers: 3, maxLaunchesPerTurn: 1 })
    for (const name of ["a", "b", "c"]) h.register(define(name), "Preload")
    assert.deepStrictEqual(h.run().launched, ["a"])
    assert.deepStrictEqual(h.born("a").launched, ["b"])
    h.exits("a", 0)
    assert.deepStrictEqual([h.told, h.launched], [["a Stopped gone"], ["c"]])
  })

  it("C65 (departs) exactly 100: one pass, and then a sleep without an end", () => {
    const h = new Harness({ maxWorkers: 100 })
    for (let index = 0; index < 100; index++) h.register(define(`w${index}`), "Preload")
    assert.strictEqual(h.run().launched.length, 100)
    assert.isUndefined(h.wakeIn())
    assert.deepStrictEqual(h.wake().orders, [])
  })

  logged(
    "C67 (departs) a failed birth: a warning with its reason, NotYetStarted, the next attempt, and the others start",
    (lines) =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { script } = yield* TestSpawner
        yield* script("a", Script.notBorn("no more processes"), Script.serves())
        const a = yield* postmaster.register(make("a", { restart: "5 seconds" }))
        const b = yield* postmaster.register(make("b"))
        yield* b.waitForReady
        assert.deepStrictEqual(yield* a.status, { _tag: "NotYetStarted" })
        assert.deepStrictEqual(lines.filter((line) => line.level === "Warn"), [{
          level: "Warn",
          text: `could not start a process for background worker "a": no more processes; next start in 5000 ms`
        }])
        yield* TestClock.adjust("4999 millis")
        assert.deepStrictEqual(yield* spawned, ["a", "b"])
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* a.status)._tag, "Ready")
      })
  )

  loop(
    "C71 a birth: who is told finds the pid published, and the failure before it is forgotten",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { script } = yield* TestSpawner
        yield* script("a", Script.notBorn("not now"), Script.serves({ ready: "never" }))
        const a = yield* postmaster.register(make("a", { restart: "5 seconds" }))
        const told = yield* fork(Effect.gen(function*() {
          const pid = yield* a.waitForStartup
          const [row] = (yield* postmaster.snapshot).workers
          return { pid, status: yield* a.status, row }
        }))
        yield* settled
        assert.strictEqual((yield* postmaster.snapshot).workers[0]?.nextStartAt, 5_000)
        yield* TestClock.adjust("5 seconds")
        const { pid, row, status } = yield* Fiber.join(told)
        assert.deepStrictEqual(status, WorkerStatus.started(pid))
        assert.deepStrictEqual([row?.pid, row?.state, row?.nextStartAt], [pid, "Started", undefined])
      })
  )

  it("C73 a worker that runs, or is being born, is not launched again", () => {
    const h = new Harness().run().register(define("a"))
    assert.deepStrictEqual(h.launched, ["a"])
    assert.deepStrictEqual(h.wake(60_000).launched, [])
    assert.deepStrictEqual(h.born("a").wake(60_000).launched, [])
    assert.deepStrictEqual(h.ready("a").register(define("b")).launched, ["b"])
  })
})

describe("exits", () => {
  loop("C78 whoever is told of the end finds the slot free", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.exits(1, { after: "1 second" }))
      const job = yield* postmaster.register(Job)
      const next = yield* fork(Effect.andThen(job.waitForShutdown, postmaster.register(Service)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(next)).ref, Identity.slotRef(0, 2))
    }), { config: { maxWorkers: 1 } })

  it("C81 an attached worker that exits badly before it has joined has crashed, too", () => {
    for (const status of [2, 3, 127, 255, ExitStatus.signaled("SIGSEGV")]) {
      const h = new Harness().run().register(attached("a")).register(attached("b")).born("a", "b").exits("a", status)
      assert.deepStrictEqual([h.state.recovering, h.signals], [true, ["b SIGQUIT Group"]])
    }
  })

  it("C82 exit 2 or SIGKILL of an isolated worker: back after its interval, nobody else is touched", () => {
    for (const status of [2, ExitStatus.signaled("SIGKILL")]) {
      const h = new Harness().run().register(define("a", { restart: every(1_000) })).register(attached("b"))
      h.born("a", "b").exits("a", status)
      assert.deepStrictEqual([h.told, h.signals, h.state.recovering], [["a Stopped"], [], false])
      assert.deepStrictEqual(h.wake(999).launched, [])
      assert.deepStrictEqual(h.wake(1).launched, ["a"])
    }
  })

  it("C85 (departs) the lines of exits: 0 for debugging, 1 for information, a crash as a warning", () => {
    const line = (status: ExitStatus.ExitStatus) => {
      const h = new Harness().run().register(define("mail 7", { type: "mail" })).born("mail 7").exits("mail 7", status)
      const event = h.all("Publish").map((order) => order.event).find((event) => event._tag === "Exited")
      return lineOf(event!)
    }
    assert.deepStrictEqual(line(ExitStatus.exited(0)), [
      "Debug",
      "background worker \"mail\" (PID 100) exited with exit code 0"
    ])
    assert.deepStrictEqual(line(ExitStatus.exited(1)), [
      "Info",
      "background worker \"mail\" (PID 100) exited with exit code 1"
    ])
    assert.deepStrictEqual(line(ExitStatus.exited(2)), [
      "Warn",
      "background worker \"mail\" (PID 100) exited with exit code 2"
    ])
    assert.deepStrictEqual(line(ExitStatus.signaled("SIGSEGV")), [
      "Warn",
      "background worker \"mail\" (PID 100) was terminated by signal SIGSEGV"
    ])
  })

  loop(
    "C88 (departs) 20 exits at once: each is a turn of its own, and all are heard at once",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { script } = yield* TestSpawner
        yield* script("job", Script.exits(0, { after: "1 second" }))
        const events: Array<PostmasterEvent.PostmasterEvent> = []
        yield* fork(Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event))))
        const jobs = yield* Effect.forEach(Array.from({ length: 20 }), () => postmaster.register(Job))
        yield* TestClock.adjust("1 second")
        assert.strictEqual(events.filter((event) => event._tag === "Exited").length, 20)
        for (const job of jobs) assert.strictEqual((yield* job.status)._tag, "Stopped")
        assert.strictEqual((yield* postmaster.snapshot).freeSlots, 20)
      }),
    { config: { maxWorkers: 20 } }
  )

  it("C88 (departs) 20 attached workers that crash at once are one crash and one new start", () => {
    const h = new Harness({ maxWorkers: 20 }).run()
    const names = Array.from({ length: 20 }, (_, index) => `w${index}`)
    for (const name of names) h.register(attached(name, { restart: every(0) })).born(name).joins(name)
    const events = names.flatMap((name) => h.exits(name, 2).events)
    assert.strictEqual(events.filter((tag) => tag === "Exited").length, 20)
    assert.strictEqual(events.filter((tag) => tag === "CrashDetected").length, 1)
    assert.strictEqual(events.filter((tag) => tag === "Reinitializing").length, 1)
    assert.strictEqual(h.phase("Run").launched.length, 20)
  })

  it.effect("C90 (departs) a clock that is set back or forward changes no restart", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let skew = 0
      const crooked = Object.assign(Object.create(clock) as Clock.Clock, {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + skew
      })
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { script } = yield* TestSpawner
        yield* script("service", Script.exits(1), Script.exits(1), Script.serves())
        yield* postmaster.register(Service)
        for (const [lives, hours] of [[1, -1], [2, 1]] as const) {
          yield* settled
          skew += hours * 3_600_000
          yield* TestClock.adjust("9999 millis")
          assert.strictEqual((yield* spawned).length, lives)
          yield* TestClock.adjust("1 millis")
          assert.strictEqual((yield* spawned).length, lives + 1)
        }
      }).pipe(Effect.provide(TestPostmaster.layer), Effect.provideService(Clock.Clock, crooked))
    }))
})

describe("a crash of the attached workers", () => {
  const crew = () =>
    new Harness().run()
      .register(attached("crasher", { restart: every(3_600_000) }))
      .register(attached("service", { restart: every(3_600_000) }))
      .register(attached("job"))
      .born("crasher", "service", "job")
      .joins("crasher", "service", "job")

  logged("C93 (departs) the lines of a crash, and isolated workers keep running", (lines) =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const crasher = yield* postmaster.register(make("a", { flags: ["SharedMemory"], restart: "1 hour" }))
      const other = yield* postmaster.register(make("b", { flags: ["SharedMemory"], restart: "1 hour" }))
      const isolated = yield* postmaster.register(make("c"))
      const pids = yield* Effect.all([crasher.waitForReady, other.waitForReady, isolated.waitForReady])
      yield* end(crasher.ref, ExitStatus.exited(2))
      yield* settled
      assert.deepStrictEqual(lines.filter((line) => line.level === "Warn").map((line) => line.text), [
        `background worker "a" (PID ${pids[0]}) exited with exit code 2`,
        "background worker \"a\" crashed; terminating any other attached workers",
        "all attached workers terminated; reinitializing"
      ])
      assert.deepStrictEqual(yield* isolated.status, WorkerStatus.ready(pids[2]))
    }))

  it("C95, C96 (departs) further bad exits: an event for debugging, no crash of their own, no signals", () => {
    const h = crew().exits("crasher", 2)
    for (
      const [name, status] of [["service", ExitStatus.exited(2)], ["job", ExitStatus.signaled("SIGSEGV")]] as const
    ) {
      h.exits(name, status)
      const [exited, ...others] = h.all("Publish").map((order) => order.event)
      assert.strictEqual(lineOf(exited!)[0], "Debug")
      assert.notInclude(others.map((event) => event._tag), "CrashDetected")
      assert.deepStrictEqual(h.signals, [])
    }
  })

  it("C97 (departs) the deaf are killed once, after the time that is set, with a warning", () => {
    const h = new Harness({ killAfter: 2_000 }).run().register(attached("a")).register(attached("b")).born("a", "b")
    h.exits("a", 2)
    assert.deepStrictEqual(h.wake(1_999).signals, [])
    assert.deepStrictEqual(h.wake(1).signals, ["b SIGKILL Group"])
    assert.deepStrictEqual(lineOf(h.all("Publish").map((order) => order.event).find((_) => _._tag === "KillIssued")!), [
      "Warn",
      "issuing SIGKILL to recalcitrant children"
    ])
    assert.deepStrictEqual(h.wake(2_000).orders, [])
  })

  loop("C99 (departs) a handle from before the crash still hears everything after it", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const crasher = yield* postmaster.register(make("a", { flags: ["SharedMemory"], restart: "1 hour" }))
      const other = yield* postmaster.register(make("b", { flags: ["SharedMemory"], restart: "1 hour" }))
      yield* other.waitForReady
      const heard: Array<string> = []
      yield* fork(Stream.runForEach(other.statuses, (status) => Effect.sync(() => heard.push(status._tag))))
      yield* end(crasher.ref, ExitStatus.exited(2))
      yield* settled
      yield* end(other.ref, ExitStatus.exited(0))
      yield* settled
      assert.deepStrictEqual(heard, ["Ready", "Stopped", "Started", "Ready", "Stopped"])
    }))

  it("C102 restartAfterCrash off: nobody is started again", () => {
    const h = new Harness({ restartAfterCrash: false }).run()
    h.register(attached("a", { restart: every(0) })).register(define("b", { restart: every(0) })).born("a", "b")
    const launched = [...h.exits("a", 2).launched, ...h.exits("b", 1).launched, ...h.wake(60_000).launched]
    assert.deepStrictEqual([h.state.phase, launched, h.wakeIn()], ["Halted", [], undefined])
    assert.strictEqual(h.state.table.tenants, 0)
  })

  loop("C104 (departs) every wait of the moment of the crash ends", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end, script } = yield* TestSpawner
      const member = (name: string, restart: Restart.Input) =>
        postmaster.register(make(name, { flags: ["SharedMemory"], restart }))
      yield* script("slow", Script.serves({ ready: "never" }), Script.serves())
      yield* script("unborn", Script.serves({ birth: "1 second" }))
      yield* script("resting", Script.exits(1), Script.serves())
      const crasher = yield* member("crasher", "1 hour")
      const slow = yield* member("slow", "1 hour")
      const job = yield* member("job", "never")
      const resting = yield* member("resting", "1 hour")
      const unborn = yield* member("unborn", "never")
      yield* Effect.all([crasher.waitForReady, slow.waitForStartup, job.waitForReady])
      const ends = <A, E>(wait: Effect.Effect<A, E>) =>
        fork(Effect.match(wait, { onFailure: () => "failed", onSuccess: () => "ended" }))
      const waits = yield* Effect.all([
        ends(crasher.waitForShutdown),
        ends(slow.waitForReady),
        ends(job.waitForEnd),
        ends(resting.waitForShutdown),
        ends(unborn.waitForStartup)
      ])
      yield* end(crasher.ref, ExitStatus.signaled("SIGSEGV"))
      yield* TestClock.adjust("1 minute")
      const answers = yield* Effect.forEach(waits, Fiber.join)
      assert.deepStrictEqual(answers, ["ended", "failed", "ended", "ended", "ended"])
      assert.deepStrictEqual((yield* resting.status)._tag, "Ready")
      assert.isFalse((yield* postmaster.snapshot).recovering)
    }))
})

describe("shutdown", () => {
  const lines = (h: Harness): ReadonlyArray<readonly [string, string]> =>
    h.all("Publish").map((order) => lineOf(order.event)).filter(([level]) => level !== "Debug")

  it("C108 (departs) fast: the same line from every phase", () => {
    const request = ["Info", "received fast shutdown request"] as const
    const busy = (h: Harness) =>
      h.register(define("early", { startTime: "PostmasterStart" })).born("early").shutdown("Fast")
    assert.deepStrictEqual(lines(busy(new Harness().run())), [request])
    assert.deepStrictEqual(lines(busy(new Harness().phase("Startup"))), [request])
    assert.deepStrictEqual(lines(busy(new Harness().phase("Startup").phase("Consistent"))), [request])
  })

  it("C112 immediate after a crash: the end is abnormal", () => {
    const h = new Harness().run().register(attached("a")).register(attached("b")).born("a", "b").exits("a", 2)
    h.shutdown("Immediate").exits("b", 2)
    const [[level, text] = [], ...others] = lines(h)
    assert.deepStrictEqual([level, others], ["Error", []])
    assert.match(text ?? "", /^abnormal postmaster shutdown: a worker crashed/)
    assert.isTrue(h.order("Halt")?.abnormal)
  })

  it("C114 a gentler request after a harsher one is not even logged", () => {
    const h = new Harness().run().register(define("job")).born("job").shutdown("Fast")
    for (const mode of ["Smart", "Fast"] as const) assert.deepStrictEqual(h.shutdown(mode).orders, [])
    assert.deepStrictEqual(lines(h.shutdown("Immediate")), [["Info", "received immediate shutdown request"]])
  })

  it("C116 a reload during the recovery from a crash reaches the isolated workers, which keep running", () => {
    const h = new Harness().run().register(attached("a", { restart: every(0) })).register(attached("b"))
    h.register(define("isolated")).born("a", "b", "isolated").exits("a", 2)
    assert.strictEqual(h.state.phase, "Waiting")
    assert.include(h.hear({ _tag: "ReloadRequested" }).signals, "isolated SIGHUP Process")
  })

  it.effect("C115 an exit and a shutdown request at once: the request is heard first, and nobody is started again", () =>
    Effect.gen(function*() {
      const postmaster = yield* Loop.make(() => Effect.void, {
        enter: () => ({ id: 0, receive: () => {}, drain: () => {}, disconnect: () => {} }),
        patience: () => undefined
      })
      yield* postmaster.open
      const { ref } = yield* postmaster.register(define("service", { restart: every(0) }), "Application")
      yield* settled
      const events = yield* fork(Stream.runCollect(postmaster.events))
      yield* Effect.andThen(
        postmaster.tell({ _tag: "ChildExited", ref, status: ExitStatus.exited(1) }),
        postmaster.tell({ _tag: "ShutdownRequested", mode: "Fast" })
      )
      yield* postmaster.awaitHalt
      const tags = (yield* Fiber.join(events)).map((event) => event._tag)
      assert.deepStrictEqual(
        tags.filter((tag) => tag === "ShutdownRequested" || tag === "Exited" || tag === "Starting"),
        [
          "ShutdownRequested",
          "Exited"
        ]
      )
      assert.deepStrictEqual(yield* spawned, ["service"])
    }).pipe(Effect.provide([TestSpawner.layer, PostmasterConfig.layer()])))
})

describe("handles", () => {
  loop("C118 the status through a life, and of one that was forgotten before it started", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.exits(0, { birth: "1 second", ready: "never", after: "1 second" }))
      const job = yield* postmaster.register(Job)
      assert.deepStrictEqual(yield* job.status, { _tag: "NotYetStarted" })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* job.status, WorkerStatus.started(Option.getOrThrow(yield* job.pid)))
      yield* TestClock.adjust("1 second")
      const stopped = yield* job.status
      assert(stopped._tag === "Stopped")
      assert.deepStrictEqual(stopped.lastExit, ExitStatus.exited(0))
      // A failed birth leaves the worker waiting; it has never had a process.
      yield* script("service", Script.notBorn("not now"))
      const forgotten = yield* postmaster.register(Service)
      yield* settled
      assert.deepStrictEqual(yield* forgotten.status, { _tag: "NotYetStarted" })
      yield* forgotten.terminate
      yield* settled
      assert.strictEqual((yield* forgotten.status)._tag, "Stopped")
      assert.deepStrictEqual(yield* forgotten.pid, Option.none())
      // Whoever comes next into the slot changes nothing of that.
      yield* script("service", Script.serves())
      const next = yield* postmaster.register(Service)
      yield* next.waitForReady
      assert.strictEqual(next.ref.slot, forgotten.ref.slot)
      assert.strictEqual((yield* forgotten.status)._tag, "Stopped")
    }))

  it.effect("C121 when the loop dies, every wait ends with PostmasterDied, and every child is ended", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let broken = false
      const fragile = Object.assign(Object.create(clock) as Clock.Clock, {
        monotonicTimeNanosUnsafe: () => {
          if (broken) throw new Error("the clock has stopped")
          return clock.monotonicTimeNanosUnsafe()
        }
      })
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { alive, script } = yield* TestSpawner
        yield* script("unborn", Script.serves({ birth: "1 hour" }))
        yield* script("unready", Script.serves({ ready: "never" }))
        const unborn = yield* postmaster.register(make("unborn"))
        const unready = yield* postmaster.register(make("unready"))
        yield* unready.waitForStartup
        const waits = yield* Effect.forEach(
          [
            unborn.waitForStartup,
            unready.waitForReady,
            unready.waitForShutdown,
            unready.waitForEnd,
            Stream.runDrain(unready.statuses),
            postmaster.awaitHalt
          ] as ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>>,
          (wait) => fork(Effect.flip(wait))
        )
        broken = true
        yield* postmaster.reload
        for (const wait of waits) {
          const error = yield* Fiber.join(wait)
          assert.strictEqual(error._tag, "PostmasterDied")
          assert.include(error.message, "the clock has stopped")
        }
        yield* settled
        assert.deepStrictEqual(yield* alive, [])
        const refused = yield* Effect.flip(postmaster.register(Job))
        assert.strictEqual(refused.reason._tag, "NotAccepting")
      }).pipe(
        Effect.provide(TestPostmaster.layer),
        Effect.provideService(Clock.Clock, fragile),
        Effect.provideService(References.MinimumLogLevel, "None")
      )
    }))

  const watched = () => {
    const watch = Watch.make("job", Identity.slotRef(0, 1))
    return {
      watch,
      handle: Watch.toHandle(watch, undefined, {
        id: "here",
        terminate: () => Effect.void,
        changePolicy: () => Effect.void,
        resume: () => Effect.void,
        history: () => Effect.succeed([]),
        progress: () => Effect.succeedNone,
        replace: () => Effect.never,
        connect: () => Effect.never
      })
    }
  }

  it.effect("C126 an interrupted wait has let go of its wake-up", () =>
    Effect.gen(function*() {
      const { handle, watch } = watched()
      const waits = (handle: WorkerHandle): ReadonlyArray<Effect.Effect<unknown, unknown>> => [
        handle.waitForStartup,
        handle.waitForReady,
        handle.waitForShutdown,
        handle.waitForEnd,
        Stream.runDrain(handle.statuses)
      ]
      for (const wait of waits(handle)) {
        const fiber = yield* fork(wait)
        assert.strictEqual(watch.listeners.size, 1)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(watch.listeners.size, 0)
      }
    }))

  loop("C127 (departs) every waiter is told at once, registrant or not", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const handles = Deferred.makeUnsafe<WorkerHandle>()
      const strangers = yield* Effect.forEach(
        [1, 2, 3],
        () => fork(Effect.flatMap(Deferred.await(handles), (handle) => handle.waitForShutdown))
      )
      const job = yield* postmaster.register(Job)
      yield* job.waitForReady
      yield* Deferred.succeed(handles, job)
      yield* settled
      yield* job.terminate
      yield* settled
      for (const stranger of strangers) assert.isDefined(stranger.pollUnsafe())
    }))

  it.effect("C128 a wake-up without a change goes on waiting", () =>
    Effect.gen(function*() {
      const { handle, watch } = watched()
      const startup = yield* fork(handle.waitForStartup)
      for (let hint = 0; hint < 3; hint++) Watch.tell(watch)
      yield* settled
      assert.isUndefined(startup.pollUnsafe())
      const pid = 7 as Identity.Pid
      Watch.update(watch, WorkerStatus.started(pid), false)
      Watch.tell(watch)
      assert.strictEqual(yield* Fiber.join(startup), pid)
      const shutdown = yield* fork(handle.waitForShutdown)
      Watch.tell(watch)
      Watch.update(watch, WorkerStatus.ready(pid), false)
      Watch.tell(watch)
      yield* settled
      assert.isUndefined(shutdown.pollUnsafe())
    }))
})

describe("sleep time", () => {
  it("C140 (departs) nothing to do: no wake-up at all", () => {
    assert.isUndefined(new Harness().run().register(define("a")).born("a").ready("a").wakeIn())
  })

  it("C141 somebody may start: at once", () => {
    const h = new Harness({ maxLaunchesPerTurn: 1 }).register(define("a"), "Preload").register(define("b"), "Preload")
    h.run()
    assert.isBelow(h.wakeIn()!, 0)
    h.wake()
    assert.isUndefined(h.wakeIn())
  })

  it("C142 due in 3 s and in 7 s: in 3 s", () => {
    const h = new Harness().run().register(define("a", { restart: every(7_000) }))
    h.register(define("b", { restart: every(3_000) })).born("a", "b").exits("a", 1).exits("b", 1)
    assert.strictEqual(h.wakeIn(), 3_000)
    assert.deepStrictEqual([h.wake(3_000).launched, h.born("b").wakeIn()], [["b"], 4_000])
    // A stop timeout is one of the things that are due.
    h.register(define("c", { stopTimeoutMillis: 1_000 })).born("c").terminate("c")
    assert.strictEqual(h.wakeIn(), 1_000)
  })

  it("C143 (departs) due in 300 s: in 300 s", () => {
    const h = new Harness().run().register(define("a", { restart: every(300_000) })).born("a").exits("a", 1)
    assert.strictEqual(h.wakeIn(), 300_000)
  })

  it("C144 overdue: at once, and then it starts", () => {
    const h = new Harness().run().register(define("a", { restart: every(1_000) })).born("a").exits("a", 1).later(5_000)
    assert.isAtMost(h.wakeIn()!, 0)
    assert.deepStrictEqual(h.wake().launched, ["a"])
  })

  it("C145 (departs) shutdown: what is left until SIGKILL, and no restart counts any more", () => {
    const h = new Harness().run().register(define("resting", { restart: every(1_000) })).register(define("a"))
    h.born("resting", "a").exits("resting", 1).shutdown("Immediate")
    assert.strictEqual(h.wakeIn(), 5_000)
    assert.strictEqual(h.later(2_000).wakeIn(), 3_000)
    assert.isAtMost(h.later(7_000).wakeIn()!, 0)
    h.wake()
    assert.isUndefined(h.wakeIn())
    const fast = new Harness().run().register(define("a")).born("a").shutdown("Fast")
    assert.strictEqual(fast.later(10_000).wakeIn(), 20_000)
    const endless = new Harness({ stopTimeout: Number.POSITIVE_INFINITY }).run().register(define("a")).born("a")
    assert.isUndefined(endless.shutdown("Fast").wakeIn())
  })
})
