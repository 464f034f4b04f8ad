/** S13: what the application itself pays, for each worker and for each slot that is free. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Contestant, failed } from "../contestant.ts"
import * as Bare from "../contestants/bare.ts"
import { ours } from "../contestants/ours.ts"
import { company, Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import * as Procfs from "../procfs.ts"
import { call, run } from "../program.ts"
import { alternate, type Entrant, type Figures, nextToken } from "../rounds.ts"
import { atMost, find } from "../rows.ts"
import * as Table from "../table.ts"

const cold = ours({ entry: "bundled" })
const contestants = [cold, Bare.bareFork]

const collect = (): void => globalThis.gc?.()

/** The smallest of some readings: what is in use when nobody holds what is over. */
const read = (value: () => number): Effect.Effect<number> =>
  Effect.gen(function*() {
    let least = Number.POSITIVE_INFINITY
    for (let reading = 0; reading < 5; reading++) {
      collect()
      yield* Effect.sleep("50 millis")
      least = Math.min(least, value())
    }
    return least
  })

/** Bears so many workers beside each other. What the first costs is not counted: it brings what all the others use. */
const perWorker = Effect.fnUntraced(function*(contestant: Contestant, number: number) {
  const ground = yield* Ground
  const session = yield* contestant.open
  const bear = Effect.gen(function*() {
    const token = nextToken()
    yield* session.start({ token, spin: false, restartMillis: 0 })
    return (yield* ground.signs.next("entered", token)).pid
  })
  const pids = new Set([yield* bear])
  const before = yield* read(() => process.memoryUsage().rss)
  for (let index = 0; index < number; index++) pids.add(yield* bear)
  const after = yield* read(() => process.memoryUsage().rss)
  // Whoever belongs to us and is no worker helps to bear them.
  const helpers = company(ground.folder).filter(({ pid }) => !pids.has(pid))
  const helpersPss = helpers.reduce((sum, { pid }) => sum + (Procfs.pss(pid) ?? 0), 0)
  return { worker: (after - before) / number / 1024 / 1024, helpers: helpersPss }
})

/** Slots that nobody has ever had, and slots that have been taken and are free again: what the table keeps of them. */
const perFreeSlot = Effect.fnUntraced(function*(slots: number) {
  const heap = () => process.memoryUsage().heapUsed
  const before = yield* read(heap)
  const table = Table.make(slots)
  const untouched = (yield* read(heap)) - before
  Table.fill(table, slots)
  Table.empty(table)
  // It runs on afterwards, so nothing of it can have been collected meanwhile.
  const free = (yield* read(heap)) - before
  Table.cycle(table)
  return { untouched: untouched / slots, free: free / slots }
})

interface Argument {
  readonly what: string
  readonly number: number
}

const program = (what: string, number: number, name: string, rank: Entrant["rank"]): Entrant => ({
  name,
  rank,
  open: Effect.succeed(Effect.scoped(call<Figures>(import.meta.filename, { what, number }, ["--expose-gc"])))
})

const slots = "ours, slots"

export const supervisor: Heat = {
  name: "supervisor",
  lines: ["S13"],
  title: "The memory of the application",
  how: "A program of its own each time. `worker`: how much its resident memory grows for each further worker; " +
    "`helpers`: what the processes that help to bear them share in, together (PSS). `untouched`: the heap of the " +
    "table for each slot that nobody has ever had; `free`: for each that is free again.",
  units: { worker: "MiB", helpers: "MiB", untouched: "B", free: "B" },
  run: ({ full }) =>
    alternate("S13 supervisor", { warmUp: 0, counted: full ? 5 : 1 }, [
      ...contestants.map(({ name, rank }) => program(name, full ? 64 : 16, name, rank)),
      program(slots, 100_000, slots, "ours")
    ]),
  judge: (rows) => {
    const worker = find(rows, cold.name, "worker")
    const free = find(rows, slots, "free")
    return [
      {
        line: "S13 worker",
        asked: "the application grows by ≤ 0.05 MiB per worker process",
        unit: "MiB",
        ours: worker,
        floor: find(rows, Bare.bareFork.name, "worker"),
        met: atMost(worker, 0.05)
      },
      { line: "S13 free slot", asked: "≤ 200 B per free slot", unit: "B", ours: free, met: atMost(free, 200) }
    ]
  }
}

if (import.meta.main) {
  run<Argument, Figures>(({ number, what }, say) => {
    const contestant = contestants.find(({ name }) => name === what)
    const measured: Effect.Effect<Figures, unknown, Ground | Scope.Scope> = contestant === undefined
      ? perFreeSlot(number)
      : perWorker(contestant, number)
    return measured.pipe(Effect.map(say), Effect.mapError(failed))
  })
}
