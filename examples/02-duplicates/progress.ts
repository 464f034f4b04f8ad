/**
 * Decides what is shown on stderr while workers work: a bar on a terminal, a
 * line a second elsewhere.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Terminal from "effect/Terminal"
import type { Pool } from "./pool.ts"
import { count, size } from "./text.ts"

const state = (pool: Pool) => {
  const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, number) => sum + number, 0)
  const jobs = [...pool.finished, ...pool.running]
  const bytes = sum(jobs.map((job) => job.bytes))
  const all = sum(pool.shards.map((shard) => shard.bytes))
  return {
    share: all === 0 ? 1 : bytes / all,
    text: `${count(sum(jobs.map((job) => job.files)), "file")}, ${size(bytes)} of ${size(all)}, ` +
      `${sum(jobs.map((job) => job.shards))} of ${count(pool.shards.length, "shard")}`
  }
}

const barWidth = 20

const draw = Effect.fnUntraced(function*(pool: Pool) {
  const { share, text } = state(pool)
  const { columns } = yield* Terminal.Terminal
  const filled = Math.round(share * barWidth)
  const bar = `[${"#".repeat(filled)}${"-".repeat(barWidth - filled)}] ${text}`.slice(0, (yield* columns) - 1)
  // The cursor goes back to the start, so that a log line overwrites the bar.
  yield* Effect.sync(() => process.stderr.write(`\x1b[2K${bar}\r`))
})

/** A bar that is redrawn ten times a second and leaves no trace. */
export const bar = (pool: Pool) =>
  draw(pool).pipe(
    Effect.repeat(Schedule.spaced("100 millis")),
    Effect.ensuring(Effect.sync(() => process.stderr.write("\x1b[2K")))
  )

export const lines = (pool: Pool) =>
  Effect.suspend(() => Console.error(state(pool).text)).pipe(
    Effect.repeat(Schedule.spaced("1 second"))
  )
