import { PostmasterConfig, type PostmasterConfigOptions } from "@effect-postmaster/core"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const load = (env: Record<string, string>) =>
  PostmasterConfig.config.parse(
    ConfigProvider.fromEnvRecord(env).pipe(ConfigProvider.nested("postmaster"), ConfigProvider.constantCase)
  )

describe("settings", () => {
  it.effect("the defaults are those of the documentation", () =>
    Effect.gen(function*() {
      const settings = yield* Effect.provide(PostmasterConfig, PostmasterConfig.layer())
      assert.deepStrictEqual(settings, PostmasterConfig.defaults)
      assert.deepStrictEqual(
        [
          settings.maxWorkers,
          Duration.toMillis(settings.killAfter),
          Duration.toMillis(settings.stopTimeout),
          settings.spares,
          settings.maxSharedBytes,
          settings.maxSharedCells
        ],
        [8, 5000, 30_000, 0, 8_388_608, 1024]
      )
    }))

  it.effect("options are laid over the defaults, durations in any form", () =>
    Effect.gen(function*() {
      const layer = PostmasterConfig.layer({ maxWorkers: 2, stopTimeout: "1 minute", killAfter: Duration.infinity })
      const settings = yield* Effect.provide(PostmasterConfig, layer)
      assert.deepStrictEqual(
        [settings.maxWorkers, Duration.toMillis(settings.stopTimeout), Duration.toMillis(settings.killAfter)],
        [2, 60_000, Number.POSITIVE_INFINITY]
      )
    }))

  const wrong: ReadonlyArray<PostmasterConfigOptions> = [
    { maxWorkers: -1 },
    { maxWorkers: Number.NaN },
    { maxLaunchesPerTurn: 0 },
    { spares: -1 },
    { reservedSlots: { mail: -1 } },
    { reservedSlots: { mail: 5, resize: 4 } },
    { spares: 0.5 },
    { maxSharedBytes: -1 },
    { maxSharedBytes: 32 * 1024 * 1024 + 1 },
    { maxSharedCells: 0.5 },
    { killAfter: -1 },
    { killAfter: Number.NaN },
    { stopTimeout: "soon" as never }
  ]
  for (const options of wrong) {
    it.effect(`${JSON.stringify(options)} is a defect that names the setting`, () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.provide(PostmasterConfig, PostmasterConfig.layer(options)))
        assert(exit._tag === "Failure")
        assert.include(Cause.pretty(exit.cause), Object.keys(options)[0]!)
      }))
  }

  it.effect("from the environment", () =>
    Effect.gen(function*() {
      const settings = yield* load({
        POSTMASTER_MAX_WORKERS: "3",
        POSTMASTER_STOP_TIMEOUT: "2 seconds",
        POSTMASTER_RESTART_AFTER_CRASH: "false",
        POSTMASTER_SHUTDOWN_ON_RELEASE: "Smart",
        POSTMASTER_SPARES: "2",
        POSTMASTER_RESERVED_SLOTS: "mail=2",
        POSTMASTER_MAX_SHARED_BYTES: "65536",
        POSTMASTER_MAX_SHARED_CELLS: "4"
      })
      assert.deepStrictEqual(
        [
          settings.maxWorkers,
          Duration.toMillis(settings.stopTimeout),
          settings.restartAfterCrash,
          settings.shutdownOnRelease,
          settings.spares,
          settings.reservedSlots,
          settings.maxSharedBytes,
          settings.maxSharedCells
        ],
        [3, 2000, false, "Smart", 2, { mail: 2 }, 65_536, 4]
      )
      for (
        const [name, value] of [
          ["MAX_WORKERS", "many"],
          ["SPARES", "some"],
          ["MAX_SHARED_BYTES", "99999999"],
          [
            "KILL_AFTER",
            "-5 seconds"
          ],
          [
            "STOP_TIMEOUT",
            "soon"
          ],
          ["RESERVED_SLOTS", "mail=8,resize=1"],
          ["RESERVED_SLOTS", "mail=none"]
        ]
      ) {
        const error = yield* Effect.flip(load({ [`POSTMASTER_${name}`]: value! }))
        assert.strictEqual(error._tag, "ConfigError")
      }
    }))
})
