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
import type { Pid } from "@effect-postmaster/core/Identity"
import { type Child, type ChildReport, type Launch, Spawner } from "@effect-postmaster/core/Spawner"
import { NotSupported, ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { encodeToWorker, maxFrameToWorker } from "./internal/channel.ts"
import { inheritedFlags, inheritedNodeOptions } from "./internal/nodeFlags.ts"
import { makeWorkerProcess, type WorkerProcess } from "./internal/workerProcess.ts"

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
}

/** The bootstrap lies beside this module and has its extension: it runs from the sources and from what is published. */
const bootstrap = fileURLToPath(new URL(`./NodeWorkerMain${Path.extname(import.meta.filename)}`, import.meta.url))

/** How many workers this process is in: 0 for an application, 1 for its worker. */
const depthVariable = "EFFECT_POSTMASTER_DEPTH"
const depth = Number(process.env[depthVariable] ?? 0)

/** Nobody nests so deep on purpose. */
const maxDepth = 4

const environment = (added: Options["env"]): NodeJS.ProcessEnv => {
  const all: NodeJS.ProcessEnv = { ...process.env, ...added, [depthVariable]: String(depth + 1) }
  const { NODE_OPTIONS: options, ...rest } = all
  return options === undefined ? rest : { ...rest, NODE_OPTIONS: inheritedNodeOptions(options) }
}

const notSupported = (launch: Launch, detail: string): SpawnError =>
  new SpawnError({ reason: new NotSupported({ worker: launch.registration.name, detail }) })

const notStarted = (launch: Launch, cause: unknown): SpawnError =>
  new SpawnError({
    reason: new ProcessNotStarted({
      worker: launch.registration.name,
      detail: cause instanceof Error ? cause.message : String(cause)
    })
  })

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

/** Starts the process and listens to it in the same turn; answers when the operating system has. */
const start = (
  launch: Launch,
  frame: Uint8Array,
  report: (report: ChildReport) => void,
  options: Options
): Effect.Effect<WorkerProcess, SpawnError> =>
  Effect.callback((resume) => {
    let child: ChildProcess.ChildProcess
    try {
      child = ChildProcess.spawn(
        options.execPath ?? process.execPath,
        [...inheritedFlags(process.execArgv), ...(options.execArgv ?? []), bootstrap],
        {
          stdio: ["ignore", "pipe", "pipe", "pipe"],
          detached: true,
          env: environment(options.env),
          ...(options.cwd === undefined ? undefined : { cwd: options.cwd })
        }
      )
    } catch (cause) {
      return resume(Effect.fail(notStarted(launch, cause)))
    }
    // Stays for good: a refused signal is an error event too, and nobody's end.
    child.on("error", (cause) => resume(Effect.fail(notStarted(launch, cause))))
    if (child.pid === undefined) return
    const worker = makeWorkerProcess(launch, frame, report, child, child.pid as Pid)
    child.once("spawn", () => resume(Effect.succeed(worker)))
  })

const bear = Effect.fnUntraced(function*(launch: Launch, report: (report: ChildReport) => void, options: Options) {
  const worker = yield* start(launch, yield* launchFrame(launch), report, options)
  // Detached, because it ends by itself once the process has, which the
  // finalizer sees to; it inherits the caller's loggers like any fork.
  yield* Effect.forkDetach(worker.watch, { startImmediately: true })
  return worker
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
export const layerWith = (options: Options): Layer.Layer<Spawner> =>
  Layer.succeed(Spawner)(Spawner.of({
    spawn: Effect.fn("Spawner.spawn")(function*(
      launch: Launch,
      report: (report: ChildReport) => void
    ): Effect.fn.Return<Child, SpawnError, Scope.Scope> {
      const worker = yield* Effect.acquireRelease(bear(launch, report, options), (worker) => worker.end)
      return worker.child
    })
  }))

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
