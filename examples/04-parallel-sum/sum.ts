/** What the application does: it registers a leader, and asks it through its lives. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { formatStop, Leader, type Task, Update } from "./leader.ts"

const maxLives = 5

/** How far the sum has come, again and again, and at last the result. */
export const sum = Effect.fnUntraced(function*(task: Task) {
  const postmaster = yield* Postmaster
  const leader = yield* Effect.acquireRelease(postmaster.register(Leader), ({ terminate }) => terminate)
  const call = Stream.unwrap(Effect.map(leader.waitForClient, ({ Sum }) => Sum(task)))

  const updates = (life: number): typeof call =>
    Stream.catchTag(call, "WorkerStopped", (stopped) => {
      if (!stopped.isRetryable || life === maxLives) return Stream.fail(stopped)
      const lost = Update.cases.Lost.make({ message: `${formatStop(stopped)}; its next life begins anew` })
      return Stream.concat(Stream.succeed(lost), updates(life + 1))
    })
  return updates(1)
}, Stream.unwrap)
