/**
 * Fan-out to onlookers that can neither slow the loop down nor make it grow: a
 * reader who falls behind loses the oldest.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type * as Take from "effect/Take"

export interface Hub<A> {
  readonly pubsub: PubSub.PubSub<Take.Take<A>>
  subscribers: number
}

export const make = <A>(capacity: number): Effect.Effect<Hub<A>> =>
  Effect.map(PubSub.sliding<Take.Take<A>>(capacity), (pubsub) => ({ pubsub, subscribers: 0 }))

/** Never waits: the oldest makes room. (`publishUnsafe` does not slide.) */
export const publish = <A>(self: Hub<A>, value: A): Effect.Effect<unknown> =>
  self.subscribers > 0 ? PubSub.publish(self.pubsub, [value]) : Effect.void

export const end = <A>(self: Hub<A>): void => {
  PubSub.endUnsafe(self.pubsub, Exit.void)
}

/** Everything published from now on, after `first` as it is at the moment of subscribing. */
export const stream = <A>(self: Hub<A>, first: () => ReadonlyArray<A>): Stream.Stream<A> =>
  Stream.unwrap(Effect.gen(function*() {
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        self.subscribers++
      }),
      () =>
        Effect.sync(() => {
          self.subscribers--
        })
    )
    const subscription = yield* PubSub.subscribe(self.pubsub)
    return Stream.concat(Stream.fromArray(first()), Stream.flattenTake(Stream.fromSubscription(subscription)))
  }))
