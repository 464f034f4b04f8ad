/** The whole postmaster on real processes: what its users see when workers behave badly. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Crew from "./fixtures/crew.ts"
import { isGone, until, workers } from "./support.ts"

const patience = 120_000

const postmaster = Postmaster.layer().pipe(Layer.provide([workers(), PostmasterConfig.layer()]))

const quietly = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, References.MinimumLogLevel, "Error")

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "postmaster-test-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

describe.concurrent("the postmaster on processes", () => {
  it.live(
    "an entry that is not there fails again and again, by policy; nobody else is touched",
    () =>
      Effect.gen(function*() {
        const { events, register, snapshot } = yield* Postmaster
        const serves = yield* register(Crew.Serves)
        const pid = yield* serves.waitForReady
        const failures = yield* events.pipe(
          Stream.filter((event) => event._tag === "Exited" && event.name === "missing"),
          Stream.take(2),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true })
        )
        const missing = yield* register(Crew.Missing)
        const error = yield* Effect.flip(missing.waitForReady)
        assert(error._tag === "WorkerStopped" && error.lastExit?._tag === "Exited")
        assert.deepStrictEqual([error.lastExit.code, error.lastExit.error?.kind], [1, "EntryNotLoaded"])
        assert.include(error.message, "nowhere.ts")
        assert.strictEqual((yield* Fiber.join(failures)).length, 2)
        yield* missing.terminate
        yield* missing.waitForEnd
        assert.deepStrictEqual(yield* serves.status, { _tag: "Ready", pid })
        assert.isFalse((yield* snapshot).recovering)
      }).pipe(Effect.provide(postmaster), quietly),
    patience
  )

  it.live("a failure is tried again, in the same slot and generation, until it succeeds", () =>
    Effect.gen(function*() {
      const { register } = yield* Postmaster
      const worker = yield* register(Crew.SecondTime, { desk: Path.join(yield* folder, "desk") })
      const pids = new Set<number>()
      yield* Stream.runForEach(worker.statuses, (status) =>
        Effect.sync(() => {
          if (status._tag === "Started") pids.add(status.pid)
        }))
      assert.strictEqual(pids.size, 2)
      assert.deepStrictEqual(yield* worker.waitForEnd, Option.some({ _tag: "Exited", code: 0 } as const))
    }).pipe(Effect.provide(postmaster), quietly), patience)

  it.live(
    "nonsense on the control channel ends that worker, is reported, and harms nobody",
    () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const serves = yield* register(Crew.Serves)
        const pid = yield* serves.waitForReady
        const babbles = yield* register(Crew.Babbles)
        const last = yield* Stream.runHead(Stream.filter(babbles.statuses, (status) => status._tag === "Stopped"))
        assert(Option.isSome(last) && last.value._tag === "Stopped" && last.value.lastExit?._tag === "Lost")
        assert.include(last.value.lastExit.detail, "on its control channel")
        assert.deepStrictEqual(yield* serves.status, { _tag: "Ready", pid })
      }).pipe(Effect.provide(postmaster), quietly),
    patience
  )

  for (const manner of ["spin", "idle"] as const) {
    const title = manner === "spin" ? "whoever never returns to its event loop" : "whoever is stopped by SIGSTOP"
    it.live(`${title} is gone after its stop timeout, with a child that ignores SIGTERM`, () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const tell = Path.join(yield* folder, "pid")
        const worker = yield* register(Crew.Stubborn, { tell, manner })
        const pid = yield* worker.waitForReady
        const grandchild = Number(
          yield* until("the child's pid", () => Fs.existsSync(tell) && Fs.readFileSync(tell, "utf8"))
        )
        if (manner === "idle") process.kill(pid, "SIGSTOP")
        yield* worker.terminate
        const end = yield* worker.waitForEnd
        assert.deepStrictEqual(end, Option.some({ _tag: "Signaled", signal: "SIGKILL", ordered: true } as const))
        // Stopped means that the whole group is gone.
        assert.deepStrictEqual([isGone(pid), isGone(grandchild)], [true, true])
      }).pipe(Effect.provide(postmaster), quietly), patience)
  }

  it.live(
    "C93, C98 an attached worker killed from outside takes the others along, and all come back",
    () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const [a, b, isolated] = yield* Effect.all([
          register(Crew.Attached),
          register(Crew.Attached),
          register(Crew.Serves)
        ])
        const before = yield* Effect.all([a.waitForReady, b.waitForReady, isolated.waitForReady], { concurrency: 3 })
        const stops = yield* Effect.forkChild(
          Effect.all([a.waitForShutdown, b.waitForShutdown], { concurrency: 2 }),
          { startImmediately: true }
        )
        process.kill(before[0], "SIGKILL")
        yield* Fiber.join(stops)
        const back = (worker: typeof a) =>
          Stream.runHead(Stream.filter(worker.statuses, (status) => status._tag === "Ready"))
        yield* Effect.all([back(a), back(b)], { concurrency: 2 })
        assert.deepStrictEqual(yield* isolated.status, { _tag: "Ready", pid: before[2] })
        for (const [index, worker] of [a, b].entries()) {
          const status = yield* worker.status
          assert(status._tag === "Ready")
          assert.notStrictEqual(status.pid, before[index])
        }
      }).pipe(Effect.provide(postmaster), quietly),
    patience
  )

  it.live("releasing the layer leaves no process", () =>
    Effect.gen(function*() {
      const pid = yield* Effect.gen(function*() {
        const { register } = yield* Postmaster
        return yield* (yield* register(Crew.Serves)).waitForReady
      }).pipe(Effect.provide(postmaster))
      assert.isTrue(isGone(pid))
    }).pipe(quietly), patience)
})
