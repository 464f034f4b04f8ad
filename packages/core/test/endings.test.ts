/** The last word on every end: who had ordered it, how long the life lasted, what it wrote; and lives that ask for another. */
import { BackgroundWorker, ExitStatus, type LifeRecord, Outcome, Postmaster, Restart } from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

const entry = { module: new URL("file:///worker.js") }
const Job = BackgroundWorker.make("job", { entry })
const Service = BackgroundWorker.make("service", { entry, restart: "10 seconds" })
const Mailer = BackgroundWorker.make("mailer", { entry, resources: ["mail"], restart: "10 seconds" })
const attached = (name: string) =>
  BackgroundWorker.make(name, { entry, flags: ["SharedMemory"], restart: "10 seconds" })

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>
) => it.effect(name, () => Effect.provide(body(), TestPostmaster.layer))

describe("the last word", () => {
  test("status, error, snapshot and history say the same of a life", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.fails("out of paper", { after: "3 seconds", output: ["paper?", "paper!"] }))
      const service = yield* postmaster.register(Service)
      const { pid } = { pid: yield* service.waitForStartup }
      const waiting = yield* Effect.forkChild(
        Effect.flip(Effect.andThen(service.waitForShutdown, service.waitForReady)),
        {
          startImmediately: true
        }
      )
      yield* TestClock.adjust("3 seconds")
      const record: LifeRecord.LifeRecord = {
        life: 1,
        pid,
        status: ExitStatus.exited(1, { kind: "Failure", message: "out of paper" }),
        verdict: "Failed",
        startedAt: 0,
        endedAt: 3_000,
        nextStartAt: 13_000,
        output: ["paper?", "paper!"]
      }
      const error = yield* Fiber.join(waiting)
      assert(error._tag === "WorkerStopped")
      assert.deepStrictEqual(error.lastLife, record)
      assert.strictEqual(
        error.message,
        "background worker \"service\" (slot 0, generation 1) is stopped, " +
          "it exited with exit code 1: out of paper after 3000 ms"
      )
      const status = yield* service.status
      assert(status._tag === "Stopped")
      assert.deepStrictEqual(status.lastLife, record)
      assert.deepStrictEqual((yield* postmaster.snapshot).workers[0]!.lastLife, record)
      assert.deepStrictEqual(yield* service.history, [record])
    }))

  test("every order has its cause, and the first one counts", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      const job = yield* postmaster.register(Job)
      const mailer = yield* postmaster.register(Mailer)
      yield* script("deaf", Script.hangs())
      const deaf = yield* postmaster.register(Service.pipe(BackgroundWorker.named("deaf")))
      yield* TestClock.adjust(0)
      yield* job.terminate
      yield* postmaster.terminateUsers("mail")
      yield* deaf.terminate
      yield* TestClock.adjust("1 second")
      yield* postmaster.shutdown("Immediate")
      yield* TestClock.adjust("5 seconds")
      const causes = yield* Effect.forEach([job, mailer, deaf], (handle) =>
        Effect.map(handle.history, (history) =>
          history.map(({ status, stopCause }) => [status._tag, stopCause])))
      assert.deepStrictEqual(causes, [
        [["Exited", "Terminated"]],
        [["Exited", "ResourceNeeded"]],
        [["Signaled", "Terminated"]]
      ])
    }))

  test("who crashed had no order, whoever went along had", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const crasher = yield* postmaster.register(attached("crasher"))
      const other = yield* postmaster.register(attached("other"))
      yield* crasher.waitForReady
      yield* other.waitForReady
      yield* end(crasher.ref, ExitStatus.signaled("SIGSEGV"))
      yield* other.waitForReady
      yield* postmaster.shutdown("Fast")
      yield* postmaster.awaitHalt
      const causes = (handle: typeof other) =>
        Effect.map(handle.history, (history) => history.map(({ stopCause }) => stopCause))
      assert.deepStrictEqual(yield* causes(crasher), [undefined, "ShuttingDown"])
      assert.deepStrictEqual(yield* causes(other), ["CrashRecovery", "ShuttingDown"])
    }))

  test("a birth that failed is in the history, with the number of the life it should have been", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.notBorn("no more processes"), Script.exits(1), Script.serves())
      const service = yield* postmaster.register(Service)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(
        (yield* service.history).map(({ endedAt, life, nextStartAt, pid, status }) => [
          status._tag,
          life,
          pid === undefined,
          endedAt,
          nextStartAt
        ]),
        [["NotStarted", 1, true, 0, 10_000], ["Exited", 1, false, 10_000, 20_000]]
      )
    }))

  test("the history is bounded, and outlives the registration", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.exits(1))
      const service = yield* postmaster.register(Service)
      yield* TestClock.adjust("200 seconds")
      const lives = Effect.map(service.history, (history) => history.map(({ life }) => life))
      assert.deepStrictEqual(yield* lives, [14, 15, 16, 17, 18, 19, 20, 21])
      yield* service.terminate
      yield* service.waitForEnd
      assert.deepStrictEqual((yield* lives).at(-1), 21)
    }))
})

describe("lives that ask for another", () => {
  test("recycled: another life a second after the last one began, or at once after a longer one", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script(
        "job",
        Script.again(Outcome.recycle, { after: "400 millis" }),
        Script.again(Outcome.recycle, { after: "1 hour" }),
        Script.exits(0)
      )
      // A job: what its policy says of failure and success is not asked.
      const job = yield* postmaster.register(Job)
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(
        (yield* job.history).map(({ endedAt, startedAt, verdict }) => [startedAt, endedAt, verdict]),
        [[0, 400, "Again"], [1_000, 3_601_000, "Again"], [3_601_000, 3_601_000, "Done"]]
      )
    }))

  test("retried after: the delay it asked for, whatever its policy", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("service", Script.again(Outcome.retryAfter("5 minutes")), Script.serves())
      const service = yield* postmaster.register(Service)
      yield* TestClock.adjust(0)
      const error = yield* Effect.flip(service.client)
      assert(error._tag === "WorkerStopped" && error.isRetryable)
      assert.include(error.message, "asking for another life after 300000 ms")
      assert.strictEqual((yield* postmaster.snapshot).workers[0]!.nextStartAt, 300_000)
      yield* TestClock.adjust("299999 millis")
      assert.strictEqual((yield* service.status)._tag, "Stopped")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* service.status)._tag, "Ready")
    }))

  test("it is no failure: a worker that asks again and again is not parked, and its row of failures ends", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      const restart = Restart.giveUp(Restart.exponential("1 second"), { failures: 3, within: "1 hour" })
      yield* script(
        "patient",
        Script.exits(1),
        ...Array.from({ length: 5 }, () => Script.again(Outcome.retryAfter(0))),
        Script.exits(1),
        Script.serves()
      )
      const patient = yield* postmaster.register(BackgroundWorker.make("patient", { entry, restart }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* patient.status)._tag, "Ready")
      assert.deepStrictEqual(
        (yield* patient.history).map(({ endedAt, nextStartAt }) => nextStartAt! - endedAt),
        [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000]
      )
    }))

  const young = Restart.giveUp(Restart.exponential("1 minute"), { failures: 1, within: "1 hour" })

  test("old enough, it is asked to end and has another life at once, however often; that is no failure", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal } = yield* TestSpawner
      const worker = yield* postmaster.register(
        BackgroundWorker.make("mayfly", { entry, restart: young, recycleAfter: "10 seconds" })
      )
      yield* TestClock.adjust("35 seconds")
      assert.deepStrictEqual(
        (yield* worker.history).map(({ endedAt, startedAt, stopCause, verdict }) => [
          startedAt,
          endedAt,
          stopCause,
          verdict
        ]),
        [0, 10_000, 20_000].map((at) => [at, at + 10_000, "Recycled" as const, "Again" as const])
      )
      assert.strictEqual((yield* worker.status)._tag, "Ready")
      const signals = (yield* journal).flatMap((entry) => entry._tag === "Signaled" ? [entry.signal] : [])
      assert.deepStrictEqual(signals, ["SIGTERM", "SIGTERM", "SIGTERM"])
    }))

  test("one that does not obey is killed in time, and one that may take for ever is not", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("deaf", Script.hangs(), Script.serves())
      yield* script("slow", Script.hangs())
      const define = (name: string, stopTimeout: "5 seconds" | "Infinity") =>
        BackgroundWorker.make(name, { entry, restart: young, recycleAfter: "10 seconds", stopTimeout })
      const deaf = yield* postmaster.register(define("deaf", "5 seconds"))
      const slow = yield* postmaster.register(define("slow", "Infinity"))
      yield* TestClock.adjust("16 seconds")
      assert.deepStrictEqual(
        (yield* deaf.history).map(({ endedAt, status, verdict }) => [endedAt, status._tag, verdict]),
        [[15_000, "Signaled", "Again"]]
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* slow.history, [])
    }))

  test("whoever is terminated as it grows old has no other life, and one that is done is done", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("late", Script.serves({ obeys: "5 seconds" }))
      yield* script("done", Script.exits(0, { after: "11 seconds", obeys: "Infinity" }))
      const define = (name: string) =>
        BackgroundWorker.make(name, { entry, restart: young, recycleAfter: "10 seconds" })
      const late = yield* postmaster.register(define("late"))
      const done = yield* postmaster.register(define("done"))
      yield* TestClock.adjust("12 seconds")
      yield* late.terminate
      yield* TestClock.adjust("5 seconds")
      yield* late.waitForEnd
      yield* done.waitForEnd
      assert.deepStrictEqual((yield* late.history).map(({ verdict }) => verdict), ["Again"])
      assert.deepStrictEqual((yield* done.history).map(({ verdict }) => verdict), ["Done"])
    }))

  test("an age that cannot be is refused", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const worker = BackgroundWorker.make("mayfly", { entry, recycleAfter: 5 })
      const { message } = yield* Effect.flip(postmaster.register(worker))
      assert.strictEqual(
        message,
        "background worker \"mayfly\": invalid recycling age 5 ms, it must be between 100 and 86400000000 ms"
      )
    }))

  test("told to end, it gets no other life", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.again(Outcome.recycle, { after: "1 minute", obeys: "Infinity" }))
      const job = yield* postmaster.register(Job)
      const ended = yield* postmaster.events.pipe(
        Stream.filter((event) => event._tag === "Unregistered"),
        Stream.runHead,
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("45 seconds")
      yield* job.terminate
      yield* TestClock.adjust("15 seconds")
      yield* job.waitForEnd
      const event = yield* Fiber.join(ended)
      assert(event._tag === "Some" && event.value._tag === "Unregistered")
      assert.strictEqual(event.value.reason, "Terminated")
    }))

  test("a smart shutdown waits for a job's life, and not for those it asks for", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("job", Script.again(Outcome.recycle, { after: "1 minute" }))
      yield* script("patient", Script.again(Outcome.retryAfter("1 day")))
      const job = yield* postmaster.register(Job)
      const patient = yield* postmaster.register(Job.pipe(BackgroundWorker.named("patient")))
      yield* TestClock.adjust("30 seconds")
      const halted = yield* Effect.forkChild(postmaster.awaitHalt, { startImmediately: true })
      yield* postmaster.shutdown("Smart")
      yield* patient.waitForEnd
      assert.isUndefined(halted.pollUnsafe())
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(halted)
      assert.deepStrictEqual((yield* job.history).map(({ endedAt, verdict }) => [endedAt, verdict]), [[
        60_000,
        "Again"
      ]])
    }))

  test("whoever was given up and is made a job then does not hold up a smart shutdown", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("stillborn", Script.notBorn("no more processes"))
      yield* script("job", Script.exits(0, { after: "1 minute" }))
      const stillborn = yield* postmaster.register(BackgroundWorker.make("stillborn", { entry, restart: young }))
      yield* postmaster.register(Job)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* postmaster.snapshot).workers[0]!.state, "Parked")
      yield* postmaster.shutdown("Smart")
      yield* stillborn.changePolicy({ restart: "never" })
      yield* TestClock.adjust("1 minute")
      yield* postmaster.awaitHalt
    }))

  test("whatever else a program returns is no wish", () =>
    Effect.sync(() => {
      const odd = [{ _tag: "RetryAfter", attempts: 3 }, { _tag: "RetryAfter", delayMillis: Number.NaN }, 3, null]
      for (const value of odd) assert.deepStrictEqual(ExitStatus.fromExit(Exit.succeed(value)), ExitStatus.exited(0))
    }))

  test("a delay out of bounds is brought within them", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(Outcome.retryAfter("Infinity"), { _tag: "RetryAfter", delayMillis: 86_400_000_000 })
      assert.deepStrictEqual(Outcome.retryAfter(-5), { _tag: "RetryAfter", delayMillis: 0 })
      assert.deepStrictEqual(Outcome.retryAfter(Number.NaN), { _tag: "RetryAfter", delayMillis: 0 })
    }))
})
