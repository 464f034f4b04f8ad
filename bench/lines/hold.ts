/** S6: how long the event loop of a large application stands still when a worker is borne. */
import * as Effect from "effect/Effect"
import { openSync, readSync } from "node:fs"
import type { Session } from "../contestant.ts"
import * as Bare from "../contestants/bare.ts"
import { ours } from "../contestants/ours.ts"
import { Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import { call, run } from "../program.ts"
import { alternate, type Count, enter, type Entrant, millis, nextToken, type Outcome } from "../rounds.ts"
import { atMost, best, find } from "../rows.ts"

const residentMiB = 1024

const cold = ours({ entry: "bundled" })
const spare = ours({ entry: "bundled", spares: 1 })

/** How long this thread has waited for a processor that others had, in all its life, in milliseconds. */
const openWaited = (): () => number => {
  const stat = openSync(`/proc/self/task/${process.pid}/schedstat`, "r")
  const buffer = Buffer.alloc(128)
  return () => Number(buffer.toString("latin1", 0, readSync(stat, buffer, 0, buffer.length, 0)).split(" ")[1]) / 1e6
}

const waited = openWaited()

/** Runs the loop as fast as it goes; stopping it answers how long its longest turn was. */
const watchLoop = (): () => number => {
  let longest = 0
  let on = true
  let last = process.hrtime.bigint()
  let lastWaited = waited()
  const look = (): void => {
    const now = process.hrtime.bigint()
    const nowWaited = waited()
    longest = Math.max(longest, millis(last, now) - (nowWaited - lastWaited))
    last = now
    lastWaited = nowWaited
  }
  const tick = (): void => {
    look()
    if (on) setImmediate(tick)
  }
  setImmediate(tick)
  return () => {
    on = false
    look()
    return longest
  }
}

const measure = (session: Session) =>
  Effect.gen(function*() {
    const { signs } = yield* Ground
    const token = nextToken()
    yield* session.settled
    const stop = watchLoop()
    yield* session.start({ token, spin: false, restartMillis: 0 })
    yield* signs.next("entered", token)
    // The birth of the next spare is part of the price.
    yield* session.settled
    return { held: stop() }
  })

/** What the loop shows when nothing at all is done. */
const nothing: Entrant = {
  name: "nothing",
  rank: "floor",
  open: Effect.succeed(Effect.suspend(() => {
    const stop = watchLoop()
    return Effect.map(Effect.sleep("100 millis"), () => ({ held: stop() }))
  }))
}

const entrants: ReadonlyArray<Entrant> = [
  ...[cold, spare, ours({ entry: "bundled", launcher: false }), Bare.bareFork, Bare.bareWorker].map((contestant) =>
    enter(contestant, measure)
  ),
  nothing
]

const title = "S6 hold"

export const hold: Heat = {
  name: "hold",
  lines: ["S6"],
  title: "What a large application pays for a worker",
  how: `A program with ${residentMiB} MiB resident bears a worker while its event loop runs as fast as it can. ` +
    "`held`: the longest turn of the loop until the worker's `main` is entered and, with spares, the next one " +
    "stands ready; the time for which the system had given the processor to somebody else is not counted.",
  units: { held: "ms" },
  run: ({ full }) =>
    Effect.scoped(call<Outcome>(import.meta.filename, { warmUp: 1, counted: full ? 9 : 5 })).pipe(
      Effect.catch(({ detail }) => Effect.succeed({ rows: [], absent: [], failed: [{ entrant: title, detail }] }))
    ),
  judge: (rows) => {
    const part = (line: string, name: string) => {
      const held = find(rows, name, "held")
      return {
        line,
        asked: `event loop held per spawn with 1 GiB resident ≤ 0.5 ms`,
        unit: "ms" as const,
        ours: held,
        peer: best(rows, "peer", "held"),
        floor: find(rows, nothing.name, "held"),
        met: atMost(held, 0.5)
      }
    }
    return [part("S6 cold", cold.name), part("S6 spare", spare.name)]
  }
}

if (import.meta.main) {
  run<Count, Outcome>((count, say) =>
    Effect.suspend(() => {
      const resident = Array.from({ length: residentMiB / 64 }, () => Buffer.alloc(64 * 1024 * 1024, 1))
      return Effect.map(alternate(title, count, entrants), (outcome) => {
        say(outcome)
        // Held until here, so that nobody frees it on the way.
        resident.length = 0
      })
    })
  )
}
