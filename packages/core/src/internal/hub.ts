/**
 * Fan-out to onlookers who can neither slow the loop down nor make it grow. Each
 * has a queue of its own; one who falls behind loses the oldest, and is told in
 * their place how many there were.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

interface Numbered<A> {
  readonly number: number
  readonly value: A
}

type Reader<A> = Queue.Queue<Numbered<A>, Cause.Done>

export interface Hub<A> {
  readonly capacity: number
  readonly readers: Set<Reader<A>>
  published: number
  ended: boolean
}

export const make = <A>(capacity: number): Hub<A> => ({ capacity, readers: new Set(), published: 0, ended: false })

/** Never waits and runs nobody else's code: readers are resumed later. */
export const publish = <A>(self: Hub<A>, value: A): void => {
  const numbered: Numbered<A> = { number: self.published++, value }
  for (const reader of self.readers) Queue.offerUnsafe(reader, numbered)
}

/** Ends every stream, after what its reader still has before it. */
export const end = <A>(self: Hub<A>): void => {
  self.ended = true
  for (const reader of self.readers) Queue.endUnsafe(reader)
  self.readers.clear()
}

const subscribe = <A>(self: Hub<A>): Effect.Effect<Reader<A>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(Queue.sliding<Numbered<A>, Cause.Done>(self.capacity), (reader) => {
      if (self.ended) Queue.endUnsafe(reader)
      else self.readers.add(reader)
      return reader
    }),
    (reader) => Effect.sync(() => self.readers.delete(reader))
  )

/** Everything published from now on; `lost` makes what stands for so many that were not read in time. */
export const stream = <A>(self: Hub<A>, lost: (count: number) => A): Stream.Stream<A> =>
  Stream.unwrap(Effect.map(subscribe(self), (reader) => {
    const from = self.published
    // The newest is never lost, so every gap in the numbers is seen.
    return Stream.mapAccum(
      Stream.fromQueue(reader),
      () => from,
      (next, { number, value }) => [number + 1, number > next ? [lost(number - next), value] : [value]]
    )
  }))
