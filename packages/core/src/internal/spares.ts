/**
 * Who stands ready: the children that were born ahead of any launch, so that a
 * launch need not wait for a birth. How many there are, which one a launch
 * takes, and when the next one is born.
 *
 * Ownership: as with the slot table, the machine alone reads and writes this,
 * inside a turn. A spare is no worker: it has no slot, no generation and no
 * policy, its death is no crash, and nothing waits for it.
 *
 * Invariants (the first two are checked by `broken`, the others by the search):
 *
 * - R1  There are never more spares than wanted.
 * - R2  At most one is being born.
 * - R3  Whatever has a launch is no spare any more, so none is used twice.
 * - R4  None is begun while a launch is under way.
 */
import type { Pid } from "../Identity.ts"

export interface Spare {
  readonly spare: number
  readonly since: number
  /** Known once it stands ready. */
  readonly pid: Pid | undefined
}

export interface Spares {
  readonly wanted: number
  /** In the order of their births. */
  readonly standing: Map<number, Spare>
  /** The entry modules registered last, the latest at the end: what a spare imports ahead. */
  readonly modules: Set<string>
  next: number
  /** Launches that have been begun and not yet heard of. */
  launches: number
  /** Spares that died in a row without one that was of use. */
  losses: number
  /** No birth before this time. */
  notBefore: number
}

/** A spare imports no more than this ahead. */
const maxModules = 32

/** Births of spares keep out of the way of launches: they begin when the last one has been over for so long. */
const quietMillis = 100

/** Whoever has stood for so long was worth its birth. */
const healthyMillis = 60_000

export const make = (wanted: number): Spares => ({
  wanted,
  standing: new Map(),
  modules: new Set(),
  next: 0,
  launches: 0,
  losses: 0,
  notBefore: 0
})

export const copy = (self: Spares): Spares => ({
  ...self,
  standing: new Map(self.standing),
  modules: new Set(self.modules)
})

/** Remembers what a worker is made of, for the spares to come. */
export const remember = (self: Spares, module: string): void => {
  if (self.wanted === 0) return
  self.modules.delete(module)
  self.modules.add(module)
  if (self.modules.size > maxModules) self.modules.delete(self.modules.values().next().value!)
}

/** Hands over the youngest that is ready: it has imported the most. */
export const take = (self: Spares): Spare | undefined => {
  let youngest: Spare | undefined
  for (const spare of self.standing.values()) {
    if (spare.pid !== undefined) youngest = spare
  }
  if (youngest === undefined) return undefined
  self.standing.delete(youngest.spare)
  self.losses = 0
  return youngest
}

export const launchBegun = (self: Spares): void => {
  self.launches++
}

/** A launch has succeeded or failed; the next spare waits until things are quiet. */
export const launchOver = (self: Spares, now: number): void => {
  self.launches--
  holdBack(self, now + quietMillis)
}

const holdBack = (self: Spares, until: number): void => {
  self.notBefore = Math.max(self.notBefore, until)
}

export const begin = (self: Spares, now: number): Spare => {
  const spare: Spare = { spare: self.next++, since: now, pid: undefined }
  self.standing.set(spare.spare, spare)
  return spare
}

/** Returns `false` if the spare is not one any more. */
export const ready = (self: Spares, number: number, pid: Pid): boolean => {
  const spare = self.standing.get(number)
  if (spare === undefined || spare.pid !== undefined) return false
  self.standing.set(number, { ...spare, pid })
  return true
}

/** Takes a lost spare off the list. Returns `false` if the spare is not one any more. */
export const lose = (self: Spares, number: number, now: number): boolean => {
  const spare = self.standing.get(number)
  if (spare === undefined) return false
  self.standing.delete(number)
  if (spare.pid !== undefined && now - spare.since >= healthyMillis) self.losses = 0
  return true
}

/** The one just lost has died; the next one is held back by `damping`, which is told how many have died in a row. */
export const damp = (self: Spares, now: number, damping: (losses: number) => number): void => {
  self.losses++
  holdBack(self, now + damping(self.losses))
}

/** Gives them all up, and answers who they were. */
export const clear = (self: Spares): ReadonlyArray<number> => {
  const all = [...self.standing.keys()]
  self.standing.clear()
  return all
}

/** When the next spare may be born, or `undefined` if none is wanted or anybody else is being born. */
export const nextBirthAt = (self: Spares): number | undefined => {
  if (self.standing.size >= self.wanted || self.launches > 0) return undefined
  for (const spare of self.standing.values()) {
    if (spare.pid === undefined) return undefined
  }
  return self.notBefore
}

/** The first invariant that does not hold, in words, or `undefined`. For tests and the search. */
export const broken = (self: Spares): string | undefined => {
  if (self.standing.size > self.wanted) return `R1: ${self.standing.size} spares, ${self.wanted} wanted`
  const unborn = [...self.standing.values()].filter((spare) => spare.pid === undefined).length
  return unborn > 1 ? `R2: ${unborn} spares are being born` : undefined
}
