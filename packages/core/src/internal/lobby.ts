/**
 * Who waits for a slot: requests that have found no room, in the order in which
 * they came, each with the time until which it waits.
 *
 * Ownership: the machine alone reads and writes it, inside a turn. Whether there
 * is room for somebody is the machine's to say; the lobby says who is next.
 */
import type { Registrant, Registration } from "../Registration.ts"
import * as Heap from "./heap.ts"

export interface Waiter {
  readonly request: number
  readonly registration: Registration
  readonly registrant: Registrant
  readonly since: number
  /** When it is refused; infinite, if it waits for ever. */
  readonly until: number
}

export interface Lobby {
  /** By request, in the order of their coming. */
  readonly waiters: Map<number, Waiter>
  readonly deadlines: Heap.Heap<Waiter>
  /** Something has changed that somebody may have waited for. Otherwise a turn does not look at who waits. */
  stirred: boolean
}

/** Each of them costs memory, and looking through them time; whoever finds the lobby full is refused at once. */
export const maxWaiters = 1_024

export const make = (): Lobby => {
  const waiters = new Map<number, Waiter>()
  return {
    waiters,
    deadlines: Heap.make(
      (self, that) => self.until < that.until || (self.until === that.until && self.request < that.request),
      (waiter) => waiters.get(waiter.request) === waiter
    ),
    stirred: false
  }
}

/** Whether there was a place left in the lobby itself. */
export const enter = (self: Lobby, waiter: Waiter): boolean => {
  if (self.waiters.size >= maxWaiters) return false
  self.waiters.set(waiter.request, waiter)
  if (Number.isFinite(waiter.until)) Heap.push(self.deadlines, waiter)
  return true
}

export const leave = (self: Lobby, { request }: Waiter): void => {
  self.waiters.delete(request)
}

/** Everybody leaves. */
export const clear = (self: Lobby): ReadonlyArray<Waiter> => {
  const all = [...self.waiters.values()]
  self.waiters.clear()
  return all
}

/** Whose time is over (equality is over). */
export const nextOverdue = (self: Lobby, now: number): Waiter | undefined => {
  const waiter = Heap.peek(self.deadlines)
  return waiter === undefined || waiter.until > now ? undefined : waiter
}

export const nextDeadlineAt = (self: Lobby): number | undefined => Heap.peek(self.deadlines)?.until

/** A lobby with these in it, in this order. */
export const restore = (waiters: Iterable<Waiter>, stirred: boolean): Lobby => {
  const self = make()
  for (const waiter of waiters) enter(self, waiter)
  self.stirred = stirred
  return self
}

export const copy = (self: Lobby): Lobby => restore(self.waiters.values(), self.stirred)

/** What does not hold, in words, or `undefined`. For tests and the search. */
export const broken = ({ deadlines, waiters }: Lobby): string | undefined => {
  if (waiters.size > maxWaiters) return `${waiters.size} wait`
  let last = -1
  for (const waiter of waiters.values()) {
    if (waiter.request <= last) return `request ${waiter.request} stands behind a later one`
    last = waiter.request
    const standing = deadlines.items.filter((one) => one === waiter).length
    if (standing !== (Number.isFinite(waiter.until) ? 1 : 0)) return `the end of request ${waiter.request} is forgotten`
  }
  return undefined
}
