/** S15: from the moment in which a worker hangs until it is noticed, and until `main` of the next one is entered. */
import * as Effect from "effect/Effect"
import { Failed } from "../contestant.ts"
import { ours } from "../contestants/ours.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import { alternate, enter, millis, nextToken, type Row } from "../rounds.ts"
import { find } from "../rows.ts"

const heartbeatMillis = 1_000

const cold = ours({ entry: "bundled" })
const spare = ours({ entry: "bundled", spares: 1 })

const entrants = [cold, spare].map((contestant) =>
  enter(contestant, (session) =>
    Effect.gen(function*() {
      const { signs } = yield* Ground
      const token = nextToken()
      const { freeze, nextDeath } = yield* session.start({ token, spin: false, restartMillis: 0, heartbeatMillis })
      if (freeze === undefined || nextDeath === undefined) return yield* new Failed({ detail: "it cannot be frozen" })
      yield* signs.next("entered", token)
      yield* session.settled
      // Anywhere between two beats.
      yield* Effect.sleep(Math.random() * heartbeatMillis)
      const frozenAt = yield* freeze
      const noticedAt = yield* nextDeath
      const { at } = yield* signs.next("entered", token)
      return { noticed: millis(frozenAt, noticedAt), replaced: millis(frozenAt, at) }
    }))
)

/** Every single one, and not the median: who waits for a heartbeat relies on its deadline. */
const always = (row: Row | undefined): boolean | undefined =>
  row === undefined ? undefined : Math.max(...row.samples) <= 1.1 * heartbeatMillis

export const hang: Heat = {
  name: "hang",
  lines: ["S15"],
  title: "From a hang to the replacement",
  how: `A worker with a heartbeat of ${heartbeatMillis} ms is stopped by SIGSTOP, anywhere between two beats. ` +
    "`noticed`: it was killed, and its holder is told of its end. `replaced`: `main` of the next one is entered. " +
    "The deadline counts from the last beat, so a worker may be noticed sooner after its hang than the deadline is long.",
  units: { noticed: "ms", replaced: "ms" },
  run: ({ full }) => alternate("S15 hang", { warmUp: 1, counted: full ? 21 : 5 }, entrants),
  judge: (rows) =>
    [cold, spare].map(({ name }) => {
      const noticed = find(rows, name, "noticed")
      return {
        line: name === cold.name ? "S15" : "S15 spare",
        asked: "SIGSTOP → killed and told, always within the heartbeat + 10 %",
        unit: "ms" as const,
        ours: noticed,
        met: always(noticed)
      }
    })
}
