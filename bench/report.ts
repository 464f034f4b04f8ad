/** What is written down: the samples of each heat as JSON, and of all of them a page that says what was asked and what is. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Os from "node:os"
import { join } from "node:path"
import { label } from "./ground.ts"
import type { Heat, Target } from "./line.ts"
import { median, type Outcome, type Row, summarize } from "./rounds.ts"
import { ratio } from "./rows.ts"
import { number, show, showRow, showSummary } from "./show.ts"
import { draw } from "./svg.ts"

/** What a run leaves of one heat. */
export interface Result {
  readonly heat: string
  readonly takenAt: string
  readonly set: "quick" | "full"
  readonly machine: string
  readonly outcome: Outcome
}

const folder = join(import.meta.dirname, "results")

const fileOf = (heat: Heat): string => join(folder, `${heat.name}.json`)

/** The system, the processors, and what all contestants run on. */
const machine = (): string => {
  const [cpu] = Os.cpus()
  const gibibytes = Math.round(Os.totalmem() / 2 ** 30)
  return [
    `${Os.type()} ${Os.release().replace(/-.*/, "")} ${Os.arch()}`,
    `${Os.availableParallelism()} × ${cpu?.model.trim() ?? "unknown processor"}`,
    `${gibibytes} GiB`,
    `Node ${process.versions.node}`,
    label("effect")
  ].join(", ")
}

export const write = (heat: Heat, full: boolean, outcome: Outcome): void => {
  const result: Result = {
    heat: heat.name,
    takenAt: new Date().toISOString(),
    set: full ? "full" : "quick",
    machine: machine(),
    outcome
  }
  mkdirSync(folder, { recursive: true })
  writeFileSync(fileOf(heat), `${JSON.stringify(result, undefined, 1)}\n`)
  for (const plot of heat.plots?.(outcome.rows) ?? []) {
    const drawable = plot._tag === "Ranges" ? plot.rows.length > 0 : plot.points.length > 0
    if (drawable) writeFileSync(join(folder, plot.file), draw(plot))
  }
}

const read = (heat: Heat): Result | undefined =>
  existsSync(fileOf(heat)) ? JSON.parse(readFileSync(fileOf(heat), "utf8")) as Result : undefined

/** What is asked and what is; of what could not be taken, why. */
const judge = (heat: Heat, { failed, rows }: Outcome): ReadonlyArray<Target> => {
  const why = failed.map(({ detail, entrant }) => `${entrant}: ${detail.split("\n", 1)[0]}`).join("; ")
  return heat.judge(rows).map((target) =>
    target.ours === undefined && why !== "" ? { ...target, note: target.note ?? why } : target
  )
}

const verdict = ({ met, ours }: Target): string =>
  met === undefined ? ours === undefined ? "not measured" : "open" : met ? "met" : "**not met**"

const against = (row: Row | undefined, target: Target): string =>
  row === undefined ? "–" : `${row.entrant}: ${show(median(row.samples), target.unit)}`

/** How many times ours is the floor, or the best of the others where there is no floor. */
const ratios = ({ floor, ours, peer }: Target): string => {
  const found = [["floor", ratio(ours, floor)], ["peer", ratio(ours, peer)]] as const
  const shown = found.flatMap(([name, value]) =>
    value === undefined || !Number.isFinite(value) ? [] : [`${number(value)} × ${name}`]
  )
  return shown.length === 0 ? "–" : shown.join(", ")
}

const cell = (text: string): string => text.replaceAll("|", "\\|")
const tableRow = (cells: ReadonlyArray<string>): string => `| ${cells.map(cell).join(" | ")} |`
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => [
  tableRow(head),
  tableRow(head.map(() => "---")),
  ...rows.map(tableRow)
]

const targetRow = (target: Target): ReadonlyArray<string> => [
  target.line,
  target.asked,
  target.unit === "orphans" ? target.note ?? "–" : showRow(target.ours, target.unit),
  against(target.peer, target),
  against(target.floor, target),
  ratios(target),
  target.note === undefined || target.unit === "orphans" ? verdict(target) : `${verdict(target)} (${target.note})`
]

/** Two readers, one order: the specification's. */
const byLine = (self: ReadonlyArray<string>, that: ReadonlyArray<string>): number =>
  Number.parseInt(self[0]!.slice(1), 10) - Number.parseInt(that[0]!.slice(1), 10)

const section = (heat: Heat, { outcome, set, takenAt, machine }: Result): ReadonlyArray<string> => {
  const entrants = [...new Set(outcome.rows.map(({ entrant }) => entrant))]
  const figures = Object.keys(heat.units)
  const cells = entrants.map((entrant) => ({
    entrant,
    rows: figures.map((figure) => outcome.rows.find((row) => row.entrant === entrant && row.figure === figure))
  }))
  const rank = (last: Row | undefined): number => last === undefined ? Number.POSITIVE_INFINITY : median(last.samples)
  const sorted = cells.toSorted((self, that) => {
    const [mine, other] = [rank(self.rows.findLast(Boolean)), rank(that.rows.findLast(Boolean))]
    return mine - other
  })
  return [
    `## ${heat.lines.join(", ")}: ${heat.title}`,
    "",
    heat.how,
    "",
    ...table(
      ["", ...figures, "rounds"],
      sorted.map(({ entrant, rows }) => [
        rows.some((row) => row?.rank === "ours") ? `**${entrant}**` : entrant,
        ...rows.map((row, index) => row === undefined ? "" : showSummary(summarize(row), heat.units[figures[index]!]!)),
        String(Math.max(...rows.map((row) => row?.samples.length ?? 0)))
      ])
    ),
    "",
    ...(heat.plots?.(outcome.rows) ?? []).flatMap(({ file, title }) => [`![${title}](results/${file})`, ""]),
    ...outcome.absent.map(({ entrant, reason }) => `- without ${entrant}: ${reason}`),
    ...outcome.failed.map(({ detail, entrant }) => `- **failed** ${entrant}: ${detail.split("\n", 1)[0]}`),
    ...(outcome.absent.length + outcome.failed.length > 0 ? [""] : []),
    `<sub>${takenAt}, ${set} set; ${machine}</sub>`,
    ""
  ]
}

/** Writes the page anew from all samples that there are. */
export const writePage = (heats: ReadonlyArray<Heat>): void => {
  const results = heats.map((heat) => ({ heat, result: read(heat) }))
  const targets = results.flatMap(({ heat, result }): ReadonlyArray<ReadonlyArray<string>> =>
    result === undefined
      ? heat.lines.map((line) => [line, heat.title, "–", "–", "–", "–", "not measured"])
      : judge(heat, result.outcome).map(targetRow)
  )
  const page = [
    "# Results",
    "",
    "<!-- Written by `npm run bench` from `results/*.json`. -->",
    "",
    "Each figure is taken side by side with what it is held against, in alternating rounds of one run: the median, and in",
    "parentheses the smallest and the largest. Absolute times belong to the machine that is named below each table. How",
    "it is measured is told in [README.md](README.md).",
    "",
    ...table(
      ["line", "asked", "ours", "best peer", "floor", "ratio", "verdict"],
      targets.toSorted(byLine)
    ),
    "",
    ...results.flatMap(({ heat, result }) => result === undefined ? [] : section(heat, result))
  ]
  writeFileSync(join(import.meta.dirname, "RESULTS.md"), page.join("\n"))
}

/** What a run says about its targets when it is over. */
export const tell = (heat: Heat, outcome: Outcome): ReadonlyArray<string> =>
  judge(heat, outcome).map((target) =>
    [
      target.line.padEnd(14),
      verdict(target).replaceAll("*", "").padEnd(13),
      target.unit === "orphans" || target.ours === undefined ? target.note ?? "–" : showRow(target.ours, target.unit),
      ` ${target.asked}`
    ].join(" ")
  )
