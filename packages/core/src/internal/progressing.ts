/**
 * How often what a worker says of its progress leaves it: the newest word, a
 * bounded number of times a second, and the last one in any case.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { maxMessage, type Progress } from "../Progress.ts"

export interface Progressing {
  readonly say: (progress: Progress) => Effect.Effect<void>
  /** Says at once what has not been said yet. */
  readonly flush: () => void
}

const defaultIntervalMillis = 100

const isCount = (count: number): boolean => count >= 0 && count < Number.POSITIVE_INFINITY

/** A worker is not ended for a count that is none. */
const tidy = ({ done, message, total }: Progress): Progress => ({
  done: isCount(done) ? done : 0,
  ...(total === undefined || !isCount(total) ? undefined : { total }),
  ...(message === undefined ? undefined : { message: message.slice(0, maxMessage) })
})

export const make = (
  tell: (progress: Progress) => void,
  /** How often something must be heard. */
  timeoutMillis = Number.POSITIVE_INFINITY
): Progressing => {
  const interval = Math.min(defaultIntervalMillis, Math.floor(timeoutMillis / 3))
  let unsaid: Progress | undefined
  let saidAt = Number.NEGATIVE_INFINITY
  let waiting = false

  const flush = (): void => {
    if (unsaid === undefined) return
    const progress = unsaid
    unsaid = undefined
    tell(progress)
  }

  /** What was said meanwhile has waited for this fiber, which need not outlive anything. */
  const sayLater = (clock: Clock.Clock, wait: number): Effect.Effect<void> =>
    Effect.andThen(
      Effect.sleep(wait),
      Effect.sync(() => {
        waiting = false
        saidAt = monotonic(clock)
        flush()
      })
    )

  return {
    flush,
    say: (progress) =>
      Clock.clockWith((clock) => {
        const now = monotonic(clock)
        unsaid = tidy(progress)
        if (now - saidAt >= interval) {
          saidAt = now
          flush()
        } else if (!waiting) {
          waiting = true
          return Effect.asVoid(Effect.forkDetach(sayLater(clock, saidAt + interval - now)))
        }
        return Effect.void
      })
  }
}

const monotonic = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000
