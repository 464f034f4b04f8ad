/**
 * Calls: a worker gives back what it is given, and how often and how fast it does so. Whoever is called is called in its
 * own way, by callback, promise or effect.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Absent, Failed, failed, type Rank } from "./contestant.ts"
import type { Ground } from "./ground.ts"

export type Payload = string | Uint8Array

/** For how long to call, how often at least, and how many calls may be pending. */
export interface Span {
  readonly millis: number
  readonly calls?: number
  readonly inFlight: number
}

export interface Calls {
  readonly perSecond: number
  /** How long each took. */
  readonly micros: ReadonlyArray<number>
}

/** One worker that is up and echoes. */
export interface Echo {
  /** Calls again and again with the same payload; every answer is checked. */
  readonly run: (payload: Payload, span: Span) => Effect.Effect<Calls, Failed>
}

export interface Callable {
  readonly name: string
  readonly rank: Rank
  readonly open: Effect.Effect<Echo, Absent | Failed, Scope.Scope | Ground>
}

/** Texts are compared; of bytes some, for comparing all would be a part of every figure. */
const isSame = (payload: Payload, answer: unknown): boolean => {
  if (typeof payload === "string") return answer === payload
  if (!(answer instanceof Uint8Array) || answer.length !== payload.length) return false
  return [0, payload.length >> 1, payload.length - 1].every((at) => answer[at] === payload[at])
}

/** Counts what is answered from now on. */
const makeCount = (payload: Payload, { calls = 0, millis }: Span) => {
  const begun = performance.now()
  const micros: Array<number> = []
  let last = begun
  let wrong = 0
  return {
    isDue: (): boolean => last - begun < millis || micros.length < calls,
    answered: (askedAt: number, answer: unknown): void => {
      last = performance.now()
      micros.push((last - askedAt) * 1_000)
      if (!isSame(payload, answer)) wrong++
    },
    calls: Effect.suspend(() =>
      wrong > 0
        ? Effect.fail(new Failed({ detail: `${wrong} of ${micros.length} answers are not what was sent` }))
        : Effect.succeed({ micros, perSecond: micros.length / (last - begun) * 1_000 })
    )
  }
}

type Call = (payload: Payload, answered: (answer: unknown) => void, failed: (cause: unknown) => void) => void

export const fromCallback = (call: Call): Echo => ({
  run: (payload, span) =>
    Effect.callback((resume) => {
      const count = makeCount(payload, span)
      let pending = 0
      const next = (): void => {
        const askedAt = performance.now()
        pending++
        call(payload, (answer) => {
          count.answered(askedAt, answer)
          pending--
          if (count.isDue()) next()
          else if (pending === 0) resume(count.calls)
        }, (cause) => resume(Effect.fail(failed(cause))))
      }
      for (let started = 0; started < span.inFlight; started++) next()
    })
})

export const fromPromise = (call: (payload: Payload) => PromiseLike<unknown>): Echo =>
  fromCallback((payload, answered, failed) => void call(payload).then(answered, failed))

/** A fiber for each call that may be pending. */
export const fromEffect = <E>(options: {
  readonly text?: (text: string) => Effect.Effect<unknown, E>
  readonly bytes: (bytes: Uint8Array) => Effect.Effect<unknown, E>
}): Echo => ({
  run: (payload, span) =>
    Effect.suspend(() => {
      const { bytes, text } = options
      const call = typeof payload !== "string" ? bytes(payload) : text?.(payload)
      if (call === undefined) return Effect.fail(new Failed({ detail: "it takes no text" }))
      const count = makeCount(payload, span)
      const caller = Effect.suspend(() => {
        let askedAt = 0
        return Effect.whileLoop({
          while: count.isDue,
          body: () => {
            askedAt = performance.now()
            return call
          },
          step: (answer) => count.answered(askedAt, answer)
        })
      })
      const callers = Array.from({ length: span.inFlight }, () => caller)
      return Effect.all(callers, { concurrency: "unbounded", discard: true }).pipe(
        Effect.mapError(failed),
        Effect.andThen(count.calls)
      )
    })
})
