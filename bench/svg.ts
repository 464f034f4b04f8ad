/** Drawings of rows: a dot for the median, a bar from the smallest to the largest, ours in colour. */
import type { Plot } from "./line.ts"
import { type Row, summarize, type Summary } from "./rounds.ts"
import { show } from "./show.ts"

const width = 860
const rowHeight = 24
const labelWidth = 300
const valueWidth = 90
const top = 64

const colours: { readonly [K in Row["rank"]]: string } = { ours: "#0b62c4", floor: "#2f7d4f", peer: "#8b8f98" }
const explanation = "median, smallest to largest; each step is ten times the last"
const note = { anchor: "end", fill: "#57606a", size: 12 } as const
const legend: ReadonlyArray<readonly [Row["rank"], string]> = [
  ["ours", "ours"],
  ["floor", "floor"],
  ["peer", "others"]
]

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

interface TextOptions {
  readonly anchor?: "start" | "middle" | "end"
  readonly fill?: string
  readonly size?: number
  readonly bold?: boolean
}

const text = (x: number, y: number, content: string, options: TextOptions = {}): string =>
  `<text x="${x}" y="${y}" font-size="${options.size ?? 13}" fill="${options.fill ?? "#24292f"}" text-anchor="${
    options.anchor ?? "start"
  }"${options.bold ? " font-weight=\"600\"" : ""}>${escape(content)}</text>`

const line = (x1: number, y1: number, x2: number, y2: number, colour: string, thick = 1): string =>
  `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour}" stroke-width="${thick}"/>`

const dot = (x: number, y: number, colour: string): string => `<circle cx="${x}" cy="${y}" r="4.5" fill="${colour}"/>`

const document = (title: string, height: number, body: ReadonlyArray<string>): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" role="img" aria-label="${escape(title)}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 26, title, { size: 16, bold: true }),
    ...body,
    "</svg>",
    ""
  ].join("\n")

/** The powers of ten around some values. */
const decades = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const first = Math.floor(Math.log10(Math.min(...values)))
  const last = Math.ceil(Math.log10(Math.max(...values)))
  return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index))
}

const logScale = (ticks: ReadonlyArray<number>, from: number, to: number) => (value: number): number => {
  const [first, last] = [Math.log10(ticks[0]!), Math.log10(ticks.at(-1)!)]
  return round(from + (to - from) * (Math.log10(value) - first) / Math.max(1, last - first))
}

const round = (value: number): number => Math.round(value * 10) / 10

const ranges = (plot: Extract<Plot, { readonly _tag: "Ranges" }>): string => {
  const rows = plot.rows
    .filter(({ figure }) => figure === plot.figure)
    .map((row) => ({ row, summary: summarize(row) }))
    .toSorted((self, that) => self.summary.median - that.summary.median)
  const ticks = decades(rows.flatMap(({ summary }) => [summary.min, summary.max]))
  const [left, right] = [labelWidth, width - valueWidth]
  const x = logScale(ticks, left, right)
  const bottom = top + rows.length * rowHeight
  const key = legend.map(([rank, words], index) =>
    dot(left + index * 80, 42, colours[rank]) + text(left + 10 + index * 80, 46, words, { size: 12 })
  )
  const grid = ticks.map((tick) =>
    line(x(tick), top - 6, x(tick), bottom, "#e3e5e8") +
    text(x(tick), bottom + 18, show(tick, plot.unit), { anchor: "middle", fill: "#57606a", size: 12 })
  )
  const bars = rows.map(({ row, summary }, index) => {
    const y = top + index * rowHeight + rowHeight / 2
    const colour = colours[row.rank]
    return text(left - 12, y + 4, row.entrant, { anchor: "end", bold: row.rank === "ours" }) +
      line(x(summary.min), y, x(summary.max), y, colour, 3) +
      dot(x(summary.median), y, colour) +
      text(right + 10, y + 4, show(summary.median, plot.unit), { fill: colour })
  })
  return document(plot.title, bottom + 34, [...key, text(width - 16, 26, explanation, note), ...grid, ...bars])
}

const curve = (plot: Extract<Plot, { readonly _tag: "Curve" }>): string => {
  const points = plot.points.map(({ row, x }): { readonly at: number; readonly summary: Summary } => ({
    at: x,
    summary: summarize(row)
  }))
  const height = 340
  const [left, right, bottom] = [120, width - 70, height - 50]
  const x = logScale(decades(points.map(({ at }) => at)), left, right)
  const most = Math.ceil(Math.max(...points.map(({ summary }) => summary.max)) * 1.15)
  const y = (value: number): number => round(bottom - (bottom - top) * value / most)
  const grid = Array.from({ length: 5 }, (_, index) => most * index / 4).map((tick) =>
    line(left - 40, y(tick), right + 20, y(tick), "#e3e5e8") +
    text(left - 50, y(tick) + 4, show(tick, plot.unit), { anchor: "end", fill: "#57606a", size: 12 })
  )
  const path = points.map(({ at, summary }) => `${x(at)},${y(summary.median)}`).join(" ")
  const marks = points.map(({ at, summary }) =>
    line(x(at), y(summary.min), x(at), y(summary.max), colours.ours, 3) +
    dot(x(at), y(summary.median), colours.ours) +
    text(x(at), y(summary.max) - 10, show(summary.median, plot.unit), { anchor: "middle", fill: colours.ours }) +
    text(x(at), bottom + 20, `${at.toLocaleString("en")} ${plot.x}`, { anchor: "middle", fill: "#57606a", size: 12 })
  )
  return document(plot.title, height, [
    ...grid,
    `<polyline points="${path}" fill="none" stroke="${colours.ours}" stroke-width="2"/>`,
    ...marks
  ])
}

export const draw = (plot: Plot): string => plot._tag === "Ranges" ? ranges(plot) : curve(plot)
