import { BackgroundWorker, Postmaster, PostmasterConfig, SpawnerFiber } from "@effect-postmaster/core"
import type { ExitStatus } from "@effect-postmaster/core/ExitStatus"
import type { WorkerStopped } from "@effect-postmaster/core/HandleError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import * as Workers from "./fixtures/workers.ts"

const layer = Postmaster.layer().pipe(Layer.provide([SpawnerFiber.layer, PostmasterConfig.layer()]))

const lastExit = (error: WorkerStopped): ExitStatus | undefined => error.lastExit

/** Importing a module takes real time, which a test clock does not see. */
const stopped = <A>(wait: Effect.Effect<A, WorkerStopped | { readonly _tag: "PostmasterDied" }>) =>
  Effect.flip(wait).pipe(Effect.map((error) => error._tag === "WorkerStopped" ? lastExit(error) : undefined))

describe("workers as fibers", () => {
  it.effect("return is exit 0, a failure exit 1, a defect exit 2", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const exits: Array<unknown> = []
      for (const how of ["return", "fail", "die"] as const) {
        const worker = yield* postmaster.register(Workers.Ends, how)
        yield* worker.waitForShutdown
        const status = yield* worker.status
        assert(status._tag === "Stopped" && status.lastExit?._tag === "Exited")
        exits.push([status.lastExit.code, status.lastExit.error?.kind, status.lastExit.error?.message])
      }
      assert.deepStrictEqual(exits, [[0, undefined, undefined], [1, "Failure", "no luck"], [2, "Defect", "broken"]])
    }).pipe(Effect.provide(layer)))

  it.effect("an entry that is none is a start failure with its cause", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const expected = [
        [Workers.NoModule, "EntryNotLoaded", "missing.ts"],
        [Workers.NoExport, "ExportMissing", "has no export \"nowhere\"; it has "],
        [Workers.NoMain, "ExportNotMain", "was not made by BackgroundWorker.main"]
      ] as const
      for (const [definition, kind, words] of expected) {
        const exit = yield* stopped((yield* postmaster.register(definition)).waitForReady)
        assert(exit?._tag === "Exited" && exit.error !== undefined)
        assert.deepStrictEqual([exit.code, exit.error.kind], [1, kind])
        assert.include(exit.error.message, words)
      }
      const exit = yield* stopped((yield* postmaster.register(Workers.WrongArgs, "up")).waitForReady)
      assert(exit?._tag === "Exited")
      assert.strictEqual(exit.error?.kind, "ArgumentsNotDecoded")
      assert.include(exit.error?.message, "arguments \"up\" do not decode")
    }).pipe(Effect.provide(layer)))

  it.effect("limits do not hold, and the first worker that has some is told of", () =>
    Effect.gen(function*() {
      const warnings: Array<string> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
        if (logLevel === "Warn") warnings.push(String(message))
      })
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        for (const name of ["first", "second"]) {
          const worker = BackgroundWorker.named({ ...Workers.Ends, limits: { heap: 64, nice: 5 } }, name)
          const handle = yield* postmaster.register(worker, "return")
          yield* handle.waitForShutdown
        }
      }).pipe(Effect.provide(Layer.provideMerge(layer, Logger.layer([logger]))))
      assert.deepStrictEqual(warnings, [
        "background worker \"first\": its limits (heap, nice) do not hold, because it is a fiber"
      ])
    }))

  it.effect("terminate interrupts, and finalizers run", () =>
    Effect.gen(function*() {
      Workers.diary.length = 0
      const postmaster = yield* Postmaster
      const worker = yield* postmaster.register(Workers.Serves)
      yield* worker.waitForReady
      yield* worker.terminate
      yield* worker.waitForShutdown
      assert.deepStrictEqual(Workers.diary, ["cleaned up"])
    }).pipe(Effect.provide(layer)))

  it.effect("one that cannot be interrupted is abandoned after its stop timeout", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const worker = yield* postmaster.register(Workers.Stubborn)
      yield* worker.waitForReady
      yield* worker.terminate
      yield* TestClock.adjust("1 second")
      const status = yield* worker.status
      assert(status._tag === "Stopped")
      assert.deepStrictEqual(status.lastExit, { _tag: "Signaled", signal: "SIGKILL", ordered: true })
    }).pipe(Effect.provide(layer)))

  it.effect("started is not ready", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const worker = yield* postmaster.register(Workers.Slow)
      const other = yield* postmaster.register(Workers.Serves)
      yield* other.waitForReady
      assert.strictEqual((yield* worker.status)._tag, "Started")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* worker.status)._tag, "Ready")
    }).pipe(Effect.provide(layer)))

  it.effect("a defect of an attached worker stops the other attached ones, and all come back", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const isolated = yield* postmaster.register(Workers.Serves)
      const server = yield* postmaster.register(Workers.Attached, "serve")
      const before = yield* server.waitForReady
      yield* isolated.waitForReady
      const stop = yield* Effect.forkChild(server.waitForShutdown, { startImmediately: true })
      const crasher = yield* postmaster.register(Workers.Attached, "die")
      yield* Fiber.join(stop)
      // Otherwise it would crash again at once.
      yield* crasher.terminate
      const after = yield* Effect.eventually(server.waitForReady)
      assert.notStrictEqual(after, before)
      assert.strictEqual((yield* isolated.status)._tag, "Ready")
    }).pipe(Effect.provide(layer)))

  it.effect("an attached worker that returns has left in good order", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const worker = yield* postmaster.register(Workers.Attached, "return")
      yield* worker.waitForShutdown
      assert.isFalse((yield* postmaster.snapshot).recovering)
    }).pipe(Effect.provide(layer)))

  it.effect("reload reaches the worker, which knows who it is", () =>
    Effect.gen(function*() {
      Workers.diary.length = 0
      const postmaster = yield* Postmaster
      const worker = yield* postmaster.register(Workers.Listens)
      yield* worker.waitForReady
      yield* postmaster.reload
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(Workers.diary, ["listens in slot 0", "reloaded"])
    }).pipe(Effect.provide(layer)))

  it.effect("releasing the layer ends every fiber and runs its finalizers", () =>
    Effect.gen(function*() {
      Workers.diary.length = 0
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        yield* (yield* postmaster.register(Workers.Serves)).waitForReady
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(Workers.diary, ["cleaned up"])
    }))
})
