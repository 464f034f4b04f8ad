/**
 * Decides what the operating system's signals mean to an application that is a
 * postmaster: SIGTERM, SIGINT and SIGQUIT shut it down, each more harshly than
 * the one before, and SIGHUP reloads it.
 *
 * @since 0.1.0
 */
import type { PostmasterDied } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"

/** How many `layer`s stand. While one does, the signals are its own. */
let owners = 0

/**
 * Passes signals of the operating system to the postmaster for as long as the
 * layer lives.
 *
 * **Details**
 *
 * | signal | here | PostgreSQL |
 * | --- | --- | --- |
 * | SIGTERM | `shutdown("Smart")` | `handle_pm_shutdown_request_signal` |
 * | SIGINT | `shutdown("Fast")` | the same |
 * | SIGQUIT | `shutdown("Immediate")` | the same |
 * | SIGHUP | `reload` | `handle_pm_reload_request_signal` |
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Postmaster> = Layer.effectDiscard(Effect.gen(function*() {
  const postmaster = yield* Postmaster
  const run = Effect.runForkWith(yield* Effect.context())
  const answers: ReadonlyArray<readonly [NodeJS.Signals, Effect.Effect<void>]> = [
    ["SIGTERM", postmaster.shutdown("Smart")],
    ["SIGINT", postmaster.shutdown("Fast")],
    ["SIGQUIT", postmaster.shutdown("Immediate")],
    ["SIGHUP", postmaster.reload]
  ]
  const handlers = answers.map(([signal, answer]) => [signal, () => void run(answer)] as const)
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      owners++
      for (const [signal, handler] of handlers) process.on(signal, handler)
    }),
    () =>
      Effect.sync(() => {
        for (const [signal, handler] of handlers) process.off(signal, handler)
        owners--
      })
  )
}))

/**
 * Runs an application until its postmaster has halted, with the signals of
 * `layer`.
 *
 * **Details**
 *
 * The application's layer is built when the signals are heard, and released when
 * the postmaster has halted, whoever asked for that. A failure to build it, or
 * an abnormal end of the postmaster, is the failure of the effect.
 *
 * **Example** (A main module)
 *
 * ```ts
 * import { Postmaster, PostmasterConfig } from "@effect-postmaster/core"
 * import { NodeSignals, NodeSpawner } from "@effect-postmaster/node"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Application = Layer.effectDiscard(Effect.logInfo("ready"))
 *
 * NodeSignals.launch(Application).pipe(
 *   Effect.provide(Postmaster.layer()),
 *   Effect.provide([NodeSpawner.layer, PostmasterConfig.layer()]),
 *   NodeSignals.runMain
 * )
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const launch = <A, E, R>(
  application: Layer.Layer<A, E, R>
): Effect.Effect<void, E | PostmasterDied, R | Postmaster> =>
  // Halting interrupts the building too: an application that hangs there still ends when it is told to.
  Postmaster.use((postmaster) => Effect.raceFirst(postmaster.awaitHalt, Layer.launch(application))).pipe(
    Effect.provide(layer)
  )

/**
 * Runs an effect as the main program of the process.
 *
 * **Details**
 *
 * Like `NodeRuntime.runMain`, except that SIGTERM and SIGINT interrupt the
 * program only while no `layer` of this module stands: before the postmaster is
 * up, and after it has halted.
 *
 * @category running
 * @since 0.1.0
 */
export const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let told = false
  const interrupt = (): void => {
    if (owners > 0) return
    told = true
    fiber.interruptUnsafe()
  }
  process.on("SIGTERM", interrupt)
  process.on("SIGINT", interrupt)
  // A full disk or a reader that is gone costs log lines, not the workers.
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
  fiber.addObserver((exit) => {
    process.off("SIGTERM", interrupt)
    process.off("SIGINT", interrupt)
    teardown(exit, (code) => {
      // A program that ended well may leave its last output to the event loop.
      if (told || code !== 0) process.exit(code)
    })
  })
})
