/**
 * Decides whom to kill, and when: at every interval one random worker that has
 * finished a file since it was last killed. So every kill costs the killer one
 * file, and the workers win.
 */
import { sameRef } from "@effect-postmaster/core/Identity"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type { Job, Pool } from "./pool.ts"

export const chaos = Effect.fn("chaos")(function*(pool: Pool, interval: Duration.Input, kills: Ref.Ref<number>) {
  const postmaster = yield* Postmaster
  const doneAtKill = new Map<Job, number>()

  const strike = Effect.gen(function*() {
    const { workers } = yield* postmaster.snapshot
    const victims = [...pool.running].filter((job) => job.files > (doneAtKill.get(job) ?? 0))
    if (victims.length === 0) return
    const victim = yield* Random.choice(victims)
    const pid = workers.find((worker) => sameRef(worker.ref, victim.ref))?.pid
    if (pid === undefined) return
    doneAtKill.set(victim, victim.files)
    // It may have ended by itself this very moment.
    yield* Effect.try(() => process.kill(pid, "SIGKILL")).pipe(
      Effect.andThen(Ref.update(kills, (count) => count + 1)),
      Effect.ignore
    )
  })
  yield* Effect.schedule(strike, Schedule.spaced(interval))
})
