/**
 * Decides what is told in the end. The result depends on the files alone; the
 * run tells how it came about: by which workers, in which time, through which
 * deaths.
 */
import * as Schema from "effect/Schema"
import type { Outcome } from "./digest.ts"
import { WorkerReport } from "./pool.ts"
import type { survey } from "./shards.ts"
import { count, few, size } from "./text.ts"
import { byPath, type Unreadable } from "./walk.ts"

const Group = Schema.Struct({
  sha256: Schema.String,
  size: Schema.Natural,
  wasted: Schema.Natural,
  paths: Schema.Array(Schema.String)
})

export const Result = Schema.Struct({
  folder: Schema.String,
  files: Schema.Natural,
  /** A file with several names counts once. */
  bytes: Schema.Natural,
  hardLinks: Schema.Natural,
  empty: Schema.Natural,
  uniqueSize: Schema.Natural,
  hashed: Schema.Natural,
  wasted: Schema.Natural,
  /** The most wasteful first, ties in the order of their first paths. */
  groups: Schema.Array(Group),
  unreadable: Schema.Array(Schema.Struct({ path: Schema.String, problem: Schema.String }))
})
export interface Result extends Schema.Schema.Type<typeof Result> {}

export const Run = Schema.Struct({
  slots: Schema.Natural,
  millis: Schema.Natural,
  kills: Schema.Natural,
  workers: Schema.Array(WorkerReport)
})
export interface Run extends Schema.Schema.Type<typeof Run> {}

/** The document that `--json` prints. */
export const Report = Schema.fromJsonString(Schema.Struct({ result: Result, run: Run }))

export const toResult = (
  folder: string,
  counts: ReturnType<typeof survey>["counts"],
  outcomes: ReadonlyArray<Outcome>,
  notWalked: ReadonlyArray<Unreadable>
): Result => {
  const hashed = outcomes.filter((outcome) => outcome._tag === "Hashed").toSorted(byPath)
  const unread = outcomes.filter((outcome) => outcome._tag === "Unreadable")
  const groups = [...Map.groupBy(hashed, ({ sha256 }) => sha256).values()]
    .filter((same) => same.length > 1)
    .map((same) => ({ ...same[0]!, wasted: same[0]!.size * (same.length - 1), paths: same.map(({ path }) => path) }))
    .toSorted((self, that) => that.wasted - self.wasted || byPath(self, that))
    .map(({ paths, sha256, size, wasted }) => ({ sha256, size, wasted, paths }))
  return {
    folder,
    ...counts,
    hashed: hashed.length,
    wasted: groups.reduce((sum, group) => sum + group.wasted, 0),
    groups,
    unreadable: [...notWalked, ...unread].map(({ path, problem }) => ({ path, problem })).toSorted(byPath)
  }
}

export const formatResult = (result: Result, bold: (text: string) => string): string =>
  [
    bold(result.folder),
    `  ${count(result.files, "file")}, ${size(result.bytes)}`,
    `  ${count(result.groups.length, "group")} of duplicates, ${size(result.wasted)} wasted`,
    `  ${count(result.hashed, "file")} hashed; not hashed: ${count(result.uniqueSize, "file")} of unique size, ` +
    `${count(result.empty, "empty file")} (not duplicates), ${count(result.hardLinks, "hard link")} (no waste)`,
    ...result.groups.slice(0, 10).flatMap(({ paths, size: each, wasted }) => [
      "",
      bold(`${size(wasted)} wasted: ${paths.length} × ${size(each)}`),
      ...few(paths, 4, (path) => path)
    ]),
    ...(result.unreadable.length === 0 ? [] : [
      "",
      bold(`${result.unreadable.length} could not be read`),
      ...few(result.unreadable, 5, ({ path, problem }) => `${path}: ${problem}`)
    ])
  ].join("\n")

export const formatRun = (run: Run, bold: (text: string) => string): string =>
  [
    "",
    bold(`${count(run.workers.length, "worker")} in ${count(run.slots, "slot")}, ${run.millis} ms`) +
    (run.kills === 0 ? "" : `, ${count(run.kills, "kill")}`),
    "  slot  generation  restarts       ms     files         size  pids",
    ...run.workers.map((worker) =>
      [
        String(worker.slot).padStart(6),
        String(worker.generation).padStart(12),
        String(worker.restarts).padStart(10),
        String(worker.millis).padStart(9),
        String(worker.files).padStart(10),
        size(worker.bytes).padStart(13),
        few(worker.pids, 6, String).join("")
      ].join("")
    )
  ].join("\n")
