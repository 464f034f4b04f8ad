/**
 * Decides what a scripted worker does with its life. A script is data; a
 * `TestSpawner` plays it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Rpc from "effect/rpc/Rpc"
import type * as Scope from "effect/Scope"
import { again as exitedAgain, exited, type ExitStatus, signaled } from "../ExitStatus.ts"
import type { Outcome } from "../Outcome.ts"
import type * as WorkerProtocol from "../WorkerProtocol.ts"

/**
 * One life.
 *
 * @category models
 * @since 0.1.0
 */
export interface Script {
  /** How long the birth takes; the machine calls the worker Starting meanwhile. */
  readonly birth: Duration.Duration
  /** Set if the birth fails, with the reason. */
  readonly notBorn: string | undefined
  /** How long after its birth the worker says that it is ready; `undefined`: never. */
  readonly ready: Duration.Duration | undefined
  /** How long the life lasts by itself; infinite: until it is told to end. */
  readonly lasts: Duration.Duration
  /** How it then ends. */
  readonly end: ExitStatus
  /** How long it takes to obey SIGTERM and SIGQUIT; infinite: it is deaf to them. */
  readonly obeys: Duration.Duration
  /** Whether an attached worker leaves the shared state in good order. */
  readonly clean: boolean
  /** How long after it is ready its main loop stands still, and gives no sign of life any more; infinite: never. */
  readonly hangs: Duration.Duration
  /** How often it says that it has done one more, and how often in all; `undefined`: never. */
  readonly progress: { readonly every: Duration.Duration; readonly times: number } | undefined
  /** What answers calls to it; `undefined`: nobody, so that calls wait for its end. */
  readonly calls: Calls | undefined
  /** What it has written to stderr at its end. */
  readonly output: ReadonlyArray<string>
}

/**
 * What answers the calls of a scripted life, for as long as the scope is open.
 *
 * @see {@link answers}
 * @category models
 * @since 0.1.0
 */
export type Calls = Effect.Effect<void, never, Scope.Scope>

/**
 * What can be said about any life.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long the life lasts. Default: it ends as soon as it has begun. */
  readonly after?: Duration.Input | undefined
  /** How long after its birth it is ready, or `"never"`. Default: at once. */
  readonly ready?: Duration.Input | "never" | undefined
  /** How long the birth takes, unless the worker is made from a spare. Default: no time. */
  readonly birth?: Duration.Input | undefined
  /** How long it takes to obey SIGTERM and SIGQUIT. Default: no time. */
  readonly obeys?: Duration.Input | undefined
  /** `false`: an attached worker leaves without detaching, which is a crash. Default: true. */
  readonly clean?: boolean | undefined
  /**
   * How long after it is ready its main loop stands still. From then on it gives
   * no sign of life, if its registration has a `heartbeat`, and makes no
   * progress. Default: never.
   */
  readonly hangsAfter?: Duration.Input | undefined
  /** How often it says that it has done one more, from when it is ready, and how often in all. Default: never; for ever. */
  readonly progress?: { readonly every: Duration.Input; readonly times?: number | undefined } | undefined
  /** What answers calls to it, made by `answers`. Default: nobody; calls wait for its end. */
  readonly calls?: Calls | undefined
  /** The last lines it writes to stderr. Default: none. */
  readonly output?: ReadonlyArray<string> | undefined
}

const make = (end: ExitStatus, lasts: Duration.Input, options: Options | undefined): Script => ({
  birth: Duration.fromInputUnsafe(options?.birth ?? 0),
  notBorn: undefined,
  ready: options?.ready === "never" ? undefined : Duration.fromInputUnsafe(options?.ready ?? 0),
  lasts: Duration.fromInputUnsafe(lasts),
  end,
  obeys: Duration.fromInputUnsafe(options?.obeys ?? 0),
  clean: options?.clean ?? true,
  output: options?.output ?? [],
  hangs: Duration.fromInputUnsafe(options?.hangsAfter ?? Duration.infinity),
  progress: options?.progress && {
    every: Duration.fromInputUnsafe(options.progress.every),
    times: options.progress.times ?? Number.POSITIVE_INFINITY
  },
  calls: options?.calls
})

/**
 * Answers the calls of a scripted life by these handlers, which may be those of
 * the real worker.
 *
 * **Example** (A worker that answers in a test)
 *
 * ```ts
 * import { Script } from "@effect-postmaster/core/testing"
 * import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
 * import * as Effect from "effect/Effect"
 * import * as Rpc from "effect/rpc/Rpc"
 * import * as Schema from "effect/Schema"
 *
 * const Weather = WorkerProtocol.make(Rpc.make("Now", { success: Schema.String }))
 *
 * export const sunny = Script.serves({
 *   calls: Script.answers(Weather, Weather.toLayer({ Now: () => Effect.succeed("sunny") }))
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const answers = <Rpcs extends Rpc.Any>(
  protocol: WorkerProtocol.Calls<Rpcs>,
  handlers: Layer.Layer<Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs> | Rpc.ServicesServer<Rpcs>>
): Calls => Effect.flatMap(Layer.build(handlers), (context) => Effect.provideContext(protocol.serve(), context))

/**
 * Leaves with an exit code: 0 done, 1 failed, anything else crashed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exits = (code: number, options?: Options): Script => make(exited(code), options?.after ?? 0, options)

/**
 * Fails with a typed error: exit code 1 and the message.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fails = (message: string, options?: Options): Script =>
  make(exited(1, { kind: "Failure", message }), options?.after ?? 0, options)

/**
 * Returns and asks for another life: exit code 0, verdict `Again`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const again = (outcome: Outcome, options?: Options): Script =>
  make(exitedAgain(outcome), options?.after ?? 0, options)

/**
 * Dies of a signal that the postmaster did not send, without detaching.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dies = (signal: string, options?: Options): Script =>
  make(signaled(signal), options?.after ?? 0, { clean: false, ...options })

/**
 * Works until it is told to end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const serves = (options?: Omit<Options, "after">): Script => make(exited(0), Duration.infinity, options)

/**
 * Works until it is killed: deaf to SIGTERM and SIGQUIT, and without a sign of
 * life from the beginning, if one is asked for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const hangs = (options?: Omit<Options, "after" | "obeys">): Script =>
  make(exited(0), Duration.infinity, { hangsAfter: 0, ...options, obeys: Duration.infinity })

/**
 * Is never born.
 *
 * @category constructors
 * @since 0.1.0
 */
export const notBorn = (reason: string, options?: Pick<Options, "birth">): Script => ({
  ...make(exited(1), 0, options),
  notBorn: reason
})
