/**
 * Decides for which reasons the postmaster tells a worker to end.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Schema of a `StopCause`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StopCause = Schema.Literals([
  "Terminated",
  "ResourceNeeded",
  "OwnerEnded",
  "Replaced",
  "Recycled",
  "NotReady",
  "NoHeartbeat",
  "NoProgress",
  "ShuttingDown",
  "CrashRecovery"
])

/**
 * Why the postmaster has told a worker to end: its holder has terminated it,
 * somebody needs what it uses, the life it belongs to is over, its successor is
 * ready, it has grown old enough for another life, it did not become ready in
 * time, its event loop was silent for too long, it made no progress for too long,
 * the postmaster shuts down, or another attached worker has crashed.
 *
 * @category models
 * @since 0.1.0
 */
export type StopCause = typeof StopCause.Type

const words: { readonly [K in StopCause]: string } = {
  Terminated: "it was terminated",
  ResourceNeeded: "somebody needs what it uses",
  OwnerEnded: "the worker it belongs to has ended",
  Replaced: "its successor is ready",
  Recycled: "it was old enough for another life",
  NotReady: "it was not ready in time",
  NoHeartbeat: "it hung: no heartbeat",
  NoProgress: "it hung: no progress",
  ShuttingDown: "the postmaster shuts down",
  CrashRecovery: "another attached worker has crashed"
}

/**
 * Writes a cause as half a sentence.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (self: StopCause): string => words[self]
