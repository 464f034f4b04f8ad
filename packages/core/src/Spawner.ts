/**
 * Decides what it means to bear a worker: the contract between the postmaster
 * and whatever makes processes, threads or fibers.
 *
 * The contract lies under the loop; implementations stand beside the core
 * (`SpawnerFiber`, `TestSpawner`, `NodeSpawner`), and only applications import
 * them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ExitStatus } from "./ExitStatus.ts"
import type { FramePort } from "./FramePort.ts"
import { type Pid, SlotRef } from "./Identity.ts"
import type { Progress } from "./Progress.ts"
import { Registration } from "./Registration.ts"
import type { SpareLoss } from "./SpareLoss.ts"
import type { SpawnError } from "./SpawnError.ts"
import type { SignalTarget, WorkerSignal } from "./WorkerSignal.ts"

/**
 * Schema of a `Launch`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Launch = Schema.Struct({
  ref: SlotRef,
  registration: Registration,
  /** The span that what the worker traces belongs to. */
  trace: Schema.optionalKey(
    Schema.Struct({ traceId: Schema.String, spanId: Schema.String, sampled: Schema.Boolean })
  )
})

/**
 * The order to bear a worker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Launch extends Schema.Schema.Type<typeof Launch> {}

/**
 * Schema of what a child reports between its birth and its end.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ChildReport = Schema.Literals(["Ready", "Attached", "Detached"])

/**
 * What a child reports between its birth and its end: it is at work, it has
 * joined the shared state, it has left it in good order. Each at most once.
 *
 * @category models
 * @since 0.1.0
 */
export type ChildReport = typeof ChildReport.Type

/**
 * What a child says again and again: its loop runs, or its work has come so far.
 * Of several that nobody has heard yet the newest counts.
 *
 * @category models
 * @since 0.1.0
 */
export type SignOfLife =
  | { readonly _tag: "Beat" }
  | { readonly _tag: "Progress"; readonly progress: Progress }

/**
 * One life of a worker, held by the scope it was born in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Child {
  readonly pid: Pid
  /**
   * Delivers a signal and returns at once; the answer, if there is one, is an
   * exit. Harmless after the end. Never waits for the worker.
   */
  readonly signal: (signal: WorkerSignal, target: SignalTarget) => Effect.Effect<void>
  /** How it ended. Resolves exactly once and never fails. */
  readonly exit: Effect.Effect<ExitStatus>
  /** The last lines it has written to stderr, as `LifeRecord.output` has them. Absent: it has no stderr of its own. */
  readonly output?: () => ReadonlyArray<string>
  /** The line to the worker, from its birth on. What it had sent is heard before `exit` resolves. */
  readonly port: FramePort
  /** Ends a child that has broken the protocol on its port; `exit` is `Lost` then and tells the detail. Returns at once. */
  readonly reject: (detail: string) => void
}

/**
 * A child born ahead of any launch, held by the scope it was born in until a
 * launch takes it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spare {
  readonly pid: Pid
  /** Why it cannot serve any more. Resolves at most once and never fails; not after it was taken. */
  readonly lost: Effect.Effect<SpareLoss>
}

/**
 * Bears workers.
 *
 * **Details**
 *
 * What an implementation owes:
 *
 * - `spawn` returns when the child exists and its pid is known, or fails with a
 *   `SpawnError`. It ends in bounded time, and it decides nothing: restarting
 *   is the postmaster's affair.
 * - What the child reports is passed to `report`, in order, each at most once,
 *   and never after `exit` has resolved. `report` returns at once.
 * - If the registration has a `heartbeatMillis`, the child's main loop gives a
 *   sign every third of it, from `Ready` on, as long as it runs. Signs of life go
 *   through `report`, too. How many a child gives is bounded.
 * - `exit` resolves, whatever the child does.
 * - A signal that arrives before the child listens is not lost.
 * - `spawn` may be given a spare. It makes the child from it if the spare fits
 *   the launch, and the child is then the scope's of `spawn`, no longer the
 *   spare's; otherwise it bears a child as if there were none. Nobody can tell
 *   the two apart but by the time it takes.
 * - A spawner that bears in no time has no `spare`.
 * - The registration's `limits` hold before the worker begins, whatever it is made
 *   from. A limit that cannot be set is a `SpawnError` that names it. A spawner
 *   that contains nothing may leave them out, and says so.
 * - Closing the scope ends the child and everything it has started, and returns
 *   when they are gone. After `exit` it only sweeps up what is left.
 * - What a child sends is decoded before it is believed; a child that sends
 *   nonsense is ended and reported as `Lost`.
 *
 * @category services
 * @since 0.1.0
 */
export class Spawner extends Context.Service<Spawner, {
  readonly spawn: (
    launch: Launch,
    report: (report: ChildReport | SignOfLife) => void,
    spare?: Spare
  ) => Effect.Effect<Child, SpawnError, Scope.Scope>
  /**
   * Bears a spare that has imported these entry modules, as far as they can be
   * imported. Returns when it is ready; may be interrupted until then.
   */
  readonly spare?: (modules: ReadonlyArray<string>) => Effect.Effect<Spare, SpawnError, Scope.Scope>
}>()("@effect-postmaster/core/Spawner") {}
