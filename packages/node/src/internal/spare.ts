/**
 * Decides what a spare process is worth: what it was made from, and whether
 * that still holds when a launch wants it.
 *
 * What a process is cannot be changed once it has begun: program, flags,
 * environment, working directory, user, the size of its heap. Nor can a module
 * that it has imported.
 *
 * @since 0.1.0
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { isInborn } from "@effect-postmaster/core/Limits"
import type { SpareLoss } from "@effect-postmaster/core/SpareLoss"
import type { Launch, Spare } from "@effect-postmaster/core/Spawner"
import * as Effect from "effect/Effect"
import { stamp } from "./stamp.ts"
import type { Prepared, WorkerProcess } from "./workerProcess.ts"

/** A spare of this spawner. */
export interface SpareProcess extends Spare {
  readonly worker: WorkerProcess
  /** Takes it for this launch, once, if it fits. What is taken is not ended with the spare's scope. */
  readonly take: (launch: Launch, surroundings: string) => boolean
  readonly isTaken: () => boolean
}

/** A spare of another spawner is none of ours. */
export const isSpareProcess = (spare: Spare | undefined): spare is SpareProcess =>
  spare !== undefined && "take" in spare && "worker" in spare

/** How often the files that a spare is made of are looked at. A launch looks, too. */
const lookMillis = 1_000

/** A spare that says that it is ready. `surroundings` is whatever else must be the same for it to fit. */
export const makeSpare = (
  worker: WorkerProcess,
  pid: Spare["pid"],
  { failed, files }: Prepared,
  surroundings: string
): SpareProcess => {
  const stamps = Object.entries(files)
  const changed = (): string | undefined => stamps.find(([file, before]) => stamp(file) !== before)?.[0]
  let taken = false

  const outdated: Effect.Effect<SpareLoss> = Effect.callback((resume) => {
    const timer = setInterval(() => {
      const file = changed()
      if (file === undefined) return
      clearInterval(timer)
      resume(Effect.succeed({ cause: "Outdated", detail: `${file} has changed` }))
    }, lookMillis).unref()
    return Effect.sync(() => clearInterval(timer))
  })

  const died: Effect.Effect<SpareLoss> = Effect.map(worker.exit, (status) => ({
    cause: "Died",
    detail: `it ${ExitStatus.format(status)}`
  }))

  return {
    pid,
    worker,
    lost: Effect.raceFirst(died, outdated),
    isTaken: () => taken,
    take: ({ registration }, now) => {
      // A module that could not be imported once cannot be imported in that process any more.
      if (taken) return false
      taken = !worker.isGone() && !isInborn(registration.limits) && now === surroundings &&
        !failed.includes(registration.entry.module) &&
        changed() === undefined
      return taken
    }
  }
}
