/**
 * Decides how a registration can be refused.
 *
 * `RegistrationError` wraps a tagged `reason`; recover from one reason with
 * `Effect.catchReason`. Every message names the worker and the value that is
 * wrong. A refused registration has taken no slot and changed no generation.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { formatRef, SlotRef } from "./Identity.ts"
import { LimitName } from "./Limits.ts"
import { Phase } from "./Phase.ts"

/**
 * The postmaster takes no registrations: its table does not exist yet, it has
 * halted, or a preload came too late.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAccepting extends Schema.TaggedError<NotAccepting>(
  "@effect-postmaster/core/RegistrationError/NotAccepting"
)("NotAccepting", {
  worker: Schema.String,
  phase: Phase,
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot register background worker "${this.worker}" in phase ${this.phase}: ${this.detail}`
  }
}

/**
 * The worker cannot be replaced: it is gone, has been told to end for good, or
 * is being replaced already.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReplaceable extends Schema.TaggedError<NotReplaceable>(
  "@effect-postmaster/core/RegistrationError/NotReplaceable"
)("NotReplaceable", {
  worker: Schema.String,
  ref: SlotRef,
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot replace background worker "${this.worker}" (${formatRef(this.ref)}): ${this.detail}`
  }
}

/**
 * The worker would have to start after itself, by way of those already
 * registered.
 *
 * @category errors
 * @since 0.1.0
 */
export class StartOrderCycle extends Schema.TaggedError<StartOrderCycle>(
  "@effect-postmaster/core/RegistrationError/StartOrderCycle"
)("StartOrderCycle", {
  worker: Schema.String,
  /** Each starts after the next; the first and the last are the worker. */
  road: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `background worker "${this.worker}" would start after itself: ` +
      this.road.map((name) => `"${name}"`).join(" after ")
  }
}

/**
 * The definition is not what its type says; only a caller without types can
 * make one.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidDefinition extends Schema.TaggedError<InvalidDefinition>(
  "@effect-postmaster/core/RegistrationError/InvalidDefinition"
)("InvalidDefinition", {
  worker: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": invalid definition: ${this.detail}`
  }
}

/**
 * The worker's name, type or key is empty, longer than 95 bytes, or not printable.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidName extends Schema.TaggedError<InvalidName>(
  "@effect-postmaster/core/RegistrationError/InvalidName"
)("InvalidName", {
  worker: Schema.String,
  field: Schema.Literals(["name", "type", "key"]),
  value: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": invalid ${this.field} ${JSON.stringify(this.value)}, ${this.detail}`
  }
}

/**
 * `DatabaseConnection` was asked for without `SharedMemory`.
 *
 * @category errors
 * @since 0.1.0
 */
export class SharedMemoryRequired extends Schema.TaggedError<SharedMemoryRequired>(
  "@effect-postmaster/core/RegistrationError/SharedMemoryRequired"
)("SharedMemoryRequired", {
  worker: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": must attach to shared memory in order to request a database connection`
  }
}

/**
 * `DatabaseConnection` was asked for with start time `PostmasterStart`.
 *
 * @category errors
 * @since 0.1.0
 */
export class DatabaseNotReady extends Schema.TaggedError<DatabaseNotReady>(
  "@effect-postmaster/core/RegistrationError/DatabaseNotReady"
)("DatabaseNotReady", {
  worker: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": cannot request database access if starting at postmaster start`
  }
}

/**
 * A number of the restart policy, the stop timeout or ladder, or a deadline cannot
 * be used: mostly a duration that cannot be waited for.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidInterval extends Schema.TaggedError<InvalidInterval>(
  "@effect-postmaster/core/RegistrationError/InvalidInterval"
)("InvalidInterval", {
  worker: Schema.String,
  field: Schema.Literals([
    "restart interval",
    "longest restart interval",
    "restart factor",
    "restart jitter",
    "healthy time",
    "number of failures",
    "window of failures",
    "stop timeout",
    "stop ladder",
    "ready timeout",
    "heartbeat",
    "progress timeout",
    "recycling age"
  ]),
  value: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": invalid ${this.field} ${this.value}, ${this.detail}`
  }
}

/**
 * A limit cannot be kept: no such number, or one that no worker could live with.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidLimit extends Schema.TaggedError<InvalidLimit>(
  "@effect-postmaster/core/RegistrationError/InvalidLimit"
)("InvalidLimit", {
  worker: Schema.String,
  limit: LimitName,
  value: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": invalid limit ${this.limit} ${this.value}, ${this.detail}`
  }
}

/**
 * A worker of class `"parallel"` asked to be restarted.
 *
 * @category errors
 * @since 0.1.0
 */
export class ParallelRestart extends Schema.TaggedError<ParallelRestart>(
  "@effect-postmaster/core/RegistrationError/ParallelRestart"
)("ParallelRestart", {
  worker: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": parallel workers may not be configured for restart`
  }
}

/**
 * The arguments do not fit the worker's `args` schema.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidArguments extends Schema.TaggedError<InvalidArguments>(
  "@effect-postmaster/core/RegistrationError/InvalidArguments"
)("InvalidArguments", {
  worker: Schema.String,
  value: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.worker}": invalid arguments ${this.value}: ${this.detail}`
  }
}

/** How long the request has waited for a slot in vain, in milliseconds (`Postmaster.registerWithin`). */
const waitedMillis = Schema.optionalKey(Schema.Finite)

const showWait = ({ waitedMillis }: { readonly waitedMillis?: number }): string =>
  waitedMillis === undefined ? "" : `; waited ${Math.round(waitedMillis)} ms for it`

/**
 * As many workers of the class are registered as its limit allows.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClassLimitReached extends Schema.TaggedError<ClassLimitReached>(
  "@effect-postmaster/core/RegistrationError/ClassLimitReached"
)("ClassLimitReached", {
  worker: Schema.String,
  class: Schema.String,
  limit: Schema.Natural,
  waitedMillis
}) {
  override get message(): string {
    return `background worker "${this.worker}": class "${this.class}" has reached its limit of ${this.limit}` +
      showWait(this)
  }
}

/**
 * Schema of whoever is in the way of a registration.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Occupant = Schema.Struct({
  ref: SlotRef,
  name: Schema.String,
  state: Schema.String,
  /** How long ago it was registered, in milliseconds. */
  ageMillis: Schema.Finite
})

/**
 * Who holds a slot, and what it is doing there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Occupant extends Schema.Schema.Type<typeof Occupant> {}

const showOccupant = ({ ageMillis, name, ref, state }: Occupant): string =>
  `"${name}" (slot ${ref.slot}, ${state}, ${Math.floor(ageMillis / 1000)} s old)`

/**
 * The key is held by a worker of another definition, or by one that has been
 * told to end for good and has not ended yet.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyTaken extends Schema.TaggedError<KeyTaken>(
  "@effect-postmaster/core/RegistrationError/KeyTaken"
)("KeyTaken", {
  worker: Schema.String,
  key: Schema.String,
  occupant: Occupant,
  /** Whether the key comes free as soon as the occupant has ended. */
  isEnding: Schema.Boolean,
  waitedMillis
}) {
  override get message(): string {
    return `background worker "${this.worker}": key ${JSON.stringify(this.key)} is held by ` +
      `${showOccupant(this.occupant)}, ${this.isEnding ? "which has not ended yet" : "which is another worker"}` +
      showWait(this)
  }
}

const maxNamed = 8

/**
 * Every slot is taken, or kept for another class. `occupants` tells by whom
 * (the first 64 slots).
 *
 * @category errors
 * @since 0.1.0
 */
export class SlotsExhausted extends Schema.TaggedError<SlotsExhausted>(
  "@effect-postmaster/core/RegistrationError/SlotsExhausted"
)("SlotsExhausted", {
  worker: Schema.String,
  maxWorkers: Schema.Natural,
  occupants: Schema.Array(Occupant),
  /** How many slots are free, and kept for other classes (`PostmasterConfig.reservedSlots`). */
  reserved: Schema.optionalKey(Schema.Natural),
  waitedMillis
}) {
  override get message(): string {
    const named = this.occupants.slice(0, maxNamed).map(showOccupant)
    const { maxWorkers, reserved = 0 } = this
    const more = maxWorkers - reserved - named.length
    const taken = reserved > 0
      ? `of ${maxWorkers} slots ${reserved} are kept for other classes, and the others are taken`
      : maxWorkers === 1
      ? "the only slot is taken"
      : `all ${maxWorkers} slots are taken`
    return `background worker "${this.worker}": ${taken}` +
      (named.length === 0 ? "" : `, by ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`) +
      `; consider a larger PostmasterConfig.maxWorkers` + showWait(this)
  }
}

/**
 * The registration whose policy was to be changed has ended.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRegistered extends Schema.TaggedError<NotRegistered>(
  "@effect-postmaster/core/RegistrationError/NotRegistered"
)("NotRegistered", {
  worker: Schema.String,
  ref: SlotRef
}) {
  override get message(): string {
    return `background worker "${this.worker}" (${formatRef(this.ref)}) is not registered any more`
  }
}

/**
 * Schema of the reasons a registration can be refused.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RegistrationErrorReason = Schema.Union([
  NotAccepting,
  NotReplaceable,
  InvalidDefinition,
  InvalidName,
  SharedMemoryRequired,
  DatabaseNotReady,
  InvalidInterval,
  InvalidLimit,
  ParallelRestart,
  InvalidArguments,
  StartOrderCycle,
  KeyTaken,
  ClassLimitReached,
  SlotsExhausted,
  NotRegistered
])

/**
 * Why a registration was refused.
 *
 * @category errors
 * @since 0.1.0
 */
export type RegistrationErrorReason = typeof RegistrationErrorReason.Type

/**
 * A registration was refused.
 *
 * **Details**
 *
 * The checks run in PostgreSQL's order and the first that fails is the one
 * reported: `NotAccepting`, `NotReplaceable`, `InvalidDefinition`, `InvalidName`,
 * `SharedMemoryRequired`, `DatabaseNotReady`, `InvalidInterval`, `InvalidLimit`, `ParallelRestart`,
 * `InvalidArguments`, `StartOrderCycle`,
 * `ClassLimitReached`, `SlotsExhausted` (`SanityCheckBackgroundWorker`, then
 * `RegisterDynamicBackgroundWorker`).
 *
 * @category errors
 * @since 0.1.0
 */
export class RegistrationError extends Schema.TaggedError<RegistrationError>(
  "@effect-postmaster/core/RegistrationError/RegistrationError"
)("RegistrationError", {
  reason: RegistrationErrorReason
}) {
  override get message(): string {
    return this.reason.message
  }
}
