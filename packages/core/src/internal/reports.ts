/**
 * Decides how what workers measure gets to those who want to know. A report says
 * how its series stand, so whoever is behind reads the newest of each, and holds
 * up neither workers nor others. While nobody wants to know, workers wait and
 * report nothing.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Series, WorkerReport } from "../WorkerReport.ts"
import { keyOf } from "./mergedSeries.ts"

export type Measured = Extract<WorkerReport, { readonly _tag: "Measured" }>
export type Ended = Extract<WorkerReport, { readonly _tag: "Ended" }>

export interface Reports {
  /** The newest of those who want to know, as soon as it is not the one that is known; 0 is nobody. */
  readonly wanted: (known: number) => Effect.Effect<number>
  readonly report: (report: Measured) => void
  readonly ended: (report: Ended) => void
  readonly stream: Stream.Stream<WorkerReport>
  /** Ends all streams. */
  readonly end: () => void
}

/** What a reader has not read of one life. */
interface Unread {
  /** The last that came; its series are among those below. */
  measured: Measured | undefined
  readonly series: Map<string, Series>
  /** How many series there was no room for. */
  lost: number
  ended: Ended | undefined
}

interface Reader {
  /** By life. */
  readonly unread: Map<number, Unread>
  /** The lives it has heard of, and not of their ends. */
  readonly told: Set<number>
  wake: (() => void) | undefined
}

/** A reader who has as many lives to hear of does not hear of one more that has ended meanwhile. */
const maxLives = 1_024

/** How much of one life is kept for a reader. */
const maxSeries = 10_000

export const make = (): Reports => {
  const readers = new Set<Reader>()
  const waiting = new Set<() => void>()
  let last = 0
  /** The number of the newest reader, as long as there is any. */
  let newest = 0
  let over = false

  const name = (number: number): void => {
    newest = number
    for (const go of [...waiting]) go()
  }

  const untilRenamed = Effect.callback<void>((resume) => {
    const go = (): void => {
      waiting.delete(go)
      resume(Effect.void)
    }
    waiting.add(go)
    return Effect.sync(() => waiting.delete(go))
  })

  const wanted = (known: number): Effect.Effect<number> =>
    Effect.suspend(() => newest === known ? Effect.flatMap(untilRenamed, () => wanted(known)) : Effect.succeed(newest))

  const unreadOf = (reader: Reader, life: number): Unread => {
    const known = reader.unread.get(life)
    if (known !== undefined) return known
    const unread: Unread = { measured: undefined, series: new Map(), lost: 0, ended: undefined }
    reader.unread.set(life, unread)
    return unread
  }

  const untilWoken = (reader: Reader): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      reader.wake = () => {
        reader.wake = undefined
        // Whoever reports goes on first, and what comes together is read together.
        resume(Effect.yieldNow)
      }
      return Effect.sync(() => {
        reader.wake = undefined
      })
    })

  const take = (reader: Reader): Effect.Effect<readonly [ReadonlyArray<WorkerReport>, undefined] | undefined> =>
    Effect.suspend(() => {
      for (const [life, { ended, lost, measured, series }] of reader.unread) {
        reader.unread.delete(life)
        if (ended === undefined) reader.told.add(life)
        else reader.told.delete(life)
        return Effect.succeed([
          [
            ...(measured === undefined
              ? []
              : [{ ...measured, series: [...series.values()], dropped: measured.dropped + lost }]),
            ...(ended === undefined ? [] : [ended])
          ],
          undefined
        ])
      }
      return over ? Effect.undefined : Effect.flatMap(untilWoken(reader), () => take(reader))
    })

  const open = Effect.acquireRelease(
    Effect.sync(() => {
      const reader: Reader = { unread: new Map(), told: new Set(), wake: undefined }
      readers.add(reader)
      name(++last)
      return reader
    }),
    (reader) =>
      Effect.sync(() => {
        readers.delete(reader)
        if (readers.size === 0) name(0)
      })
  )

  return {
    wanted,
    report: (report) => {
      for (const reader of readers) {
        const unread = unreadOf(reader, report.life)
        unread.measured = report
        for (const one of report.series) {
          const key = keyOf(one)
          if (unread.series.size < maxSeries || unread.series.has(key)) unread.series.set(key, one)
          else unread.lost++
        }
        reader.wake?.()
      }
    },
    ended: (report) => {
      for (const reader of readers) {
        const isTold = reader.told.has(report.life)
        if (!isTold && (!reader.unread.has(report.life) || reader.unread.size > maxLives)) {
          reader.unread.delete(report.life)
          continue
        }
        unreadOf(reader, report.life).ended = report
        reader.wake?.()
      }
    },
    stream: Stream.unwrap(
      Effect.map(open, (reader) => Stream.flattenIterable(Stream.unfold(undefined, () => take(reader))))
    ),
    end: () => {
      over = true
      for (const reader of readers) reader.wake?.()
    }
  }
}
