/** What is different about workers that are threads of this process. */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { Spawner } from "@effect-postmaster/core/Spawner"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { forkThread } from "../src/internal/forkThread.ts"
import { born, fixture, launch, lived, saw, until } from "./support.ts"

const patience = 60_000

const threads = NodeSpawner.layerThread

const test = (title: string, body: Effect.Effect<void, unknown, Scope.Scope>) =>
  it.live(
    title,
    () => Effect.scoped(body),
    patience
  )

const status = (name: string, args: object | null = null, layer: Layer.Layer<Spawner> = threads) =>
  Effect.map(lived(launch(name, { args: args as never }), { layer }), (life) => life.status)

describe.concurrent("a thread", () => {
  test(
    "lives in this process, and its number is no process's",
    Effect.gen(function*() {
      const life = yield* born(launch("idles"), { layer: threads })
      yield* saw(life, "idle")
      assert.isAbove(life.pid, 0)
      yield* life.signal("SIGTERM", "Process")
      const end = yield* life.exit
      assert(end._tag === "Exited")
      assert.deepStrictEqual([end.code, end.error?.kind], [1, "Interrupted"])
      yield* saw(life, "finalizer ran")
    })
  )

  for (const code of [0, 3]) {
    test(
      `that leaves by process.exit(${code}) has left alone`,
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* status("exits", { code }), ExitStatus.exited(code))
      })
    )
  }

  for (const name of ["throwsOutside", "rejectsOutside", "dies"]) {
    test(
      `that ${name} has crashed, and says of what`,
      Effect.gen(function*() {
        const end = yield* status(name)
        assert(end._tag === "Exited")
        assert.deepStrictEqual([end.code, end.error?.kind], [2, "Defect"])
      })
    )
  }

  test(
    "that has run out of memory is lost, and says so",
    Effect.gen(function*() {
      const layer = NodeSpawner.layerThreadWith({ resourceLimits: { maxOldGenerationSizeMb: 16 } })
      const end = yield* status("hoards", null, layer)
      assert(end._tag === "Lost")
      assert.strictEqual(end.detail, "ran out of memory (heap limit 16 MiB)")
    })
  )

  test(
    "that spins is deaf to everything but SIGKILL",
    Effect.gen(function*() {
      const life = yield* born(launch("spins"), { layer: threads })
      for (const signal of ["SIGTERM", "SIGQUIT"] as const) yield* life.signal(signal, "Group")
      yield* life.signal("SIGKILL", "Group")
      assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: true }))
    })
  )

  test(
    "is gone when the scope has closed",
    Effect.gen(function*() {
      const life = yield* Effect.scoped(born(launch("spins"), { layer: threads }))
      assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: true }))
    })
  )

  test(
    "closes its channel when it ends, so that nobody waits for more",
    Effect.gen(function*() {
      let closed = false
      const order = { file: fileURLToPath(fixture("leaves.mjs")), execArgv: undefined, env: {}, resourceLimits: {} }
      yield* forkThread(order, ({ channel }) => {
        channel.on("close", () => {
          closed = true
        })
        channel.resume()
      })
      yield* until("the channel to be closed", () => closed)
    })
  )

  test(
    "can be a spare",
    Effect.gen(function*() {
      const spawner = yield* Spawner
      const spare = yield* spawner.spare!([fixture("workers.ts")])
      const child = yield* spawner.spawn(launch("returns"), () => {}, spare)
      assert.strictEqual(child.pid, spare.pid)
      assert.deepStrictEqual(yield* child.exit, ExitStatus.exited(0))
    }).pipe(Effect.provide(threads))
  )

  for (const asked of [{ cwd: "/" }, { execPath: "/bin/sh" }, { uid: 1 }]) {
    test(
      `is refused where it is to have a ${Object.keys(asked)[0]} of its own`,
      Effect.gen(function*() {
        // Past the types.
        const error = yield* Effect.flip(
          born(launch("returns"), { layer: NodeSpawner.layerThreadWith(asked as object) })
        )
        assert.match(
          String(error),
          new RegExp(`"fixture" cannot be started here: a thread has no "${Object.keys(asked)[0]}"`)
        )
      })
    )
  }
})

describe("an application with flags of a process", () => {
  it.live("has threads all the same", () =>
    Effect.gen(function*() {
      const said = yield* Effect.callback<string>((resume) => {
        const program = fileURLToPath(fixture("threads.ts"))
        execFile(process.execPath, ["--max-old-space-size=512", "--stack-size=900", program], (_, stdout) =>
          resume(Effect.succeed(stdout)))
      })
      assert.include(said, `ended ${JSON.stringify({ _tag: "Exited", code: 0 })}`)
    }), patience)
})
