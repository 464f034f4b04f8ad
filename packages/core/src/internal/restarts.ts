/**
 * What a restart policy comes to: the delay after a failure, the life that ends
 * a row of failures, and the failures that are too many. Plain arithmetic.
 */
import type { SlotRef } from "../Identity.ts"
import type { Restart } from "../Restart.ts"

export type After = Extract<Restart, { readonly _tag: "After" }>

/** The delay after so many failures in a row, without jitter. */
const nominal = ({ delayMillis, growth, thenMillis = [] }: After, failures: number): number => {
  const beyond = failures - 1 - thenMillis.length
  if (beyond < 0) return failures <= 1 ? delayMillis : thenMillis[failures - 2]!
  const last = thenMillis.at(-1) ?? delayMillis
  return growth === undefined ? last : Math.min(growth.maxMillis, last * growth.factor ** beyond)
}

/** How long to rest after so many failures in a row; `luck` is from 0 up to 1. */
export const delay = (self: After, failures: number, luck: number): number => {
  const millis = nominal(self, failures)
  return self.growth === undefined ? millis : Math.round(millis * (1 - self.growth.jitter * luck))
}

/** The longest delay there can be. */
export const longest = ({ delayMillis, growth, thenMillis = [] }: After): number =>
  Math.max(delayMillis, ...thenMillis, growth?.maxMillis ?? 0)

const leastHealthyMillis = 60_000

/** How long a life must last to end the row of failures before it. */
export const healthyMillis = (self: After): number => self.healthyMillis ?? Math.max(leastHealthyMillis, longest(self))

/** A number from 0 up to 1 that is the same for the same life, and unlike that of its neighbours. */
export const luck = ({ generation, slot }: SlotRef, life: number): number => {
  let mixed = Math.imul(slot + 1, 0x9e3779b1) ^ Math.imul(generation + 1, 0x85ebca6b) ^ Math.imul(life + 1, 0xc2b2ae35)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b)
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
}

/** The times of the failures that still count, this one included; no more of them than decide. */
export const remember = ({ giveUp }: After, times: ReadonlyArray<number>, now: number): ReadonlyArray<number> =>
  giveUp === undefined ? times : [...times.slice(Math.max(0, times.length + 1 - giveUp.failures)), now]

/** Whether these failures, the last of them now, are too many. */
export const areTooMany = ({ giveUp }: After, times: ReadonlyArray<number>, now: number): boolean =>
  giveUp !== undefined && times.length >= giveUp.failures && now - times[0]! <= giveUp.withinMillis
