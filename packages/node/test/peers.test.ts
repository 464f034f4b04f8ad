/**
 * The bad day of others: what has cost the users of other systems a night, with
 * real workers. The titles begin with the entry of the tracker where they told
 * of it; `docs/PEERS.md` goes through all of them.
 */
import type { ExitStatus } from "@effect-postmaster/core/ExitStatus"
import { WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { type Options as Settings, PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import type { WorkerHandle } from "@effect-postmaster/core/WorkerHandle"
import * as WorkerPool from "@effect-postmaster/core/WorkerPool"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFile, execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { livingMembers } from "../src/internal/processGroup.ts"
import * as Crew from "./fixtures/peers.ts"
import { born, childrenOf, fixture, isGone, launch, lived, parentOf, saw, spawners, until } from "./support.ts"

const patience = 60_000

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "peers-test-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

const test = <E>(
  title: string,
  layer: Layer.Layer<Spawner>,
  body: (events: ReadonlyArray<PostmasterEvent>) => Effect.Effect<void, E, Postmaster | Scope.Scope>,
  settings?: Settings
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
          Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate", ...settings })])
        )
      ),
      Effect.provideService(References.MinimumLogLevel, "None")
    )
  }, patience)

const endOf = (worker: WorkerHandle): Effect.Effect<ExitStatus, unknown> =>
  Effect.map(worker.waitForEnd, Option.getOrThrow)

/** Ends a worker in one of the ways in which it can end. */
const ways = ["terminate", "kill -9", "fail", "die"] as const
const end = Effect.fnUntraced(function*(worker: WorkerHandle, way: typeof ways[number]) {
  if (way === "terminate") yield* worker.terminate
  else if (way === "kill -9") process.kill(yield* worker.waitForStartup, "SIGKILL")
  return yield* endOf(worker)
})
const howOf = (way: typeof ways[number]) => way === "fail" || way === "die" ? way : "stay"

const told = (path: string) => until("the child to be up", () => Fs.existsSync(path) && Fs.readFileSync(path, "utf8"))

const canListen = (port: number) =>
  Effect.callback<void, Error>((resume) => {
    const server = Net.createServer()
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.void)))
  })

const threads = NodeSpawner.layerThread
const processes = NodeSpawner.layer

describe.concurrent("what a process has started", () => {
  for (const way of ways) {
    test(
      `Unitech/pm2#6084: a grandchild that holds the port is gone before the end is told: ${way}`,
      processes,
      () =>
        Effect.gen(function*() {
          const { register } = yield* Postmaster
          const tell = Path.join(yield* folder, "child")
          const worker = yield* register(Crew.Landlord, { tell, how: howOf(way) })
          const [grandchild, port] = (yield* told(tell)).split(" ").map(Number)
          yield* end(worker, way)
          assert.isTrue(isGone(grandchild!))
          yield* canListen(port!)
        })
    )

    test(
      `nodejs/node#46865: a command that was run through a shell is gone with it: ${way}`,
      processes,
      () =>
        Effect.gen(function*() {
          const { register } = yield* Postmaster
          const tell = Path.join(yield* folder, "child")
          const worker = yield* register(Crew.Shell, { tell, how: howOf(way) })
          const [shell, command] = (yield* told(tell)).split(" ").map(Number)
          assert.notStrictEqual(shell, command)
          yield* end(worker, way)
          assert.deepStrictEqual([isGone(shell!), isGone(command!)], [true, true])
        })
    )
  }

  it.live(
    "openclaw/openclaw#121051: each worker leads a group of its own, which is all that its SIGKILL reaches",
    () =>
      Effect.gen(function*() {
        const spared = yield* born(launch("idles"))
        const killed = yield* born(launch("idles"))
        for (const life of [spared, killed]) {
          yield* saw(life, "idle")
          assert.deepStrictEqual(livingMembers(life.pid), [life.pid])
        }
        const launchers = [parentOf(spared.pid), parentOf(killed.pid)]
        yield* killed.signal("SIGKILL", "Group")
        yield* killed.exit
        assert.deepStrictEqual([spared.pid, ...launchers].filter(isGone), [])
      }).pipe(Effect.scoped),
    patience
  )

  test(
    "taskforcesh/bullmq#1533: workers that throw for ever are no more processes than slots",
    processes,
    (events) =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const stays = yield* register(Crew.Called)
        const launcher = parentOf(yield* stays.waitForReady)
        yield* Effect.forEach([1, 2], () => register(Crew.Looping))
        let most = 0
        yield* until("twelve ends", () => {
          most = Math.max(most, childrenOf(launcher).length)
          return events.filter((event) => event._tag === "Exited").length >= 12
        })
        assert.isAtLeast(most, 2)
        assert.isAtMost(most, 3)
      }),
    { maxWorkers: 3 }
  )

  it.live(
    "keymetrics/doc-pm2#182: a Ctrl-C, which reaches the whole group of the application, is heard once",
    () =>
      Effect.gen(function*() {
        const application = yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, [...process.execArgv, fileURLToPath(fixture("application.ts")), "idles"], {
              detached: true
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        let output = ""
        let closed = false
        for (const stream of [application.stdout, application.stderr]) {
          stream.on("data", (said) => output += String(said))
        }
        application.once("close", () => closed = true)
        const worker = yield* until("the worker", () => /worker (\d+)/.exec(output)?.[1])
        yield* until("the worker to be idle", () => output.includes("idle"))
        process.kill(-application.pid!, "SIGINT")
        yield* until("the end of the application", () => closed)
        assert.strictEqual(application.exitCode, 0, output)
        assert.isTrue(isGone(Number(worker)))
        for (const once of ["received fast shutdown request", "finalizer ran", "released"]) {
          assert.strictEqual(output.split(once).length, 2, output)
        }
      }).pipe(Effect.scoped),
    patience
  )
})

/** Workers with an event loop, a heap and children of their own. */
const homes = [
  {
    name: "thread",
    layer: threads,
    narrow: NodeSpawner.layerThreadWith({ resourceLimits: { maxOldGenerationSizeMb: 64 } }),
    outOfMemory: /ran out of memory/,
    blocked: { _tag: "Lost", detail: "blocks outside of JavaScript and cannot be ended" }
  },
  {
    name: "process",
    layer: processes,
    narrow: NodeSpawner.layerWith({ execArgv: ["--max-old-space-size=40"] }),
    outOfMemory: /SIGABRT/,
    blocked: { _tag: "Signaled", signal: "SIGKILL", ordered: true }
  }
] as const

describe.concurrent.each(homes)("a worker that is a $name", ({ blocked, layer, name, narrow, outOfMemory }) => {
  test("Unitech/pm2#1472: the end of its child is not its own", layer, (events) =>
    Effect.gen(function*() {
      const { register } = yield* Postmaster
      const worker = yield* register(Crew.Bereaved)
      const pid = yield* worker.waitForReady
      assert.deepStrictEqual(yield* worker.status, { _tag: "Ready", pid })
      yield* worker.terminate
      assert.deepInclude(yield* endOf(worker), { _tag: "Exited", code: 1 })
      yield* until("its end", () => events.some((event) => event._tag === "Unregistered"))
      assert.strictEqual(events.filter((event) => event._tag === "Exited").length, 1)
    }))

  for (const [how, title, code] of [["return", "has returned", 0], ["stay", "is told to stop", 1]] as const) {
    test(
      `lis186/ccxray#395, Unitech/pm2#1763: that ${title} is gone, whatever it has left open`,
      layer,
      () =>
        Effect.gen(function*() {
          const { register } = yield* Postmaster
          const worker = yield* register(Crew.Untidy, how)
          if (how === "stay") {
            yield* worker.waitForReady
            yield* worker.terminate
          }
          assert.deepInclude(yield* endOf(worker), { _tag: "Exited", code })
        })
    )
  }

  test(
    "piscinajs/piscina#344: process.exit in a call fails the calls of that life, and the pool goes on",
    layer,
    () =>
      Effect.gen(function*() {
        const pool = yield* WorkerPool.make(Crew.Called, { size: 1 })
        const pending = yield* Effect.forkScoped(pool.client.Hang(), { startImmediately: true })
        for (const code of [1, 0]) {
          const error = yield* Effect.flip(pool.client.Exit({ code }))
          assert.instanceOf(error, WorkerStopped)
          assert.deepStrictEqual(error.lastExit, { _tag: "Exited", code })
        }
        assert.instanceOf(yield* Effect.flip(Fiber.join(pending)), WorkerStopped)
        assert.strictEqual(yield* pool.client.Add({ a: 1, b: 2 }), 3)
      })
  )

  test(
    "jestjs/jest#11956: that runs out of memory fails its calls, says so, and comes back",
    narrow,
    () =>
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Crew.Called)
        const client = yield* worker.client
        const pending = yield* Effect.forkScoped(client.Hang())
        const errors = [yield* Effect.flip(client.Hoard()), yield* Effect.flip(Fiber.join(pending))]
        for (const error of errors) {
          assert.instanceOf(error, WorkerStopped)
          assert.match(error.message, outOfMemory)
        }
        const next = yield* worker.waitForClient
        assert.strictEqual(yield* next.Add({ a: 1, b: 2 }), 3)
      })
  )

  test(
    "tinylibs/tinypool#49: that blocks in the operating system is told of, and holds up nobody",
    layer,
    () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const pipe = Path.join(yield* folder, "pipe")
        execFileSync("mkfifo", [pipe])
        // Whoever opens it for both is not blocked, and lets go of whoever is.
        yield* Effect.addFinalizer(() => Effect.sync(() => Fs.closeSync(Fs.openSync(pipe, "r+"))))
        const worker = yield* register(Crew.Blocked, pipe)
        yield* worker.waitForReady
        yield* worker.terminate
        const other = yield* register(Crew.Called)
        assert.strictEqual(yield* (yield* other.client).Add({ a: 1, b: 2 }), 3)
        assert.deepStrictEqual<unknown>(yield* endOf(worker), blocked)
      })
  )

  it.live(
    "nodejs/node#40961: that writes 10,000 lines and calls process.exit loses none",
    () =>
      Effect.gen(function*() {
        const order = launch("writesLines", { module: fixture("peers.ts"), args: 10_000 })
        const { life, status } = yield* lived(order, { layer })
        assert.deepInclude(status, { _tag: "Exited", code: 3 })
        assert.deepStrictEqual(life.log.map(({ text }) => text), Array.from({ length: 10_000 }, (_, n) => `line ${n}`))
      }),
    patience
  )

  it.live("piscinajs/piscina#153: that needs a loader has its application's", () =>
    Effect.gen(function*() {
      const [loader, program] = ["dialect.mjs", "speaking.ts"].map((file) => fileURLToPath(fixture(file)))
      const said = yield* Effect.callback<string>((resume) => {
        execFile(process.execPath, ["--import", loader!, program!, name], (_, stdout) => resume(Effect.succeed(stdout)))
      })
      assert.include(said, "exited with exit code 0")
    }), patience)
})

describe.concurrent.each(spawners)("a worker that is a $name", ({ layer }) => {
  test(
    "elixir-lang/elixir#7655: that is given up keeps its slot until it is released, and takes nobody along",
    layer,
    () =>
      Effect.gen(function*() {
        const { register } = yield* Postmaster
        const sibling = yield* register(Crew.Called)
        const pid = yield* sibling.waitForReady
        const looping = yield* register(Crew.GivenUp)
        yield* looping.statuses.pipe(
          Stream.filter((status) => status._tag === "Stopped" && status.parked === true),
          Stream.runHead
        )
        const refused = yield* Effect.flip(register(Crew.Called))
        assert.strictEqual(refused.reason._tag, "SlotsExhausted")
        yield* looping.terminate
        yield* looping.waitForEnd
        yield* (yield* register(Crew.Called)).waitForReady
        assert.deepStrictEqual(yield* sibling.status, { _tag: "Ready", pid })
      }),
    { maxWorkers: 2 }
  )

  test(
    "Effect-TS/effect#4576: that is interrupted in a stream ends that stream, and nothing else",
    layer,
    () =>
      Effect.gen(function*() {
        const worker = yield* (yield* Postmaster).register(Crew.Called)
        const pid = yield* worker.waitForReady
        const client = yield* worker.client
        const seen = { one: 0, other: 0 }
        const read = (name: "one" | "other") =>
          Effect.forkScoped(Stream.runForEach(client.Tick({ name }), () => Effect.sync(() => void seen[name]++)))
        const one = yield* read("one")
        const other = yield* read("other")
        const both = Effect.suspend(() => Effect.sleep("1 millis")).pipe(
          Effect.repeat({ until: () => seen.one > 0 && seen.other > 0 })
        )
        yield* both
        yield* Fiber.interrupt(one)
        yield* Effect.repeat(client.Diary(), { until: (lines) => lines.includes("one is over") })
        const before = seen.other
        yield* Effect.repeat(client.Add({ a: 1, b: 2 }), { until: () => seen.other > before })
        assert.deepStrictEqual(yield* client.Diary(), ["one is over"])
        assert.isUndefined(other.pollUnsafe())
        assert.deepStrictEqual(yield* worker.status, { _tag: "Ready", pid })
      })
  )
})
