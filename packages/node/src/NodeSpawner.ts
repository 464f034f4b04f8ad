/**
 * Decides how workers are born as processes of the operating system: with which
 * program, flags, environment and descriptors.
 *
 * A worker leads a process group of its own, speaks with the postmaster on file
 * descriptor 3, and its output becomes entries of the application's log. What
 * one life is worth is decided in `internal/workerProcess.ts`.
 *
 * @since 0.1.0
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { type Child, type ChildReport, type Launch, type Spare, Spawner } from "@effect-postmaster/core/Spawner"
import { NotSupported, ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { encodeToWorker, maxFrameToWorker } from "./internal/channel.ts"
import { type Fork, forkHere, type ForkOrder } from "./internal/fork.ts"
import * as Launcher from "./internal/launcher.ts"
import { inheritedFlags, inheritedNodeOptions } from "./internal/nodeFlags.ts"
import { isSpareProcess, makeSpare, type SpareProcess } from "./internal/spare.ts"
import { awaitAtMost, makeWorkerProcess } from "./internal/workerProcess.ts"

/**
 * What may be different for workers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The Node program. Defaults to the one that runs the application. */
  readonly execPath?: string | undefined
  /** Flags of Node, such as `--max-old-space-size=256`. They come after those the worker inherits. */
  readonly execArgv?: ReadonlyArray<string> | undefined
  /** Environment variables to add, or with `undefined` to take away. The others are the application's. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** The working directory. Defaults to the application's. */
  readonly cwd?: string | URL | undefined
  /**
   * Whether workers are borne by a launcher, a small process beside the
   * application. Defaults to true. Without one, each birth stops the application
   * for the time of a fork, some 60 ms per GiB it has resident, and a worker
   * that blocks its own event loop outlives an application that is killed.
   */
  readonly launcher?: boolean | undefined
}

/** The bootstrap lies beside this module and has its extension: it runs from the sources and from what is published. */
const bootstrap = fileURLToPath(new URL(`./NodeWorkerMain${Path.extname(import.meta.filename)}`, import.meta.url))

/** How many workers this process is in: 0 for an application, 1 for its worker. */
const depthVariable = "EFFECT_POSTMASTER_DEPTH"
const depth = Number(process.env[depthVariable] ?? 0)

/** Nobody nests so deep on purpose. */
const maxDepth = 4

const environment = (added: Options["env"]): Readonly<Record<string, string>> => {
  const { NODE_OPTIONS: options, ...rest } = { ...process.env, ...added }
  const all: Record<string, string> = {}
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) all[name] = value
  all[depthVariable] = String(depth + 1)
  if (options !== undefined) all["NODE_OPTIONS"] = inheritedNodeOptions(options)
  return all
}

const notSupported = (launch: Launch, detail: string): SpawnError =>
  new SpawnError({ reason: new NotSupported({ worker: launch.registration.name, detail }) })

const notStarted = (worker: string, detail: string): SpawnError =>
  new SpawnError({ reason: new ProcessNotStarted({ worker, detail }) })

/** The frame that carries the launch, made before there is a process, since it can be refused. */
const launchFrame = Effect.fnUntraced(function*(launch: Launch): Effect.fn.Return<Uint8Array, SpawnError> {
  const { module } = launch.registration.entry
  if (depth >= maxDepth) {
    return yield* notSupported(
      launch,
      `this is a worker inside ${
        depth - 1
      } other workers; does ${module} start the application when a worker imports it? ` +
        "Guard that with import.meta.main"
    )
  }
  if (!/^(?:file|data):/.test(module)) {
    return yield* notSupported(launch, `its entry ${module} is neither a file: nor a data: URL`)
  }
  const frame = encodeToWorker({ _tag: "Launch", launch })
  if (frame.length > maxFrameToWorker) {
    return yield* notSupported(launch, `its launch has ${frame.length} bytes, and ${maxFrameToWorker} are allowed`)
  }
  return frame
})

/** What a process of this spawner is made from, as things are now. */
const orderOf = (options: Options): ForkOrder => {
  const { cwd } = options
  return {
    file: options.execPath ?? process.execPath,
    args: [...inheritedFlags(process.execArgv), ...(options.execArgv ?? []), bootstrap],
    env: environment(options.env),
    cwd: cwd === undefined ? process.cwd() : cwd instanceof URL ? fileURLToPath(cwd) : Path.resolve(cwd)
  }
}

/** Whatever a process is made from that may change while an application runs. */
const surroundings = (): string =>
  JSON.stringify([process.env, process.cwd(), process.geteuid?.(), process.getegid?.()])

const bear = (fork: Fork, order: ForkOrder) =>
  Effect.tap(
    fork(order, (forked) => ({ pid: forked.pid, worker: makeWorkerProcess(forked) })),
    // Detached, because it ends by itself once the process has, which the
    // finalizer sees to; it inherits the caller's loggers like any fork.
    ({ worker }) => Effect.forkDetach(worker.watch, { startImmediately: true })
  )

/** How many workers may boot at once, per core. More of them would only get into each other's way. */
const bootsPerCore = 2

/** A boot that takes longer keeps nobody waiting. */
const bootPatienceMillis = 2_000

/** How long a spare may take to import what it is told to. */
const preparePatienceMillis = 30_000

const make = Effect.fnUntraced(function*(options: Options) {
  const fork = options.launcher === false ? forkHere : yield* Launcher.make
  const boots = yield* Semaphore.make(bootsPerCore * Os.availableParallelism())

  /** Who came first boots first, a few at a time, so that the first are at work when the last are not yet. */
  const bearCold = Effect.fnUntraced(function*(
    launch: Launch,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    yield* restore(Semaphore.take(boots, 1))
    const { worker } = yield* Effect.onError(
      Effect.mapError(bear(fork, orderOf(options)), (detail) => notStarted(launch.registration.name, detail)),
      () => Semaphore.release(boots, 1)
    )
    yield* Effect.forkDetach(
      Effect.andThen(awaitAtMost(worker.booted, bootPatienceMillis), Semaphore.release(boots, 1)),
      { startImmediately: true }
    )
    return worker
  })

  const spawn = Effect.fnUntraced(function*(
    launch: Launch,
    report: (report: ChildReport) => void,
    spare?: Spare
  ): Effect.fn.Return<Child, SpawnError, Scope.Scope> {
    const frame = yield* launchFrame(launch)
    const worker = yield* Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      const warm = isSpareProcess(spare) && spare.take(launch, surroundings())
      const worker = warm ? spare.worker : yield* bearCold(launch, restore)
      yield* Effect.addFinalizer(() => worker.end)
      return worker
    }))
    return worker.launch(launch, frame, report)
  })

  return Spawner.of({ spawn, spare: (modules) => bearSpare(fork, modules, options) })
})

const bearSpare = Effect.fnUntraced(function*(
  fork: Fork,
  modules: ReadonlyArray<string>,
  options: Options
): Effect.fn.Return<SpareProcess, SpawnError, Scope.Scope> {
  const failed = (detail: string) => notStarted("spare", detail)
  const before = surroundings()
  let made: SpareProcess | undefined
  const { pid, worker } = yield* Effect.acquireRelease(
    Effect.mapError(bear(fork, orderOf(options)), failed),
    ({ worker }) => made?.isTaken() === true ? Effect.void : worker.end
  )
  const prepared = yield* worker.prepare(modules).pipe(
    Effect.raceFirst(Effect.flatMap(worker.exit, (status) => Effect.fail(failed(`it ${ExitStatus.format(status)}`)))),
    Effect.raceFirst(
      Effect.andThen(
        awaitAtMost(Effect.never, preparePatienceMillis),
        Effect.fail(failed(`it was not ready after ${preparePatienceMillis} ms`))
      )
    )
  )
  made = makeSpare(worker, pid, prepared, before)
  return made
})

/**
 * Bears workers as processes, with some things different.
 *
 * **Details**
 *
 * A worker inherits the application's Node flags, from the command line and from
 * `NODE_OPTIONS`, except those that belong to one process alone: debugger ports,
 * a script on the command line, watch, test and profiling modes.
 *
 * **Gotchas**
 *
 * Needs a POSIX system. A process that leaves the worker's group (`setsid`) is
 * on its own: it is not ended with the worker, and its output is cut.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options: Options): Layer.Layer<Spawner> => Layer.effect(Spawner, make(options))

/**
 * Bears workers as processes of the operating system (PostgreSQL:
 * `postmaster_child_launch`).
 *
 * **Details**
 *
 * - Each worker is a session and process group of its own. When the worker ends,
 *   however it ends, the rest of its group is killed.
 * - Each line a worker writes becomes one log entry, at `Info` from standard
 *   output and at `Warn` from standard error, annotated with `worker`, `slot`,
 *   `generation` and `pid`. A worker that writes faster than lines are logged
 *   has to wait.
 * - When the application dies, its workers see their channel end and follow.
 *
 * @see {@link layerWith} for other flags, environment or working directory
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spawner> = layerWith({})
