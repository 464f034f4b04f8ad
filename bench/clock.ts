/**
 * Whether the clock of one process may be held against that of another. `process.hrtime` is the system's monotonic
 * clock, so it should; a run that cannot see it is no run.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { fork } from "node:child_process"
import { Failed } from "./contestant.ts"
import { worker } from "./ground.ts"
import { ended } from "./lineProgram.ts"
import { millis } from "./rounds.ts"

const questions = 300

/** Asks another process for its time: it must lie between ours before and ours after. Answers the narrowest window. */
export const check: Effect.Effect<number, Failed> = Effect.scoped(Effect.gen(function*() {
  const other = yield* Effect.acquireRelease(
    Effect.sync(() => fork(worker("clock.mjs"))),
    (other) =>
      Effect.suspend(() => {
        other.kill("SIGKILL")
        return ended(other)
      })
  )
  const answers = yield* Queue.unbounded<bigint>()
  other.on("message", (text) => Queue.offerUnsafe(answers, BigInt(String(text))))
  let narrowest = Number.POSITIVE_INFINITY
  for (let question = 0; question < questions; question++) {
    const before = process.hrtime.bigint()
    other.send("?")
    const answer = yield* Queue.take(answers)
    const after = process.hrtime.bigint()
    if (answer < before || answer > after) {
      return yield* new Failed({ detail: "the clocks of two processes disagree; nothing can be measured across them" })
    }
    narrowest = Math.min(narrowest, millis(before, after))
  }
  return narrowest
})).pipe(Effect.timeoutOrElse({
  duration: "20 seconds",
  orElse: () => Effect.fail(new Failed({ detail: "the other clock does not answer" }))
}))
