import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import { type ExitStatus, verdict } from "@effect-postmaster/core/ExitStatus"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { slotRef } from "@effect-postmaster/core/Identity"
import { LogEntry } from "@effect-postmaster/core/LogEntry"
import * as Progress from "@effect-postmaster/core/Progress"
import type { Flag } from "@effect-postmaster/core/Registration"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerLife from "@effect-postmaster/core/WorkerLife"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

type Program = Effect.Effect<void, unknown, WorkerContext | Scope.Scope>

const orderOf = (flags: ReadonlyArray<Flag> = []): WorkerLife.LifeOrder => ({
  ref: slotRef(3, 7),
  registration: { name: "one", entry: { module: "file:///one.js", export: "main" }, args: null, flags }
})

/** A life, everything its host has been told, in order, and its end. */
const begin = (program: Program, flags?: ReadonlyArray<Flag>, minimumLogLevel?: LogLevel.LogLevel) => {
  const told: Array<string> = []
  const entries: Array<LogEntry> = []
  const left = Deferred.makeUnsafe<ExitStatus>()
  const order = { ...orderOf(flags), ...(minimumLogLevel === undefined ? undefined : { minimumLogLevel }) }
  const life = WorkerLife.begin(order, program, {
    report: (report) => told.push(report),
    progress: (progress) => told.push(Progress.format(progress)),
    log: (entry) => {
      entries.push(entry)
      told.push(`${entry.level}: ${entry.message.join(" ")}`)
    },
    port: () => FramePort.closed,
    leave: (status) => {
      told.push(verdict(status))
      Deferred.doneUnsafe(left, Effect.succeed(status))
    }
  })
  return { life, told, entries, left: Deferred.await(left) }
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

  it.effect("hands on what it logs as plain data", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        yield* Effect.logInfo("two\nlines", { a: [1, null] }, 1n, new Map([["b", 2]]), undefined).pipe(
          Effect.annotateLogs({ city: "São Paulo", count: 3, secret: Redacted.make("1234") }),
          Effect.withLogSpan("work")
        )
        yield* Effect.logFatal("trouble", Cause.fail(new TypeError("no luck")))
        yield* Effect.logError(new RangeError("too far"))
      })
      const { entries, left } = begin(program)
      yield* left
      const [first, second, third] = entries
      const fiber = first!.fiber
      assert.isAbove(fiber, 0)
      assert.isAbove(first!.time, 0)
      assert.deepStrictEqual(first, {
        level: "Info",
        time: first!.time,
        fiber,
        message: ["two\nlines", { a: [1, null] }, "1n", "Map([[\"b\",2]])", "undefined"],
        annotations: { city: "São Paulo", count: 3, secret: "<redacted>" },
        spans: [["work", first!.spans[0]![1]]]
      })
      assert.isAtMost(first!.spans[0]![1], first!.time)
      assert.deepStrictEqual([second!.level, second!.message], ["Fatal", ["trouble"]])
      assert.match(second!.cause!, /^TypeError: no luck\n +at /)
      assert.deepStrictEqual(third!.level, "Error")
      assert.match(String(third!.message[0]), /^RangeError: too far\n +at /)
      for (const entry of entries) {
        const json: unknown = JSON.parse(JSON.stringify(entry))
        assert.deepStrictEqual(Schema.decodeUnknownSync(LogEntry)(json), entry)
      }
    }))

  it.effect("is not ended by what cannot be logged", () =>
    Effect.gen(function*() {
      const circle: Record<string, unknown> = {}
      circle["self"] = circle
      const trap = {
        get value(): number {
          throw new Error("not to be looked at")
        }
      }
      const { entries, left } = begin(Effect.logInfo(circle, trap, NaN, Symbol("s"), () => 1))
      assert.strictEqual(verdict(yield* left), "Done")
      assert.lengthOf(entries[0]!.message, 5)
      for (const shown of entries[0]!.message) assert.isString(shown)
    }))

  it.effect("says no more than the application logs", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        yield* Effect.logDebug("debug")
        yield* Effect.logInfo("info")
        yield* Effect.logError("error")
      })
      const heard = (level?: LogLevel.LogLevel) => {
        const { entries, left } = begin(program, [], level)
        return Effect.as(left, entries)
      }
      assert.deepStrictEqual((yield* heard()).map((_) => _.level), ["Info", "Error"])
      assert.deepStrictEqual((yield* heard("Debug")).map((_) => _.level), ["Debug", "Info", "Error"])
      assert.deepStrictEqual((yield* heard("Error")).map((_) => _.level), ["Error"])
      assert.deepStrictEqual(yield* heard("None"), [])
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
      const main = BackgroundWorker.main(worker, ({ count }) => Effect.sync(() => void seen.push(count)))
      const ends = (args: Schema.Json) =>
        Effect.callback<ExitStatus>((resume) => {
          const order = orderOf()
          main.begin({ ...order, registration: { ...order.registration, args } }, {
            report: () => {},
            progress: () => {},
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
