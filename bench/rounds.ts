/**
 * How figures are taken: entrants take turns, round after round, so that whatever else the machine does meets all of
 * them alike. The first rounds warm up and are not counted.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { Absent, type Contestant, Failed, type Rank, type Session } from "./contestant.ts"
import { Ground } from "./ground.ts"

/** What one turn of an entrant has shown, by the name of the figure. */
export type Figures = Readonly<Record<string, number>>

/** Whoever can be measured. Opening it gives what is done in each round. */
export interface Entrant<R = Ground> {
  readonly name: string
  readonly rank: Rank
  readonly open: Effect.Effect<Effect.Effect<Figures, Failed>, Absent | Failed, Scope.Scope | R>
}

export interface Row {
  readonly entrant: string
  readonly rank: Rank
  readonly figure: string
  /** One per counted round. */
  readonly samples: ReadonlyArray<number>
}

export interface Outcome {
  readonly rows: ReadonlyArray<Row>
  readonly absent: ReadonlyArray<{ readonly entrant: string; readonly reason: string }>
  readonly failed: ReadonlyArray<{ readonly entrant: string; readonly detail: string }>
}

export interface Count {
  readonly warmUp: number
  readonly counted: number
}

let tokens = 0

/** A name that no other worker of this run signs with. */
export const nextToken = (): string => `${process.pid}-${++tokens}`

/** Says on standard error what is being done, a line per step, after so many seconds. */
export const progress = (text: string): void =>
  void process.stderr.write(`${(performance.now() / 1_000).toFixed(1).padStart(6)} s  ${text}\n`)

/** A contestant enters with what is asked of it, and leaves the machine as quiet as it has found it. */
export const enter = (
  { name, open, rank }: Contestant,
  measure: (session: Session) => Effect.Effect<Figures, Failed, Scope.Scope | Ground>
): Entrant => ({
  name,
  rank,
  open: Effect.map(
    Effect.all([Effect.service(Ground), open]),
    ([ground, session]) =>
      Effect.scoped(measure(session)).pipe(
        Effect.provideService(Ground, ground),
        // A spare that is being made ready would take its time from whoever comes next.
        Effect.tap(() => session.settled)
      )
  )
})

const patience = "2 minutes"

const bounded = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Failed, R> =>
  Effect.timeoutOrElse(effect, {
    duration: patience,
    orElse: () => Effect.fail(new Failed({ detail: `not done within ${patience}` }))
  })

/** Measures the entrants in turns. One that fails is out, and the others go on. */
export const alternate = <R>(
  title: string,
  count: Count,
  entrants: ReadonlyArray<Entrant<R>>
): Effect.Effect<Outcome, never, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.gen(function*() {
    const absent: Array<Outcome["absent"][number]> = []
    const failed: Array<Outcome["failed"][number]> = []
    const racing = new Map<Entrant<R>, Effect.Effect<Figures, Failed>>()
    const samples = new Map<Entrant<R>, Map<string, Array<number>>>()

    const attempt = <A, R2>(entrant: Entrant<R>, effect: Effect.Effect<A, Absent | Failed, R2>) =>
      Effect.map(Effect.exit(bounded(effect)), (exit): A | undefined => {
        if (Exit.isSuccess(exit)) return exit.value
        racing.delete(entrant)
        const error = exit.cause.reasons.find(Cause.isFailReason)?.error
        if (error instanceof Absent) {
          absent.push({ entrant: entrant.name, reason: error.reason })
          progress(`${title}: without ${entrant.name}: ${error.reason}`)
        } else {
          const detail = error instanceof Failed ? error.detail : Cause.pretty(exit.cause)
          failed.push({ entrant: entrant.name, detail })
          progress(`${title}: ${entrant.name} FAILED: ${detail}`)
        }
        return undefined
      })

    for (const entrant of entrants) {
      progress(`${title}: ${entrant.name} makes ready`)
      const measure = yield* attempt(entrant, entrant.open)
      if (measure !== undefined) racing.set(entrant, measure)
    }
    const rounds = count.warmUp + count.counted
    for (let round = 1; round <= rounds; round++) {
      for (const [entrant, measure] of [...racing]) {
        progress(`${title}: round ${round} of ${rounds}${round <= count.warmUp ? " (warm-up)" : ""}, ${entrant.name}`)
        const figures = yield* attempt(entrant, measure)
        if (figures === undefined || round <= count.warmUp) continue
        const own = samples.get(entrant) ?? new Map<string, Array<number>>()
        samples.set(entrant, own)
        for (const [figure, value] of Object.entries(figures)) own.set(figure, [...own.get(figure) ?? [], value])
      }
    }
    const rows = [...racing.keys()].flatMap((entrant) =>
      [...samples.get(entrant) ?? []].map(([figure, samples]): Row => ({
        entrant: entrant.name,
        rank: entrant.rank,
        figure,
        samples
      }))
    )
    return { rows, absent, failed }
  }))

/** Milliseconds between two readings of the clock. */
export const millis = (from: bigint, to: bigint): number => Number(to - from) / 1e6

export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
}

export const median = (samples: ReadonlyArray<number>): number => {
  const sorted = samples.toSorted((self, that) => self - that)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export const summarize = ({ samples }: Row): Summary => ({
  median: median(samples),
  min: Math.min(...samples),
  max: Math.max(...samples)
})
