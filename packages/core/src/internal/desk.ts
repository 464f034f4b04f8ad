/**
 * The desk of a pool: decides which of several lives gets a call, and keeps the
 * calls for which there is none yet.
 *
 * Ownership: whoever keeps the desk brings lives and says when they end; the
 * desk counts their calls, and closes a life's client when the last of them is
 * over.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type * as Rpc from "effect/rpc/Rpc"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { WorkerStopped } from "../HandleError.ts"
import type { SlotRef } from "../Identity.ts"

export type Method = (payload: unknown, options?: { readonly asQueue?: boolean }) => unknown

/** One life of a worker. */
export interface Life {
  readonly ref: SlotRef
  /** It has ended, whether anybody has said so yet or not. */
  readonly isOver: Effect.Effect<boolean>
  readonly client: Readonly<Record<string, Method>>
  /** Of its client. */
  readonly scope: Scope.Closeable
  calls: number
  /** When it was called last, counted in calls. */
  lastCall: number
}

/** Who comes first; the oldest, if several do. */
const ranks = {
  LeastBusy: (life: Life) => life.calls,
  RoundRobin: (life: Life) => life.lastCall
}

export interface Options<E> {
  readonly strategy: keyof typeof ranks
  /** How many calls a life has at a time. */
  readonly concurrency: number
  /** Refuses a call for which there is no life. */
  readonly refuse: (waiting: number) => Effect.Effect<never, E> | undefined
  /** There is one call more. */
  readonly onCall: () => void
  /** This life has no calls any more. */
  readonly onIdle: (life: Life) => void
}

export interface Desk<E> {
  readonly method: (rpc: Rpc.AnyWithProps) => Method
  /** Calls that are being answered, and those that wait. */
  readonly count: () => { readonly called: number; readonly waiting: number }
  readonly bring: (life: Life) => void
  /** Nobody is sent there any more. */
  readonly end: (life: Life) => Effect.Effect<void>
  readonly failWaiting: (failure: Effect.Effect<never, E>) => void
}

/** A call that has no life yet. */
interface Waiter<E> {
  readonly resume: (effect: Effect.Effect<Life, E>) => void
  /** The place it was given. */
  life: Life | undefined
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export const make = <E>({ concurrency, onCall, onIdle, refuse, strategy }: Options<E>): Desk<E> => {
  const rank = ranks[strategy]
  /** The oldest first. */
  const lives = new Set<Life>()
  /** First come, first served. */
  const waiting = new Set<Waiter<E>>()
  let called = 0
  let lastCall = 0
  let serving = false

  const pick = (): Life | undefined => {
    let best: Life | undefined
    for (const life of lives) {
      if (life.calls < concurrency && (best === undefined || rank(life) < rank(best))) best = life
    }
    return best
  }

  const take = (life: Life): void => {
    called++
    life.calls++
    life.lastCall = ++lastCall
  }

  /** Hands out what places there are. It resumes other people's code, which may come back here. */
  const serve = (): void => {
    if (serving) return
    serving = true
    for (const waiter of waiting) {
      const life = pick()
      if (life === undefined) break
      waiting.delete(waiter)
      take(life)
      waiter.life = life
      waiter.resume(Effect.succeed(life))
    }
    serving = false
  }

  /** Not before its calls have ended, which closing would interrupt. */
  const closeEnded = (life: Life): Effect.Effect<void> =>
    life.calls === 0 && !lives.has(life) ? Scope.close(life.scope, Exit.void) : Effect.void

  const end = (life: Life): Effect.Effect<void> =>
    Effect.suspend(() => {
      lives.delete(life)
      return closeEnded(life)
    })

  const leave = (life: Life, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
    Effect.suspend(() => {
      called--
      life.calls--
      // The word of its end comes later, and nobody may be sent there meanwhile.
      if (tellsOfEnd(exit, life.ref)) lives.delete(life)
      else if (life.calls === 0 && lives.has(life)) onIdle(life)
      serve()
      return closeEnded(life)
    })

  const wait = (restore: Restore): Effect.Effect<Life, E> => {
    let waiter: Waiter<E> | undefined
    return Effect.callback<Life, E>((resume) => {
      waiter = { resume, life: undefined }
      waiting.add(waiter)
      onCall()
    }).pipe(
      restore,
      // It may be interrupted in the moment in which it is given a place.
      Effect.onInterrupt((): Effect.Effect<void> => {
        if (waiter === undefined) return Effect.void
        waiting.delete(waiter)
        return waiter.life === undefined ? Effect.void : leave(waiter.life, Exit.void)
      })
    )
  }

  const enter = (restore: Restore): Effect.Effect<Life, E> =>
    Effect.suspend(() => {
      const life = waiting.size === 0 ? pick() : undefined
      if (life === undefined) return refuse(waiting.size) ?? wait(restore)
      take(life)
      onCall()
      return Effect.flatMap(life.isOver, (isOver) =>
        isOver
          ? Effect.andThen(Effect.andThen(end(life), leave(life, Exit.void)), enter(restore))
          : Effect.succeed(life))
    })

  const enterScoped = Effect.uninterruptibleMask((restore) =>
    Effect.tap(enter(restore), (life) => Effect.addFinalizer((exit) => leave(life, exit)))
  )

  const method = (rpc: Rpc.AnyWithProps): Method => {
    const call = (life: Life, ...args: Parameters<Method>): unknown => life.client[rpc._tag]!(...args)
    if (!RpcSchema.isStreamSchema(rpc.successSchema)) {
      return (...args) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(
            enter(restore),
            (life) =>
              Effect.suspend(() => call(life, ...args) as Effect.Effect<unknown, unknown>).pipe(
                restore,
                Effect.onExit((exit) => leave(life, exit))
              )
          )
        )
    }
    return (payload, options) =>
      options?.asQueue === true
        ? enterScoped.pipe(
          Effect.flatMap((life) => call(life, payload, options) as Effect.Effect<Queue.Dequeue<unknown, unknown>>),
          // Where a queue is asked for, the queue fails.
          Effect.catch((error) => Effect.tap(Queue.unbounded<never, E>(), (queue) => Queue.fail(queue, error)))
        )
        : Stream.unwrap(
          Effect.map(enterScoped, (life) => call(life, payload, options) as Stream.Stream<unknown, unknown>)
        )
  }

  return {
    method,
    count: () => ({ called, waiting: waiting.size }),
    bring: (life) => {
      lives.add(life)
      serve()
    },
    end,
    failWaiting: (failure) => {
      const all = [...waiting]
      waiting.clear()
      for (const { resume } of all) resume(failure)
    }
  }
}

/** Whether a call has failed because its worker has ended, and not another one that the worker itself has called. */
const tellsOfEnd = (exit: Exit.Exit<unknown, unknown>, ref: SlotRef): boolean => {
  if (Exit.isSuccess(exit)) return false
  const error = Cause.squash(exit.cause)
  return error instanceof WorkerStopped && error.ref.slot === ref.slot && error.ref.generation === ref.generation
}
