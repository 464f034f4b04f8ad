/** Our worker as a fiber: it shares the bench's memory, so it signs there. */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

/** What the worker that is being watched has done, and the way to make it crash. */
export const watched = { enteredAt: 0n, lives: 0, crash: Deferred.makeUnsafe<void>() }

const entry = (name: string) => ({ module: new URL(import.meta.url), export: name })

/** The one that is measured. */
export const Watched = BackgroundWorker.make("watched", { entry: entry("watchedMain"), restart: 0 })

export const watchedMain = BackgroundWorker.main(Watched, () =>
  Effect.suspend(() => {
    watched.enteredAt = process.hrtime.bigint()
    watched.lives++
    return Effect.andThen(Deferred.await(watched.crash), Effect.die("on order"))
  }))

/** One of those that fill the table. */
export const Idle = BackgroundWorker.make("idle", { entry: entry("idleMain") })

export const idleMain = BackgroundWorker.main(Idle, () => Effect.never)
