/** S12: the memory of a worker that does nothing. */
import * as Effect from "effect/Effect"
import * as Bare from "../contestants/bare.ts"
import { rpcProcess, rpcProcessBundled } from "../contestants/effectWorker.ts"
import { ours } from "../contestants/ours.ts"
import * as Pools from "../contestants/pools.ts"
import { postgres } from "../contestants/postgres.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import * as Procfs from "../procfs.ts"
import { alternate, enter, nextToken } from "../rounds.ts"
import { best, find, ratioAtMost } from "../rows.ts"

const number = 8

const bundled = ours({ entry: "bundled" })

const mean = (values: ReadonlyArray<number | undefined>): number =>
  values.reduce<number>((sum, value) => sum + (value ?? Number.NaN), 0) / values.length

/** Reads until two readings in a row agree to a hundredth: whoever has just begun is still tidying up. */
const settledPss = (pids: ReadonlyArray<number>, before = 0): Effect.Effect<number> =>
  Effect.suspend(() => {
    const pss = mean(pids.map(Procfs.pss))
    return Math.abs(pss - before) < pss / 100 || Number.isNaN(pss)
      ? Effect.succeed(pss)
      : Effect.andThen(Effect.sleep("300 millis"), settledPss(pids, pss))
  })

const entrants = [
  bundled,
  ours({ entry: "TypeScript" }),
  ours({ entry: "bundled", spares: 1 }),
  Bare.bareFork,
  Pools.tinypoolProcess,
  Pools.workerpoolProcess,
  Pools.jestWorkerProcess,
  rpcProcess,
  rpcProcessBundled,
  postgres
].map((contestant) =>
  enter(contestant, (session) =>
    Effect.gen(function*() {
      const { signs } = yield* Ground
      const pids: Array<number> = []
      for (let index = 0; index < number; index++) {
        const token = nextToken()
        yield* session.start({ token, spin: false, restartMillis: 0 })
        pids.push((yield* signs.next("entered", token)).pid)
      }
      return { pss: yield* settledPss(pids), rss: mean(pids.map(Procfs.rss)) }
    }))
)

export const memory: Heat = {
  name: "memory",
  lines: ["S12"],
  title: "The memory of an idle worker",
  how: `The mean of ${number} idle workers that are alive together. \`pss\`: its fair share, where what several ` +
    "processes use together is divided among them; `rss`: what of it is resident.",
  units: { pss: "MiB", rss: "MiB" },
  run: ({ full }) => alternate("S12 memory", { warmUp: 0, counted: full ? 5 : 1 }, entrants),
  judge: (rows) => {
    const own = find(rows, bundled.name, "pss")
    const fork = find(rows, Bare.bareFork.name, "pss")
    return [{
      line: "S12",
      asked: `PSS of an idle worker, of ${number} alive, entry bundled, ≤ 1.5 × bare \`fork\``,
      unit: "MiB",
      ours: own,
      peer: best(rows, "peer", "pss"),
      floor: fork,
      met: ratioAtMost(own, fork, 1.5)
    }]
  }
}
