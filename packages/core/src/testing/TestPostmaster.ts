/**
 * The whole postmaster with scripted workers, for tests of programs that use
 * it. With `TestClock`, hours of crash loops take milliseconds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Postmaster from "../Postmaster.ts"
import { type Options as ConfigOptions, PostmasterConfig } from "../PostmasterConfig.ts"
import type { RegistrationError } from "../RegistrationError.ts"
import type { SharedMemory } from "../SharedMemory.ts"
import { TestSpawner } from "./TestSpawner.ts"

/**
 * What the layer may be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = never, R = never> extends Postmaster.Options<E, R> {
  readonly config?: ConfigOptions | undefined
}

/**
 * A postmaster on scripted workers, with settings, preloads and startup of the
 * test's choice.
 *
 * **Details**
 *
 * Releasing the layer kills every worker at once, whatever the settings say and
 * however its script goes: the test's clock stands still by then.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = <E = never, R = never>(
  options?: Options<E, R>
): Layer.Layer<
  Postmaster.Postmaster | SharedMemory | TestSpawner,
  E | RegistrationError,
  Exclude<Exclude<R, Scope.Scope | SharedMemory>, TestSpawner>
> =>
  release.pipe(
    Layer.provideMerge(Postmaster.Postmaster.layer(options)),
    Layer.provide(PostmasterConfig.layer(options?.config)),
    Layer.provideMerge(TestSpawner.layer)
    // The compiler cannot see that Exclude distributes over the unknown R.
  ) as never

/** Released first: whoever is deaf would be waited for by a clock that stands still. */
const release = Layer.effectDiscard(Effect.gen(function*() {
  const { killAll } = yield* TestSpawner
  const { shutdown } = yield* Postmaster.Postmaster
  yield* Effect.addFinalizer(() => Effect.andThen(shutdown("Immediate"), killAll))
}))

/**
 * A postmaster on scripted workers, with the default settings.
 *
 * **Example** (Ten hours of crashes)
 *
 * ```ts
 * import { BackgroundWorker, Postmaster } from "@effect-postmaster/core"
 * import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
 * import { assert, layer } from "@effect/vitest"
 * import * as Effect from "effect/Effect"
 * import * as TestClock from "effect/testing/TestClock"
 *
 * const Flaky = BackgroundWorker.make("flaky", {
 *   entry: { module: new URL("./flaky.ts", import.meta.url) },
 *   restart: "1 minute"
 * })
 *
 * layer(TestPostmaster.layer)("Flaky", (it) => {
 *   it.effect("is tried once a minute", () =>
 *     Effect.gen(function*() {
 *       const { journal, script } = yield* TestSpawner
 *       const postmaster = yield* Postmaster
 *       yield* script("flaky", Script.exits(1))
 *       yield* postmaster.register(Flaky)
 *       yield* TestClock.adjust("10 hours")
 *       const births = (yield* journal).filter((entry) => entry._tag === "Spawned")
 *       assert.strictEqual(births.length, 601)
 *     }))
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Postmaster.Postmaster | SharedMemory | TestSpawner> = Layer.orDie(layerWith())
