/**
 * The clock of the simulated machine: `TestClock`'s time, except that the wall
 * clock can be set by somebody, and that the monotonic clock can run on while
 * timers stand still, as it does when a machine sleeps.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as TestClock from "effect/testing/TestClock"
import type { Chronicle } from "./chronicle.ts"

export interface SimulatedClock {
  readonly clock: Clock.Clock
  /** The monotonic time in milliseconds. */
  readonly monotonic: () => number
  /** The monotonic time at the beginning of the present moment: whatever is heard now was not decided earlier. */
  readonly earliest: () => number
  readonly setWallClock: (byMillis: number) => void
  readonly oversleep: (byMillis: number) => void
}

/** More readings than any settling takes: the loop reads the time once per turn. */
const maxReadingsAtOnce = 100_000

export const make = (inner: TestClock.TestClock, chronicle: Chronicle): SimulatedClock => {
  let wall = 0
  let slept = 0
  let overslept = { at: -1, by: 0 }
  let readings = 0
  let readAt = -1
  const millis = (): number => inner.currentTimeMillisUnsafe() + wall
  const nanos = (): bigint => BigInt(millis()) * 1_000_000n
  const monotonicNanos = (): bigint => {
    const now = inner.currentTimeMillisUnsafe()
    readings = now === readAt ? readings + 1 : 0
    readAt = now
    if (readings > maxReadingsAtOnce) {
      chronicle.broken("spin", `${readings} turns at one time`)
      throw new Error("the loop spins")
    }
    return inner.monotonicTimeNanosUnsafe() + BigInt(slept) * 1_000_000n
  }
  return {
    clock: {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: monotonicNanos,
      monotonicTimeNanos: Effect.sync(monotonicNanos),
      sleep: (duration) => inner.sleep(duration)
    },
    monotonic: () => Number(inner.monotonicTimeNanosUnsafe()) / 1_000_000 + slept,
    setWallClock: (by) => {
      wall += by
    },
    earliest: () => {
      const now = inner.currentTimeMillisUnsafe()
      return Number(inner.monotonicTimeNanosUnsafe()) / 1_000_000 + slept - (overslept.at === now ? overslept.by : 0)
    },
    oversleep: (by) => {
      const at = inner.currentTimeMillisUnsafe()
      overslept = { at, by: by + (overslept.at === at ? overslept.by : 0) }
      slept += by
    }
  }
}
