/**
 * By when a life must give a sign, and how long it is waited for beyond that.
 * Plain arithmetic.
 *
 * A limit that has passed is looked at twice. Whoever looks may have been kept
 * from listening until this very moment, and what the worker has said lies
 * unread: timers come before sockets. So there is always time to read once more,
 * and as much of it as the look came late.
 */
import type { Missed } from "../Missed.ts"
import type { Registration } from "../Registration.ts"

/** What is known of a life. */
export interface Signs {
  readonly startedAt: number
  readonly ready: boolean
  /** When its main loop, and its work, were last known to go on. */
  readonly heardAt: number
  readonly workedAt: number
}

export interface Limit {
  readonly missed: Missed
  /** From when on it is waited for. */
  readonly since: number
  readonly at: number
}

type Watched = Pick<Registration, "readyTimeoutMillis" | "heartbeatMillis" | "progressTimeoutMillis">

const limit = (missed: Missed, since: number, millis: number | undefined): Limit | undefined =>
  millis === undefined ? undefined : { missed, since, at: since + millis }

const earlier = (self: Limit | undefined, that: Limit | undefined): Limit | undefined =>
  self === undefined || (that !== undefined && that.at < self.at) ? that : self

/** The next sign that is due, if any is asked for. */
export const nextLimit = (
  { heartbeatMillis, progressTimeoutMillis, readyTimeoutMillis }: Watched,
  { heardAt, ready, startedAt, workedAt }: Signs
): Limit | undefined =>
  ready
    ? earlier(
      limit("Heartbeat", heardAt, heartbeatMillis),
      limit("Progress", workedAt, progressTimeoutMillis)
    )
    : limit("Ready", startedAt, readyTimeoutMillis)

const leastGraceMillis = 50

/** How much longer is waited by whoever finds a limit passed: a twentieth of it at least, and not more than all of it. */
export const grace = ({ at, since }: Limit, now: number): number => {
  const whole = at - since
  return Math.min(whole, Math.max(now - at, Math.min(leastGraceMillis, whole / 20)))
}
