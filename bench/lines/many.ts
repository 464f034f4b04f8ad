/** S9: sixty-four workers at once. */
import * as Effect from "effect/Effect"
import type { Contestant } from "../contestant.ts"
import * as Bare from "../contestants/bare.ts"
import { rpcProcess, rpcProcessBundled } from "../contestants/effectWorker.ts"
import * as Erlang from "../contestants/erlang.ts"
import { ours } from "../contestants/ours.ts"
import { postgres } from "../contestants/postgres.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import { alternate, enter, type Entrant, millis, nextToken } from "../rounds.ts"
import { best, find, ratioAtMost } from "../rows.ts"

const number = 64
const first = 8

const bundled = ours({ entry: "bundled" })
const typeScript = ours({ entry: "TypeScript" })

const crowd = (contestant: Contestant): Entrant =>
  enter(contestant, (session) =>
    Effect.gen(function*() {
      const { signs } = yield* Ground
      const tokens = Array.from({ length: number }, nextToken)
      const lives = yield* Effect.forEach(
        tokens,
        (token) => session.start({ token, spin: false, restartMillis: 0 }),
        { concurrency: "unbounded" }
      )
      const askedAt = lives.map((life) => life.askedAt).reduce((self, that) => self < that ? self : that)
      const entered = yield* Effect.forEach(tokens, (token) => signs.next("entered", token))
      const sorted = entered.map(({ at }) => millis(askedAt, at)).toSorted((self, that) => self - that)
      return { eight: sorted[first - 1]!, all: sorted[number - 1]! }
    }))

const erlang: Entrant<never> = {
  name: Erlang.name,
  rank: "peer",
  open: Effect.map(Erlang.open, (ask) => Effect.map(ask("many"), (all) => ({ all })))
}

const quick = [bundled, Bare.bareFork, postgres]
const slow = [typeScript, Bare.bareWorker, rpcProcessBundled, rpcProcess]

export const many: Heat = {
  name: "many",
  lines: ["S9"],
  title: `${number} workers at once`,
  how: `${number} cold workers are asked for together. \`eight\`: ${first} of them have entered \`main\`; \`all\`: ` +
    "everybody has. PostgreSQL: one statement for each.",
  units: { eight: "ms", all: "ms" },
  run: ({ full }) =>
    alternate("S9 many", { warmUp: 1, counted: full ? 5 : 3 }, [
      ...[...quick, ...(full ? slow : [])].map(crowd),
      erlang
    ]),
  judge: (rows) => {
    // What Erlang starts are no processes of the system.
    const processes = rows.filter(({ entrant }) => entrant !== Erlang.name)
    const part = (line: string, asked: string, figure: string) => {
      const own = find(rows, bundled.name, figure)
      const fork = find(rows, Bare.bareFork.name, figure)
      return {
        line,
        asked,
        unit: "ms" as const,
        ours: own,
        peer: best(processes, "peer", figure),
        floor: fork,
        met: ratioAtMost(own, fork, 1.3)
      }
    }
    return [
      part("S9 all", `${number} cold workers at once, all in \`main\` ≤ 1.3 × bare \`fork\``, "all"),
      part("S9 first 8", `the first ${first} of them ≤ 1.3 × bare \`fork\``, "eight")
    ]
  }
}
