/**
 * Decides when a worker comes back. A policy is data, so that it can be
 * searched, written down and shown; it is never a function.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
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
 * Schema of a `Restart`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Restart = /* @__PURE__ */ Schema.TaggedUnion({
  /** The worker does not come back after a failure (`BGW_NEVER_RESTART`). */
  Never: { onSuccess: OnSuccess },
  /** It comes back `delayMillis` after a failure, never earlier. A mistake stays visible until the sanity check names it. */
  // @effect-diagnostics-next-line schemaNumber:off
  After: { delayMillis: Schema.Number, onSuccess: OnSuccess }
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
