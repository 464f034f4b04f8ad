/** S5: how late a worker is back that is to rest for a second. */
import * as Effect from "effect/Effect"
import * as Bare from "../contestants/bare.ts"
import { ours } from "../contestants/ours.ts"
import { postgres } from "../contestants/postgres.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import { alternate, enter, millis, nextToken } from "../rounds.ts"
import { atMost, best, find } from "../rows.ts"

const spare = ours({ entry: "bundled", spares: 1 })

const restMillis = 1000

const entrants = [spare, Bare.spareByHand, postgres].map((contestant) =>
  enter(contestant, (session) =>
    Effect.gen(function*() {
      const { signs } = yield* Ground
      const token = nextToken()
      const { nextStart } = yield* session.start({ token, spin: false, restartMillis: restMillis })
      const { pid } = yield* signs.next("entered", token)
      yield* session.settled
      process.kill(pid, "SIGUSR2")
      const { at: leftAt } = yield* signs.next("leaving", token)
      const backAt = nextStart === undefined ? (yield* signs.next("entered", token)).at : yield* nextStart
      return { late: millis(leftAt, backAt) - restMillis }
    }))
)

export const rest: Heat = {
  name: "rest",
  lines: ["S5"],
  title: "Back after a second",
  how: "A worker that is to come back after one second reads the clock and leaves with code 1. `late`: how much more " +
    "than a second has gone until the next one exists, its predecessor's end included (PostgreSQL: until its `main` " +
    "is entered; by hand: `setTimeout` in the event `exit`).",
  units: { late: "ms" },
  run: ({ full }) => alternate("S5 rest", { warmUp: 1, counted: full ? 9 : 4 }, entrants),
  judge: (rows) => {
    const late = find(rows, spare.name, "late")
    return [{
      line: "S5",
      asked: "restart after 1 s: ≤ 5 ms late (median), never early",
      unit: "ms",
      ours: late,
      peer: best(rows, "peer", "late"),
      floor: find(rows, Bare.spareByHand.name, "late"),
      met: late === undefined ? undefined : atMost(late, 5)! && Math.min(...late.samples) >= 0
    }]
  }
}
