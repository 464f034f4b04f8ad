/**
 * Decides what onlookers see of the table (PostgreSQL: `pg_stat_activity`).
 * A snapshot is plain data: it can be sent, stored and compared.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ExitStatus } from "./ExitStatus.ts"
import { Pid, SlotRef } from "./Identity.ts"
import { LifeRecord } from "./LifeRecord.ts"
import { Phase, ShutdownMode, StartTime } from "./Phase.ts"
import { ProgressSeen } from "./Progress.ts"
import { Policy } from "./Registration.ts"
import { Restart } from "./Restart.ts"

/**
 * Schema of what a slot's worker is doing.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WorkerState = Schema.Literals(["Waiting", "Starting", "Started", "Ready", "Stopping", "Resting", "Parked"])

/**
 * What a worker is doing: waiting for its phase or its turn, being born, born,
 * at work, told to stop, resting until its restart is due, or given up until it
 * is resumed.
 *
 * @category models
 * @since 0.1.0
 */
export type WorkerState = typeof WorkerState.Type

/**
 * Schema of a `WorkerSnapshot`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WorkerSnapshot = Schema.Struct({
  ref: SlotRef,
  name: Schema.String,
  type: Schema.String,
  class: Schema.optionalKey(Schema.String),
  key: Schema.optionalKey(Schema.String),
  attached: Schema.Boolean,
  startTime: StartTime,
  /** Its policy as it is now. */
  ...Policy.fields,
  restart: Restart,
  state: WorkerState,
  pid: Schema.optionalKey(Pid),
  /** How many lives have begun after the first. */
  restarts: Schema.Natural,
  /** Milliseconds since the epoch. */
  registeredAt: Schema.Finite,
  /** When the present life began, in milliseconds since the epoch. */
  startedAt: Schema.optionalKey(Schema.Finite),
  /** When the next life may begin, in milliseconds since the epoch. */
  nextStartAt: Schema.optionalKey(Schema.Finite),
  /** The name of the workers of whom one must be ready before it starts. */
  waitingFor: Schema.optionalKey(Schema.String),
  /** How far its work has come in the present life, by its own last word. */
  progress: Schema.optionalKey(ProgressSeen),
  lastExit: Schema.optionalKey(ExitStatus),
  /** All there is to say of the life that ended last, or of the birth that failed. */
  lastLife: Schema.optionalKey(LifeRecord)
})

/**
 * One worker as onlookers see it.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerSnapshot extends Schema.Schema.Type<typeof WorkerSnapshot> {}

/**
 * Schema of a `SpareSnapshot`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpareSnapshot = Schema.Struct({
  spare: Schema.Natural,
  state: Schema.Literals(["Starting", "Ready"]),
  pid: Schema.optionalKey(Pid),
  /** When it was begun, in milliseconds since the epoch. */
  since: Schema.Finite
})

/**
 * One spare as onlookers see it: a process that stands ready for a launch, and
 * no worker.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpareSnapshot extends Schema.Schema.Type<typeof SpareSnapshot> {}

/**
 * Schema of a `Breaker`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Breaker = Schema.Struct({
  /** How many recoveries have followed each other closely, the one under way included. */
  recoveries: Schema.Natural,
  /** When the shared state will be rebuilt, if that is being held back, in milliseconds since the epoch. */
  nextAt: Schema.optionalKey(Schema.Finite),
  /** From when on a crash is not the same trouble any more, in milliseconds since the epoch. */
  healthyAt: Schema.optionalKey(Schema.Finite)
})

/**
 * What damps the recoveries of the attached workers: the first is begun at
 * once, those that follow each other within a minute after 0.1 seconds, 0.2
 * seconds and so on up to 10 seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Breaker extends Schema.Schema.Type<typeof Breaker> {}

/**
 * Schema of a `PostmasterSnapshot`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PostmasterSnapshot = Schema.Struct({
  phase: Phase,
  shutdown: Schema.optionalKey(ShutdownMode),
  /** True between a crash of the attached workers and the end of recovery (`FatalError`). */
  recovering: Schema.Boolean,
  /** What damps recoveries that follow each other closely. */
  breaker: Breaker,
  maxWorkers: Schema.Natural,
  freeSlots: Schema.Natural,
  /** How many registrations wait for a slot (`Postmaster.registerWithin`). */
  waiting: Schema.Natural,
  /** In the order of their slots. */
  workers: Schema.Array(WorkerSnapshot),
  /** In the order of their births. They take no slots. */
  spares: Schema.Array(SpareSnapshot),
  /** When the next spare may be begun, if one is missing and nobody else is being born, in milliseconds since the epoch. */
  nextSpareAt: Schema.optionalKey(Schema.Finite)
})

/**
 * The whole table at one moment.
 *
 * **Details**
 *
 * It never changes. A worker of which there is nothing new is the same object
 * in the next one, so two of them are soon compared.
 *
 * @category models
 * @since 0.1.0
 */
export interface PostmasterSnapshot extends Schema.Schema.Type<typeof PostmasterSnapshot> {}
