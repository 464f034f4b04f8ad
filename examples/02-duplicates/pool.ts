/**
 * Decides how shards become workers: as many at a time as there are slots, each
 * followed through all its lives until its outcomes are there.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { Pid, SlotRef } from "@effect-postmaster/core/Identity"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import * as ByteSize from "effect/ByteSize"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Digest, journalOf, lineLength, Outcomes, outcomesOf, Task, taskOf } from "./digest.ts"
import type { Shard } from "./shards.ts"

/** A shard that keeps failing before it has finished one more file. */
export class ShardGivenUp extends Schema.TaggedError<ShardGivenUp>()("ShardGivenUp", { message: Schema.String }) {}

const maxFruitless = 5

export interface Job {
  readonly shard: Shard
  readonly ref: SlotRef
  /** How many files are done, also those of earlier lives. */
  readonly done: Effect.Effect<number>
}

export interface Pool {
  readonly root: string
  /** A private folder with a desk per shard. */
  readonly desks: string
  readonly slots: number
  readonly shards: ReadonlyArray<Shard>
  /** For onlookers: the jobs that hold a slot now, and those that are done. */
  readonly running: Set<Job>
  readonly finished: Array<WorkerReport>
}

/** What became of one worker. */
export const WorkerReport = Schema.Struct({
  slot: Schema.Natural,
  generation: Schema.Natural,
  pids: Schema.Array(Schema.Natural),
  restarts: Schema.Natural,
  millis: Schema.Natural,
  files: Schema.Natural,
  bytes: Schema.Natural
})
export interface WorkerReport extends Schema.Schema.Type<typeof WorkerReport> {}

const hashShard = Effect.fn("hashShard")(function*(pool: Pool, shard: Shard) {
  const postmaster = yield* Postmaster
  const fs = yield* FileSystem.FileSystem
  const desk = `${pool.desks}/${shard.number}`
  yield* fs.makeDirectory(desk)
  yield* fs.writeFileString(taskOf(desk), yield* Schema.encodeEffect(Task)({ root: pool.root, files: shard.files }))

  const worker = yield* postmaster.register(BackgroundWorker.named(Digest, `digest ${shard.number}`), { desk })
  const done = fs.stat(journalOf(desk)).pipe(
    Effect.map(({ size }) => Math.floor(ByteSize.toNumberUnsafe(size) / lineLength)),
    Effect.orElseSucceed(() => 0)
  )
  const job: Job = { shard, ref: worker.ref, done }
  pool.running.add(job)

  const pids = new Set<Pid>()
  let doneBefore = 0
  let fruitless = 0
  // Ends when the registration does, which is when the slot is free again.
  const follow = Stream.runForEach(
    worker.statuses,
    Effect.fnUntraced(function*(status) {
      if ("pid" in status) pids.add(status.pid)
      if (status._tag !== "Stopped" || status.lastExit === undefined) return
      if (ExitStatus.verdict(status.lastExit) === "Done") return
      const doneNow = yield* done
      fruitless = doneNow > doneBefore ? 0 : fruitless + 1
      doneBefore = doneNow
      if (fruitless < maxFruitless) return
      return yield* new ShardGivenUp({
        message: `worker "${worker.name}" in slot ${worker.ref.slot} ended ${fruitless} times without finishing ` +
          `another file; at last it ${ExitStatus.format(status.lastExit)}`
      })
    })
  )
  const [took] = yield* Effect.timed(Effect.ensuring(follow, Effect.sync(() => pool.running.delete(job))))

  pool.finished.push({
    ...worker.ref,
    pids: [...pids],
    restarts: pids.size - 1,
    millis: Math.round(Duration.toMillis(took)),
    files: shard.files.length,
    bytes: shard.bytes
  })
  return yield* Schema.decodeEffect(Outcomes)(yield* fs.readFileString(outcomesOf(desk)))
})

export const hashAll = Effect.fn("hashAll")(function*(pool: Pool) {
  const outcomes = yield* Effect.forEach(pool.shards, (shard) => hashShard(pool, shard), { concurrency: pool.slots })
  return outcomes.flat()
})
