/** Processes that stand ready: what they are taken for, and what makes them useless. */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { PostmasterSnapshot } from "@effect-postmaster/core/Snapshot"
import { type Launch, type Spare, Spawner } from "@effect-postmaster/core/Spawner"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import * as Crew from "./fixtures/crew.ts"
import { fixture, isGone, launch, until } from "./support.ts"

const patience = 60_000

const test = (title: string, body: Effect.Effect<void, unknown, Spawner | Scope.Scope>) =>
  it.live(
    title,
    () => body.pipe(Effect.scoped, Effect.provide(NodeSpawner.layer), silently),
    patience
  )

const silently = Effect.provideService(References.MinimumLogLevel, "None")

const made = (...modules: ReadonlyArray<string>) => Spawner.use((spawner) => spawner.spare!(modules))

const spawned = (order: Launch, spare: Spare) => Spawner.use((spawner) => spawner.spawn(order, () => {}, spare))

/** A module of our own that can be changed. */
const module = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spares-test-"))
    const helper = Path.join(folder, "helper.mjs")
    Fs.writeFileSync(helper, "export const code = 1\n")
    const entry = Path.join(folder, "entry.mjs")
    Fs.writeFileSync(
      entry,
      `export * from "./helper.mjs"\nexport { returns as main } from "${fixture("workers.ts")}"\n`
    )
    return { folder, helper, entry, href: pathToFileURL(entry).href }
  }),
  ({ folder }) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

describe.concurrent("a spare", () => {
  test(
    "is taken by a launch, which runs in its process",
    Effect.gen(function*() {
      const spare = yield* made(fixture("workers.ts"))
      const child = yield* spawned(launch("returns"), spare)
      assert.strictEqual(child.pid, spare.pid)
      assert.deepStrictEqual(yield* child.exit, ExitStatus.exited(0))
    })
  )

  test(
    "is taken once",
    Effect.gen(function*() {
      const spare = yield* made(fixture("workers.ts"))
      const first = yield* spawned(launch("idles"), spare)
      const second = yield* spawned(launch("returns"), spare)
      assert.notStrictEqual(second.pid, first.pid)
      assert.deepStrictEqual(yield* second.exit, ExitStatus.exited(0))
    })
  )

  test(
    "has imported the modules when the launch comes",
    Effect.gen(function*() {
      const spare = yield* made("data:text/javascript,globalThis.imported = 'ahead'")
      const look = "data:text/javascript,if (globalThis.imported !== 'ahead') throw new Error('cold')"
      const child = yield* spawned(launch("main", { module: look }), spare)
      const status = yield* child.exit
      assert(status._tag === "Exited")
      assert.strictEqual(status.error?.kind, "ExportMissing", ExitStatus.format(status))
    })
  )

  test(
    "ends with its scope, unless it was taken before",
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const idle = yield* Scope.provide(made(), scope)
      const used = yield* Scope.provide(made(fixture("workers.ts")), scope)
      const child = yield* spawned(launch("idles"), used)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(isGone(idle.pid))
      assert.isFalse(isGone(child.pid))
    })
  )

  test(
    "that is killed is lost, and says of what",
    Effect.gen(function*() {
      const spare = yield* made()
      process.kill(spare.pid, "SIGKILL")
      assert.deepStrictEqual(yield* spare.lost, { cause: "Died", detail: "it was terminated by signal SIGKILL" })
      const child = yield* spawned(launch("returns"), spare)
      assert.notStrictEqual(child.pid, spare.pid)
    })
  )

  test(
    "whose module leaves the process is never ready",
    Effect.gen(function*() {
      const error = yield* Effect.flip(made("data:text/javascript,process.exit(3)"))
      assert.match(String(error), /exited with exit code 3/)
    })
  )

  test(
    "that talks like a worker is ended",
    Effect.gen(function*() {
      const talk =
        "import fs from 'node:fs'; const b = Buffer.from(JSON.stringify({ _tag: 'Report', report: 'Ready' }));" +
        "const l = Buffer.alloc(4); l.writeUInt32LE(b.length); fs.writeSync(3, Buffer.concat([l, b]))"
      const error = yield* Effect.flip(made(`data:text/javascript,${encodeURIComponent(talk)}`))
      assert.match(String(error), /Ready before it was launched/)
    })
  )

  test(
    "that could not import a module is not taken for it, but for others",
    Effect.gen(function*() {
      const broken = "data:text/javascript,throw new Error('not yet')"
      const spare = yield* made(broken)
      const cold = yield* spawned(launch("main", { module: broken }), spare)
      assert.notStrictEqual(cold.pid, spare.pid)
      const warm = yield* spawned(launch("returns"), spare)
      assert.strictEqual(warm.pid, spare.pid)
    })
  )

  test(
    "that could not import a module is made, even if that cannot be logged",
    Effect.gen(function*() {
      const full = Logger.make<unknown, void>(() => {
        throw new Error("no space left")
      })
      const spare = yield* made("data:text/javascript,throw new Error('not yet')").pipe(
        Effect.provide(Logger.layer([full])),
        Effect.provideService(References.MinimumLogLevel, "Warn")
      )
      const child = yield* spawned(launch("returns"), spare)
      assert.strictEqual(child.pid, spare.pid)
    })
  )

  test(
    "is outdated when a file that it is made of changes, near or far",
    Effect.gen(function*() {
      const { entry, helper, href } = yield* module
      for (const file of [helper, entry]) {
        const spare = yield* made(href)
        Fs.appendFileSync(file, "// changed\n")
        assert.deepStrictEqual(yield* spare.lost, { cause: "Outdated", detail: `${file} has changed` })
      }
    })
  )

  test(
    "is outdated, and nobody dies of it, when a file cannot be looked at any more",
    Effect.gen(function*() {
      const { entry, href } = yield* module
      const spare = yield* made(href)
      Fs.rmSync(entry)
      Fs.symlinkSync(entry, entry)
      assert.deepStrictEqual(yield* spare.lost, { cause: "Outdated", detail: `${entry} has changed` })
    })
  )

  test(
    "is outdated when a file has changed while it was being made",
    Effect.gen(function*() {
      const { entry, helper, href } = yield* module
      // The entry is loaded before it changes what it consists of.
      Fs.appendFileSync(
        entry,
        `import { appendFileSync } from "node:fs"\nappendFileSync(${JSON.stringify(helper)}, "// changed\\n")\n`
      )
      const spare = yield* made(href)
      assert.deepStrictEqual(yield* spare.lost, { cause: "Outdated", detail: `${helper} has changed` })
    })
  )

  test(
    "is not taken when a file has changed just now",
    Effect.gen(function*() {
      const { helper, href } = yield* module
      const spare = yield* made(href)
      Fs.rmSync(helper)
      Fs.writeFileSync(helper, "export const code = 2\n")
      const child = yield* spawned(launch("main", { module: href }), spare)
      assert.notStrictEqual(child.pid, spare.pid)
      assert.deepStrictEqual(yield* child.exit, ExitStatus.exited(0))
    })
  )
})

// Alone, because the environment is everybody's.
describe("a spare", () => {
  test(
    "is not taken when the environment is another",
    Effect.gen(function*() {
      const name = "POSTMASTER_TEST_SPARE"
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env[name]))
      const spare = yield* made(fixture("workers.ts"))
      process.env[name] = "changed"
      const child = yield* spawned(launch("returns"), spare)
      assert.notStrictEqual(child.pid, spare.pid)
    })
  )
})

describe("a postmaster with spares", () => {
  const standing = Effect.gen(function*() {
    const { snapshot } = yield* Postmaster
    let seen: PostmasterSnapshot | undefined
    while (seen?.spares[0]?.state !== "Ready") {
      yield* Effect.sleep("5 millis")
      seen = yield* snapshot
    }
    return seen.spares[0].pid!
  })

  it.live("launches from them, makes others, and leaves none behind", () =>
    Effect.gen(function*() {
      const pids: Array<number> = []
      yield* Effect.gen(function*() {
        const { events, register, snapshot } = yield* Postmaster
        const seen: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(events, (event) => Effect.sync(() => seen.push(event._tag))),
          { startImmediately: true }
        )
        const first = yield* standing
        const worker = yield* register(Crew.Serves)
        assert.strictEqual(yield* worker.waitForStartup, first)
        assert.strictEqual((yield* snapshot).freeSlots, 7)
        const second = yield* standing
        assert.notStrictEqual(second, first)
        process.kill(second, "SIGKILL")
        const third = yield* Effect.andThen(until("the loss", () => seen.includes("SpareLost")), standing)
        assert.notStrictEqual(third, second)
        // Nobody had been given anything: no crash, no recovery, the worker lives.
        assert.isFalse((yield* snapshot).recovering)
        assert.deepStrictEqual(yield* worker.status, { _tag: "Ready", pid: yield* worker.waitForReady })
        pids.push(first, third)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Postmaster.layer().pipe(Layer.provide([NodeSpawner.layer, PostmasterConfig.layer({ spares: 1 })]))
        )
      )
      for (const pid of pids) assert.isTrue(isGone(pid), String(pid))
    }).pipe(silently), patience)
})
