/**
 * Decides the order of the postmaster's life: its phases, which workers may
 * start in which phase, and which shutdown request overtakes which.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const phases = ["Init", "Startup", "Consistent", "Run", "Waiting", "Halted"] as const

/**
 * Schema of the postmaster's phases, in their order.
 *
 * **Details**
 *
 * | phase | PostgreSQL | meaning |
 * | --- | --- | --- |
 * | `Init` | `PM_INIT` | preloaded workers are being registered; nothing starts |
 * | `Startup` | `PM_STARTUP`, `PM_RECOVERY` | the startup effect runs |
 * | `Consistent` | `PM_HOT_STANDBY` | the startup effect has reached its consistent point |
 * | `Run` | `PM_RUN` | normal running, and smart shutdown while jobs are left |
 * | `Waiting` | `PM_WAIT_BACKENDS` | everyone concerned has been told to stop; waiting for the last |
 * | `Halted` | `PM_NO_CHILDREN` | no child is left, the loop has ended |
 *
 * @category schemas
 * @since 0.1.0
 */
export const Phase = Schema.Literals(phases)

/**
 * A phase of the postmaster.
 *
 * @category models
 * @since 0.1.0
 */
export type Phase = typeof Phase.Type

const rank: { readonly [K in Phase]: number } = { Init: 0, Startup: 1, Consistent: 2, Run: 3, Waiting: 4, Halted: 5 }

/**
 * Returns `true` when phase `self` comes before phase `that`.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const isBefore = (self: Phase, that: Phase): boolean => rank[self] < rank[that]

/**
 * Schema of the moments at which a worker may start for the first time.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StartTime = Schema.Literals(["PostmasterStart", "ConsistentState", "RecoveryFinished"])

/**
 * When a worker may start: as soon as the postmaster is up, once the startup
 * effect is consistent, or once it is finished (PostgreSQL: `BgWorkerStartTime`).
 *
 * @category models
 * @since 0.1.0
 */
export type StartTime = typeof StartTime.Type

/**
 * The start times that a phase allows (PostgreSQL: `bgworker_should_start_now`).
 *
 * @category ordering
 * @since 0.1.0
 */
export const openStartTimes: { readonly [K in Phase]: ReadonlyArray<StartTime> } = {
  Init: [],
  Startup: ["PostmasterStart"],
  Consistent: ["PostmasterStart", "ConsistentState"],
  Run: ["PostmasterStart", "ConsistentState", "RecoveryFinished"],
  Waiting: [],
  Halted: []
}

/**
 * Schema of the shutdown modes, from gentle to harsh.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ShutdownMode = Schema.Literals(["Smart", "Fast", "Immediate"])

/**
 * How the postmaster shuts down.
 *
 * **Details**
 *
 * - `Smart`: workers that never restart (jobs) are waited for and may still be
 *   registered; then the others are asked to stop.
 * - `Fast`: everyone is asked to stop now, and killed after its `stopTimeout`.
 * - `Immediate`: everyone leaves at once without finalizers, and is killed
 *   after `killAfter`.
 *
 * PostgreSQL: `process_pm_shutdown_request`.
 *
 * @category models
 * @since 0.1.0
 */
export type ShutdownMode = typeof ShutdownMode.Type

const severity: { readonly [K in ShutdownMode]: number } = { Smart: 1, Fast: 2, Immediate: 3 }

/**
 * Returns `true` when a request for `self` overtakes a shutdown in mode `that`.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const overtakes = (self: ShutdownMode, that: ShutdownMode | undefined): boolean =>
  that === undefined || severity[self] > severity[that]
