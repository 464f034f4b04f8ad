/** S7: what a turn of the machine costs in a table of ten slots, and in one of a million. */
import * as Effect from "effect/Effect"
import type { Heat } from "../line.ts"
import { call, run } from "../program.ts"
import { alternate, type Count, type Entrant, median, millis, type Outcome } from "../rounds.ts"
import { atMost, find } from "../rows.ts"
import * as Table from "../table.ts"

const cyclesPerRound = 20_000

export const nameOf = (slots: number): string => `ours, ${slots.toLocaleString("en")} slots`

/** A table of so many slots, and the microseconds that a turn in it takes. */
export const turns = (slots: number): Entrant<never> => ({
  name: nameOf(slots),
  rank: "ours",
  open: Effect.sync(() => {
    const table = Table.make(slots)
    Table.fill(table, slots - 1)
    return Effect.sync(() => {
      const begun = process.hrtime.bigint()
      const used = process.threadCpuUsage()
      for (let index = 0; index < cyclesPerRound; index++) Table.cycle(table)
      const { system, user } = process.threadCpuUsage(used)
      const turns = cyclesPerRound * Table.turnsPerCycle
      return { processor: (user + system) / turns, turn: millis(begun, process.hrtime.bigint()) * 1_000 / turns }
    })
  })
})

const sizes = [10, 1_000, 100_000, 1_000_000]

const title = "S7 turn"

export const turn: Heat = {
  name: "turn",
  lines: ["S7"],
  title: "A turn of the machine",
  how: "`step` alone, in a table with one free slot: register, start, exit 1, wake, start, exit 0; " +
    `${cyclesPerRound.toLocaleString("en")} times in a round. \`turn\`: the time of one of these six turns; ` +
    "`processor`: for how much of it the thread had a processor.",
  units: { processor: "µs", turn: "µs" },
  run: ({ full }) =>
    Effect.scoped(
      call<Outcome>(import.meta.filename, { warmUp: 2, counted: full ? 9 : 5 }, ["--max-old-space-size=8192"])
    ).pipe(
      Effect.catch(({ detail }) => Effect.succeed({ rows: [], absent: [], failed: [{ entrant: title, detail }] }))
    ),
  judge: (rows) => {
    const found = sizes.flatMap((slots) => find(rows, nameOf(slots), "turn") ?? [])
    const medians = found.map(({ samples }) => median(samples))
    const largest = found.at(-1)
    const spread = medians.length < sizes.length ? undefined : Math.max(...medians) / Math.min(...medians)
    const common = { unit: "µs" as const, ours: largest, floor: found[0] }
    return [
      {
        ...common,
        line: "S7 cost",
        asked: "≤ 3 µs per turn at every size (shown: the largest; floor: the smallest)",
        met: found.length < sizes.length ? undefined : found.every((row) => atMost(row, 3))
      },
      {
        ...common,
        line: "S7 growth",
        asked: "the same at 10 … 1,000,000 slots: largest ÷ smallest median ≤ 1.5",
        met: spread === undefined ? undefined : spread <= 1.5,
        note: spread === undefined ? undefined : `largest ÷ smallest: ${spread.toFixed(2)}`
      }
    ]
  },
  plots: (rows) => [{
    _tag: "Curve",
    file: "turn.svg",
    title: "A turn of the machine",
    unit: "µs",
    x: "slots",
    points: sizes.flatMap((slots) => {
      const row = find(rows, nameOf(slots), "turn")
      return row === undefined ? [] : [{ x: slots, row }]
    })
  }]
}

if (import.meta.main) {
  run<Count, Outcome>((count, say) => Effect.map(alternate(title, count, sizes.map(turns)), say))
}
