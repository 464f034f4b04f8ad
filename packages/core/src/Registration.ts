/**
 * Decides what may occupy a slot: the data of a registration, and the checks it
 * must pass, in PostgreSQL's order.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { nameProblem, Pid, SlotRef } from "./Identity.ts"
import * as Limits from "./Limits.ts"
import { StartTime } from "./Phase.ts"
import {
  DatabaseNotReady,
  InvalidInterval,
  InvalidLimit,
  InvalidName,
  ParallelRestart,
  type RegistrationErrorReason,
  SharedMemoryRequired
} from "./RegistrationError.ts"
import {
  fromInput,
  type Input as RestartInput,
  isJob,
  maxDelayMillis,
  maxFailures,
  Restart,
  toMillis
} from "./Restart.ts"
import { isHarsher } from "./WorkerSignal.ts"

/**
 * Schema of a worker's flags.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Flag = Schema.Literals(["SharedMemory", "DatabaseConnection"])

/**
 * What a worker asks for.
 *
 * **Details**
 *
 * - `SharedMemory` (`BGWORKER_SHMEM_ACCESS`): the worker is *attached*. It
 *   shares the postmaster's shared state and therefore its crash group: if it
 *   crashes, all attached workers are stopped and started again.
 * - `DatabaseConnection` (`BGWORKER_BACKEND_DATABASE_CONNECTION`): needs
 *   `SharedMemory`, and a start time after `PostmasterStart`.
 *
 * A worker without flags is *isolated*: its crash is its own affair.
 *
 * @category models
 * @since 0.1.0
 */
export type Flag = typeof Flag.Type

/**
 * Schema of an entry: the module and the export that hold a worker's `main`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Entry = Schema.Struct({
  module: Schema.String,
  export: Schema.String
})

/**
 * Where a worker's `main` is found (`bgw_library_name`, `bgw_function_name`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry extends Schema.Schema.Type<typeof Entry> {}

/**
 * Schema of an `Ownership`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Ownership = Schema.Literals(["postmaster", "registrant"])

/**
 * Who a worker belongs to: the postmaster, with which it ends, or whoever has
 * registered it, with whose life it ends even sooner.
 *
 * @category models
 * @since 0.1.0
 */
export type Ownership = typeof Ownership.Type

/**
 * Schema of a `Rung`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Rung = Schema.Struct({
  signal: Schema.Literals(["SIGTERM", "SIGQUIT"]),
  // Infinity is a choice, NaN a mistake that the sanity check must be able to name.
  // @effect-diagnostics-next-line schemaNumber:off
  millis: Schema.Number
})

/**
 * One step of a stop ladder: a signal, and for how long it may be ignored, in
 * milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rung extends Schema.Schema.Type<typeof Rung> {}

/**
 * The signals that ask a worker to end, each with the time for which it may be
 * ignored.
 *
 * **Example** (Ten seconds to finish, two to leave)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 *
 * const Mail = BackgroundWorker.make("mail", {
 *   entry: { module: new URL("./mail.ts", import.meta.url) },
 *   stopLadder: [["SIGTERM", "10 seconds"], ["SIGQUIT", "2 seconds"]]
 * })
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export type StopLadder = ReadonlyArray<readonly [signal: Rung["signal"], ignoredFor: Duration.Input]>

/**
 * A stop ladder as data.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRungs = (self: StopLadder): ReadonlyArray<Rung> =>
  self.map(([signal, ignoredFor]) => ({ signal, millis: toMillis(ignoredFor) }))

/**
 * Schema of a `Policy`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Policy = Schema.Struct({
  restart: Schema.optionalKey(Restart),
  // @effect-diagnostics-next-line schemaNumber:off
  stopTimeoutMillis: Schema.optionalKey(Schema.Number),
  stopLadder: Schema.optionalKey(Schema.Array(Rung))
})

/**
 * What may be changed of a registration while it lasts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy extends Schema.Schema.Type<typeof Policy> {}

/**
 * A policy as a caller writes it; what is not said stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  readonly restart?: RestartInput | undefined
  /** Takes the place of a stop ladder. */
  readonly stopTimeout?: Duration.Input | undefined
  /** Takes the place of a stop timeout. */
  readonly stopLadder?: StopLadder | undefined
}

/**
 * Turns what a caller writes into a policy.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPolicy = ({ restart, stopLadder, stopTimeout }: PolicyOptions): Policy => ({
  ...(restart === undefined ? undefined : { restart: fromInput(restart) }),
  ...(stopTimeout === undefined ? undefined : { stopTimeoutMillis: toMillis(stopTimeout) }),
  ...(stopLadder === undefined ? undefined : { stopLadder: toRungs(stopLadder) })
})

/**
 * Schema of a `Registration`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Registration = Schema.Struct({
  name: Schema.String,
  type: Schema.String,
  entry: Entry,
  /** The arguments in their JSON form (`bgw_main_arg`, `bgw_extra`). */
  args: Schema.Json,
  flags: Schema.Array(Flag),
  class: Schema.optionalKey(Schema.String),
  /** Of all that name the same key, at most one is registered at a time. */
  key: Schema.optionalKey(Schema.String),
  /** Names of what the worker uses and gives up when somebody else needs it. */
  resources: Schema.optionalKey(Schema.Array(Schema.String)),
  startTime: StartTime,
  /** Names of the workers of whom one must be ready before each life of this one begins, as far as there are any. */
  after: Schema.optionalKey(Schema.Array(Schema.String)),
  restart: Restart,
  /** How long SIGTERM may be ignored, in milliseconds; absent: `PostmasterConfig.stopTimeout`. */
  // Infinity is a choice, NaN a mistake that the sanity check must be able to name.
  // @effect-diagnostics-next-line schemaNumber:off
  stopTimeoutMillis: Schema.optionalKey(Schema.Number),
  /** Within how long after its birth each life must be ready, in milliseconds; absent: it may take as long as it likes. */
  // @effect-diagnostics-next-line schemaNumber:off
  readyTimeoutMillis: Schema.optionalKey(Schema.Number),
  /** How long the main loop of a ready worker may be silent, in milliseconds; absent: nobody listens. */
  // @effect-diagnostics-next-line schemaNumber:off
  heartbeatMillis: Schema.optionalKey(Schema.Number),
  /** How long a ready worker may make no progress, in milliseconds; absent: for ever. */
  // @effect-diagnostics-next-line schemaNumber:off
  progressTimeoutMillis: Schema.optionalKey(Schema.Number),
  /** How old a life may grow before another one takes over, in milliseconds; absent: as old as it likes. */
  // @effect-diagnostics-next-line schemaNumber:off
  recycleAfterMillis: Schema.optionalKey(Schema.Number),
  /** What it is held to; absent: nothing of its own. */
  limits: Schema.optionalKey(Limits.Limits),
  /** In the place of SIGTERM and its timeout; SIGKILL comes after the last rung. */
  stopLadder: Schema.optionalKey(Schema.Array(Rung)),
  /** Whether the worker may be made from a spare; absent: yes. */
  spare: Schema.optionalKey(Schema.Boolean),
  /** Who it belongs to; absent: the postmaster. */
  ownership: Schema.optionalKey(Ownership)
})

/**
 * What occupies a slot (PostgreSQL: `BackgroundWorker`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Registration extends Schema.Schema.Type<typeof Registration> {}

/**
 * Schema of a `LifeRef`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LifeRef = Schema.Struct({ ref: SlotRef, pid: Pid })

/**
 * Names one life of a worker, which has another pid than those before and after
 * it.
 *
 * @category models
 * @since 0.1.0
 */
export interface LifeRef extends Schema.Schema.Type<typeof LifeRef> {}

/**
 * Schema of who registers a worker.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Registrant = Schema.Union([Schema.Literals(["Preload", "Application"]), LifeRef])

/**
 * Who registers a worker: the list of preloads before the table is opened
 * (`RegisterBackgroundWorker`), the running application, or a worker
 * (`RegisterDynamicBackgroundWorker`).
 *
 * @category models
 * @since 0.1.0
 */
export type Registrant = typeof Registrant.Type

/**
 * Returns `true` for a worker of the crash group.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isAttached = (self: Registration): boolean => self.flags.includes("SharedMemory")

const checkName = (
  self: Registration,
  field: "name" | "type" | "key"
): RegistrationErrorReason | undefined => {
  const value = self[field]
  if (value === undefined) return undefined
  const detail = nameProblem(value)
  return detail === undefined ? undefined : new InvalidName({ worker: self.name, field, value, detail })
}

const checkRestart = (self: Registration): RegistrationErrorReason | undefined => {
  if (self.restart._tag === "Never") return undefined
  const { delayMillis, giveUp, growth, healthyMillis, thenMillis = [] } = self.restart
  const invalid = (field: InvalidInterval["field"], value: string, detail: string) =>
    new InvalidInterval({ worker: self.name, field, value, detail })
  const longest = Math.max(delayMillis, ...thenMillis)
  const wrong = [delayMillis, ...thenMillis].find((delay) => !(delay >= 0 && delay <= maxDelayMillis))
  if (wrong !== undefined) {
    return invalid("restart interval", `${wrong} ms`, `it must be between 0 and ${maxDelayMillis} ms`)
  }
  if (growth !== undefined) {
    const { factor, jitter, maxMillis } = growth
    if ((thenMillis.at(-1) ?? delayMillis) === 0) {
      return invalid("restart interval", "0 ms", "it must be more than 0 ms to grow")
    }
    if (!(factor >= 1 && factor < Number.POSITIVE_INFINITY)) {
      return invalid("restart factor", `${factor}`, "it must be 1 or more, and finite")
    }
    if (!(maxMillis >= longest && maxMillis <= maxDelayMillis)) {
      const detail = `it must be between the longest other interval, ${longest} ms, and ${maxDelayMillis} ms`
      return invalid("longest restart interval", `${maxMillis} ms`, detail)
    }
    if (!(jitter >= 0 && jitter <= 1)) return invalid("restart jitter", `${jitter}`, "it must be between 0 and 1")
  }
  if (healthyMillis !== undefined && !(healthyMillis >= 0)) {
    return invalid("healthy time", `${healthyMillis} ms`, "it must be 0 ms or more, or infinite")
  }
  if (giveUp !== undefined) {
    const { failures, withinMillis } = giveUp
    if (!(Number.isInteger(failures) && failures >= 1 && failures <= maxFailures)) {
      return invalid("number of failures", `${failures}`, `it must be a whole number between 1 and ${maxFailures}`)
    }
    if (!(withinMillis > 0 && withinMillis <= maxDelayMillis)) {
      return invalid(
        "window of failures",
        `${withinMillis} ms`,
        `it must be more than 0 and at most ${maxDelayMillis} ms`
      )
    }
  }
  return undefined
}

const checkStopTimeout = (self: Registration): RegistrationErrorReason | undefined => {
  const timeout = self.stopTimeoutMillis
  if (timeout === undefined || timeout >= 0) return undefined
  return new InvalidInterval({
    worker: self.name,
    field: "stop timeout",
    value: `${timeout} ms`,
    detail: "it must be 0 ms or more, or infinite"
  })
}

/** Sooner nobody could tell a worker that hangs from one that waits for its turn on a processor. */
const leastWatchMillis = 100

const watches = [
  ["ready timeout", "readyTimeoutMillis"],
  ["heartbeat", "heartbeatMillis"],
  ["progress timeout", "progressTimeoutMillis"],
  ["recycling age", "recycleAfterMillis"]
] as const

const checkWatches = (self: Registration): RegistrationErrorReason | undefined => {
  for (const [field, key] of watches) {
    const millis = self[key]
    if (millis === undefined || (millis >= leastWatchMillis && millis <= maxDelayMillis)) continue
    return new InvalidInterval({
      worker: self.name,
      field,
      value: `${millis} ms`,
      detail: `it must be between ${leastWatchMillis} and ${maxDelayMillis} ms`
    })
  }
  return undefined
}

/**
 * The registration with another policy.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPolicy = (self: Registration, { restart, stopLadder, stopTimeoutMillis }: Policy): Registration => {
  const { stopLadder: _ladder, stopTimeoutMillis: _timeout, ...rest } = self
  const changed = { ...rest, restart: restart ?? self.restart }
  if (stopLadder !== undefined) return { ...changed, stopLadder }
  if (stopTimeoutMillis !== undefined) return { ...changed, stopTimeoutMillis }
  return { ...self, ...changed }
}

const maxRungs = 8

const checkStopLadder = (self: Registration): RegistrationErrorReason | undefined => {
  const ladder = self.stopLadder
  if (ladder === undefined) return undefined
  const invalid = (detail: string) => {
    const value = `[${ladder.map(({ millis, signal }) => `${signal} ${millis} ms`).join(", ")}]`
    return new InvalidInterval({ worker: self.name, field: "stop ladder", value, detail })
  }
  if (ladder.length < 1 || ladder.length > maxRungs) return invalid(`it must have between 1 and ${maxRungs} rungs`)
  if (!ladder.every(({ millis }) => millis >= 0)) return invalid("every time must be 0 ms or more, or infinite")
  if (ladder.some(({ signal }, index) => index > 0 && isHarsher(ladder[index - 1]!.signal, signal))) {
    return invalid("a signal must not be gentler than the one before")
  }
  return undefined
}

/**
 * Returns `true` when two registrations are of the same definition, as far as
 * one can tell: name, type and entry.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isSameDefinition = (self: Registration, that: Registration): boolean =>
  self.name === that.name && self.type === that.type &&
  self.entry.module === that.entry.module && self.entry.export === that.entry.export

/**
 * Checks a registration and returns the first reason to refuse it, or
 * `undefined` (PostgreSQL: `SanityCheckBackgroundWorker`).
 *
 * **Details**
 *
 * The order is fixed: name, type and key, database without shared memory,
 * database at postmaster start, restart policy, stop timeout, stop ladder, ready
 * timeout, heartbeat, progress timeout, recycling age, limits, parallel with restart.
 *
 * @category validation
 * @since 0.1.0
 */
export const sanityCheck = (self: Registration): RegistrationErrorReason | undefined => {
  const invalidName = checkName(self, "name") ?? checkName(self, "type") ?? checkName(self, "key")
  if (invalidName !== undefined) return invalidName
  if (self.flags.includes("DatabaseConnection")) {
    if (!isAttached(self)) return new SharedMemoryRequired({ worker: self.name })
    if (self.startTime === "PostmasterStart") return new DatabaseNotReady({ worker: self.name })
  }
  const invalidInterval = checkRestart(self) ?? checkStopTimeout(self) ?? checkStopLadder(self) ?? checkWatches(self)
  if (invalidInterval !== undefined) return invalidInterval
  const limit = self.limits === undefined ? undefined : Limits.check(self.limits)
  if (limit !== undefined) return new InvalidLimit({ worker: self.name, ...limit })
  if (self.class === "parallel" && !isJob(self.restart)) return new ParallelRestart({ worker: self.name })
  return undefined
}
