/**
 * Decides what is kept of a life when it is over: the last word on it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ExitStatus, format as formatExit, Verdict } from "./ExitStatus.ts"
import { Pid } from "./Identity.ts"
import { format as formatCause, StopCause } from "./StopCause.ts"

/**
 * How many lives of a worker are remembered. Older ones are forgotten.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxRemembered = 8

/**
 * Schema of a `LifeRecord`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LifeRecord = Schema.Struct({
  /** Which life of this registration it was, counted from 1. A birth that failed has the number of the life it should have been. */
  life: Schema.Natural,
  /** Absent if it was never born. */
  pid: Schema.optionalKey(Pid),
  status: ExitStatus,
  verdict: Verdict,
  /** Who had told it to end; absent if nobody had. */
  stopCause: Schema.optionalKey(StopCause),
  /** When it was born, in milliseconds since the epoch. */
  startedAt: Schema.optionalKey(Schema.Finite),
  /** When it ended, in milliseconds since the epoch. */
  endedAt: Schema.Finite,
  /** When the next one was to begin, in milliseconds since the epoch; absent if there was to be none, or none before recovery. */
  nextStartAt: Schema.optionalKey(Schema.Finite),
  /** The last lines it wrote to stderr, the newest last: at most 10 of at most 500 characters. */
  output: Schema.Array(Schema.String)
})

/**
 * One life that is over, or a birth that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface LifeRecord extends Schema.Schema.Type<typeof LifeRecord> {}

/**
 * How long the life lasted, in milliseconds; 0 if it was never born.
 *
 * @category getters
 * @since 0.1.0
 */
export const uptimeMillis = ({ endedAt, startedAt }: LifeRecord): number =>
  startedAt === undefined ? 0 : endedAt - startedAt

/**
 * Writes a record as half a sentence: how it ended, after how long, and who had
 * told it to.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (self: LifeRecord): string =>
  formatExit(self.status) +
  (self.startedAt === undefined ? "" : ` after ${Math.round(uptimeMillis(self))} ms`) +
  (self.stopCause === undefined ? "" : ` (${formatCause(self.stopCause)})`)

/**
 * Moves a record to another reckoning of time.
 *
 * @internal
 */
export const shift = (self: LifeRecord, millis: number): LifeRecord => ({
  ...self,
  ...(self.startedAt === undefined ? undefined : { startedAt: self.startedAt + millis }),
  endedAt: self.endedAt + millis,
  ...(self.nextStartAt === undefined ? undefined : { nextStartAt: self.nextStartAt + millis })
})
