/**
 * The pools. They bear a worker for a task and not for its own sake, so a start is a new pool with its first task, and a
 * crash is over when the next task runs.
 */
import * as Effect from "effect/Effect"
import { type Contestant, type Failed, failed, type Session } from "../contestant.ts"
import { Ground, label, load, worker } from "../ground.ts"

type Kind = "thread" | "process"

interface Task {
  readonly token: string
  readonly spin: boolean
  readonly exit: boolean
}

/** A pool of one worker. */
interface Pool {
  readonly run: (task: Task) => PromiseLike<unknown>
  readonly end: () => unknown
}

const now = (): bigint => process.hrtime.bigint()

const attempt = (run: () => PromiseLike<unknown>): Effect.Effect<unknown, Failed> =>
  Effect.tryPromise({ try: async () => await run(), catch: failed })

/** Between a death and its replacement a task may be refused, or be given to the dead. */
const insist = (run: () => PromiseLike<unknown>): Effect.Effect<unknown> =>
  Effect.catch(attempt(run), () => Effect.andThen(Effect.yieldNow, Effect.suspend(() => insist(run))))

const contestant = <Module>(
  name: string,
  kind: Kind,
  make: (module: Module, kind: Kind) => Pool
): Contestant => ({
  name: `${label(name)}, ${kind}`,
  rank: "peer",
  open: Effect.gen(function*() {
    const module = yield* load<Module>(name)
    const { signs } = yield* Ground
    const start: Session["start"] = ({ spin, token }) =>
      Effect.gen(function*() {
        const task = { token, spin, exit: false }
        const askedAt = now()
        const pool = yield* Effect.acquireRelease(
          Effect.sync(() => make(module, kind)),
          (pool) => Effect.ignore(Effect.timeout(attempt(async () => pool.end()), "5 seconds"))
        )
        const first = attempt(() => pool.run(task))
        // A task that spins never answers.
        if (spin) yield* Effect.forkScoped(Effect.ignore(first))
        else yield* first
        const crash = Effect.gen(function*() {
          const at = now()
          if (kind === "thread") yield* Effect.ignore(attempt(() => pool.run({ ...task, exit: true })))
          else process.kill(signs.last(token)!, "SIGKILL")
          yield* insist(() => pool.run(task))
          return at
        })
        return { askedAt, crash }
      })
    return { settled: Effect.void, start }
  })
})

interface Piscina {
  readonly Piscina: new(options: {
    readonly filename: string
    readonly minThreads: number
    readonly maxThreads: number
  }) => { readonly run: Pool["run"]; readonly destroy: Pool["end"] }
}

export const piscina = contestant<Piscina>("piscina", "thread", ({ Piscina }) => {
  const pool = new Piscina({ filename: worker("pool.mjs"), minThreads: 1, maxThreads: 1 })
  return { run: (task) => pool.run(task), end: () => pool.destroy() }
})

interface Tinypool {
  readonly default: new(options: {
    readonly filename: string
    readonly runtime: "worker_threads" | "child_process"
    readonly minThreads: number
    readonly maxThreads: number
    readonly env: NodeJS.ProcessEnv
  }) => { readonly run: Pool["run"]; readonly destroy: Pool["end"] }
}

const tinypool = (module: Tinypool, kind: Kind): Pool => {
  const pool = new module.default({
    filename: worker("pool.mjs"),
    runtime: kind === "thread" ? "worker_threads" : "child_process",
    minThreads: 1,
    maxThreads: 1,
    // Its processes inherit nothing by themselves.
    env: process.env
  })
  return { run: (task) => pool.run(task), end: () => pool.destroy() }
}

export const tinypoolThread = contestant("tinypool", "thread", tinypool)
export const tinypoolProcess = contestant("tinypool", "process", tinypool)

interface Workerpool {
  readonly default: {
    readonly pool: (
      file: string,
      options: { readonly workerType: Kind; readonly minWorkers: number; readonly maxWorkers: number }
    ) => {
      readonly exec: (name: string, args: ReadonlyArray<Task>) => PromiseLike<unknown>
      readonly terminate: (force: boolean) => unknown
    }
  }
}

const workerpool = (module: Workerpool, kind: Kind): Pool => {
  const pool = module.default.pool(worker("workerpool.mjs"), { workerType: kind, minWorkers: 1, maxWorkers: 1 })
  return { run: (task) => pool.exec("task", [task]), end: () => pool.terminate(true) }
}

export const workerpoolThread = contestant("workerpool", "thread", workerpool)
export const workerpoolProcess = contestant("workerpool", "process", workerpool)

interface JestWorker {
  readonly Worker: new(
    file: string,
    options: {
      readonly numWorkers: number
      readonly enableWorkerThreads: boolean
      readonly maxRetries: number
      readonly exposedMethods: ReadonlyArray<string>
    }
  ) => { readonly task: Pool["run"]; readonly end: Pool["end"] }
}

const jestWorker = (module: JestWorker, kind: Kind): Pool => {
  const pool = new module.Worker(worker("pool.mjs"), {
    numWorkers: 1,
    enableWorkerThreads: kind === "thread",
    // A task that has ended its worker would be tried again three times.
    maxRetries: 0,
    exposedMethods: ["task"]
  })
  return { run: (task) => pool.task(task), end: () => pool.end() }
}

export const jestWorkerThread = contestant("jest-worker", "thread", jestWorker)
export const jestWorkerProcess = contestant("jest-worker", "process", jestWorker)

/** All but tinypool's threads: when a task there has exited, neither it nor any later one ever settles. */
export const crashable: ReadonlyArray<Contestant> = [
  piscina,
  tinypoolProcess,
  workerpoolThread,
  workerpoolProcess,
  jestWorkerThread,
  jestWorkerProcess
]

export const all: ReadonlyArray<Contestant> = [...crashable, tinypoolThread]
