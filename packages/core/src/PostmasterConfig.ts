/**
 * Decides the postmaster's settings: their names, units, defaults and bounds.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { mostBytes } from "./internal/cells.ts"
import { ShutdownMode } from "./Phase.ts"

const Count = Schema.Natural
const Positive = Schema.Int.check(Schema.isGreaterThan(0))
const SharedBytes = Count.check(Schema.isLessThanOrEqualTo(mostBytes))
const Wait = Schema.Duration.check(
  Schema.makeFilter((duration: Duration.Duration) =>
    Duration.isNegative(duration) ? "a duration of zero or more" : undefined
  )
)

const WaitFromString = Schema.DurationFromString.pipe(Schema.decodeTo(Wait))

/**
 * Schema of the settings.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Settings = Schema.Struct({
  /** How many slots the table has. Default 8, fixed for the postmaster's life (`max_worker_processes`). */
  maxWorkers: Count,
  /** How many workers of a class may be registered at once. Default `{ parallel: 8 }` (`max_parallel_workers`). */
  classLimits: Schema.Record(Schema.String, Count),
  /**
   * How many slots are kept for a class: workers of other classes, and of none, do not get them. Default `{}`. Together
   * no more than there are slots.
   */
  reservedSlots: Schema.Record(Schema.String, Count),
  /** How long SIGQUIT may be ignored before SIGKILL. Default 5 seconds (`SIGKILL_CHILDREN_AFTER_SECS`). */
  killAfter: Wait,
  /** How long SIGTERM may be ignored before SIGKILL, unless the worker says otherwise. Default 30 seconds; may be infinite. */
  stopTimeout: Wait,
  /** How many workers are born in one turn at most. Default 100 (`MAX_BGWORKERS_TO_LAUNCH`). */
  maxLaunchesPerTurn: Positive,
  /** Whether attached workers start again after a crash, or the postmaster gives up. Default true (`restart_after_crash`). */
  restartAfterCrash: Schema.Boolean,
  /** How the postmaster shuts down when its layer is released. Default `"Fast"`. */
  shutdownOnRelease: ShutdownMode,
  /**
   * How many spares are kept: processes that have booted and imported the entry modules ahead, so that a launch takes
   * a millisecond. Default 0; 1 or 2 suit a daemon. Spawners that bear in no time, as fibers, keep none.
   */
  spares: Count,
  /** How many bytes all cells of shared memory may take, names and values. Default 8 MiB, at most 32 MiB. */
  maxSharedBytes: SharedBytes,
  /** How many cells shared memory may have. Default 1024. */
  maxSharedCells: Count
}).check(
  Schema.makeFilter(({ maxWorkers, reservedSlots }) => {
    const reserved = Object.values(reservedSlots).reduce((sum, count) => sum + count, 0)
    return reserved > maxWorkers
      ? `no more reservedSlots (${reserved}) than there are slots (maxWorkers: ${maxWorkers})`
      : undefined
  })
)

/**
 * The settings.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings extends Schema.Schema.Type<typeof Settings> {}

/**
 * What may be given in place of the defaults; durations in any form Effect reads.
 *
 * @category models
 * @since 0.1.0
 */
export type Options =
  & { readonly [K in Exclude<keyof Settings, "killAfter" | "stopTimeout">]?: Settings[K] | undefined }
  & { readonly [K in "killAfter" | "stopTimeout"]?: Duration.Input | undefined }

const defaults: Settings = {
  maxWorkers: 8,
  classLimits: { parallel: 8 },
  reservedSlots: {},
  killAfter: Duration.seconds(5),
  stopTimeout: Duration.seconds(30),
  maxLaunchesPerTurn: 100,
  restartAfterCrash: true,
  shutdownOnRelease: "Fast",
  spares: 0,
  maxSharedBytes: 8 * 1024 * 1024,
  maxSharedCells: 1024
}

const decode = Schema.decodeUnknownEffect(Settings)

/** A duration as it was written, or what is no duration at all, for the schema to refuse. */
const duration = (input: Duration.Input): unknown =>
  typeof input === "number" && Number.isNaN(input) ? input : Option.getOrElse(Duration.fromInput(input), () => input)

const merge = (base: Settings, options: Options | undefined): Effect.Effect<Settings> =>
  Effect.suspend(() => {
    const { killAfter, stopTimeout, ...rest } = options ?? {}
    return decode({
      ...base,
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
      ...(killAfter === undefined ? undefined : { killAfter: duration(killAfter) }),
      ...(stopTimeout === undefined ? undefined : { stopTimeout: duration(stopTimeout) })
    })
  }).pipe(
    // A setting written in the program is the programmer's own; from outside it is a ConfigError.
    Effect.mapError((error) => new Error(`invalid PostmasterConfig: ${error.message}`)),
    Effect.orDie
  )

const config: Config.Config<Settings> = Config.all({
  maxWorkers: Config.schema(Count, "maxWorkers").pipe(Config.withDefault(defaults.maxWorkers)),
  classLimits: Config.Record(Schema.String, Schema.FiniteFromString.pipe(Schema.decodeTo(Count)), "classLimits").pipe(
    Config.withDefault(defaults.classLimits)
  ),
  reservedSlots: Config.Record(Schema.String, Schema.FiniteFromString.pipe(Schema.decodeTo(Count)), "reservedSlots")
    .pipe(Config.withDefault(defaults.reservedSlots)),
  killAfter: Config.schema(WaitFromString, "killAfter").pipe(Config.withDefault(defaults.killAfter)),
  stopTimeout: Config.schema(WaitFromString, "stopTimeout").pipe(Config.withDefault(defaults.stopTimeout)),
  maxLaunchesPerTurn: Config.schema(Positive, "maxLaunchesPerTurn").pipe(
    Config.withDefault(defaults.maxLaunchesPerTurn)
  ),
  restartAfterCrash: Config.Boolean("restartAfterCrash").pipe(Config.withDefault(defaults.restartAfterCrash)),
  shutdownOnRelease: Config.schema(ShutdownMode, "shutdownOnRelease").pipe(
    Config.withDefault(defaults.shutdownOnRelease)
  ),
  spares: Config.schema(Count, "spares").pipe(Config.withDefault(defaults.spares)),
  maxSharedBytes: Config.schema(SharedBytes, "maxSharedBytes").pipe(Config.withDefault(defaults.maxSharedBytes)),
  maxSharedCells: Config.schema(Count, "maxSharedCells").pipe(Config.withDefault(defaults.maxSharedCells))
}).pipe(
  // What each setting says of itself has been checked; this is what they say of each other.
  Config.mapEffect((settings) => Effect.mapError(decode(settings), (error) => new Config.ConfigError(error)))
)

/**
 * The postmaster's settings.
 *
 * **Example** (Four slots)
 *
 * ```ts
 * import { PostmasterConfig } from "@effect-postmaster/core"
 *
 * export const Settings = PostmasterConfig.layer({ maxWorkers: 4, stopTimeout: "10 seconds" })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class PostmasterConfig extends Context.Service<PostmasterConfig, Settings>()(
  "@effect-postmaster/core/PostmasterConfig"
) {
  /** The value of every setting that is not given. */
  static readonly defaults: Settings = defaults

  /** Describes how to load the settings with `Config`, on top of the defaults. */
  static readonly config: Config.Config<Settings> = config

  /**
   * Provides the defaults with `options` laid over them. A value out of bounds
   * is a defect that names the setting.
   */
  static readonly layer = (options?: Options): Layer.Layer<PostmasterConfig> =>
    Layer.effect(PostmasterConfig, merge(defaults, options))

  /**
   * Loads the settings from environment variables in constant case under the
   * prefix `POSTMASTER_` (`POSTMASTER_MAX_WORKERS`, `POSTMASTER_STOP_TIMEOUT`,
   * …), and lays `options` over them.
   */
  static readonly layerFromEnv = (options?: Options): Layer.Layer<PostmasterConfig, Config.ConfigError> =>
    Layer.effect(
      PostmasterConfig,
      config.pipe(
        Effect.provideService(
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromEnv().pipe(ConfigProvider.nested("postmaster"), ConfigProvider.constantCase)
        ),
        Effect.flatMap((settings) => merge(settings, options))
      )
    )
}
