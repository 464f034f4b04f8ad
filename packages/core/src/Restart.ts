/**
 * Decides when a worker comes back, and when it is given up. A policy is data,
 * so that it can be searched, written down and shown; it is never a function.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/**
 * Schema of what follows exit code 0.
 *
 * @category schemas
 * @since 0.1.0
 */
export const OnSuccess = /* @__PURE__ */ Schema.Literals(["Unregister", "Restart"])

/**
 * What follows exit code 0: the registration ends (PostgreSQL since 9.4), or
 * the worker starts again at once (the rule before that).
 *
 * @category models
 * @since 0.1.0
 */
export type OnSuccess = typeof OnSuccess.Type

/**
 * Schema of a `Growth`.
 *
 * @category schemas
 * @since 0.1.0
 */
// Mistakes in a policy stay visible until the sanity check names them.
// @effect-diagnostics schemaNumber:off
export const Growth = /* @__PURE__ */ Schema.Struct({
  /** By which the delay is multiplied with each further failure in a row, 1 or more. */
  factor: Schema.Number,
  /** The longest delay. */
  maxMillis: Schema.Number,
  /** The share of a delay by which it is shortened at most, from 0 to 1, so that many that fail together do not come back together. */
  jitter: Schema.Number
})

/**
 * How a delay grows with failures in a row.
 *
 * @category models
 * @since 0.1.0
 */
export interface Growth extends Schema.Schema.Type<typeof Growth> {}

/**
 * Schema of a `GiveUp`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const GiveUp = /* @__PURE__ */ Schema.Struct({
  /** How many failures, from 1 to 1,000. */
  failures: Schema.Number,
  /** Within how many milliseconds. */
  withinMillis: Schema.Number,
  /** Whether the worker keeps its slot and waits for `resume`, or its registration ends. */
  outcome: Schema.Literals(["Park", "Unregister"])
})

/**
 * After how many failures within how long a worker is given up, and what
 * becomes of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface GiveUp extends Schema.Schema.Type<typeof GiveUp> {}

/**
 * Schema of a `Restart`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Restart = /* @__PURE__ */ Schema.TaggedUnion({
  /** The worker does not come back after a failure (`BGW_NEVER_RESTART`). */
  Never: { onSuccess: OnSuccess },
  /** It comes back some time after a failure. */
  After: {
    /** After the first failure in a row. */
    delayMillis: Schema.Number,
    /** After the second, the third and so on. When they are used up the last one stays, or grows. */
    thenMillis: Schema.optionalKey(Schema.Array(Schema.Number)),
    /** Absent: the delay stays the same. */
    growth: Schema.optionalKey(Growth),
    /** A life that lasts so long ends the row of failures; absent: 60 seconds, or the longest delay if that is longer. */
    healthyMillis: Schema.optionalKey(Schema.Number),
    /** Absent: the worker comes back without end. */
    giveUp: Schema.optionalKey(GiveUp),
    onSuccess: OnSuccess
  }
})

/**
 * When a worker comes back.
 *
 * @category models
 * @since 0.1.0
 */
export type Restart = typeof Restart.Type

/**
 * What a definition may say about restarting: `"never"`, how long to wait after
 * a failure, or a whole policy.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = "never" | Duration.Input | Restart

/**
 * The longest restart interval in milliseconds: 86,400,000 *seconds*, as in
 * `SanityCheckBackgroundWorker` (1,000 days, and not the one day that was meant).
 *
 * @category constants
 * @since 0.1.0
 */
export const maxDelayMillis = 86_400_000 * 1000

/**
 * The highest number of failures after which a worker can be given up. So many
 * times are remembered.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxFailures = 1000

/**
 * Converts a duration to milliseconds without hiding what is wrong with it:
 * `NaN` and text that is no duration stay `NaN`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMillis = (input: Duration.Input): number =>
  typeof input === "number"
    ? input
    : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: Duration.toMillis })

/**
 * The worker never comes back after a failure. With `onSuccess: "Restart"` it
 * still starts again after exit code 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const never = (options?: { readonly onSuccess?: OnSuccess | undefined }): Restart => ({
  _tag: "Never",
  onSuccess: options?.onSuccess ?? "Unregister"
})

/**
 * The worker comes back this long after a failure (`bgw_restart_time`).
 *
 * **Gotchas**
 *
 * With a delay of 0, or with `onSuccess: "Restart"`, a worker that ends as soon
 * as it has begun is started again without a pause.
 *
 * **Details**
 *
 * Between 0 and 86,400,000 seconds; the bound is checked at registration, with
 * a typed error.
 *
 * **Example** (Starting again after success, too)
 *
 * ```ts
 * import * as Restart from "@effect-postmaster/core/Restart"
 *
 * export const policy = Restart.after("10 seconds", { onSuccess: "Restart" })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const after = (
  delay: Duration.Input,
  options?: { readonly onSuccess?: OnSuccess | undefined }
): Restart => ({
  _tag: "After",
  delayMillis: toMillis(delay),
  onSuccess: options?.onSuccess ?? "Unregister"
})

/**
 * The worker comes back after a delay that grows with each failure in a row,
 * up to `max`.
 *
 * **When to use**
 *
 * Use for a worker that depends on something that may be away for a while, and
 * is not brought back by asking more often.
 *
 * **Details**
 *
 * `factor` is 2 and `jitter` 0 unless said otherwise. `max` is five minutes, or
 * the first delay if that is longer. `jitter` shortens each delay by up to that
 * share of it. By how much is drawn from the slot, its generation and the
 * number of the life, so that a history gives the same delays when it is
 * replayed.
 *
 * A row of failures ends with a success, with a healthy life (`resetAfter`), or
 * when the worker is resumed by hand. A birth that fails is a failure.
 *
 * **Example** (1 s, 2 s, 4 s, and so on up to a minute)
 *
 * ```ts
 * import * as Restart from "@effect-postmaster/core/Restart"
 *
 * export const policy = Restart.exponential("1 second", { max: "1 minute", jitter: 0.2 })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const exponential = (
  first: Duration.Input,
  options?: {
    readonly factor?: number | undefined
    readonly max?: Duration.Input | undefined
    readonly jitter?: number | undefined
    readonly onSuccess?: OnSuccess | undefined
  }
): Restart => {
  const delayMillis = toMillis(first)
  return {
    _tag: "After",
    delayMillis,
    growth: {
      factor: options?.factor ?? 2,
      maxMillis: options?.max === undefined ? Math.max(defaultMaxMillis, delayMillis) : toMillis(options.max),
      jitter: options?.jitter ?? 0
    },
    onSuccess: options?.onSuccess ?? "Unregister"
  }
}

const defaultMaxMillis = 300_000

/**
 * The worker comes back after these delays, one for each failure in a row; the
 * last one repeats.
 *
 * **Example** (At once, then after a second, then every minute)
 *
 * ```ts
 * import * as Restart from "@effect-postmaster/core/Restart"
 *
 * export const policy = Restart.delays([0, "1 second", "1 minute"])
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const delays = (
  delays: readonly [Duration.Input, ...ReadonlyArray<Duration.Input>],
  options?: { readonly onSuccess?: OnSuccess | undefined }
): Restart => {
  const [first, ...then] = delays
  return {
    _tag: "After",
    delayMillis: toMillis(first),
    thenMillis: then.map(toMillis),
    onSuccess: options?.onSuccess ?? "Unregister"
  }
}

/**
 * Gives the worker up when it has failed so many times within so long.
 *
 * **When to use**
 *
 * Use for a worker whose failures somebody should look at before it is started
 * any more.
 *
 * **Details**
 *
 * Given up, the worker is *parked*: it keeps its slot, the snapshot says
 * `Parked`, the event `Parked` is published and logged as a warning, and
 * `WorkerHandle.resume` starts it again with a clean count. With
 * `outcome: "Unregister"` its registration ends with the reason `GaveUp`.
 *
 * Every failure counts that the worker has not been told to end by, births that
 * fail and crashes among them. A healthy life and recovery from a crash do not
 * take any of them back. Whoever is parked stays parked through a recovery.
 *
 * **Gotchas**
 *
 * A worker that never comes back after a failure is not given up: the policy is
 * returned as it is.
 *
 * **Example** (Five failures within ten minutes are enough)
 *
 * ```ts
 * import * as Restart from "@effect-postmaster/core/Restart"
 *
 * export const policy = Restart.giveUp(Restart.exponential("1 second"), { failures: 5, within: "10 minutes" })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const giveUp: {
  (options: GiveUpOptions): (self: Restart) => Restart
  (self: Restart, options: GiveUpOptions): Restart
} = /* @__PURE__ */ dual(2, (self: Restart, options: GiveUpOptions): Restart =>
  self._tag === "Never"
    ? self
    : {
      ...self,
      giveUp: { failures: options.failures, withinMillis: toMillis(options.within), outcome: options.outcome ?? "Park" }
    })

/**
 * What `giveUp` is told.
 *
 * @category models
 * @since 0.1.0
 */
export interface GiveUpOptions {
  /** From 1 to 1,000. */
  readonly failures: number
  readonly within: Duration.Input
  /** Default `"Park"`. */
  readonly outcome?: GiveUp["outcome"] | undefined
}

/**
 * Says how long a life must last to end the row of failures before it: the next
 * failure is the first again.
 *
 * **Details**
 *
 * Unless it is said, that is 60 seconds, or the longest delay of the policy if
 * that is longer. `"Infinity"`: only success ends the row.
 *
 * @category combinators
 * @since 0.1.0
 */
export const resetAfter: {
  (healthy: Duration.Input): (self: Restart) => Restart
  (self: Restart, healthy: Duration.Input): Restart
} = /* @__PURE__ */ dual(
  2,
  (self: Restart, healthy: Duration.Input): Restart =>
    self._tag === "Never" ? self : { ...self, healthyMillis: toMillis(healthy) }
)

const isPolicy = (input: Restart | Duration.Input): input is Restart => Predicate.hasProperty(input, "_tag")

/**
 * Turns what a definition says into a policy.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromInput = (input: Input): Restart => {
  if (input === "never") return never()
  return isPolicy(input) ? input : after(input)
}

/**
 * Returns `true` for a worker that does its work once: it restarts neither after
 * failure nor after success. A smart shutdown waits for jobs.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isJob = (self: Restart): boolean => self._tag === "Never" && self.onSuccess === "Unregister"
