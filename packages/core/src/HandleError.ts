/**
 * Decides how waiting for a worker can fail. Callers treat the two cases
 * differently, so they are two errors: the worker is not running, or nobody can
 * tell any more.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ExitStatus, format } from "./ExitStatus.ts"
import { formatRef, SlotRef } from "./Identity.ts"
import { format as formatLife, LifeRecord } from "./LifeRecord.ts"
import { WorkerAddress } from "./WorkerAddress.ts"
import { WorkerStatus } from "./WorkerStatus.ts"

/**
 * The worker is not running: it was refused, has ended, is between two lives, or
 * was given up.
 *
 * @category errors
 * @since 0.1.0
 */
export class WorkerStopped extends Schema.TaggedError<WorkerStopped>(
  "@effect-postmaster/core/HandleError/WorkerStopped"
)("WorkerStopped", {
  name: Schema.String,
  ref: SlotRef,
  lastExit: Schema.optionalKey(ExitStatus),
  /** All there is to say of the life that ended: who had told it to, how long it lasted, its last lines. */
  lastLife: Schema.optionalKey(LifeRecord),
  /** Whether it comes back of itself, so that whoever waits for its next life does not wait in vain. */
  isRetryable: Schema.Boolean
}) {
  override get message(): string {
    return `background worker "${this.name}" (${formatRef(this.ref)}) is stopped` +
      (this.lastLife !== undefined
        ? `, it ${formatLife(this.lastLife)}`
        : this.lastExit === undefined
        ? ""
        : `, it ${format(this.lastExit)}`)
  }
}

/**
 * The worker did not become ready within the time it was waited for. It may yet.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotReadyInTime extends Schema.TaggedError<NotReadyInTime>(
  "@effect-postmaster/core/HandleError/NotReadyInTime"
)("NotReadyInTime", {
  name: Schema.String,
  ref: SlotRef,
  timeoutMillis: Schema.Finite,
  /** What it did when the time was over. */
  status: WorkerStatus,
  /** The last life that is over, or birth that failed, with the worker's own error. */
  lastLife: Schema.optionalKey(LifeRecord)
}) {
  override get message(): string {
    const doing = this.status._tag === "NotYetStarted"
      ? "has not started yet"
      : "runs, and has not said that it is ready"
    return `background worker "${this.name}" (${formatRef(this.ref)}) was not ready within ${this.timeoutMillis} ms: ` +
      `it ${doing}` + (this.lastLife === undefined ? "" : `; before, it ${formatLife(this.lastLife)}`)
  }
}

/**
 * The postmaster died or shut down abnormally, so nothing can be said about its
 * workers (PostgreSQL: `BGWH_POSTMASTER_DIED`).
 *
 * @category errors
 * @since 0.1.0
 */
export class PostmasterDied extends Schema.TaggedError<PostmasterDied>(
  "@effect-postmaster/core/HandleError/PostmasterDied"
)("PostmasterDied", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the postmaster died: ${this.detail}`
  }
}

/**
 * The address names a worker of another postmaster, of which nothing is known
 * here: one in another application, or the former one of this application.
 *
 * @category errors
 * @since 0.1.0
 */
export class ForeignAddress extends Schema.TaggedError<ForeignAddress>(
  "@effect-postmaster/core/HandleError/ForeignAddress"
)("ForeignAddress", {
  address: WorkerAddress,
  postmaster: Schema.String
}) {
  override get message(): string {
    return `background worker "${this.address.name}" was registered with postmaster ${this.address.postmaster}, ` +
      `and this is ${this.postmaster}`
  }
}
