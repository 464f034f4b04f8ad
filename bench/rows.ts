/** Picking rows and holding them against each other: what the lines judge with. */
import type { Rank } from "./contestant.ts"
import { median, type Row } from "./rounds.ts"

type Rows = ReadonlyArray<Row>

/** The row of one entrant. */
export const find = (rows: Rows, entrant: string, figure: string): Row | undefined =>
  rows.find((row) => row.entrant === entrant && row.figure === figure)

/** The row with the smallest median. */
export const best = (rows: Rows, rank: Rank, figure: string): Row | undefined =>
  rows
    .filter((row) => row.rank === rank && row.figure === figure)
    .toSorted((self, that) => median(self.samples) - median(that.samples))[0]

/** The row with the largest median, where more is better. */
export const most = (rows: Rows, rank: Rank, figure: string): Row | undefined =>
  rows
    .filter((row) => row.rank === rank && row.figure === figure)
    .toSorted((self, that) => median(that.samples) - median(self.samples))[0]

export const atLeast = (row: Row | undefined, limit: number): boolean | undefined =>
  row === undefined ? undefined : median(row.samples) >= limit

export const atMost = (row: Row | undefined, limit: number): boolean | undefined =>
  row === undefined ? undefined : median(row.samples) <= limit

/** How many times the one is the other, by their medians. */
export const ratio = (row: Row | undefined, base: Row | undefined): number | undefined =>
  row === undefined || base === undefined ? undefined : median(row.samples) / median(base.samples)

export const ratioAtMost = (row: Row | undefined, base: Row | undefined, limit: number): boolean | undefined => {
  const found = ratio(row, base)
  return found === undefined ? undefined : found <= limit
}
