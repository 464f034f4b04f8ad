/**
 * What every spawner owes the postmaster, with real workers: a new spawner
 * proves itself by being added to the list. The numbers are those of
 * `docs/CONFORMANCE.md`.
 */
import type { ExitStatus } from "@effect-postmaster/core/ExitStatus"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { type Options as Settings, PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import type { WorkerHandle } from "@effect-postmaster/core/WorkerHandle"
import * as WorkerStatus from "@effect-postmaster/core/WorkerStatus"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Crew from "./fixtures/spawned.ts"
import { isGone, spawners, until } from "./support.ts"

const patience = 60_000

/** What a test sees of the postmaster that is not in a handle. */
interface Seen {
  readonly lines: ReadonlyArray<string>
  readonly events: ReadonlyArray<PostmasterEvent>
}

const said = (seen: Seen, text: string) => until(`a line "${text}"`, () => seen.lines.includes(text))

/** The events come to their reader when it is its turn; the last one brings those before it. */
const heard = (seen: Seen, tag: PostmasterEvent["_tag"]) =>
  until(`the event ${tag}`, () => seen.events.some((event) => event._tag === tag))

const eventsOf = <Tag extends PostmasterEvent["_tag"]>(
  seen: Seen,
  tag: Tag
): ReadonlyArray<Extract<PostmasterEvent, { readonly _tag: Tag }>> =>
  seen.events.filter((event): event is Extract<PostmasterEvent, { readonly _tag: Tag }> => event._tag === tag)

/** The pid of a worker that is not running now, when it is ready again. */
const back = (worker: WorkerHandle) =>
  worker.statuses.pipe(
    Stream.filter((status) => status._tag === "Ready"),
    Stream.runHead,
    Effect.map((status) => Option.getOrThrow(status).pid)
  )

const exitOf = (end: Option.Option<ExitStatus>) => {
  const status = Option.getOrThrow(end)
  assert(status._tag === "Exited", JSON.stringify(status))
  return { code: status.code, kind: status.error?.kind, message: status.error?.message }
}

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "spawners-test-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

for (const spawner of spawners) {
  const test = <E>(
    title: string,
    body: (seen: Seen) => Effect.Effect<void, E, Postmaster | Scope.Scope>,
    settings?: Settings
  ) =>
    it.live(title, () => {
      const lines: Array<string> = []
      const events: Array<PostmasterEvent> = []
      const remember = Logger.make<unknown, void>(({ message }) => {
        lines.push(Array.isArray(message) ? message.join(" ") : String(message))
      })
      return Effect.gen(function*() {
        const postmaster = yield* Postmaster
        yield* Effect.forkScoped(
          Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event))),
          { startImmediately: true }
        )
        yield* body({ lines, events })
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Postmaster.layer().pipe(
            Layer.provide([spawner.layer, PostmasterConfig.layer(settings)]),
            Layer.provideMerge(Logger.layer([remember]))
          )
        )
      )
    }, patience)

  describe.concurrent(`workers of the ${spawner.name} spawner`, () => {
    test("C72, C133 started is before main; SIGTERM before main is not lost, and main never runs", () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const worker = yield* register(Crew.Loading)
        const pid = yield* worker.waitForStartup
        assert.deepStrictEqual(yield* worker.status, WorkerStatus.started(pid))
        yield* worker.terminate
        assert.deepInclude(exitOf(yield* worker.waitForEnd), { code: 1, kind: "Interrupted" })
      }))

    const endings = [
      ["C132 (departs) a return is exit 0", "return", {
        code: 0,
        kind: undefined,
        message: undefined
      }],
      ["C132 (departs) a failure is exit 1, with its error once", "fail", {
        code: 1,
        kind: "Failure",
        message: "no luck"
      }],
      ["C132 (departs) a defect is exit 2, with its error once", "die", { code: 2, kind: "Defect", message: "a bug" }]
    ] as const
    for (const [title, how, exit] of endings) {
      test(title, (seen) =>
        Effect.gen(function*() {
          const { register, snapshot } = yield* Postmaster
          const worker = yield* register(Crew.Ends, how)
          assert.deepStrictEqual(exitOf(yield* worker.waitForEnd), exit)
          const reported = seen.lines.filter((line) => line.includes(exit.message ?? "exited"))
          assert.strictEqual(reported.length, how === "return" ? 0 : 1, reported.join("\n"))
          assert.deepInclude(yield* snapshot, { freeSlots: 8, recovering: false })
        }))
    }

    test("C74 exit 0 is the end, also of a worker that would come back after a failure", (seen) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        yield* (yield* register(Crew.Service, "return")).waitForEnd
        yield* heard(seen, "Unregistered")
        assert.strictEqual(eventsOf(seen, "Starting").length, 1)
        assert.deepStrictEqual(eventsOf(seen, "Unregistered").map(({ reason }) => reason), ["Done"])
      }))

    test("C76, C139 exit 1: started again with another pid, in the same slot, with the same arguments", (seen) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const desk = Path.join(yield* folder, "desk")
        const text = "São Paulo, 128 bytes and more ".repeat(5)
        const worker = yield* register(Crew.Twice, { desk, at: DateTime.makeUnsafe(86_400_000), text })
        yield* until("the second life", () => eventsOf(seen, "Ready").length === 2)
        assert.deepStrictEqual(
          seen.events.map((event) => event._tag),
          ["Registered", "Starting", "Started", "Ready", "Exited", "Starting", "Started", "Ready"]
        )
        const started = eventsOf(seen, "Started")
        assert.strictEqual(new Set(started.map(({ pid }) => pid)).size, 2)
        for (const { ref } of started) assert.deepStrictEqual(ref, worker.ref)
        assert.deepInclude(eventsOf(seen, "Exited")[0], { verdict: "Failed", nextStartInMillis: 10 })
        const arrived = () => seen.lines.filter((line) => line === `${text} at 86400000`).length
        yield* until("the arguments of both lives", () => arrived() === 2)
      }))

    test("C78 whoever is told of the end finds the slot free", () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const first = yield* register(Crew.Ends, "fail")
        const second = yield* Effect.andThen(first.waitForShutdown, register(Crew.Ends, "return"))
        assert.deepStrictEqual([second.ref.slot, second.ref.generation], [0, 2] as never)
      }), { maxWorkers: 1 })

    test("C81, C93, C96, C98 a defect of an attached worker: the others of the group come back, nobody else is touched", (seen) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const witness = yield* register(Crew.Witness, "never")
        const isolated = yield* register(Crew.Ends, "never")
        const before = yield* Effect.all([witness.waitForReady, isolated.waitForReady], { concurrency: 2 })
        const crasher = yield* register(Crew.Attached, "die")
        assert.deepInclude(exitOf(yield* crasher.waitForEnd), { code: 2, kind: "Defect" })
        assert.notStrictEqual(yield* back(witness), before[0])
        assert.deepStrictEqual(yield* isolated.status, WorkerStatus.ready(before[1]))
        assert.strictEqual(eventsOf(seen, "CrashDetected").length, 1)
        const exit = eventsOf(seen, "Exited").find(({ name }) => name === "witness")
        assert.deepInclude(exit, { told: "SIGQUIT" })
        assert.deepInclude(exit?.status, { _tag: "Exited", code: 2 })
        assert.deepStrictEqual(seen.lines.filter((line) => line.includes(`(PID ${before[0]}) exited`)), [])
      }))

    test("C84, C136 an entry that is not there: exit 1 again and again, no crash even of an attached worker", (seen) =>
      Effect.gen(function*() {
        const { register, snapshot } = yield* Postmaster
        const worker = yield* register(Crew.Missing)
        yield* until("two exits", () => eventsOf(seen, "Exited").length >= 2)
        yield* worker.terminate
        yield* worker.waitForEnd
        for (const { status, verdict } of eventsOf(seen, "Exited")) {
          assert(status._tag === "Exited")
          assert.deepStrictEqual([status.code, verdict], [1, "Failed"])
        }
        assert.deepStrictEqual(eventsOf(seen, "CrashDetected"), [])
        assert.isFalse((yield* snapshot).recovering)
      }))

    test("C116 a reload reaches whoever listens, and harms nobody else", (seen) =>
      Effect.gen(function*() {
        const { register, reload } = yield* Postmaster
        const listens = yield* register(Crew.Listens)
        const other = yield* register(Crew.Ends, "never")
        const [, pid] = yield* Effect.all([listens.waitForReady, other.waitForReady], { concurrency: 2 })
        yield* reload
        yield* said(seen, "reloaded")
        assert.deepStrictEqual(yield* other.status, WorkerStatus.ready(pid))
      }))

    test("C134 (departs) terminate: one SIGTERM, an interruption with its finalizers, exit 1", (seen) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const worker = yield* register(Crew.Service, "never")
        yield* worker.waitForReady
        yield* worker.terminate
        yield* worker.terminate
        assert.deepInclude(exitOf(yield* worker.waitForEnd), { code: 1, kind: "Interrupted" })
        yield* worker.terminate
        yield* said(seen, "finalizer ran")
        yield* heard(seen, "Unregistered")
        assert.deepStrictEqual(eventsOf(seen, "SignalSent").map(({ signal }) => signal), ["SIGTERM"])
      }))

    const shutdowns = [
      ["C105, C117 smart without jobs: SIGTERM, exit 1, and the end when all are gone", "Smart", 1],
      ["C109, C117 fast: SIGTERM, exit 1, and nobody is started again", "Fast", 1],
      ["C112, C117 immediate: SIGQUIT, exit 2, and a clean end", "Immediate", 2]
    ] as const
    for (const [title, mode, code] of shutdowns) {
      test(title, (seen) =>
        Effect.gen(function*() {
          const { awaitHalt, register, shutdown } = yield* Postmaster
          const workers = [yield* register(Crew.Service, "never"), yield* register(Crew.Witness, "never")]
          const pids = yield* Effect.forEach(workers, (worker) => worker.waitForReady, { concurrency: 2 })
          yield* shutdown(mode)
          yield* awaitHalt
          yield* heard(seen, "Halted")
          for (const worker of workers) assert.strictEqual(exitOf(yield* worker.waitForEnd).code, code)
          assert.strictEqual(eventsOf(seen, "Starting").length, 2)
          if (spawner.processes) { for (const pid of pids) assert.isTrue(isGone(pid)) }
        }))
    }
  })

  if (!spawner.processes) continue

  describe.concurrent(`processes of the ${spawner.name} spawner`, () => {
    test("C80 SIGTERM from outside: exit 1, and it comes back after its interval", (seen) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const worker = yield* register(Crew.Service, "never")
        const before = yield* worker.waitForReady
        process.kill(before, "SIGTERM")
        yield* until("the second life", () => eventsOf(seen, "Ready").length === 2)
        const [exit] = eventsOf(seen, "Exited")
        assert.deepInclude(exit, { pid: before, verdict: "Failed", nextStartInMillis: 10 })
        assert.deepInclude(exit?.status, { _tag: "Exited", code: 1 })
        assert.notStrictEqual(eventsOf(seen, "Ready")[1]?.pid, before)
        assert.deepStrictEqual(eventsOf(seen, "Ready")[1]?.ref, worker.ref)
      }))

    for (const code of [0, 255]) {
      test(`C81, C98 an attached worker that leaves by process.exit(${code}) has crashed`, (seen) =>
        Effect.gen(function*() {
          const { register } = yield* Postmaster
          const witness = yield* register(Crew.Witness, "never")
          const before = yield* witness.waitForReady
          const crasher = yield* register(Crew.Exits, code)
          assert.deepInclude(exitOf(yield* crasher.waitForEnd), { code })
          yield* heard(seen, "CrashDetected")
          assert.deepStrictEqual(eventsOf(seen, "CrashDetected").map(({ name }) => name), ["exits"])
          assert.notStrictEqual(yield* back(witness), before)
        }))
    }

    const killed = { _tag: "Signaled", signal: "SIGKILL", ordered: true } as const

    test("C97 whoever is deaf to the SIGQUIT of a crash is killed", (seen) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const deaf = yield* register(Crew.Spins)
        yield* deaf.waitForReady
        yield* register(Crew.Attached, "die")
        assert.deepStrictEqual(yield* deaf.waitForEnd, Option.some(killed))
        yield* heard(seen, "Unregistered")
        assert.strictEqual(eventsOf(seen, "KillIssued").length, 1)
        assert.deepStrictEqual(eventsOf(seen, "SignalSent").map(({ signal }) => signal), ["SIGQUIT", "SIGKILL"])
      }), { killAfter: "100 millis" })

    test(
      "C112 immediate: whoever is deaf to SIGQUIT is killed, and the end is clean",
      (seen) =>
        Effect.gen(function*() {
          const { awaitHalt, register, shutdown } = yield* Postmaster
          const deaf = yield* register(Crew.Spins)
          const pid = yield* deaf.waitForReady
          yield* shutdown("Immediate")
          yield* awaitHalt
          yield* heard(seen, "Halted")
          assert.deepStrictEqual(yield* deaf.waitForEnd, Option.some(killed))
          assert.strictEqual(eventsOf(seen, "KillIssued").length, 1)
          assert.isTrue(isGone(pid))
        }),
      { killAfter: "100 millis" }
    )

    test("C116 SIGHUP from outside is ignored by a worker that does not listen to it", () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const worker = yield* register(Crew.Ends, "never")
        process.kill(yield* worker.waitForReady, "SIGHUP")
        yield* worker.terminate
        assert.deepInclude(exitOf(yield* worker.waitForEnd), { code: 1, kind: "Interrupted" })
      }))

    const family = Effect.fnUntraced(function*(seen: Seen, when: "at once" | "after SIGTERM") {
      const { register } = yield* Postmaster
      const worker = yield* register(Crew.Parent, when)
      yield* worker.waitForReady
      const grandchild = Number(
        yield* until("the grandchild", () => /grandchild (\d+)/.exec(seen.lines.join("\n"))?.[1])
      )
      return { worker, grandchild }
    })

    test("C135 terminate reaches the process and not its children", (seen) =>
      Effect.gen(function*() {
        const { grandchild, worker } = yield* family(seen, "at once")
        yield* worker.terminate
        yield* worker.waitForEnd
        const said = seen.lines.join("\n")
        assert.include(said, "over")
        assert.notInclude(said, "SIGTERM")
        assert.isTrue(isGone(grandchild))
      }))

    test("C135 a shutdown reaches the children of the process, too", (seen) =>
      Effect.gen(function*() {
        const { awaitHalt, shutdown } = yield* Postmaster
        const { grandchild, worker } = yield* family(seen, "after SIGTERM")
        yield* shutdown("Fast")
        yield* awaitHalt
        assert.deepInclude(exitOf(yield* worker.waitForEnd), { code: 1, kind: "Interrupted" })
        const said = seen.lines.join("\n")
        for (const word of ["SIGTERM", "over"]) assert.include(said, word)
        assert.isTrue(isGone(grandchild))
      }))
  })
}
