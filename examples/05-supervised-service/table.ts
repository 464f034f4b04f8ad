/** The workers as a table of text, from a snapshot and nothing else. */
import * as LifeRecord from "@effect-postmaster/core/LifeRecord"
import * as Progress from "@effect-postmaster/core/Progress"
import type { PostmasterSnapshot, WorkerSnapshot } from "@effect-postmaster/core/Snapshot"

const columns = ["name", "state", "pid", "restarts", "progress", "next start", "last end"]

const nextStart = ({ nextStartAt, waitingFor }: WorkerSnapshot, now: number): string =>
  waitingFor !== undefined
    ? `when ${waitingFor} is ready`
    : nextStartAt === undefined
    ? "-"
    : `in ${Math.max(0, nextStartAt - now).toFixed(0)} ms`

const rowOf = (worker: WorkerSnapshot, now: number): ReadonlyArray<string> => [
  worker.name,
  worker.state,
  `${worker.pid ?? "-"}`,
  `${worker.restarts}`,
  worker.progress === undefined ? "-" : Progress.format(worker.progress),
  nextStart(worker, now),
  worker.lastLife === undefined ? "-" : LifeRecord.format(worker.lastLife)
]

/** `now` is in milliseconds since the epoch. */
export const table = ({ workers }: PostmasterSnapshot, now: number): string => {
  const rows = [columns, ...workers.map((worker) => rowOf(worker, now))]
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()).join("\n")
}
