/**
 * What Node itself offers, with the few lines that bring a worker back: `spawn`, `fork`, `Worker`, execa around them,
 * and a spare kept by hand, the cheapest thing that can do our job at all.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { type ChildProcess, fork, spawn } from "node:child_process"
import { Worker } from "node:worker_threads"
import { type Contestant, type Failed, failed, type Job, type Life, type Session } from "../contestant.ts"
import { label, load, worker } from "../ground.ts"

/** Begins one life, tells its bearer of its birth and its end, and answers how it is ended hard. */
type Bear = (job: Job, heard: { readonly started: () => void; readonly ended: () => void }) => () => void

const now = (): bigint => process.hrtime.bigint()

/** The supervisor that everybody writes: whoever ends is borne again, until the scope closes. */
export const keep = (bear: Bear): Session["start"] => (job) =>
  Effect.gen(function*() {
    const starts = yield* Queue.unbounded<bigint>()
    const deaths = yield* Queue.unbounded<bigint>()
    let alive = false
    let over: (() => void) | undefined
    let timer: NodeJS.Timeout | undefined
    let end = (): void => {}
    const begin = (): void => {
      end = bear(job, {
        started: () => Queue.offerUnsafe(starts, now()),
        ended: () => {
          alive = false
          Queue.offerUnsafe(deaths, now())
          if (over !== undefined) over()
          else if (job.restartMillis === 0) begin()
          else timer = setTimeout(begin, job.restartMillis)
        }
      })
      alive = true
    }
    yield* Effect.addFinalizer(() =>
      Effect.callback<void>((resume) => {
        clearTimeout(timer)
        over = () => resume(Effect.void)
        if (alive) end()
        else over()
      })
    )
    const askedAt = now()
    begin()
    const life: Life = {
      askedAt,
      startedAt: yield* Queue.take(starts),
      crash: Effect.sync(() => {
        const at = now()
        end()
        return at
      }),
      nextDeath: Queue.take(deaths),
      nextStart: Queue.take(starts)
    }
    return life
  })

const fromChild = (bear: (job: Job) => ChildProcess): Bear => (job, heard) => {
  const child = bear(job)
  child.once("spawn", heard.started).once("exit", heard.ended)
  return () => void child.kill("SIGKILL")
}

const contestant = (name: string, rank: Contestant["rank"], bear: Bear): Contestant => ({
  name,
  rank,
  open: Effect.succeed({ settled: Effect.void, start: keep(bear) })
})

const file = worker("bare.mjs")
const argv = (job: Job): Array<string> => [job.token, job.spin ? "spin" : "idle"]

export const bareSpawn = contestant(
  "spawn",
  "peer",
  fromChild((job) => spawn(process.execPath, [file, ...argv(job)], { stdio: "ignore" }))
)

export const bareFork = contestant("fork", "floor", fromChild((job) => fork(file, argv(job))))

export const bareWorker = contestant("Worker", "peer", (job, heard) => {
  const thread = new Worker(worker("thread.mjs"), { workerData: { token: job.token, spin: job.spin } })
  thread.once("online", heard.started).once("exit", heard.ended)
  // A thread cannot be killed from outside as a process can: it leaves when it is told to.
  return () => {
    if (job.spin) void thread.terminate()
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    else thread.postMessage("exit")
  }
})

/** A process that waits for its token, promoted when it is needed. */
export const spareByHand: Contestant = {
  name: "spare by hand",
  rank: "floor",
  open: Effect.gen(function*() {
    let spare: ChildProcess | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => spare?.kill("SIGKILL")))
    const settled = Effect.callback<void, Failed>((resume) => {
      if (spare !== undefined) return resume(Effect.void)
      const child = fork(file)
      child.once("message", () => {
        spare = child
        resume(Effect.void)
      })
      child.once("error", (cause) => resume(Effect.fail(failed(cause))))
    })
    const bear: Bear = (job, heard) => {
      const child = spare
      spare = undefined
      if (child === undefined) throw new Error("there is no spare")
      child.once("exit", heard.ended).send(job.token)
      heard.started()
      return () => void child.kill("SIGKILL")
    }
    const start = keep(bear)
    return { settled, start: (job) => Effect.andThen(settled, start(job)) }
  })
}

interface Execa {
  readonly execaNode: (
    file: string,
    args: ReadonlyArray<string>,
    options: { readonly reject: false; readonly stdio: "ignore" }
  ) => PromiseLike<unknown> & { readonly kill: (signal: "SIGKILL") => unknown }
}

export const execa: Contestant = {
  name: label("execa"),
  rank: "peer",
  open: Effect.map(load<Execa>("execa"), ({ execaNode }) => {
    const bear: Bear = (job, heard) => {
      const child = execaNode(file, argv(job), { reject: false, stdio: "ignore" })
      child.then(heard.ended)
      // It has its pid when it is made, and no event for that.
      heard.started()
      return () => void child.kill("SIGKILL")
    }
    return { settled: Effect.void, start: keep(bear) }
  })
}
