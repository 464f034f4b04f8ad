/** S4: from the death of a worker until `main` of the next one is entered. */
import * as Effect from "effect/Effect"
import { Failed } from "../contestant.ts"
import * as Bare from "../contestants/bare.ts"
import { rpcProcess, rpcThread } from "../contestants/effectWorker.ts"
import { ours } from "../contestants/ours.ts"
import { pm2 } from "../contestants/pm2.ts"
import * as Pools from "../contestants/pools.ts"
import { postgres } from "../contestants/postgres.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import { alternate, enter, millis, nextToken } from "../rounds.ts"
import { best, find, ratioAtMost } from "../rows.ts"

const spare = ours({ entry: "bundled", spares: 1 })

const entrants = [
  spare,
  ours({ entry: "bundled" }),
  Bare.bareFork,
  Bare.spareByHand,
  Bare.bareWorker,
  Bare.execa,
  ...Pools.crashable,
  rpcThread,
  rpcProcess,
  pm2,
  postgres
].map((contestant) =>
  enter(contestant, (session) =>
    Effect.gen(function*() {
      const { signs } = yield* Ground
      const token = nextToken()
      const { crash, nextDeath } = yield* session.start({ token, spin: false, restartMillis: 0 })
      if (crash === undefined) return yield* new Failed({ detail: "it cannot be crashed" })
      yield* signs.next("entered", token)
      yield* session.settled
      const killedAt = yield* crash
      const { at } = yield* signs.next("entered", token)
      return {
        replaced: millis(killedAt, at),
        ...(nextDeath === undefined ? undefined : { noticed: millis(killedAt, yield* nextDeath) })
      }
    }))
)

export const crash: Heat = {
  name: "crash",
  lines: ["S4"],
  title: "From a crash to the replacement",
  how: "A worker dies by SIGKILL, a thread by `process.exit(1)`, PostgreSQL's by exit code 1 (it takes a SIGKILL for " +
    "a crash of all). `noticed`: whoever bore it hears of the death. `replaced`: `main` of the next one is entered. " +
    "Pools: the next task runs (but tinypool's threads: when a task has exited there, no later one ever settles).",
  units: { noticed: "ms", replaced: "ms" },
  run: ({ full }) => alternate("S4 crash", { warmUp: 1, counted: full ? 7 : 3 }, entrants),
  judge: (rows) => {
    const replaced = find(rows, spare.name, "replaced")
    const notice = find(rows, Bare.bareFork.name, "noticed")
    return [{
      line: "S4",
      asked: "SIGKILL → replacement's `main` entered, spare, ≤ 1.2 × the death notice of a bare `fork`",
      unit: "ms",
      ours: replaced,
      peer: best(rows, "peer", "replaced"),
      floor: notice,
      met: ratioAtMost(replaced, notice, 1.2)
    }]
  },
  plots: (rows) => [{
    _tag: "Ranges",
    file: "crash.svg",
    title: "Crash → replacement's main entered",
    figure: "replaced",
    unit: "ms",
    rows
  }]
}
