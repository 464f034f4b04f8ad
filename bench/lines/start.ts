/** S1, S2, S3: from asking for a worker until it exists, and until its `main` is entered. */
import * as Effect from "effect/Effect"
import * as Bare from "../contestants/bare.ts"
import { rpcProcess, rpcProcessBundled, rpcThread } from "../contestants/effectWorker.ts"
import { ours } from "../contestants/ours.ts"
import { pm2 } from "../contestants/pm2.ts"
import * as Pools from "../contestants/pools.ts"
import { postgres } from "../contestants/postgres.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import { alternate, enter, millis, nextToken } from "../rounds.ts"
import { atMost, best, find, ratioAtMost } from "../rows.ts"

const spare = ours({ entry: "bundled", spares: 1 })
const cold = ours({ entry: "bundled" })
const coldTypeScript = ours({ entry: "TypeScript" })

const entrants = [
  spare,
  ours({ entry: "TypeScript", spares: 1 }),
  cold,
  coldTypeScript,
  Bare.spareByHand,
  Bare.bareFork,
  Bare.bareSpawn,
  Bare.bareWorker,
  Bare.execa,
  ...Pools.all,
  rpcThread,
  rpcProcess,
  rpcProcessBundled,
  pm2,
  postgres
].map((contestant) =>
  enter(contestant, (session) =>
    Effect.gen(function*() {
      const { signs } = yield* Ground
      const token = nextToken()
      const life = yield* session.start({ token, spin: false, restartMillis: 0 })
      const { at } = yield* signs.next("entered", token)
      return {
        ...(life.startedAt === undefined ? undefined : { started: millis(life.askedAt, life.startedAt) }),
        entered: millis(life.askedAt, at)
      }
    }))
)

export const start: Heat = {
  name: "start",
  lines: ["S1", "S2", "S3"],
  title: "From asking for a worker until it runs",
  how:
    "One worker is asked for. `started`: the asker knows its pid (for `fork` and its like, the event `spawn`; for a " +
    "thread, `online`; for pm2, its call returns). `entered`: the worker's own clock, read by the first statement of " +
    "its `main`. Pools: a new pool and its first task.",
  units: { started: "ms", entered: "ms" },
  run: ({ full }) => alternate("S1–S3 start", { warmUp: 1, counted: full ? 9 : 5 }, entrants),
  judge: (rows) => {
    const fork = find(rows, Bare.bareFork.name, "entered")
    const part = (line: string, asked: string, figure: string) => ({
      line,
      asked,
      unit: "ms" as const,
      peer: best(rows, "peer", figure),
      floor: find(rows, Bare.spareByHand.name, figure)
    })
    const coldRow = find(rows, cold.name, "entered")
    const typeScriptRow = find(rows, coldTypeScript.name, "entered")
    const started = find(rows, spare.name, "started")
    const entered = find(rows, spare.name, "entered")
    return [
      {
        ...part("S1", "warm spare, register → Started ≤ 0.2 ms", "started"),
        ours: started,
        met: atMost(started, 0.2)
      },
      {
        ...part("S2", "warm spare, entry preloaded, register → `main` entered ≤ 1.2 ms", "entered"),
        ours: entered,
        met: atMost(entered, 1.2)
      },
      {
        ...part("S3 bundled", "cold, entry bundled, register → `main` entered ≤ 1.4 × bare `fork`", "entered"),
        ours: coldRow,
        floor: fork,
        met: ratioAtMost(coldRow, fork, 1.4)
      },
      {
        ...part("S3 TypeScript", "cold, plain TypeScript, register → `main` entered ≤ 3 × bare `fork`", "entered"),
        ours: typeScriptRow,
        floor: fork,
        met: ratioAtMost(typeScriptRow, fork, 3)
      }
    ]
  },
  plots: (rows) => [{
    _tag: "Ranges",
    file: "start.svg",
    title: "Asked for → main entered",
    figure: "entered",
    unit: "ms",
    rows
  }]
}
