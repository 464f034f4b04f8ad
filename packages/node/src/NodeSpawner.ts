/**
 * Decides how workers are born as processes of the operating system, or as
 * threads of this one: with which program, flags and environment.
 *
 * A process leads a group of its own and speaks with the postmaster on file
 * descriptors 3 (control) and 4 (data), a thread on two message ports; the
 * output of either becomes entries of the application's log. What all have in
 * common is decided in `internal/spawning.ts`, what one life is worth in
 * `internal/workerProcess.ts`.
 *
 * @since 0.1.0
 */
import { type LimitName, type Limits, namesOf } from "@effect-postmaster/core/Limits"
import { Spawner } from "@effect-postmaster/core/Spawner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import type { ResourceLimits } from "node:worker_threads"
import { bootstrap, missing, threadBootstrap } from "./internal/bootstrap.ts"
import { forkHere } from "./internal/fork.ts"
import { forkThread, type ThreadOrder } from "./internal/forkThread.ts"
import * as Launcher from "./internal/launcher.ts"
import { inheritedFlags, nodeOptionsWithHeap, withHeap } from "./internal/nodeFlags.ts"
import { environment, make } from "./internal/spawning.ts"
import type { ForkOrder } from "./internal/startGroup.ts"

/**
 * What may be different for workers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The Node program. Defaults to the one that runs the application. */
  readonly execPath?: string | undefined
  /** Flags of Node, such as `--max-old-space-size=256`. They come after those the worker inherits, and before its own `limits`. */
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
   *
   * The launcher stays who the application was when the layer was built: give up
   * rights (`process.setuid`) before.
   */
  readonly launcher?: boolean | undefined
}

/** What a process of this spawner is made from, as things are now. */
const orderOf = (options: Options, { heap, stack }: Limits): ForkOrder => {
  const { cwd } = options
  const flags = [...inheritedFlags(process.execArgv), ...(options.execArgv ?? [])]
  const env = environment(options.env, bootstrap.env)
  const { NODE_OPTIONS: nodeOptions } = env
  return {
    file: options.execPath ?? process.execPath,
    args: [
      ...(heap === undefined ? flags : withHeap(flags, heap)),
      // V8 counts in KiB.
      ...(stack === undefined ? [] : [`--stack-size=${Math.floor(stack * 1024)}`]),
      bootstrap.file
    ],
    env: heap === undefined || nodeOptions === undefined
      ? env
      : { ...env, NODE_OPTIONS: nodeOptionsWithHeap(nodeOptions) },
    cwd: cwd === undefined ? process.cwd() : cwd instanceof URL ? fileURLToPath(cwd) : Path.resolve(cwd),
    umask: process.umask()
  }
}

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
 * An application that is bundled needs this package beside it all the same, in
 * `node_modules`: workers and launcher are programs of their own. Without it
 * every launch is refused with `NotSupported`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options: Options): Layer.Layer<Spawner> =>
  Layer.effect(
    Spawner,
    Effect.gen(function*() {
      const fork = options.launcher === false || missing !== undefined ? forkHere : yield* Launcher.make
      return yield* make((adopt, limits) =>
        Effect.suspend(() => {
          const order = orderOf(options, limits)
          // The operating system says only that something is not there.
          return Effect.mapError(
            fork(order, adopt),
            (detail) => Fs.existsSync(order.cwd) ? detail : `its working directory ${order.cwd} does not exist`
          )
        }), () => missing)
    })
  )

/**
 * Bears workers as processes of the operating system (PostgreSQL:
 * `postmaster_child_launch`).
 *
 * **Details**
 *
 * - Each worker is a session and process group of its own. When the worker ends,
 *   however it ends, the rest of its group is killed.
 * - What a worker logs goes to the application's loggers as it was logged: with
 *   its level, message, cause, annotations, spans, fiber and time, annotated with
 *   `worker`, `slot`, `generation` and `pid`. What the application does not log,
 *   by its `MinimumLogLevel` at the launch, does not leave the worker.
 * - Each other line it writes becomes one entry, at `Info` from standard output
 *   and at `Warn` from standard error. Its log and its standard output keep their
 *   order; standard error comes on its own.
 * - A worker that writes faster than is logged has to wait, in the middle of
 *   `write`. Nothing is dropped, and the application does not grow. Lines at
 *   which a logger throws are counted, and the count is logged.
 * - When the application dies, its workers see their channel end and follow, and
 *   the launcher ends those that cannot look.
 * - A worker's `limits` are set before it begins: `heap` and `stack` by flags of
 *   Node, `nice` by a call, the others by `prlimit` of util-linux, which the
 *   launcher runs. A worker that outgrows its heap is `Signaled` with SIGABRT, and
 *   the status says that it ran out of memory.
 *
 * @see {@link layerWith} for other flags, environment or working directory
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spawner> = layerWith({})

/**
 * What may be different for workers that are threads.
 *
 * @category models
 * @since 0.1.0
 */
export interface ThreadOptions {
  /** Flags of Node that a thread can have of its own, such as `--conditions=…`, in place of those it would inherit. */
  readonly execArgv?: ReadonlyArray<string> | undefined
  /** Environment variables to add, or with `undefined` to take away. The others are the application's. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Bounds on memory, in MiB; a thread that breaks one is lost, and the application lives. Defaults to Node's. */
  readonly resourceLimits?: ResourceLimits | undefined
}

const threadOrderOf = (options: ThreadOptions, { heap, stack }: Limits): ThreadOrder => ({
  file: threadBootstrap.file,
  execArgv: options.execArgv,
  env: environment(options.env, threadBootstrap.env),
  resourceLimits: {
    ...options.resourceLimits,
    ...(heap === undefined ? undefined : { maxOldGenerationSizeMb: heap }),
    ...(stack === undefined ? undefined : { stackSizeMb: stack })
  }
})

/** What only a process can have; whoever asks for it, past the types, is refused. */
const onlyProcesses = ["execPath", "cwd", "launcher", "uid", "gid"]

/** What would be the whole application's: every limit that is not V8's own. */
const sharedLimit = (limits: Limits): LimitName | undefined =>
  namesOf(limits).find((name) => name !== "heap" && name !== "stack")

/**
 * Bears workers as threads, with some things different.
 *
 * **Gotchas**
 *
 * A launch is refused with `NotSupported` if the options ask for what only a
 * process can have: a program, a working directory, a user of its own. The same
 * goes for a worker's `limits` but for `heap` and `stack`, which come before the
 * `resourceLimits` of the options.
 *
 * @see {@link layerThread} for what a thread promises
 * @category layers
 * @since 0.1.0
 */
export const layerThreadWith = (options: ThreadOptions): Layer.Layer<Spawner> => {
  const asked = onlyProcesses.find((name) => name in options)
  return Layer.effect(
    Spawner,
    make(
      (adopt, limits) => Effect.suspend(() => forkThread(threadOrderOf(options, limits), adopt)),
      ({ registration: { limits } }) => {
        const shared = asked ?? (limits === undefined ? undefined : sharedLimit(limits))
        return shared === undefined ? missing : `a thread has no "${shared}" of its own`
      }
    )
  )
}

/**
 * Bears workers as threads of this process.
 *
 * **When to use**
 *
 * Use for workers that are to be contained as far as JavaScript goes, and cost
 * less than a process: they block nobody's event loop, and what they throw, leak
 * or exhaust ends them alone.
 *
 * **Details**
 *
 * The same contract as for processes: the same exits, spares, log and output,
 * which make a thread wait too if it is ahead by more than 256 KiB. A pid is the thread's number. SIGKILL is `Worker.terminate`, which
 * ends a thread that spins. What ran out of memory is `Lost`, and says so.
 *
 * **Gotchas**
 *
 * What a thread cannot promise:
 *
 * - A crash of native code, or `process.abort`, ends the application and all of
 *   its workers.
 * - A bound on its heap is V8's best effort: one that outruns it, by a single
 *   large allocation say, can end the application (nodejs/node#47224). What must
 *   be bounded belongs into a process.
 * - Nobody outside can signal it: `kill` of its pid would reach somebody else.
 *   SIGTERM, SIGQUIT, SIGHUP and SIGUSR1 come on its channel alone, so one that
 *   spins is deaf to all of them until SIGKILL.
 * - Its child processes are the application's own: they are not ended with it.
 * - `Worker.terminate` ends JavaScript only: a thread that blocks in a native call
 *   (`execSync`, say) is reported as `Lost` five seconds after its SIGKILL, and
 *   lives on until the call returns. The application cannot leave before it
 *   either, since Node waits for its threads.
 * - `process.chdir`, `process.title` and `process.umask` are not its to change.
 *
 * @see {@link layerThreadWith} for other flags, environment or bounds on memory
 * @category layers
 * @since 0.1.0
 */
export const layerThread: Layer.Layer<Spawner> = layerThreadWith({})
