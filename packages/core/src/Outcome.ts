/**
 * Decides what a program may ask for when it returns, beyond that its work is
 * done: another life, which is no punishment.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { maxDelayMillis } from "./Restart.ts"

/**
 * Schema of an `Outcome`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Outcome = /* @__PURE__ */ Schema.TaggedUnion({
  /** Another life after a while, in milliseconds. */
  RetryAfter: {
    delayMillis: /* @__PURE__ */ Schema.Finite.check(
      /* @__PURE__ */ Schema.isBetween({ minimum: 0, maximum: maxDelayMillis })
    )
  },
  /** Another life at once. */
  Recycle: {}
})

/**
 * What a program asks for when it returns. A program that returns nothing has
 * done its work.
 *
 * **Details**
 *
 * The registration goes on, whatever the restart policy says of success: the
 * life counts neither as a failure nor as done (verdict `Again`), and it ends a
 * row of failures before it. Whoever was told to end for good gets no other life,
 * nor does a job (a worker that restarts neither after failure nor after
 * success) from the moment a shutdown is asked for: a smart one waits for its
 * present life only.
 *
 * **Gotchas**
 *
 * No life follows another sooner than a second after that has begun, so that a
 * program that always asks for another does not spin.
 *
 * **Example** (Looking again in five minutes)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 * import * as Outcome from "@effect-postmaster/core/Outcome"
 * import * as Effect from "effect/Effect"
 *
 * const Mail = BackgroundWorker.make("mail", { entry: { module: new URL(import.meta.url) } })
 *
 * const unread = Effect.succeed<ReadonlyArray<string>>([])
 *
 * export const main = BackgroundWorker.main(Mail, () =>
 *   Effect.gen(function*() {
 *     const letters = yield* unread
 *     if (letters.length === 0) return Outcome.retryAfter("5 minutes")
 *     yield* Effect.logInfo(`sending ${letters.length} letters`)
 *     return Outcome.recycle
 *   }))
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = typeof Outcome.Type

/**
 * Asks for another life after a delay: at least 0, at most 86,400,000 seconds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retryAfter = (delay: Duration.Input): Outcome => {
  const millis = Option.match(Duration.fromInput(delay), { onNone: () => 0, onSome: Duration.toMillis })
  return { _tag: "RetryAfter", delayMillis: Math.min(maxDelayMillis, Math.max(0, millis)) }
}

/**
 * Asks for another life at once: in a fresh process, with what this one has
 * gathered left behind.
 *
 * @category constructors
 * @since 0.1.0
 */
export const recycle: Outcome = { _tag: "Recycle" }

/**
 * Returns `true` for an `Outcome`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOutcome = (u: unknown): u is Outcome => {
  if (!Predicate.hasProperty(u, "_tag")) return false
  if (u._tag === "Recycle") return true
  // Without a schema, which every worker would have to carry.
  return u._tag === "RetryAfter" && Predicate.hasProperty(u, "delayMillis") && typeof u.delayMillis === "number" &&
    u.delayMillis >= 0 && u.delayMillis <= maxDelayMillis
}

/**
 * Writes an outcome as half a sentence.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (self: Outcome): string =>
  self._tag === "Recycle" ? "asking for another life" : `asking for another life after ${self.delayMillis} ms`
