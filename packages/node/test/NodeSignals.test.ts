/**
 * Whole applications in processes of their own: what their signals mean, and
 * what becomes of their workers when they die.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { fixture, isGone, until } from "./support.ts"

const patience = 60_000

interface Application {
  readonly pid: number
  readonly output: () => string
  readonly exit: Effect.Effect<number | NodeJS.Signals>
}

const application = (argument: string): Effect.Effect<Application, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(fixture("application.ts")), argument])
      let output = ""
      let exit: number | NodeJS.Signals | undefined
      child.stdout.on("data", (chunk) => output += String(chunk))
      child.stderr.on("data", (chunk) => output += String(chunk))
      child.on("close", (code, signal) => exit = signal ?? code ?? -1)
      return {
        pid: child.pid!,
        output: () => output,
        exit: until("the application to end", () => exit === undefined ? undefined : { exit }).pipe(
          Effect.map(({ exit }) => exit)
        ),
        end: Effect.sync(() => child.kill("SIGKILL"))
      }
    }),
    ({ end }) => end
  )

const says = (app: Application, what: RegExp): Effect.Effect<string> =>
  until(`the application to say ${what}`, () => what.exec(app.output())?.[1]).pipe(
    Effect.catchDefect((defect) => Effect.die(new Error(`${String(defect)}\n${app.output()}`)))
  )

describe("an application", () => {
  it.live("C138 that is killed takes its worker with it", () =>
    Effect.gen(function*() {
      const app = yield* application("idles")
      const worker = Number(yield* says(app, /worker (\d+)/))
      assert.strictEqual(isGone(worker), false)
      const killed = performance.now()
      process.kill(app.pid, "SIGKILL")
      yield* until("the worker to be gone", () => isGone(worker))
      console.log(`worker gone ${(performance.now() - killed).toFixed(1)} ms after SIGKILL of its application`)
    }), patience)

  const shutdowns: ReadonlyArray<readonly [NodeJS.Signals, RegExp, boolean]> = [
    ["SIGTERM", /received (smart) shutdown request/, true],
    ["SIGINT", /received (fast) shutdown request/, true],
    ["SIGQUIT", /received (immediate) shutdown request/, false]
  ]
  for (const [signal, request, finalizers] of shutdowns) {
    it.live(`shuts down by ${signal}`, () =>
      Effect.gen(function*() {
        const app = yield* application("idles")
        const worker = Number(yield* says(app, /worker (\d+)/))
        yield* says(app, /(idle)/)
        process.kill(app.pid, signal)
        assert.strictEqual(yield* app.exit, 0)
        yield* says(app, request)
        yield* says(app, /(released)/)
        assert.strictEqual(app.output().includes("finalizer ran"), finalizers)
        assert.strictEqual(isGone(worker), true)
      }), patience)
  }

  it.live("reloads its workers by SIGHUP", () =>
    Effect.gen(function*() {
      const app = yield* application("reloads")
      yield* says(app, /worker (\d+)/)
      process.kill(app.pid, "SIGHUP")
      yield* says(app, /(reload 1)/)
      process.kill(app.pid, "SIGHUP")
      yield* says(app, /(reload 2)/)
      process.kill(app.pid, "SIGINT")
      assert.strictEqual(yield* app.exit, 0)
    }), patience)

  it.live("is interrupted by SIGTERM before its postmaster is up", () =>
    Effect.gen(function*() {
      const app = yield* application("never")
      yield* says(app, /(starting)/)
      process.kill(app.pid, "SIGTERM")
      assert.strictEqual(yield* app.exit, 130)
    }), patience)
})
