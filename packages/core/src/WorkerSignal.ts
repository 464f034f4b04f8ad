/**
 * Decides which signals a worker can be sent, and what each one asks.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Schema of the signals a worker can be sent.
 *
 * **Details**
 *
 * - `SIGTERM` asks the worker to end: its main fiber is interrupted, finalizers
 *   run, exit code 1.
 * - `SIGQUIT` makes it leave at once: no finalizers, exit code 2.
 * - `SIGKILL` ends it and its whole process group without asking.
 * - `SIGHUP` becomes one element of `WorkerContext.reloads`.
 * - `SIGUSR1` sets `WorkerContext.latch`.
 *
 * PostgreSQL: the handlers set up by `BackgroundWorkerMain`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WorkerSignal = Schema.Literals(["SIGTERM", "SIGQUIT", "SIGKILL", "SIGHUP", "SIGUSR1"])

/**
 * A signal a worker can be sent.
 *
 * @category models
 * @since 0.1.0
 */
export type WorkerSignal = typeof WorkerSignal.Type

/**
 * Schema of who receives a signal: the worker's process alone, or its whole
 * process group.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SignalTarget = Schema.Literals(["Process", "Group"])

/**
 * Who receives a signal. `terminate` reaches the process only, shutdown and
 * crash handling the group (PostgreSQL: `signal_child`).
 *
 * @category models
 * @since 0.1.0
 */
export type SignalTarget = typeof SignalTarget.Type

const severity: { readonly [K in WorkerSignal]: number } = { SIGHUP: 0, SIGUSR1: 0, SIGTERM: 1, SIGQUIT: 2, SIGKILL: 3 }

/**
 * Returns `true` when `self` ends a worker more harshly than `that`.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const isHarsher = (self: WorkerSignal, that: WorkerSignal): boolean => severity[self] > severity[that]
