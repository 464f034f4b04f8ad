/**
 * Decides what the postmaster tells people: which events there are, and the
 * log line of each with its level. Words and levels are PostgreSQL's where
 * PostgreSQL has the event.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type ExitError, ExitStatus, format, Verdict } from "./ExitStatus.ts"
import { Pid, SlotRef } from "./Identity.ts"
import * as Missed from "./Missed.ts"
import { Phase, ShutdownMode } from "./Phase.ts"
import * as Progress from "./Progress.ts"
import { Policy } from "./Registration.ts"
import { SpareLoss } from "./SpareLoss.ts"
import { SpawnError } from "./SpawnError.ts"
import { StopCause } from "./StopCause.ts"
import { SignalTarget, WorkerSignal } from "./WorkerSignal.ts"

/**
 * Schema of the reasons a registration ends.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UnregisterReason = Schema.Literals([
  "Done",
  "NeverRestarts",
  "GaveUp",
  "NotReplaced",
  "Terminated",
  "ShuttingDown",
  "Crash"
])

/**
 * Why a registration ended: its work is done, it failed and never restarts, it
 * failed too often, it was to replace another one and did not become ready, it
 * was terminated, the postmaster shuts down, or a crash of
 * the attached workers took it along.
 *
 * @category models
 * @since 0.1.0
 */
export type UnregisterReason = typeof UnregisterReason.Type

const worker = { ref: SlotRef, name: Schema.String, type: Schema.String }

/**
 * Schema of a `PostmasterEvent`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PostmasterEvent = Schema.TaggedUnion({
  Registered: worker,
  Unregistered: { ...worker, reason: UnregisterReason },
  /** `spare` is the number of the spare it is made from, if there is one. */
  Starting: { ...worker, spare: Schema.optionalKey(Schema.Natural) },
  Started: { ...worker, pid: Pid },
  Ready: { ...worker, pid: Pid },
  /** It has said how far it has come; a few times a second at most. */
  Progressed: { ...worker, pid: Pid, progress: Progress.Progress },
  /** A sign was waited for in vain for `afterMillis`, so it is killed. */
  Hung: { ...worker, pid: Pid, missed: Missed.Missed, afterMillis: Schema.Finite },
  /** A birth failed; `nextStartInMillis` is absent if there will be no other. */
  NotStarted: {
    ...worker,
    error: SpawnError,
    stopCause: Schema.optionalKey(StopCause),
    nextStartInMillis: Schema.optionalKey(Schema.Finite)
  },
  SignalSent: {
    ...worker,
    pid: Pid,
    signal: WorkerSignal,
    target: SignalTarget,
    stopCause: Schema.optionalKey(StopCause)
  },
  /** A life ended; `nextStartInMillis` is absent if there will be no other, or none before recovery. */
  Exited: {
    ...worker,
    pid: Pid,
    status: ExitStatus,
    verdict: Verdict,
    /** The signal by which the postmaster had asked it to end. */
    told: Schema.optionalKey(WorkerSignal),
    /** Why it had. */
    stopCause: Schema.optionalKey(StopCause),
    nextStartInMillis: Schema.optionalKey(Schema.Finite)
  },
  /** `successor` is to take its place when it is ready. */
  Replacing: { ...worker, successor: SlotRef },
  /** It has failed so often within so long that it is given up until it is resumed. */
  Parked: { ...worker, failures: Schema.Natural, withinMillis: Schema.Finite },
  /** Its policy is another from now on, as far as it is said here. */
  PolicyChanged: { ...worker, policy: Policy },
  /** Somebody wants it to start now, with a clean count: it was parked, or at rest. */
  Resumed: worker,
  /** A process is being made ready ahead of any launch. It is no worker. */
  SpareStarting: { spare: Schema.Natural },
  SpareReady: { spare: Schema.Natural, pid: Pid },
  /** A spare cannot serve any more; the next one is begun after `nextStartInMillis` at the earliest. */
  SpareLost: {
    spare: Schema.Natural,
    loss: SpareLoss,
    nextStartInMillis: Schema.Finite
  },
  /** The postmaster shuts down and ends a spare that was not used. */
  SpareEnded: { spare: Schema.Natural },
  PhaseReached: { phase: Phase },
  ReloadRequested: {},
  ShutdownRequested: { mode: ShutdownMode },
  /** An attached worker crashed; every other attached worker is stopped. */
  CrashDetected: worker,
  /** A deadline has passed; whoever is left is killed. */
  KillIssued: {},
  /** The crash group is empty; its shared state is rebuilt after `delayMillis`. */
  Reinitializing: { delayMillis: Schema.Finite },
  Halted: { abnormal: Schema.Boolean, detail: Schema.optionalKey(Schema.String) },
  /** In the place of so many events that this reader was too slow for. No other reader sees it, nor does the log. */
  EventsLost: { count: Schema.Natural }
})

/**
 * What happened, as an onlooker sees it.
 *
 * @category models
 * @since 0.1.0
 */
export type PostmasterEvent = typeof PostmasterEvent.Type

/**
 * One line of the log.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogLine {
  readonly level: "Debug" | "Info" | "Warn" | "Error"
  readonly message: string
}

const debug = (message: string): LogLine => ({ level: "Debug", message })
const info = (message: string): LogLine => ({ level: "Info", message })
const warn = (message: string): LogLine => ({ level: "Warn", message })

const again = (millis: number | undefined): string => millis === undefined ? "" : `; next start in ${millis} ms`

const isStartFailure = ({ error }: { readonly error?: ExitError }): boolean =>
  error !== undefined && error.kind !== "Failure" && error.kind !== "Defect" && error.kind !== "Interrupted"

const shutdownWords: { readonly [K in ShutdownMode]: string } = {
  Smart: "received smart shutdown request",
  Fast: "received fast shutdown request",
  Immediate: "received immediate shutdown request"
}

const isHung = (cause: StopCause | undefined): boolean =>
  cause === "NotReady" || cause === "NoHeartbeat" || cause === "NoProgress"

const phaseLine = (phase: Phase): LogLine => {
  switch (phase) {
    case "Consistent":
      return info("postmaster is ready to run workers that need a consistent state")
    case "Run":
      return info("postmaster is ready to run workers")
    case "Init":
    case "Startup":
    case "Waiting":
    case "Halted":
      return debug(`updating phase to ${phase}`)
  }
}

/**
 * Writes an event as a line of the log. PostgreSQL's `DEBUG1` is `Debug`, its
 * `LOG` is `Info`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const logLine = (event: PostmasterEvent): LogLine => {
  switch (event._tag) {
    case "Registered":
      return debug(`registering background worker "${event.name}"`)
    case "Unregistered":
      return (event.reason === "GaveUp" || event.reason === "NotReplaced" ? warn : debug)(
        `unregistering background worker "${event.name}" (${event.reason})`
      )
    case "Starting":
      return debug(
        `starting background worker process "${event.name}"${
          event.spare === undefined ? "" : ` from spare ${event.spare}`
        }`
      )
    case "Started":
      return debug(`background worker "${event.type}" (PID ${event.pid}) started`)
    case "Ready":
      return debug(`background worker "${event.type}" (PID ${event.pid}) is ready`)
    case "Progressed":
      return debug(
        `background worker "${event.type}" (PID ${event.pid}) progresses: ${Progress.format(event.progress)}`
      )
    case "Hung":
      return warn(
        `background worker "${event.type}" (PID ${event.pid}) ${
          Missed.format(event.missed)
        } for ${event.afterMillis} ms; it is killed`
      )
    case "NotStarted":
      return warn(`${event.error.message}${again(event.nextStartInMillis)}`)
    case "SignalSent":
      // That it hangs has been told.
      return event.signal === "SIGKILL" && !isHung(event.stopCause)
        ? warn(`background worker "${event.type}" (PID ${event.pid}) did not stop in time; sent SIGKILL`)
        : debug(`sent ${event.signal} to background worker "${event.type}" (PID ${event.pid})`)
    case "Exited": {
      const message = `background worker "${event.type}" (PID ${event.pid}) ${format(event.status)}` +
        again(event.nextStartInMillis)
      // Those who die of the postmaster's own SIGQUIT or SIGKILL are no news.
      const expected = event.verdict === "Done" || event.verdict === "Again" || event.told === "SIGQUIT" ||
        event.told === "SIGKILL"
      if (expected) return debug(message)
      // A worker that cannot even begin is a mistake in the program.
      if (event.status._tag === "Exited" && isStartFailure(event.status)) return warn(message)
      return event.verdict === "Failed" ? info(message) : warn(message)
    }
    case "Parked":
      return warn(
        `background worker "${event.type}" failed ${event.failures} times within ${event.withinMillis} ms; ` +
          `"${event.name}" is parked until it is resumed`
      )
    case "Replacing":
      return info(
        `replacing background worker "${event.name}" in slot ${event.ref.slot} from slot ${event.successor.slot}`
      )
    case "PolicyChanged":
      return info(`changing ${Object.keys(event.policy).join(", ") || "nothing"} of background worker "${event.name}"`)
    case "Resumed":
      return info(`resuming background worker "${event.name}"`)
    case "SpareStarting":
      return debug(`starting spare ${event.spare}`)
    case "SpareReady":
      return debug(`spare ${event.spare} (PID ${event.pid}) is ready`)
    case "SpareLost":
      return event.loss.cause === "Outdated"
        ? debug(`spare ${event.spare} is outdated: ${event.loss.detail}`)
        : warn(`spare ${event.spare} was lost: ${event.loss.detail}${again(event.nextStartInMillis)}`)
    case "SpareEnded":
      return debug(`ending spare ${event.spare}`)
    case "PhaseReached":
      return phaseLine(event.phase)
    case "ReloadRequested":
      return info("received reload request")
    case "ShutdownRequested":
      return info(shutdownWords[event.mode])
    case "CrashDetected":
      return warn(`background worker "${event.type}" crashed; terminating any other attached workers`)
    case "KillIssued":
      return warn("issuing SIGKILL to recalcitrant children")
    case "Reinitializing":
      return warn(
        event.delayMillis > 0
          ? `all attached workers terminated; reinitializing in ${event.delayMillis} ms`
          : "all attached workers terminated; reinitializing"
      )
    case "Halted":
      return event.abnormal
        ? { level: "Error", message: `abnormal postmaster shutdown${event.detail ? `: ${event.detail}` : ""}` }
        : info("postmaster is shut down")
    case "EventsLost":
      return warn(`a reader was too slow for ${event.count} events`)
  }
}
