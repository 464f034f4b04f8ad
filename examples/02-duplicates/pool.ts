/**
 * Decides who hashes what: a worker for each slot is called with one shard after
 * another, through all its lives, until no shard is left.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { Pid, SlotRef } from "@effect-postmaster/core/Identity"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Digest, type Outcome } from "./digest.ts"
import type { Shard } from "./shards.ts"

/** A worker that keeps ending before it has finished one more file. */
export class WorkerGivenUp extends Schema.TaggedError<WorkerGivenUp>()("WorkerGivenUp", { message: Schema.String }) {}

const maxFruitless = 5
/** A call is sent as a whole, up to 64 MiB, and sent anew to the next life: so many paths fit, however long they are. */
const filesPerCall = 1_000

/** A worker that has been called, and what it has finished in all its lives. */
export interface Job {
  readonly ref: SlotRef
  readonly pids: Set<Pid>
  shards: number
  files: number
  bytes: number
}

export interface Pool {
  readonly root: string
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
  shards: Schema.Natural,
  files: Schema.Natural,
  bytes: Schema.Natural
})
export interface WorkerReport extends Schema.Schema.Type<typeof WorkerReport> {}

const work = Effect.fn("work")(function*(pool: Pool, number: number, shards: Iterable<Shard>) {
  const worker = yield* (yield* Postmaster).register(BackgroundWorker.named(Digest, `digest ${number}`))
  const job: Job = { ref: worker.ref, pids: new Set(), shards: 0, files: 0, bytes: 0 }
  const outcomes: Array<Outcome> = []
  let fruitless = 0

  const notePids = Stream.runForEach(
    worker.statuses,
    (status) => Effect.sync(() => "pid" in status && job.pids.add(status.pid))
  )

  const hash = Effect.fnUntraced(function*(shard: Shard) {
    let done = 0
    const call = Effect.gen(function*() {
      const client = yield* worker.waitForClient
      while (done < shard.files.length) {
        const files = shard.files.slice(done, done + filesPerCall)
        yield* Stream.runForEach(client.Hash({ root: pool.root, files }), (outcome) =>
          Effect.sync(() => {
            outcomes.push(outcome)
            job.files++
            job.bytes += shard.files[done++]!.size
            fruitless = 0
          }))
      }
    }).pipe(Effect.scoped)
    // A life that ends costs what it had not yet answered; the next one is asked for that.
    yield* Effect.retry(call, {
      while: (error) => error._tag === "WorkerStopped" && error.isRetryable && ++fruitless < maxFruitless
    })
    job.shards++
  })

  const hashThem = Effect.gen(function*() {
    yield* Effect.forkChild(notePids)
    // Whoever is free takes the next one.
    for (const shard of shards) yield* hash(shard)
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "WorkerStopped" && error.isRetryable && error.lastExit !== undefined
        ? new WorkerGivenUp({
          message: `worker "${worker.name}" in slot ${worker.ref.slot} ended ${fruitless} times without finishing ` +
            `another file; at last it ${ExitStatus.format(error.lastExit)}`
        })
        : error
    )
  )

  pool.running.add(job)
  const [took] = yield* Effect.timed(Effect.ensuring(hashThem, Effect.sync(() => pool.running.delete(job))))
  pool.finished.push({
    ...worker.ref,
    pids: [...job.pids],
    restarts: job.pids.size - 1,
    millis: Math.round(Duration.toMillis(took)),
    shards: job.shards,
    files: job.files,
    bytes: job.bytes
  })
  return outcomes
})

export const hashAll = Effect.fn("hashAll")(function*(pool: Pool) {
  const shards = pool.shards.values()
  const outcomes = yield* Effect.forEach(
    Array.from({ length: Math.min(pool.slots, pool.shards.length) }, (_, number) => number),
    (number) => work(pool, number, shards),
    { concurrency: "unbounded" }
  )
  return outcomes.flat()
})
