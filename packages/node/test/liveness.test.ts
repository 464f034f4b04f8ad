/** What becomes of real workers that hang, and what is seen of the progress of those that do not, on every spawner. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import type { WorkerHandle } from "@effect-postmaster/core/WorkerHandle"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Crew from "./fixtures/lively.ts"
import { isGone, spawners, until } from "./support.ts"

const causes = { Ready: "NotReady", Heartbeat: "NoHeartbeat", Progress: "NoProgress" } as const
const patience = 60_000

type Event<Tag extends PostmasterEvent["_tag"]> = Extract<PostmasterEvent, { readonly _tag: Tag }>

const eventsOf = <Tag extends PostmasterEvent["_tag"]>(events: ReadonlyArray<PostmasterEvent>, tag: Tag) =>
  events.filter((event): event is Event<Tag> => event._tag === tag)

/** A file that is not there yet. */
const desk = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "liveness-"))),
    (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
  ),
  (folder) => Path.join(folder, "desk")
)

/** Hung once, and back as somebody else. */
const replaced = Effect.fnUntraced(function*(worker: WorkerHandle, events: ReadonlyArray<PostmasterEvent>) {
  const hung = yield* until("that it is hung", () => eventsOf(events, "Hung")[0])
  const exited = yield* until("its end", () => eventsOf(events, "Exited")[0])
  assert.deepStrictEqual(exited.status, { _tag: "Signaled", signal: "SIGKILL", ordered: true })
  assert.deepInclude(exited, { pid: hung.pid, verdict: "Failed", told: "SIGKILL", stopCause: causes[hung.missed] })
  const ready = yield* Stream.runHead(
    Stream.filter(worker.statuses, (status) => status._tag === "Ready" && status.pid !== hung.pid)
  )
  assert.isTrue(Option.isSome(ready))
  return hung
})

/** Nobody in this process hears anything for so long. */
const blockApplication = (millis: number) =>
  Effect.sync(() => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis))

describe.each(spawners)("a worker that hangs, as a $name", ({ layer, name, processes }) => {
  const test = <E>(
    title: string,
    body: (events: ReadonlyArray<PostmasterEvent>) => Effect.Effect<void, E, Postmaster | Scope.Scope>
  ) =>
    it.live(title, () => {
      const events: Array<PostmasterEvent> = []
      return Effect.gen(function*() {
        const postmaster = yield* Postmaster
        yield* Effect.forkScoped(
          Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event))),
          { startImmediately: true }
        )
        yield* body(events)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Postmaster.layer().pipe(
            Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })])
          )
        )
      )
    }, patience)

  test("is not ready in time: it is killed and comes back; whoever waits for it is told why", (events) =>
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Crew.Slow, { desk: yield* desk })
      yield* worker.waitForStartup
      const late = yield* Effect.flip(worker.waitForReadyWithin("50 millis"))
      assert.strictEqual(late._tag, "NotReadyInTime")
      assert.include(late.message, "was not ready within 50 ms: it runs, and has not said that it is ready")
      const { afterMillis, missed } = yield* replaced(worker, events)
      assert.strictEqual(missed, "Ready")
      assert.isAtLeast(afterMillis, 3_000)
    }))

  test("stalls while its loop runs: it is killed and comes back", (events) =>
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Crew.Stalled, { desk: yield* desk })
      const { afterMillis, missed } = yield* replaced(worker, events)
      assert.strictEqual(missed, "Progress")
      assert.isAtLeast(afterMillis, 1_500)
    }))

  if (name !== "fiber") {
    test("blocks its loop: it is killed and comes back", (events) =>
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Crew.Blocked, { desk: yield* desk })
        const { afterMillis, missed } = yield* replaced(worker, events)
        assert.strictEqual(missed, "Heartbeat")
        assert.isAtLeast(afterMillis, 1_000)
      }))

    test("is only not heard, since the application itself was blocked: nobody is killed", (events) =>
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Crew.Beating)
        const pid = yield* worker.waitForReady
        yield* blockApplication(7_000)
        yield* Effect.sleep("1 second")
        assert.deepStrictEqual(eventsOf(events, "Hung"), [])
        assert.deepStrictEqual(yield* worker.pid, Option.some(pid))
      }))
  }

  if (processes) {
    test("S15 is stopped: it is killed and comes back", (events) =>
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Crew.Beating)
        const pid = yield* worker.waitForReady
        process.kill(pid, "SIGSTOP")
        const hung = yield* replaced(worker, events)
        assert.deepInclude(hung, { pid, missed: "Heartbeat" })
        assert.isTrue(isGone(pid))
      }))
  }

  test("its progress is seen in snapshots, events and by handles, also by other workers", (events) =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const idle = yield* postmaster.register(Crew.Idle)
      yield* postmaster.register(Crew.Slow, { desk: yield* desk })
      yield* until("its progress", () => eventsOf(events, "Progressed")[0])
      const progress = { done: 3, total: 4, message: "nearly there" }
      assert.deepStrictEqual(eventsOf(events, "Progressed").map((event) => event.progress), [progress])
      const [worker] = (yield* postmaster.snapshot).workers
      assert.deepInclude(worker?.progress, progress)
      assert.deepStrictEqual(yield* idle.progress, Option.fromUndefinedOr(worker?.progress))
      const looking = yield* (yield* postmaster.register(Crew.Looking)).client
      assert.include(yield* looking.Look(), "3 of 4, NotReadyInTime: ")
    }))

  test("says its progress a hundred thousand times: few are passed on, the last one among them", (events) =>
    Effect.gen(function*() {
      const total = 100_000
      const worker = yield* (yield* Postmaster).register(Crew.Counting, { total })
      yield* worker.waitForEnd
      const exited = yield* until("its end", () => eventsOf(events, "Exited")[0])
      assert.strictEqual(exited.verdict, "Done")
      const heard = eventsOf(events, "Progressed").map((event) => event.progress)
      assert.deepStrictEqual(heard[0], { done: 0, message: "x".repeat(200) })
      assert.deepStrictEqual(heard.at(-1), { done: total, total, message: `number ${total}` })
      assert.isBelow(heard.length, total / 100)
      assert.deepStrictEqual(heard.map(({ done }) => done), heard.map(({ done }) => done).toSorted((a, b) => a - b))
    }))
})
