/**
 * The pools. They bear a worker for a task and not for its own sake, so a start is a new pool with its first task, and a
 * crash is over when the next task runs.
 */
import * as Effect from "effect/Effect"
import { type Callable, fromPromise } from "../calling.ts"
import { type Contestant, type Failed, failed, type Session } from "../contestant.ts"
import { Ground, label, load, worker } from "../ground.ts"

type Kind = "thread" | "process"

interface Options {
  readonly kind: Kind
  /** How many tasks the worker may have at a time, where the pool knows of more than one. */
  readonly concurrency: number
}

interface Task {
  readonly token: string
  readonly spin: boolean
  readonly exit: boolean
}

/** A pool of one worker, which can be borne for a task, or called. */
interface Pool {
  readonly run: (task: Task) => PromiseLike<unknown>
  readonly echo: (value: unknown) => PromiseLike<unknown>
  readonly end: () => unknown
}

const now = (): bigint => process.hrtime.bigint()

const attempt = (run: () => PromiseLike<unknown>): Effect.Effect<unknown, Failed> =>
  Effect.tryPromise({ try: async () => await run(), catch: failed })

/** Between a death and its replacement a task may be refused, or be given to the dead. */
const insist = (run: () => PromiseLike<unknown>): Effect.Effect<unknown> =>
  Effect.catch(attempt(run), () => Effect.andThen(Effect.yieldNow, Effect.suspend(() => insist(run))))

const concurrency = 64

const close = (pool: Pool): Effect.Effect<void> =>
  Effect.ignore(Effect.timeout(attempt(async () => pool.end()), "5 seconds"))

/** A product in one of its kinds: what it is for whoever bears it workers, and for whoever calls them. */
const product = <Module>(name: string, kind: Kind, make: (module: Module, options: Options) => Pool) => ({
  contestant: contestant(name, kind, make),
  callable: {
    name: `${label(name)}, ${kind}`,
    rank: "peer",
    open: Effect.gen(function*() {
      const module = yield* load<Module>(name)
      const pool = yield* Effect.acquireRelease(Effect.sync(() => make(module, { kind, concurrency })), close)
      return fromPromise(pool.echo)
    })
  } satisfies Callable
})

const contestant = <Module>(
  name: string,
  kind: Kind,
  make: (module: Module, options: Options) => Pool
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
          Effect.sync(() => make(module, { kind, concurrency: 1 })),
          close
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
    readonly concurrentTasksPerWorker: number
  }) => {
    readonly run: (value: unknown, options?: { readonly name: string }) => PromiseLike<unknown>
    readonly destroy: Pool["end"]
  }
}

const piscinaThread = product<Piscina>("piscina", "thread", ({ Piscina }, { concurrency }) => {
  const pool = new Piscina({
    filename: worker("pool.mjs"),
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: concurrency
  })
  return {
    run: (task) => pool.run(task),
    echo: (value) => pool.run(value, { name: "echo" }),
    end: () => pool.destroy()
  }
})

interface Tinypool {
  readonly default: new(options: {
    readonly filename: string
    readonly runtime: "worker_threads" | "child_process"
    readonly minThreads: number
    readonly maxThreads: number
    readonly concurrentTasksPerWorker: number
    readonly env: NodeJS.ProcessEnv
    readonly serialization: "advanced"
  }) => {
    readonly run: (value: unknown, options?: { readonly name: string }) => PromiseLike<unknown>
    readonly destroy: Pool["end"]
  }
}

const tinypool = (module: Tinypool, { concurrency, kind }: Options): Pool => {
  const pool = new module.default({
    filename: worker("pool.mjs"),
    runtime: kind === "thread" ? "worker_threads" : "child_process",
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: concurrency,
    // Its processes inherit nothing by themselves.
    env: process.env,
    serialization: "advanced"
  })
  return {
    run: (task) => pool.run(task),
    echo: (value) => pool.run(value, { name: "echo" }),
    end: () => pool.destroy()
  }
}

const tinypools = { thread: product("tinypool", "thread", tinypool), process: product("tinypool", "process", tinypool) }

interface Workerpool {
  readonly default: {
    readonly pool: (
      file: string,
      options: {
        readonly workerType: Kind
        readonly minWorkers: number
        readonly maxWorkers: number
        readonly forkOpts: { readonly serialization: "advanced" }
      }
    ) => {
      readonly exec: (name: string, args: ReadonlyArray<unknown>) => PromiseLike<unknown>
      readonly terminate: (force: boolean) => unknown
    }
  }
}

const workerpool = (module: Workerpool, { kind }: Options): Pool => {
  const pool = module.default.pool(worker("workerpool.mjs"), {
    workerType: kind,
    minWorkers: 1,
    maxWorkers: 1,
    forkOpts: { serialization: "advanced" }
  })
  return {
    run: (task) => pool.exec("task", [task]),
    echo: (value) => pool.exec("echo", [value]),
    end: () => pool.terminate(true)
  }
}

const workerpools = {
  thread: product("workerpool", "thread", workerpool),
  process: product("workerpool", "process", workerpool)
}

interface JestWorker {
  readonly Worker: new(
    file: string,
    options: {
      readonly numWorkers: number
      readonly enableWorkerThreads: boolean
      readonly maxRetries: number
      readonly exposedMethods: ReadonlyArray<string>
    }
  ) => { readonly task: Pool["run"]; readonly echo: Pool["echo"]; readonly end: Pool["end"] }
}

const jestWorker = (module: JestWorker, { kind }: Options): Pool => {
  const pool = new module.Worker(worker("pool.mjs"), {
    numWorkers: 1,
    enableWorkerThreads: kind === "thread",
    // A task that has ended its worker would be tried again three times.
    maxRetries: 0,
    exposedMethods: ["task", "echo"]
  })
  return { run: (task) => pool.task(task), echo: (value) => pool.echo(value), end: () => pool.end() }
}

const jestWorkers = {
  thread: product("jest-worker", "thread", jestWorker),
  process: product("jest-worker", "process", jestWorker)
}

export const tinypoolProcess = tinypools.process.contestant
export const workerpoolProcess = workerpools.process.contestant
export const jestWorkerProcess = jestWorkers.process.contestant

/** All but tinypool's threads: when a task there has exited, neither it nor any later one ever settles. */
export const crashable: ReadonlyArray<Contestant> = [
  piscinaThread.contestant,
  tinypoolProcess,
  workerpools.thread.contestant,
  workerpoolProcess,
  jestWorkers.thread.contestant,
  jestWorkerProcess
]

export const all: ReadonlyArray<Contestant> = [...crashable, tinypools.thread.contestant]

/** A pool of threads and a pool of processes, each of which gives a worker many tasks at a time. */
export const callable: ReadonlyArray<Callable> = [piscinaThread.callable, tinypools.process.callable]

export const allCallable: ReadonlyArray<Callable> = [
  ...callable,
  tinypools.thread.callable,
  workerpools.thread.callable,
  workerpools.process.callable,
  jestWorkers.thread.callable,
  jestWorkers.process.callable
]
