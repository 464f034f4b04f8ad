/**
 * What happened in one simulation: the digest of its whole history, the last
 * lines of it, counts, and the first law that was broken.
 */
import { createHash } from "node:crypto"
import type { Law } from "./laws.ts"
import { laws } from "./laws.ts"

export interface Violation {
  /** Virtual milliseconds since the beginning. */
  readonly at: number
  readonly law: string
  readonly how: string
  /** The last lines of the history up to it. */
  readonly road: ReadonlyArray<string>
}

export interface Chronicle {
  /** The time of the history, in milliseconds since the beginning. */
  readonly now: () => number
  readonly note: (line: string) => void
  readonly count: (what: Count, by?: number) => void
  /** Only the first broken law counts; what follows may follow from it. */
  readonly broken: (law: Law, how: string) => void
  readonly violation: () => Violation | undefined
  readonly counts: Readonly<Record<Count, number>>
  readonly digest: () => string
}

const none = {
  postmasters: 0,
  registrations: 0,
  refusals: 0,
  seekers: 0,
  "registrations by workers": 0,
  "ended with their owners": 0,
  lives: 0,
  "failed births": 0,
  crashes: 0,
  parked: 0,
  resumed: 0,
  "lives asked for": 0,
  replacements: 0,
  replaced: 0,
  "failed successors": 0,
  hung: 0,
  signals: 0,
  spares: 0,
  "spares taken": 0,
  "spares lost": 0,
  events: 0,
  waits: 0,
  checks: 0
}

export type Count = keyof typeof none

const maxRecent = 40

export const formatTime = (millis: number): string => {
  const days = Math.floor(millis / 86_400_000)
  return `day ${days}, ${new Date(millis - days * 86_400_000).toISOString().slice(11, 23)}`
}

export const make = (now: () => number): Chronicle => {
  const hash = createHash("sha256")
  const recent: Array<string> = []
  const counts = { ...none }
  let violation: Violation | undefined
  return {
    now,
    note: (line) => {
      if (violation !== undefined) return
      const dated = `${now()} ${line}`
      hash.update(dated)
      if (recent.push(dated) > maxRecent) recent.shift()
    },
    count: (what, by = 1) => {
      counts[what] += by
    },
    broken: (law, how) => {
      violation ??= { at: now(), law: laws[law], how, road: [...recent] }
    },
    violation: () => violation,
    counts,
    digest: () => hash.copy().digest("hex").slice(0, 16)
  }
}
