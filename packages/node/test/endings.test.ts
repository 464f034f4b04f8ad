/** The last word on lives of real workers, and what they may ask for when they return. */
import { ExitStatus, LifeRecord, Postmaster, PostmasterConfig, type WorkerHandle } from "@effect-postmaster/core"
import { WorkerStopped } from "@effect-postmaster/core/HandleError"
import { RegistrationError } from "@effect-postmaster/core/RegistrationError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Callable } from "./fixtures/callable.ts"
import { Ending, lines, Mayfly } from "./fixtures/endings.ts"
import { Leader } from "./fixtures/leaders.ts"
import { isGone, spawners } from "./support.ts"

const patience = 60_000

describe.each(spawners)("the end of a $name", ({ layer, name, processes }) => {
  const test = (title: string, body: Effect.Effect<void, unknown, Postmaster | Scope.Scope>) =>
    it.live(
      title,
      () =>
        Effect.scoped(body).pipe(
          Effect.provide(Layer.provide(Postmaster.layer(), [layer, PostmasterConfig.layer()]))
        ),
      patience
    )

  const last = Effect.fnUntraced(function*(handle: Pick<WorkerHandle, "history">) {
    const history = yield* handle.history
    return history.at(-1)!
  })

  test(
    "its error with its stack, its uptime, and when it comes back",
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      for (
        const [how, kind, message] of [["fails", "Failure", "out of paper"], [
          "dies",
          "Defect",
          "no such drawer"
        ]] as const
      ) {
        const before = Date.now()
        const worker = yield* postmaster.register(Ending, how)
        yield* worker.waitForShutdown
        const record = yield* last(worker)
        assert(record.status._tag === "Exited" && record.status.error !== undefined)
        assert.strictEqual(record.status.error.kind, kind)
        assert.strictEqual(record.status.error.message, message)
        assert.include(record.status.error.stack, "endings.ts")
        assert.isAtLeast(LifeRecord.uptimeMillis(record), 0)
        assert.isAtLeast(record.startedAt!, before - 1_000)
        assert.strictEqual(record.nextStartAt! - record.endedAt, 3_600_000)
        assert.isUndefined(record.stopCause)
        yield* worker.terminate
      }
    })
  )

  test(
    "who had ordered it",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Ending, "serves")
      yield* worker.waitForReady
      yield* worker.terminate
      yield* worker.waitForEnd
      assert.strictEqual((yield* last(worker)).stopCause, "Terminated")
      assert.include((yield* Effect.flip(worker.waitForReady)).message, "it was terminated")
    })
  )

  if (name !== "fiber") {
    test(
      "the last lines of its stderr, and no more",
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Ending, "writes")
        yield* worker.waitForShutdown
        const { output } = yield* last(worker)
        const numbers = Array.from({ length: 9 }, (_, index) => `line ${lines - 8 + index}`)
        assert.deepStrictEqual(output.slice(0, -1), numbers)
        assert.strictEqual(output.at(-1), `${"x".repeat(499)}…`)
      })
    )
  }

  test(
    "another life after a while, if it asks for that",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Ending, "retries")
      yield* worker.waitForShutdown
      const record = yield* last(worker)
      assert.deepStrictEqual(record.status, ExitStatus.again({ _tag: "RetryAfter", delayMillis: 3_600_000 }))
      assert.strictEqual(record.verdict, "Again")
      assert.strictEqual(record.nextStartAt! - record.endedAt, 3_600_000)
    })
  )

  test(
    "another life when it is old enough",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Mayfly, "serves")
      const first = yield* worker.waitForReady
      yield* worker.waitForShutdown
      yield* Effect.repeat(Effect.andThen(Effect.sleep(10), worker.status), { until: ({ _tag }) => _tag === "Ready" })
      const [record] = yield* worker.history
      assert.deepInclude(record, { pid: first, verdict: "Again", stopCause: "Recycled" })
      assert.isAtLeast(LifeRecord.uptimeMillis(record!), 990)
      yield* worker.terminate
    })
  )

  test(
    "another life at once",
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Ending, "recycles")
      yield* worker.waitForShutdown
      // The end of the second life is seen when there is a second record.
      yield* Effect.repeat(
        worker.waitForStartup.pipe(Effect.ignore, Effect.andThen(Effect.sleep(10)), Effect.andThen(worker.history)),
        {
          until: (history) => history.length >= 2
        }
      )
      const [first, second] = yield* worker.history
      assert.deepStrictEqual([first!.verdict, second!.verdict], ["Again", "Again"])
      assert.isAtLeast(second!.startedAt! - first!.startedAt!, 990)
      yield* worker.terminate
    })
  )

  test(
    "for its successor, which answers calls by then; a call to the one that goes fails, and tells why",
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const before = yield* postmaster.register(Callable)
      const pid = yield* before.waitForReady
      const client = yield* before.client
      const pending = yield* Effect.forkChild(Effect.flip(client.Hang({ name: "pending" })), {
        startImmediately: true
      })
      const after = yield* before.replace
      assert.strictEqual(yield* (yield* after.client).Add({ a: 2, b: 3 }), 5)
      assert.notStrictEqual(yield* after.waitForReady, pid)
      assert.notDeepEqual(after.ref, before.ref)
      yield* before.waitForEnd
      if (processes) assert.isTrue(isGone(pid))
      assert.strictEqual((yield* last(before)).stopCause, "Replaced")
      const error = yield* Fiber.join(pending)
      assert(error instanceof WorkerStopped)
      // Its own slot is given up: who wants to try again asks the successor.
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "its successor is ready")
      assert.deepStrictEqual((yield* postmaster.find("callable")).map(({ ref }) => ref), [after.ref])
    })
  )

  test(
    "for its successor, if another worker wants it",
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const leader = yield* (yield* postmaster.register(Leader)).client
      const before = yield* postmaster.register(Callable)
      const { address, sum } = yield* leader.Replace({ address: before.address })
      assert.strictEqual(sum, 5)
      assert.notDeepEqual(address.ref, before.ref)
      yield* before.waitForEnd
      assert.strictEqual((yield* last(before)).stopCause, "Replaced")
      const refused = yield* Effect.flip(leader.Replace({ address: before.address }))
      assert(refused instanceof RegistrationError)
      assert.strictEqual(refused.reason._tag, "NotReplaceable")
    })
  )
})
