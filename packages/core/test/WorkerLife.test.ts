import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import { type ExitStatus, verdict } from "@effect-postmaster/core/ExitStatus"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { slotRef } from "@effect-postmaster/core/Identity"
import type { Flag } from "@effect-postmaster/core/Registration"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerLife from "@effect-postmaster/core/WorkerLife"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

type Program = Effect.Effect<void, unknown, WorkerContext | Scope.Scope>

const orderOf = (flags: ReadonlyArray<Flag> = []): WorkerLife.LifeOrder => ({
  ref: slotRef(3, 7),
  registration: { name: "one", entry: { module: "file:///one.js", export: "main" }, args: null, flags }
})

/** A life, everything its host has been told, in order, and its end. */
const begin = (program: Program, flags?: ReadonlyArray<Flag>) => {
  const told: Array<string> = []
  const left = Deferred.makeUnsafe<ExitStatus>()
  const life = WorkerLife.begin(orderOf(flags), program, {
    report: (report) => told.push(report),
    log: (line, level) => told.push(`${level}: ${line}`),
    port: () => FramePort.closed,
    leave: (status) => {
      told.push(verdict(status))
      Deferred.doneUnsafe(left, Effect.succeed(status))
    }
  })
  return { life, told, left: Deferred.await(left) }
}

const told = (program: Program, flags?: ReadonlyArray<Flag>) => {
  const { left, told } = begin(program, flags)
  return Effect.as(left, told)
}

const ready = WorkerContext.use(({ ready }) => ready)

describe("a life", () => {
  it.effect("tells its host what it reports, then its end", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(ready), ["Ready", "Done"])
      assert.deepStrictEqual(yield* told(Effect.fail("no")), ["Failed"])
      assert.deepStrictEqual(yield* told(Effect.die("no")), ["Crashed"])
    }))

  it.effect("that is attached joins before it begins and leaves after its finalizers, unless it dies", () =>
    Effect.gen(function*() {
      const program = Effect.andThen(Effect.addFinalizer(() => Effect.logInfo("finalizer")), ready)
      const died = Effect.andThen(program, Effect.die("no"))
      const attached: ReadonlyArray<Flag> = ["SharedMemory"]
      const line = "Info: finalizer"
      assert.deepStrictEqual(yield* told(program, attached), ["Attached", "Ready", line, "Detached", "Done"])
      assert.deepStrictEqual(yield* told(died, attached), ["Attached", "Ready", line, "Crashed"])
    }))

  it.effect("logs in lines, and tells warnings apart", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        yield* Effect.logInfo("two\nlines", { a: 1 }).pipe(Effect.annotateLogs({ city: "São Paulo", count: 3 }))
        yield* Effect.logError("trouble")
      })
      assert.deepStrictEqual(yield* told(program), [
        `Info: two\\nlines {"a":1} city="São Paulo" count=3`,
        "Warn: trouble",
        "Done"
      ])
    }))

  it.effect("knows who it is, and hears signals and the postmaster's death", () =>
    Effect.gen(function*() {
      const heard = Effect.gen(function*() {
        const { latch, name, postmasterDeath, ref, reloads } = yield* WorkerContext
        yield* Effect.logInfo(name, ref.slot, ref.generation)
        return yield* Effect.onInterrupt(
          Effect.gen(function*() {
            yield* latch.wait
            yield* Effect.logInfo("woken")
            yield* Stream.runForEach(Stream.take(reloads, 1), () => Effect.logInfo("reloaded"))
            yield* postmasterDeath
            yield* Effect.logInfo("orphaned")
            return yield* Effect.never
          }),
          () => Effect.logInfo("interrupted")
        )
      })
      const { left, life, told } = begin(heard)
      // Either counts once, however often it is sent.
      for (const signal of ["SIGHUP", "SIGHUP", "SIGUSR1", "SIGUSR1"] as const) life.signal(signal)
      life.orphan()
      while (!told.includes("Info: orphaned")) yield* Effect.yieldNow
      life.signal("SIGTERM")
      yield* left
      const lines = ["one 3 7", "woken", "reloaded", "orphaned", "interrupted"]
      assert.deepStrictEqual(told, [...lines.map((line) => `Info: ${line}`), "Failed"])
    }))
})

describe("a main", () => {
  it.effect("decodes its arguments when it begins, and runs nothing when it rehearses", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const worker = BackgroundWorker.make("one", {
        entry: { module: new URL("file:///one.js") },
        args: Schema.Struct({ count: Schema.Int })
      })
      const main = BackgroundWorker.main(worker, ({ count }) => Effect.sync(() => seen.push(count)))
      const ends = (args: Schema.Json) =>
        Effect.callback<ExitStatus>((resume) => {
          const order = orderOf()
          main.begin({ ...order, registration: { ...order.registration, args } }, {
            report: () => {},
            log: () => {},
            port: () => FramePort.closed,
            leave: (status) => resume(Effect.succeed(status))
          })
        })
      main.rehearse()
      assert.deepStrictEqual(seen, [])
      assert.deepStrictEqual(yield* ends({ count: 2 }), { _tag: "Exited", code: 0 })
      assert.deepStrictEqual(seen, [2])
      const refused = yield* ends({ count: "two" })
      assert(refused._tag === "Exited")
      assert.strictEqual(refused.error?.kind, "ArgumentsNotDecoded")
    }))
})
