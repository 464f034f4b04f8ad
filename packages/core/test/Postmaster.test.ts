import {
  BackgroundWorker,
  type Child,
  type ChildReport,
  ExitStatus,
  type Identity,
  Postmaster,
  PostmasterConfig,
  type PostmasterEvent,
  preload,
  Recording,
  type Snapshot,
  Spawner
} from "@effect-postmaster/core"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

const entry = { module: new URL("file:///worker.js") }
const define = (name: string, options?: Partial<BackgroundWorker.Options<typeof Schema.Void>>) =>
  BackgroundWorker.make(name, { entry, ...options })

const Job = define("job")
const Service = define("service", { restart: "10 seconds" })
const Mail = BackgroundWorker.make("mail", { entry, args: Schema.Struct({ at: Schema.DateTimeUtcFromMillis }) })

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options
) => it.effect(name, () => Effect.provide(body(), TestPostmaster.layerWith(options)))

describe("handles", () => {
  test("C72, C119 waitForStartup answers with the pid, waitForReady when the worker says so", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.serves({ birth: "1 second", ready: "5 seconds" }))
      const job = yield* postmaster.register(Job)
      const startup = yield* Effect.forkChild(job.waitForStartup, { startImmediately: true })
      const ready = yield* Effect.forkChild(job.waitForReady, { startImmediately: true })
      assert.strictEqual((yield* job.status)._tag, "NotYetStarted")
      yield* TestClock.adjust("1 second")
      const pid = yield* Fiber.join(startup)
      assert.deepStrictEqual(yield* job.status, { _tag: "Started", pid })
      assert.isUndefined(ready.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(ready), pid)
    }))

  test("C120 started and gone before anybody looks: WorkerStopped, with the exit and its error", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.fails("out of paper"))
      const job = yield* postmaster.register(Job)
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(job.waitForStartup)
      assert(error._tag === "WorkerStopped")
      assert.strictEqual(
        error.message,
        "background worker \"job\" (slot 0, generation 1) is stopped, it exited with exit code 1: out of paper after 0 ms"
      )
    }))

  test("C124 (departs) waitForShutdown never misses a stop, however quickly the worker is back", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("quick", Script.exits(1, { after: "1 second" }), Script.serves())
      const quick = yield* postmaster.register(define("quick", { restart: 0 }))
      yield* quick.waitForStartup
      const shutdown = yield* Effect.forkChild(quick.waitForShutdown, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.isDefined(shutdown.pollUnsafe())
      assert.strictEqual((yield* quick.status)._tag, "Ready")
    }))

  test("C125 waitForShutdown before the start waits through the start", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.exits(0, { birth: "1 minute", after: "1 minute" }))
      const job = yield* postmaster.register(Job)
      const shutdown = yield* Effect.forkChild(job.waitForShutdown, { startImmediately: true })
      yield* TestClock.adjust("90 seconds")
      assert.isUndefined(shutdown.pollUnsafe())
      yield* TestClock.adjust("30 seconds")
      assert.isDefined(shutdown.pollUnsafe())
    }))

  test("waitForEnd waits through every life and answers the last exit", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1), Script.exits(1), Script.exits(0))
      const service = yield* postmaster.register(Service)
      const end = yield* Effect.forkChild(service.waitForEnd, { startImmediately: true })
      yield* TestClock.adjust("15 seconds")
      assert.isUndefined(end.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(end), Option.some(ExitStatus.exited(0)))
      const unborn = yield* postmaster.register(define("unborn", { startTime: "RecoveryFinished" }))
      yield* unborn.terminate
      yield* unborn.waitForEnd
      assert.deepStrictEqual(yield* service.waitForEnd, Option.some(ExitStatus.exited(0)))
    }))

  test("between two lives waitForStartup answers WorkerStopped", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1), Script.serves())
      const service = yield* postmaster.register(Service)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Effect.flip(service.waitForStartup))._tag, "WorkerStopped")
    }))

  test("C126 an interrupted wait leaves nothing behind", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.serves({ ready: "never" }))
      const job = yield* postmaster.register(Job)
      const wait = yield* Effect.forkChild(job.waitForReady, { startImmediately: true })
      yield* Fiber.interrupt(wait)
      yield* job.terminate
      yield* job.waitForShutdown
    }))

  test("C30, C129 a stale handle reads Stopped and harms nobody", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const old = yield* postmaster.register(Job)
      yield* old.terminate
      yield* old.waitForShutdown
      const next = yield* postmaster.register(Service)
      yield* next.waitForReady
      assert.strictEqual(next.ref.slot, old.ref.slot)
      yield* old.terminate
      yield* old.terminate
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual([(yield* old.status)._tag, (yield* next.status)._tag], ["Stopped", "Ready"])
    }), { config: { maxWorkers: 1 } })

  test("statuses: the present one, every change, and the end with the registration", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1, { after: "1 second" }), Script.exits(0, { after: "1 second" }))
      const service = yield* postmaster.register(Service)
      const statuses = yield* Effect.forkChild(Stream.runCollect(service.statuses), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        (yield* Fiber.join(statuses)).map((status) => status._tag),
        ["NotYetStarted", "Started", "Ready", "Stopped", "Started", "Ready", "Stopped"]
      )
    }))

  test("pid is that of the life running now", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const job = yield* postmaster.register(Job)
      const pid = yield* job.waitForStartup
      assert.deepStrictEqual(yield* job.pid, Option.some(pid))
      yield* job.terminate
      yield* job.waitForShutdown
      assert.strictEqual((yield* job.pid)._tag, "None")
    }))
})

describe("registration", () => {
  test("C139 arguments arrive in their JSON form, also after a restart", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      yield* script("mail", Script.exits(1), Script.serves())
      const again = BackgroundWorker.make("mail", { entry, args: Mail.args, restart: "1 second" })
      const at = DateTime.makeUnsafe(1000)
      yield* postmaster.register(again, { at })
      yield* TestClock.adjust("1 second")
      const args = (yield* journal).flatMap((entry) => entry._tag === "Spawned" ? [entry.args] : [])
      assert.deepStrictEqual(args, [{ at: 1000 }, { at: 1000 }])
    }))

  test("arguments that do not encode: a typed error that names worker and value, no slot taken", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const error = yield* Effect.flip(postmaster.register(Mail, { at: "noon" } as never))
      assert.strictEqual(error.reason._tag, "InvalidArguments")
      assert.include(error.message, "background worker \"mail\": invalid arguments {\"at\":\"noon\"}")
      assert.strictEqual((yield* postmaster.snapshot).freeSlots, 8)
    }))

  test("a reason is caught by its tag", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const worker = yield* postmaster.register(Job)
      yield* worker.waitForReady
      const caught = yield* postmaster.register(Service).pipe(
        Effect.as("registered"),
        Effect.catchReason(
          "RegistrationError",
          "SlotsExhausted",
          ({ maxWorkers, occupants }) => Effect.succeed(`${maxWorkers} taken by ${occupants[0]?.name}`)
        )
      )
      assert.strictEqual(caught, "1 taken by job")
    }), { config: { maxWorkers: 1 } })

  test("an interrupted caller still gets its worker registered, or refused, and nothing hangs", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const fiber = yield* Effect.forkChild(postmaster.register(Job), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* postmaster.snapshot).workers.length, 1)
    }))
})

describe("the layer", () => {
  it.effect("C23 preloads of the postmaster's start run during startup, the others after it", () =>
    Effect.gen(function*() {
      const consistent = Deferred.makeUnsafe<void>()
      const finished = Deferred.makeUnsafe<void>()
      const starts = ["PostmasterStart", "ConsistentState", "RecoveryFinished"] as const
      const postmaster = TestPostmaster.layerWith({
        preload: starts.map((startTime) => preload(define(startTime, { startTime }))),
        startup: (phase) =>
          Effect.gen(function*() {
            yield* Deferred.await(consistent)
            yield* phase.consistent
            yield* Deferred.await(finished)
          })
      })
      const scope = yield* Effect.scope
      const memo = yield* Layer.makeMemoMap
      const spawner = yield* Layer.buildWithMemoMap(TestSpawner.layer, memo, scope)
      const building = yield* Effect.forkChild(Layer.buildWithMemoMap(postmaster, memo, scope), {
        startImmediately: true
      })
      const born = Effect.gen(function*() {
        yield* TestClock.adjust(0)
        const { journal } = yield* TestSpawner
        return (yield* journal).flatMap((entry) => entry._tag === "Spawned" ? [entry.name] : [])
      }).pipe(Effect.provide(spawner))
      assert.deepStrictEqual(yield* born, ["PostmasterStart"])
      yield* Deferred.succeed(consistent, undefined)
      assert.deepStrictEqual(yield* born, ["PostmasterStart", "ConsistentState"])
      assert.isUndefined(building.pollUnsafe())
      yield* Deferred.succeed(finished, undefined)
      assert.deepStrictEqual(yield* born, [...starts])
      yield* Fiber.join(building)
    }))

  it.effect("C13, C14 (departs) a preload that is refused fails the layer with its typed error", () =>
    Effect.gen(function*() {
      const build = (options: TestPostmaster.Options) =>
        Effect.flip(Effect.scoped(Layer.build(TestPostmaster.layerWith(options))))
      const bad = yield* build({ preload: [preload(Job), preload(define("bad", { restart: -1 }))] })
      assert.strictEqual(bad.reason._tag, "InvalidInterval")
      const crowded = yield* build({ preload: [preload(Job), preload(Job)], config: { maxWorkers: 1 } })
      assert.strictEqual(crowded.reason._tag, "SlotsExhausted")
    }))

  test("a scripted worker may have limits: they come with its registration, and it runs nothing", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const limits = { heap: 64, nice: 5, openFiles: 100, cpuTime: "1 minute" } as const
      const job = yield* postmaster.register(define("limited", { limits }))
      yield* job.waitForStartup
      yield* job.waitForReady
    }))

  test("a limit that cannot be kept is refused, and names worker, limit and value", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const error = yield* Effect.flip(postmaster.register(define("greedy", { limits: { openFiles: 1 } })))
      assert.strictEqual(
        error.message,
        "background worker \"greedy\": invalid limit openFiles 1, it must be between 32 and 1048576"
      )
    }))

  it.effect("a startup effect that fails, fails the layer with its own error, and early workers are stopped", () =>
    Effect.gen(function*() {
      const early = preload(define("early", { startTime: "PostmasterStart" }))
      const memo = yield* Layer.makeMemoMap
      const scope = yield* Effect.scope
      const { alive } = yield* Effect.provide(
        TestSpawner,
        yield* Layer.buildWithMemoMap(TestSpawner.layer, memo, scope)
      )
      const inner = yield* Scope.make()
      const exit = yield* Effect.exit(Layer.buildWithMemoMap(
        TestPostmaster.layerWith({ preload: [early], startup: () => Effect.fail("no disk" as const) }),
        memo,
        inner
      ))
      assert.deepStrictEqual(exit, Exit.fail("no disk"))
      yield* Scope.close(inner, Exit.void)
      assert.deepStrictEqual(yield* alive, [])
    }))

  it.effect("releasing the layer shuts down fast and returns when the last worker is gone", () =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const memo = yield* Layer.makeMemoMap
      const spawner = yield* Layer.buildWithMemoMap(TestSpawner.layer, memo, scope)
      yield* Effect.gen(function*() {
        const { alive, journal, script } = yield* TestSpawner
        yield* script("job", Script.serves({ obeys: "3 seconds" }))
        const inner = yield* Scope.make()
        const context = yield* Layer.buildWithMemoMap(
          Postmaster.layer().pipe(Layer.provide([TestSpawner.layer, PostmasterConfig.layer()])),
          memo,
          inner
        )
        const job = yield* Effect.provide(Effect.flatMap(Postmaster, (_) => _.register(Job)), context)
        yield* job.waitForReady
        const closing = yield* Effect.forkChild(Scope.close(inner, Exit.void), { startImmediately: true })
        yield* TestClock.adjust("2 seconds")
        assert.isUndefined(closing.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.isDefined(closing.pollUnsafe())
        assert.deepStrictEqual(yield* alive, [])
        const signals = (yield* journal).flatMap((entry) => entry._tag === "Signaled" ? [entry.signal] : [])
        assert.deepStrictEqual(signals, ["SIGTERM"])
      }).pipe(Effect.provide(spawner))
    }))
})

describe("shutdown and crash", () => {
  test("every wait ends at a shutdown, and whoever asks later is told that it is over", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.serves({ ready: "never" }))
      const job = yield* postmaster.register(Job)
      const ready = yield* Effect.forkChild(Effect.flip(job.waitForReady), { startImmediately: true })
      const events = yield* Effect.forkChild(Stream.runLast(postmaster.events), { startImmediately: true })
      const snapshots = yield* Effect.forkChild(Stream.runLast(postmaster.snapshots), { startImmediately: true })
      yield* postmaster.shutdown("Immediate")
      yield* postmaster.awaitHalt
      assert.strictEqual((yield* Fiber.join(ready))._tag, "WorkerStopped")
      assert.deepStrictEqual((yield* Fiber.join(events)).pipe((_) => _._tag === "Some" && _.value._tag), "Halted")
      assert.deepStrictEqual((yield* Fiber.join(snapshots)).pipe((_) => _._tag === "Some" && _.value.phase), "Halted")
      const error = yield* Effect.flip(postmaster.register(Mail, { at: "noon" } as never))
      assert.strictEqual(error.reason._tag, "NotAccepting")
      assert.include(error.message, "cannot register background worker \"mail\" in phase Halted")
      yield* job.terminate
      yield* job.waitForShutdown
    }))

  test("C114 what has come in together: the shutdown is heard first, the harshest before the others", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const heard = yield* Effect.forkChild(
        Stream.runCollect(Stream.filter(postmaster.events, (event) => event._tag === "ShutdownRequested")),
        { startImmediately: true }
      )
      yield* postmaster.shutdown("Smart")
      yield* postmaster.shutdown("Immediate")
      yield* postmaster.shutdown("Fast")
      yield* postmaster.awaitHalt
      assert.deepStrictEqual(yield* Fiber.join(heard), [{ _tag: "ShutdownRequested", mode: "Immediate" }])
    }))

  test(
    "C98 after a crash the startup effect runs again, and attached services come back at once",
    () =>
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { end } = yield* TestSpawner
        const attached = (name: string) => define(name, { flags: ["SharedMemory"], restart: "1 hour" })
        const a = yield* postmaster.register(attached("a"))
        const b = yield* postmaster.register(attached("b"))
        const before = yield* b.waitForReady
        assert.isTrue(yield* end(a.ref, ExitStatus.signaled("SIGSEGV")))
        yield* TestClock.adjust(0)
        assert.strictEqual(startups, 2)
        assert.deepStrictEqual([(yield* a.status)._tag, (yield* b.status)._tag], ["Ready", "Ready"])
        assert.notStrictEqual(yield* b.waitForReady, before)
      }),
    { startup: () => Effect.sync(() => void startups++) }
  )
  let startups = 0

  it.effect("two runs of the startup effect never overlap", () =>
    Effect.gen(function*() {
      const story: Array<string> = []
      let run = 0
      const startup = Effect.acquireUseRelease(
        Effect.sync(() => story.push(`begin ${++run}`)),
        () => run === 1 ? Effect.never : Effect.void,
        () => Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(() => story.push(`end ${run}`)))
      )
      const early = define("early", { startTime: "PostmasterStart", flags: ["SharedMemory"], restart: 0 })
      const memo = yield* Layer.makeMemoMap
      const scope = yield* Effect.scope
      const spawner = yield* Layer.buildWithMemoMap(TestSpawner.layer, memo, scope)
      yield* Effect.gen(function*() {
        const { alive, script } = yield* TestSpawner
        yield* script("early", Script.dies("SIGSEGV", { after: "1 second" }), Script.serves())
        const building = yield* Effect.forkChild(
          Layer.buildWithMemoMap(
            TestPostmaster.layerWith({ preload: [preload(early)], startup: () => startup }),
            memo,
            scope
          ),
          { startImmediately: true }
        )
        yield* TestClock.adjust(0)
        assert.strictEqual((yield* alive).length, 1)
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(story, ["begin 1"])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(story, ["begin 1", "end 1", "begin 2", "end 2"])
        yield* Fiber.join(building)
      }).pipe(Effect.provide(spawner))
    }))

  it.effect("a startup effect that interrupts itself has failed; the layer does not hang", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Effect.scoped(Layer.build(TestPostmaster.layerWith({ startup: () => Effect.interrupt })))
      )
      assert.isTrue(Exit.isFailure(exit))
    }))

  it.effect("a test layer is released at once, whoever hangs in it or is being born", () =>
    Effect.gen(function*() {
      yield* Effect.gen(function*() {
        const { script } = yield* TestSpawner
        const postmaster = yield* Postmaster
        yield* script("job", Script.hangs(), Script.serves({ birth: "1 hour" }))
        yield* (yield* postmaster.register(Job)).waitForReady
        yield* postmaster.register(Job)
      }).pipe(Effect.provide(TestPostmaster.layerWith({ config: { killAfter: "1 day" } })))
    }))

  test("C102 restartAfterCrash off: awaitHalt fails, and every wait with it", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end, script } = yield* TestSpawner
      yield* script("a", Script.serves({ ready: "never" }))
      const a = yield* postmaster.register(define("a", { flags: ["SharedMemory"], restart: 0 }))
      yield* a.waitForStartup
      yield* end(a.ref, ExitStatus.exited(9))
      const died = yield* Effect.flip(postmaster.awaitHalt)
      assert.strictEqual(died._tag, "PostmasterDied")
      assert.include(died.message, "restartAfterCrash")
    }), { config: { restartAfterCrash: false } })
})

describe("watching", () => {
  test("events tell the story of a worker", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1, { after: "1 second" }), Script.exits(0, { after: "1 second" }))
      const events: Array<PostmasterEvent.PostmasterEvent> = []
      yield* Effect.forkChild(Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event))), {
        startImmediately: true
      })
      yield* postmaster.register(Service)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(events.map((event) => event._tag), [
        "Registered",
        "Starting",
        "Started",
        "Ready",
        "Exited",
        "Starting",
        "Started",
        "Ready",
        "Exited",
        "Unregistered"
      ])
      const exit = events[4]
      assert(exit?._tag === "Exited")
      assert.deepStrictEqual([exit.verdict, exit.nextStartInMillis], ["Failed", 10_000])
    }))

  const rows = ({ workers }: Snapshot.PostmasterSnapshot) => workers.map((_) => `${_.name} ${_.state}`).join()

  test("snapshots: the present one, then the newest whenever it has changed", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const seen: Array<Snapshot.PostmasterSnapshot> = []
      yield* Effect.forkChild(Stream.runForEach(postmaster.snapshots, (one) => Effect.sync(() => seen.push(one))), {
        startImmediately: true
      })
      assert.deepStrictEqual(seen.map(rows), [""])
      const job = yield* postmaster.register(Job)
      yield* job.waitForReady
      yield* TestClock.adjust(0)
      assert.strictEqual(rows(seen.at(-1)!), "job Ready")
      assert.strictEqual(seen.at(-1), yield* postmaster.snapshot)
      yield* end(job.ref, ExitStatus.exited(0))
      yield* TestClock.adjust(0)
      assert.strictEqual(rows(seen.at(-1)!), "")
      const { length } = seen
      assert.isAbove(length, 2)
      assert.strictEqual(new Set(seen).size, length)
      // Nothing that can be seen.
      yield* job.terminate
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(seen.length, length)
    }))

  test("snapshots: a slow reader sees the newest, and no backlog", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1))
      const gate = yield* Deferred.make<void>()
      const seen: Array<Snapshot.PostmasterSnapshot> = []
      yield* Effect.forkChild(
        Stream.runForEach(postmaster.snapshots, (one) =>
          Effect.andThen(Effect.sync(() => seen.push(one)), Deferred.await(gate))),
        { startImmediately: true }
      )
      yield* postmaster.register(Service)
      yield* TestClock.adjust("10 hours")
      assert.deepStrictEqual(seen.map(rows), [""])
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen.map(rows), ["", "service Resting"])
      assert.strictEqual(seen[1], yield* postmaster.snapshot)
    }))

  test("snapshots: a rest that ends while nobody may start is seen, too", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1))
      yield* script("deaf", Script.hangs())
      yield* script("crashes", Script.dies("SIGSEGV", { after: "5 seconds" }))
      const seen: Array<string> = []
      yield* Effect.forkChild(
        Stream.runForEach(postmaster.snapshots, (one) => Effect.sync(() => seen.push(rows(one)))),
        {
          startImmediately: true
        }
      )
      yield* postmaster.register(Service)
      yield* postmaster.register(define("deaf", { flags: ["SharedMemory"], restart: 0 }))
      yield* postmaster.register(define("crashes", { flags: ["SharedMemory"], restart: 0 }))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(seen.at(-1), "service Resting,deaf Stopping,crashes Resting")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(seen.at(-1), "service Waiting,deaf Stopping,crashes Resting")
    }), { config: { killAfter: "1 hour" } })

  test("workers are found by their name, in the order of their registration, and no longer when they have ended", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const refs = Effect.map(postmaster.find("job"), (found) => found.map(({ ref }) => ref))
      assert.deepStrictEqual(yield* refs, [])
      const [other, a, b] = yield* Effect.forEach([Service, Job, Job], (one) => postmaster.register(one))
      yield* end(other!.ref, ExitStatus.exited(0))
      // The youngest, in the first slot.
      const c = yield* postmaster.register(Job)
      assert.deepStrictEqual(yield* refs, [a!.ref, b!.ref, c.ref])
      assert.isBelow(c.ref.slot, a!.ref.slot)
      const [found] = yield* postmaster.find("job")
      yield* found!.terminate
      yield* a!.waitForEnd
      assert.deepStrictEqual(yield* refs, [b!.ref, c.ref])
      assert.deepStrictEqual(yield* postmaster.find("service"), [])
      yield* postmaster.shutdown("Immediate")
      yield* postmaster.awaitHalt
      assert.deepStrictEqual(yield* refs, [])
    }))

  test("a snapshot tells since when, how often, how it ended and when it comes back", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1, { after: "1 second" }), Script.exits(1, { after: "1 second" }))
      yield* TestClock.setTime(1_000_000)
      yield* postmaster.register(Service)
      yield* TestClock.adjust("12 seconds")
      const [service] = (yield* postmaster.snapshot).workers
      assert.deepInclude(service, {
        name: "service",
        state: "Resting",
        restarts: 1,
        registeredAt: 1_000_000,
        nextStartAt: 1_022_000
      })
      assert.deepStrictEqual(service?.lastExit, { _tag: "Exited", code: 1 })
    }))

  test("C130 the type by pid: of the running, and of nobody else", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const job = yield* postmaster.register(define("job 7", { type: "job" }))
      const pid = yield* job.waitForStartup
      assert.deepStrictEqual(yield* postmaster.typeByPid(pid), Option.some("job"))
      for (const other of [0, -1, 4711]) assert.deepStrictEqual(yield* postmaster.typeByPid(other), Option.none())
      yield* job.terminate
      yield* job.waitForEnd
      assert.deepStrictEqual(yield* postmaster.typeByPid(pid), Option.none())
    }))

  test("C131 (departs) whoever uses a resource is terminated for it, and nobody else", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const user = yield* postmaster.register(define("user", { resources: ["db/a", "db/b"], restart: 0 }))
      const other = yield* postmaster.register(define("other", { resources: ["db/b"] }))
      const none = yield* postmaster.register(Job)
      yield* Effect.all([user.waitForReady, other.waitForReady, none.waitForReady])
      yield* postmaster.terminateUsers("db/a")
      yield* user.waitForEnd
      yield* postmaster.terminateUsers("db/nowhere")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([(yield* other.status)._tag, (yield* none.status)._tag], ["Ready", "Ready"])
    }))

  test("a recording of the last facts, written down and read back, leads to the present again", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1))
      yield* postmaster.register(Service)
      yield* postmaster.register(Job)
      // Longer than what is kept: the beginning is forgotten.
      yield* TestClock.adjust("5 hours")
      const recording = yield* postmaster.recording
      assert.isAbove(recording.heard.length, 2048)
      assert.isBelow(recording.heard.length, 5000)
      assert.isAbove(recording.checkpoint.sequence, 0)
      const codec = Schema.toCodecJson(Recording.Recording)
      const written = JSON.stringify(yield* Schema.encodeEffect(codec)(recording))
      const read = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(written))
      assert.deepStrictEqual(Recording.replay(read).at(-1)?.snapshot, yield* postmaster.snapshot)
    }))

  test("a recording holds no arguments, and an endless patience can be written down", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      yield* postmaster.register(Mail, { at: DateTime.makeUnsafe(4711) })
      const job = yield* postmaster.register(Job)
      yield* job.waitForReady
      yield* postmaster.shutdown("Immediate")
      yield* postmaster.awaitHalt
      const written = yield* Schema.encodeEffect(Schema.toCodecJson(Recording.Recording))(yield* postmaster.recording)
      assert.notInclude(JSON.stringify(written), "4711")
    }), { config: { killAfter: Duration.infinity } })

  test("an onlooker that reads nothing costs nothing, loses only the oldest, and costs nobody else anything", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      yield* script("service", Script.exits(1))
      const gate = yield* Deferred.make<void>()
      const events: Array<PostmasterEvent.PostmasterEvent> = []
      const late: Array<PostmasterEvent.PostmasterEvent> = []
      yield* Effect.forkChild(Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event))), {
        startImmediately: true
      })
      yield* Effect.forkChild(
        Stream.runForEach(
          postmaster.events,
          (event) => Effect.andThen(Effect.sync(() => late.push(event)), Deferred.await(gate))
        ),
        { startImmediately: true }
      )
      yield* postmaster.register(Service)
      yield* TestClock.adjust("10 hours")
      assert.strictEqual((yield* journal).filter((entry) => entry._tag === "Spawned").length, 3601)
      assert.isAtLeast(events.filter((event) => event._tag === "Exited").length, 3600)
      assert.strictEqual(late.length, 1)
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(0)
      // It is told what it has lost, where it has lost it, and nobody else is.
      const at = late.findIndex((event) => event._tag === "EventsLost")
      const lost = late[at]
      assert(lost?._tag === "EventsLost")
      assert.deepStrictEqual(late, [...events.slice(0, at), lost, ...events.slice(-1024)])
      assert.strictEqual(at + lost.count + 1024, events.length)
      assert.isFalse(events.includes(lost))
    }))
})

describe("a spawner that breaks its contract", () => {
  const broken = (spawn: Spawner["Service"]["spawn"]) =>
    Postmaster.layer().pipe(Layer.provide([Layer.succeed(Spawner, Spawner.of({ spawn })), PostmasterConfig.layer()]))
  const child = (part: Partial<Child>): Effect.Effect<Child> =>
    Effect.succeed({
      pid: 1 as Identity.Pid,
      signal: () => Effect.void,
      exit: Effect.never,
      port: FramePort.closed,
      reject: () => {},
      ...part
    })

  it.effect("by dying in a birth: the birth has failed", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const job = yield* postmaster.register(Job)
      const end = yield* job.waitForEnd
      assert(Option.isSome(end) && end.value._tag === "NotStarted")
      assert.include(end.value.error.message, "could not start a process for background worker \"job\"")
      assert.include(end.value.error.message, "no midwife")
    }).pipe(Effect.provide(broken(() => Effect.die(new Error("no midwife"))))))

  it.effect("by dying in a life: the worker is lost", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const end = yield* (yield* postmaster.register(Job)).waitForEnd
      assert(Option.isSome(end) && end.value._tag === "Lost")
      assert.include(end.value.detail, "its spawner failed: Error: no doctor")
    }).pipe(Effect.provide(broken(() => child({ exit: Effect.die(new Error("no doctor")) })))))

  const messengers: ReadonlyArray<readonly [string, Child["signal"]]> = [
    ["dying", () => Effect.die("no messenger")],
    ["waiting", () => Effect.never],
    ["throwing", () => {
      throw new Error("no messenger")
    }]
  ]
  for (const [how, signal] of messengers) {
    it.effect(`by ${how} in a signal: the loop goes on`, () =>
      Effect.gen(function*() {
        const exit = Deferred.makeUnsafe<ExitStatus.ExitStatus>()
        yield* Effect.gen(function*() {
          const postmaster = yield* Postmaster
          const job = yield* postmaster.register(Job)
          yield* job.waitForStartup
          yield* job.terminate
          const other = yield* postmaster.register(Job)
          yield* other.waitForStartup
          yield* Deferred.succeed(exit, ExitStatus.exited(0))
          yield* Effect.all([job.waitForEnd, other.waitForEnd])
        }).pipe(Effect.provide(broken(() => child({ signal, exit: Deferred.await(exit) }))))
      }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
  }

  it.effect("by throwing in a birth: the birth has failed", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const end = yield* (yield* postmaster.register(Job)).waitForEnd
      assert(Option.isSome(end) && end.value._tag === "NotStarted")
    }).pipe(Effect.provide(broken(() => {
      throw new Error("no midwife")
    }))))

  it.effect("by a birth that never ends: it is given up when its stop timeout has passed", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const job = yield* postmaster.register(Job)
      yield* job.terminate
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* job.status)._tag, "NotYetStarted")
      yield* TestClock.adjust("1 second")
      const end = yield* job.waitForEnd
      assert(Option.isSome(end) && end.value._tag === "NotStarted")
      assert.include(end.value.error.message, "it was not born in time")
    }).pipe(Effect.provide(broken(() => Effect.never))))

  it.effect("a birth that never ends does not hold up an immediate shutdown for longer than killAfter", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      yield* postmaster.register(Job)
      yield* postmaster.shutdown("Immediate")
      yield* TestClock.adjust("5 seconds")
      yield* postmaster.awaitHalt
    }).pipe(Effect.provide(broken(() => Effect.never))))

  it.effect("by a word that comes too late: it is not credited to the next life", () =>
    Effect.gen(function*() {
      const words: Array<(report: ChildReport) => void> = []
      const ends: Array<Deferred.Deferred<ExitStatus.ExitStatus>> = []
      const spawn: Spawner["Service"]["spawn"] = (_, report) => {
        const exit = Deferred.makeUnsafe<ExitStatus.ExitStatus>()
        words.push(report)
        ends.push(exit)
        return child({ exit: Deferred.await(exit) })
      }
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const worker = yield* postmaster.register(define("w", { flags: ["SharedMemory"], restart: 0 }))
        yield* worker.waitForStartup
        yield* Deferred.succeed(ends[0]!, ExitStatus.exited(1))
        while (words.length < 2) yield* Effect.yieldNow
        words[1]!("Attached")
        words[0]!("Detached")
        yield* TestClock.adjust(0)
        yield* Deferred.succeed(ends[1]!, ExitStatus.exited(0))
        const stopped = yield* postmaster.events.pipe(
          Stream.filter((event) => event._tag === "CrashDetected"),
          Stream.runHead,
          Effect.forkChild({ startImmediately: true })
        )
        assert.isTrue(Option.isSome(yield* Fiber.join(stopped)))
        for (const end of ends) yield* Deferred.succeed(end, ExitStatus.exited(0))
      }).pipe(Effect.provide(broken(spawn)), Effect.forkChild({ startImmediately: true }), Effect.flatMap(Fiber.join))
    }))

  it.effect("by reporting early, twice and too late: only what makes sense is heard", () =>
    Effect.gen(function*() {
      const exit = Deferred.makeUnsafe<ExitStatus.ExitStatus>()
      let report: (report: ChildReport) => void = () => {}
      const spawn: Spawner["Service"]["spawn"] = (_, hear) => {
        report = hear
        report("Ready")
        report("Ready")
        return child({ exit: Deferred.await(exit) })
      }
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const job = yield* postmaster.register(Job)
        yield* job.waitForReady
        yield* Deferred.succeed(exit, ExitStatus.exited(0))
        yield* job.waitForEnd
        report("Ready")
        report("Detached")
        yield* TestClock.adjust(0)
        const status = yield* job.status
        assert(status._tag === "Stopped")
        assert.deepStrictEqual(status.lastExit, ExitStatus.exited(0))
        assert.strictEqual((yield* postmaster.snapshot).freeSlots, 8)
      }).pipe(Effect.provide(broken(spawn)))
    }))
})

describe("calls to a scripted worker", () => {
  const Weather = WorkerProtocol.make(
    Rpc.make("Now", { payload: { place: Schema.String }, success: Schema.String })
  )
  const Station = BackgroundWorker.make("station", {
    entry: { module: new URL("file:///station.js") },
    protocol: Weather,
    restart: "1 hour"
  })
  const calls = Script.answers(
    Weather,
    Weather.toLayer({ Now: ({ place }) => Effect.delay(Effect.succeed(`sunny in ${place}`), "1 minute") })
  )

  it.effect("are answered by its script, in the test's own time", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script("station", Script.serves({ calls }))
      const station = yield* (yield* Postmaster).register(Station)
      const client = yield* station.client
      const answer = yield* Effect.forkScoped(client.Now({ place: "Oslo" }), { startImmediately: true })
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(answer.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(answer), "sunny in Oslo")
    }).pipe(Effect.scoped, Effect.provide(TestPostmaster.layer)))

  it.effect("fail with how its life ended, and succeed in the next one", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script("station", Script.dies("SIGSEGV", { after: "10 seconds", calls }), Script.serves({ calls }))
      const station = yield* (yield* Postmaster).register(Station)
      const client = yield* station.client
      const answer = yield* Effect.forkScoped(Effect.flip(client.Now({ place: "Oslo" })), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      const error = yield* Fiber.join(answer)
      assert(error._tag === "WorkerStopped" && error.isRetryable)
      assert.include(error.message, "SIGSEGV")
      assert.deepStrictEqual(yield* Effect.flip(station.client), error)
      const next = yield* Effect.forkScoped(
        Effect.flatMap(station.waitForClient, (client) => client.Now({ place: "Rome" })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 hour")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(next), "sunny in Rome")
    }).pipe(Effect.scoped, Effect.provide(TestPostmaster.layer)))
})
