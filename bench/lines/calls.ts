/** S10 and S11: typed calls to a worker, small ones and large ones. */
import * as Effect from "effect/Effect"
import type { Callable, Calls, Payload, Span } from "../calling.ts"
import type { Failed } from "../contestant.ts"
import * as Called from "../contestants/called.ts"
import * as Pools from "../contestants/pools.ts"
import { company, Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import * as Procfs from "../procfs.ts"
import { alternate, type Entrant, type Figures, median } from "../rounds.ts"
import { atLeast, best, find, most, ratioAtMost } from "../rows.ts"

const text = "0123456789".repeat(10)

const mebibyte = Uint8Array.from({ length: 1024 * 1024 }, (_, index) => index * 7 % 251)

const manyInFlight = 64

type Run = (payload: Payload, span: Span) => Effect.Effect<Attended, Failed>

interface Attended extends Calls {
  /** For how long a call keeps processors busy, on both sides together, in microseconds. */
  readonly processor: number
}

/** Everybody else is idle meanwhile. */
const attend = (folder: string, calls: Effect.Effect<Calls, Failed>): Effect.Effect<Attended, Failed> =>
  Effect.gen(function*() {
    const pids = [process.pid, ...company(folder).map(({ pid }) => pid)]
    const busy = () => pids.reduce((sum, pid) => sum + Procfs.processor(pid), 0)
    const before = busy()
    const counted = yield* calls
    return { ...counted, processor: (busy() - before) * 1_000 / counted.micros.length }
  })

const enter = (
  { name, open, rank }: Callable,
  warmUp: { readonly payload: Payload; readonly calls: number; readonly inFlight: number },
  measure: (run: Run) => Effect.Effect<Figures, Failed>
): Entrant => ({
  name,
  rank,
  open: Effect.all([Effect.service(Ground), open]).pipe(
    Effect.tap(([, echo]) => echo.run(warmUp.payload, { ...warmUp, millis: 0 })),
    Effect.map(([{ folder }, echo]) => measure((payload, span) => attend(folder, echo.run(payload, span))))
  )
})

const inBoth = (full: boolean): ReadonlyArray<Callable> => [
  Called.oursProcess,
  Called.oursThread,
  Called.oursFiber,
  Called.socket,
  Called.send,
  ...(full ? Pools.allCallable : Pools.callable),
  Called.rpcThread,
  Called.rpcProcess
]

export const calls: Heat = {
  name: "calls",
  lines: ["S10"],
  title: "A call",
  how: `A worker that is up gives back a text of ${text.length} bytes. \`calls\`: how many calls are answered in a ` +
    `second with ${manyInFlight} pending (piscina and tinypool allow a worker as many; the other pools give it one ` +
    "after the other), and `processor`, for how long a call keeps processors busy, on both sides together. `latency`: " +
    "how long the median call takes with one pending. The floor: frames after their " +
    "length on a socket, those of one turn in one write.",
  units: { calls: "/s", processor: "µs", latency: "µs" },
  run: ({ full }) =>
    alternate(
      "S10 calls",
      { warmUp: 0, counted: full ? 9 : 3 },
      inBoth(full).map((callable) =>
        enter(callable, { payload: text, calls: full ? 50_000 : 10_000, inFlight: manyInFlight }, (run) =>
          Effect.gen(function*() {
            const one = yield* run(text, { inFlight: 1, millis: full ? 500 : 100 })
            const many = yield* run(text, { inFlight: manyInFlight, millis: full ? 1_000 : 250 })
            return { calls: many.perSecond, processor: many.processor, latency: median(one.micros) }
          }))
      )
    ),
  judge: (rows) => {
    const part = (figure: string) => ({
      ours: find(rows, Called.oursProcess.name, figure),
      floor: find(rows, Called.socket.name, figure)
    })
    const latency = part("latency")
    const perSecond = part("calls")
    return [
      {
        ...latency,
        line: "S10 latency",
        asked: "a call to a process, 100 B there and back, ≤ 1.3 × a raw socket",
        unit: "µs",
        peer: best(rows, "peer", "latency"),
        met: ratioAtMost(latency.ours, latency.floor, 1.3)
      },
      {
        ...perSecond,
        line: "S10 calls",
        asked: `the same with ${manyInFlight} pending ≥ 100,000 /s`,
        unit: "/s",
        peer: most(rows, "peer", "calls"),
        met: atLeast(perSecond.ours, 100_000)
      }
    ]
  },
  plots: (rows) => [
    {
      _tag: "Ranges",
      file: "latency.svg",
      title: "A call of 100 B, one pending",
      figure: "latency",
      unit: "µs",
      rows
    },
    {
      _tag: "Ranges",
      file: "calls.svg",
      title: `Calls of 100 B, ${manyInFlight} pending`,
      figure: "calls",
      unit: "/s",
      rows
    }
  ]
}

export const bytes: Heat = {
  name: "bytes",
  lines: ["S11"],
  title: "A call with a mebibyte",
  how:
    "A worker that is up gives back 1 MiB of bytes. `echoed`: how long the median call takes with one pending, and " +
    "`processor`, for how long it keeps processors busy, on both sides together. The floor has all of a frame before it " +
    "answers, as whoever is called has. `Transferable`: moved and not copied where " +
    "that is possible, so that the sender has them no more.",
  units: { processor: "ms", echoed: "ms" },
  run: ({ full }) =>
    alternate(
      "S11 bytes",
      { warmUp: 0, counted: full ? 9 : 3 },
      [...inBoth(full), Called.rpcThreadMoved, Called.rpcProcessMoved].map((callable) =>
        enter(callable, { payload: mebibyte, calls: full ? 100 : 20, inFlight: 1 }, (run) =>
          Effect.map(
            run(mebibyte, { inFlight: 1, millis: full ? 500 : 150 }),
            ({ micros, processor }) => ({ processor: processor / 1_000, echoed: median(micros) / 1_000 })
          ))
      )
    ),
  judge: (rows) => {
    const own = find(rows, Called.oursProcess.name, "echoed")
    const floor = find(rows, Called.socket.name, "echoed")
    return [{
      line: "S11",
      asked: "1 MiB echoed by a process ≤ 1.5 × a raw socket",
      unit: "ms",
      ours: own,
      peer: best(rows, "peer", "echoed"),
      floor,
      met: ratioAtMost(own, floor, 1.5)
    }]
  },
  plots: (rows) => [{
    _tag: "Ranges",
    file: "bytes.svg",
    title: "1 MiB there and back",
    figure: "echoed",
    unit: "ms",
    rows
  }]
}
