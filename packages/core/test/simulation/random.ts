/** Chance that can be repeated: everything a simulation draws comes from one seed. */

export interface Random {
  /** Between 0 and 1, without 1. */
  readonly fraction: () => number
  /** A whole number from 0 up to `bound`, without it. */
  readonly below: (bound: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  readonly weighted: <A>(items: ReadonlyArray<readonly [weight: number, item: A]>) => A
  /** Whole milliseconds; every order of magnitude between the bounds is as likely as the others. */
  readonly millis: (from: number, to: number) => number
}

/** Mulberry32: 32 bits of state, which is plenty for what is drawn here. */
export const make = (seed: number): Random => {
  let state = seed >>> 0
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (bound: number): number => Math.floor(fraction() * bound)
  return {
    fraction,
    below,
    chance: (probability) => fraction() < probability,
    pick: (items) => items[below(items.length)]!,
    weighted: (items) => {
      let left = fraction() * items.reduce((sum, [weight]) => sum + weight, 0)
      for (const [weight, item] of items) {
        left -= weight
        if (left < 0) return item
      }
      return items.at(-1)![1]
    },
    millis: (from, to) => Math.round(from * (to / from) ** fraction())
  }
}
