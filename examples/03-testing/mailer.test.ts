/**
 * Tests a worker and whoever depends on it: no process is started, and hours
 * pass in milliseconds. A script says how a life goes, the journal what the
 * postmaster did about it, and the test's clock when.
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Mailer, MailServer, Refused, sendAll } from "./mailer.ts"

const letters = { recipients: ["ada", "grace"] }

describe("the registered mailer", () => {
  it.effect("comes back thirty seconds after a failure, and no sooner", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      // The first life ends after a minute, the next one goes on for ever.
      yield* script("mailer", Script.fails("the server is down", { after: "1 minute" }), Script.serves())
      const mailer = yield* postmaster.register(Mailer, letters)
      yield* mailer.waitForReady

      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* mailer.status)._tag, "Stopped")
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* mailer.status)._tag, "Stopped")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* mailer.status)._tag, "Ready")
    }).pipe(Effect.provide(TestPostmaster.layer)))

  it.effect("is not tried more than twice a minute, for ten hours", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script } = yield* TestSpawner
      // The last script is played again and again.
      yield* script("mailer", Script.dies("SIGSEGV"))
      yield* postmaster.register(Mailer, letters)

      yield* TestClock.adjust("10 hours")
      const births = (yield* journal).filter((entry) => entry._tag === "Spawned")
      assert.strictEqual(births.length, 1 + 10 * 60 * 2)
      const [worker] = (yield* postmaster.snapshot).workers
      assert.deepInclude(worker, { name: "mailer", state: "Resting", restarts: 1200 })
    }).pipe(Effect.provide(TestPostmaster.layer)))

  it.effect("is killed when it hangs for five seconds after it was told to stop", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { alive, journal, script } = yield* TestSpawner
      yield* script("mailer", Script.hangs())
      const mailer = yield* postmaster.register(Mailer, letters)
      yield* mailer.waitForReady

      yield* mailer.terminate
      yield* TestClock.adjust("5 seconds")
      const signals = (yield* journal).filter((entry) => entry._tag === "Signaled")
      assert.deepStrictEqual(signals.map(({ at, signal }) => ({ at, signal })), [
        { at: 0, signal: "SIGTERM" },
        { at: 5000, signal: "SIGKILL" }
      ])
      assert.deepStrictEqual(yield* alive, [])
    }).pipe(Effect.provide(TestPostmaster.layer)))

  it.effect("is refused when the table is full, with the names of those who fill it", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const first = yield* postmaster.register(Mailer, letters)
      yield* postmaster.register(Mailer, letters)
      const { reason } = yield* Effect.flip(postmaster.register(Mailer, letters))
      assert(reason._tag === "SlotsExhausted")
      assert.strictEqual(reason.maxWorkers, 2)
      assert.deepStrictEqual(reason.occupants.map(({ name, ref }) => ({ name, slot: ref.slot })), [
        { name: "mailer", slot: 0 },
        { name: "mailer", slot: 1 }
      ])

      // A slot is free as soon as its worker is gone.
      yield* first.terminate
      yield* first.waitForShutdown
      yield* postmaster.register(Mailer, letters)
    }).pipe(Effect.provide(TestPostmaster.layerWith({ config: { maxWorkers: 2 } }))))

  it.effect("is refused with arguments that are not of its schema", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { message } = yield* Effect.flip(postmaster.register(Mailer, { recipients: [""] }))
      assert.include(message, "background worker \"mailer\": invalid arguments {\"recipients\":[\"\"]}")
    }).pipe(Effect.provide(TestPostmaster.layer)))
})

// The worker's own program is an Effect like any other.
describe("what the mailer does", () => {
  it.effect("sends every letter in turn, and stops at the first that is refused", () =>
    Effect.gen(function*() {
      const sent: Array<string> = []
      const server = MailServer.of({
        send: (recipient) =>
          recipient === "nobody"
            ? Effect.fail(new Refused({ recipient }))
            : Effect.sync(() => void sent.push(recipient))
      })
      const error = yield* sendAll({ recipients: ["ada", "nobody", "grace"] }).pipe(
        Effect.provideService(MailServer, server),
        Effect.flip
      )
      assert.strictEqual(error.recipient, "nobody")
      assert.deepStrictEqual(sent, ["ada"])
    }))
})
