/** Figures as they are written everywhere: three digits that count, and the unit. */
import type { Unit } from "./line.ts"
import { type Row, summarize, type Summary } from "./rounds.ts"

/** A figure without its unit. */
export const number = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en")
  if (size >= 10) return value.toFixed(1)
  return size >= 1 ? value.toFixed(2) : value.toPrecision(2)
}

export const show = (value: number, unit: Unit): string =>
  unit === "orphans" ? number(value) : `${number(value)} ${unit}`

/** The median, then the smallest and the largest. */
export const showSummary = ({ max, median, min }: Summary, unit: Unit): string =>
  `${show(median, unit)} (${number(min)}–${number(max)})`

export const showRow = (row: Row | undefined, unit: Unit): string =>
  row === undefined ? "–" : showSummary(summarize(row), unit)
