/**
 * Decides how what workers measure gets to those who want to know: a worker's
 * report is answered when everybody has taken it, so whoever is slow slows the
 * workers down, and nothing piles up before him. While nobody wants to know,
 * workers wait and report nothing.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { WorkerReport } from "../WorkerReport.ts"

type Measured = Extract<WorkerReport, { readonly _tag: "Measured" }>
type Ended = Extract<WorkerReport, { readonly _tag: "Ended" }>

export interface Reports {
  /** The newest of those who want to know, as soon as it is not the one that is known; 0 is nobody. */
  readonly wanted: (known: number) => Effect.Effect<number>
  /** Returns when it was taken. */
  readonly report: (report: Measured) => Effect.Effect<void>
  readonly ended: (report: Ended) => void
  readonly stream: Stream.Stream<WorkerReport>
  /** Ends all streams. */
  readonly end: () => void
}

interface Pending {
  readonly report: WorkerReport
  readonly taken: () => void
}

interface Reader {
  readonly pending: Array<Pending>
  /** The lives it has heard of, and not of their ends. */
  readonly told: Set<number>
  wake: (() => void) | undefined
}

/** A reader who is as many reports behind does not hear of a life that has begun and ended meanwhile. */
const maxUnread = 256

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

  const give = (reader: Reader, pending: Pending): void => {
    reader.pending.push(pending)
    reader.wake?.()
  }

  const untilGiven = (reader: Reader): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      reader.wake = () => {
        reader.wake = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        reader.wake = undefined
      })
    })

  const take = (reader: Reader): Effect.Effect<readonly [WorkerReport, undefined] | undefined> =>
    Effect.suspend(() => {
      const next = reader.pending.shift()
      if (next === undefined) {
        return over ? Effect.undefined : Effect.flatMap(untilGiven(reader), () => take(reader))
      }
      const { report, taken } = next
      if (report._tag === "Ended") reader.told.delete(report.life)
      else reader.told.add(report.life)
      taken()
      return Effect.succeed([report, undefined] as const)
    })

  const open = Effect.acquireRelease(
    Effect.sync(() => {
      const reader: Reader = { pending: [], told: new Set(), wake: undefined }
      readers.add(reader)
      name(++last)
      return reader
    }),
    (reader) =>
      Effect.sync(() => {
        readers.delete(reader)
        for (const { taken } of reader.pending.splice(0)) taken()
        if (readers.size === 0) name(0)
      })
  )

  const wanted = (known: number): Effect.Effect<number> =>
    Effect.suspend(() => newest === known ? Effect.flatMap(untilRenamed, () => wanted(known)) : Effect.succeed(newest))

  return {
    wanted,
    report: (report) =>
      Effect.callback<void>((resume) => {
        let left = readers.size
        if (left === 0) return resume(Effect.void)
        const taken = (): void => {
          if (--left === 0) resume(Effect.void)
        }
        for (const reader of [...readers]) give(reader, { report, taken })
      }),
    ended: (report) => {
      for (const reader of [...readers]) {
        if (!reader.told.has(report.life)) {
          const measured = reader.pending.filter((one) => one.report.life === report.life)
          if (measured.length === 0) continue
          if (reader.pending.length >= maxUnread) {
            for (const one of measured) {
              reader.pending.splice(reader.pending.indexOf(one), 1)
              one.taken()
            }
            continue
          }
        }
        give(reader, { report, taken: () => {} })
      }
    },
    stream: Stream.unwrap(Effect.map(open, (reader) => Stream.unfold(undefined, () => take(reader)))),
    end: () => {
      over = true
      for (const reader of [...readers]) reader.wake?.()
    }
  }
}
