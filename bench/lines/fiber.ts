/** S8: workers as fibers of the application. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as SpawnerFiber from "@effect-postmaster/core/SpawnerFiber"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { failed } from "../contestant.ts"
import * as Erlang from "../contestants/erlang.ts"
import type { Heat } from "../line.ts"
import { alternate, type Entrant, median, millis } from "../rounds.ts"
import { atMost, best, find } from "../rows.ts"
import { Idle, Watched, watched } from "../workers/fiber.ts"

const livesPerRound = 300

export const nameOf = (living: number): string => `ours, ${living.toLocaleString("en")} living`

const entered = (lives: number): Effect.Effect<bigint> =>
  Effect.gen(function*() {
    while (watched.lives < lives) yield* Effect.yieldNow
    return watched.enteredAt
  })

/** One life and the one after its crash. */
const life = Effect.fnUntraced(function*(postmaster: Postmaster["Service"]) {
  const { lives } = watched
  const crash = watched.crash = Deferred.makeUnsafe<void>()
  const askedAt = process.hrtime.bigint()
  const handle = yield* postmaster.register(Watched)
  const start = millis(askedAt, yield* entered(lives + 1))
  yield* handle.waitForReady
  watched.crash = Deferred.makeUnsafe()
  const crashedAt = process.hrtime.bigint()
  yield* Deferred.succeed(crash, undefined)
  const replaced = millis(crashedAt, yield* entered(lives + 2))
  yield* handle.terminate
  yield* handle.waitForEnd
  return { start: start * 1_000, replaced: replaced * 1_000 }
})

/** A postmaster with so many living workers, who do nothing. */
const populate = Effect.fnUntraced(function*(living: number) {
  const services = yield* Layer.build(
    Postmaster.layer().pipe(
      Layer.provide([SpawnerFiber.layer, PostmasterConfig.layer({ maxWorkers: living + 1 })])
    )
  )
  const postmaster = Context.get(services, Postmaster)
  for (let index = 0; index < living; index++) {
    const idle = yield* postmaster.register(Idle)
    yield* idle.waitForReady
  }
  return postmaster
})

/** Beside all these one more lives, crashes and lives again. */
export const fibers = (living: number): Entrant<never> => ({
  name: nameOf(living),
  rank: "ours",
  open: Effect.map(populate(living), (postmaster) =>
    Effect.gen(function*() {
      const all = []
      const used = process.threadCpuUsage()
      for (let index = 0; index < livesPerRound; index++) all.push(yield* life(postmaster))
      const { system, user } = process.threadCpuUsage(used)
      return {
        processor: (user + system) / livesPerRound,
        replaced: median(all.map(({ replaced }) => replaced)),
        start: median(all.map(({ start }) => start))
      }
    }).pipe(Effect.mapError(failed))).pipe(Effect.mapError(failed))
})

const erlang: Entrant<never> = {
  name: Erlang.name,
  rank: "peer",
  open: Effect.map(Erlang.open, (ask) =>
    Effect.gen(function*() {
      return { start: (yield* ask("start")) * 1_000, replaced: (yield* ask("crash")) * 1_000 }
    }))
}

/** A fiber that nobody supervises. */
const bareFiber: Entrant<never> = {
  name: "bare fiber",
  rank: "floor",
  open: Effect.succeed(Effect.gen(function*() {
    const all: Array<number> = []
    for (let index = 0; index < livesPerRound; index++) {
      const enteredAt = Deferred.makeUnsafe<bigint>()
      const askedAt = process.hrtime.bigint()
      yield* Effect.forkDetach(Effect.suspend(() => Deferred.succeed(enteredAt, process.hrtime.bigint())))
      all.push(millis(askedAt, yield* Deferred.await(enteredAt)) * 1_000)
    }
    return { start: median(all) }
  }))
}

const usual = 10

export const fiber: Heat = {
  name: "fiber",
  lines: ["S8"],
  title: "Workers as fibers",
  how:
    `One after the other, ${livesPerRound} lives in a round, beside so many others that idle. \`start\`: register → ` +
    "`main` entered. `replaced`: the worker dies of a defect → `main` of the next one entered, restart interval 0. " +
    "`processor`: for how long both lives and their end keep a processor busy.",
  units: { processor: "µs", replaced: "µs", start: "µs" },
  run: ({ full }) =>
    alternate("S8 fiber", { warmUp: 2, counted: full ? 15 : 7 }, [fibers(usual), fibers(1_000), erlang, bareFiber]),
  judge: (rows) => {
    const part = (figure: string) => ({
      unit: "µs" as const,
      ours: find(rows, nameOf(usual), figure),
      peer: best(rows, "peer", figure),
      floor: find(rows, bareFiber.name, figure)
    })
    const start = part("start")
    const replaced = part("replaced")
    return [
      {
        ...start,
        line: "S8 start",
        asked: "fiber worker, register → `main` entered ≤ 50 µs",
        met: atMost(start.ours, 50)
      },
      {
        ...replaced,
        line: "S8 crash",
        asked: "fiber worker, crash → replaced ≤ 100 µs",
        met: atMost(replaced.ours, 100)
      }
    ]
  }
}
