/** S14: who is left when the application is killed, and for how long. */
import * as Effect from "effect/Effect"
import { type Contestant, Failed } from "../contestant.ts"
import * as Bare from "../contestants/bare.ts"
import { rpcProcess } from "../contestants/effectWorker.ts"
import { ours } from "../contestants/ours.ts"
import * as Pools from "../contestants/pools.ts"
import { company, Ground } from "../ground.ts"
import type { Heat } from "../line.ts"
import * as Procfs from "../procfs.ts"
import { call, run } from "../program.ts"
import { alternate, type Entrant, millis, nextToken, type Outcome, progress } from "../rounds.ts"
import { atMost, best, find } from "../rows.ts"

const cold = ours({ entry: "bundled" })

const contestants: ReadonlyArray<Contestant> = [
  cold,
  ours({ entry: "bundled", spares: 1 }),
  Bare.bareFork,
  Bare.execa,
  Pools.tinypoolProcess,
  Pools.workerpoolProcess,
  Pools.jestWorkerProcess,
  rpcProcess
]

interface Argument {
  readonly contestant: string
  readonly spin: boolean
}

/** An application with one worker. */
interface Application {
  readonly pid: number
  readonly folder: string
  readonly worker: number
}

/** Whoever is there after this time stays. */
const deadlineMillis = 2_000

const slice = new Int32Array(new SharedArrayBuffer(4))
const sliceMillis = 0.2

/** Waits for the end of processes, five times in a millisecond, and lets the loop run now and then. */
const awaitEnds = (processes: ReadonlyArray<Procfs.Process>, since: bigint) =>
  Effect.gen(function*() {
    const ends = new Map<Procfs.Process, number>()
    while (true) {
      for (let look = 0; look < 100; look++) {
        const waited = millis(since, process.hrtime.bigint())
        for (const one of processes) {
          if (!ends.has(one) && !Procfs.isAlive(one)) ends.set(one, waited)
        }
        if (ends.size === processes.length || waited > deadlineMillis) return ends
        Atomics.wait(slice, 0, 0, sliceMillis)
      }
      yield* Effect.sleep(0)
    }
  })

const nameOf = (contestant: Contestant, spin: boolean): string =>
  `${contestant.name}, worker ${spin ? "spins" : "idles"}`

const trial = (contestant: Contestant, spin: boolean): Entrant => ({
  name: nameOf(contestant, spin),
  rank: contestant.rank,
  open: Effect.succeed(Effect.scoped(Effect.gen(function*() {
    const argument: Argument = { contestant: contestant.name, spin }
    const application = yield* call<Application>(import.meta.filename, argument)
    const everybody = company(application.folder)
    yield* Effect.addFinalizer(() => Effect.sync(() => company(application.folder).forEach(Procfs.kill)))
    const killedAt = process.hrtime.bigint()
    process.kill(application.pid, "SIGKILL")
    const ends = yield* awaitEnds(everybody, killedAt)
    const worker = everybody.find(({ pid }) => pid === application.worker)
    const gone = worker === undefined ? 0 : ends.get(worker)
    return {
      orphans: everybody.length - ends.size,
      ...(gone === undefined ? undefined : { gone }),
      ...(ends.size < everybody.length ? undefined : { all: Math.max(0, ...ends.values()) })
    }
  })))
})

const both = [false, true]

const title = "S14 orphan"

/** When so many have been left behind, more trials would prove no more. */
const enough = 20

const orphansIn = ({ rows }: Outcome): number =>
  rows
    .filter(({ figure, rank }) => rank === "ours" && figure === "orphans")
    .flatMap(({ samples }) => samples)
    .reduce((self, that) => self + that, 0)

/** Adds the samples of more rounds. */
const join = (self: Outcome, that: Outcome): Outcome => ({
  rows: [
    ...self.rows.map((row) => ({
      ...row,
      samples: [...row.samples, ...find(that.rows, row.entrant, row.figure)?.samples ?? []]
    })),
    ...that.rows.filter((row) => find(self.rows, row.entrant, row.figure) === undefined)
  ],
  absent: self.absent,
  failed: [...self.failed, ...that.failed]
})

export const orphan: Heat = {
  name: "orphan",
  lines: ["S14"],
  title: "The application is killed",
  how:
    "An application with one worker gets SIGKILL. `gone`: from there to the end of the worker, looked for five times " +
    "in a millisecond; `all`: to the end of everybody it has started. `orphans`: who is there after " +
    `${deadlineMillis / 1000} s, helpers and spares included. Idle and spinning in turns, ours in most trials.`,
  units: { gone: "ms", all: "ms", orphans: "orphans" },
  run: ({ full, trials }) =>
    Effect.gen(function*() {
      const everybody = contestants.flatMap((contestant) => both.map((spin) => trial(contestant, spin)))
      const peers = full ? 5 : 1
      let outcome = yield* alternate(title, { warmUp: 0, counted: peers }, everybody)
      // A trial is one idle and one spinning application in turn; the first have been among the others.
      for (let left = Math.ceil(trials / 2) - peers; left > 0 && orphansIn(outcome) < enough; left -= 10) {
        progress(`${title}: ${left} more rounds of ours, ${orphansIn(outcome)} orphans`)
        const ourselves = both.map((spin) => trial(cold, spin))
        outcome = join(outcome, yield* alternate(title, { warmUp: 0, counted: Math.min(10, left) }, ourselves))
      }
      return outcome
    }),
  judge: (rows) => {
    const part = (line: string, spin: boolean, limit: number) => {
      const gone = find(rows, nameOf(cold, spin), "gone")
      const orphans = find(rows, nameOf(cold, spin), "orphans")
      return {
        line,
        asked: `SIGKILL of the application → its worker gone, ${spin ? "spinning" : "idle"}, ≤ ${limit} ms`,
        unit: "ms" as const,
        ours: gone,
        peer: best(rows.filter(({ entrant }) => entrant.endsWith(spin ? "spins" : "idles")), "peer", "gone"),
        met: orphans === undefined ? undefined : gone?.samples.length === orphans.samples.length && atMost(gone, limit)
      }
    }
    const ourOrphans = rows.filter(({ figure, rank }) => rank === "ours" && figure === "orphans")
    const samples = ourOrphans.flatMap(({ samples }) => samples)
    const left = samples.filter((orphans) => orphans > 0).length
    return [
      part("S14 idle", false, 50),
      part("S14 spinning", true, 500),
      {
        line: "S14 orphans",
        asked: "no orphan in 1,000 trials",
        unit: "orphans",
        ours: ourOrphans.length === 0 ? undefined : { entrant: cold.name, rank: "ours", figure: "orphans", samples },
        met: samples.length === 0 ? undefined : left > 0 ? false : samples.length >= 1_000 ? true : undefined,
        note: `${samples.length} trials, ${left} of them left somebody behind`
      }
    ]
  }
}

if (import.meta.main) {
  run<Argument, Application>(({ contestant: name, spin }, say) =>
    Effect.gen(function*() {
      const ground = yield* Ground
      const contestant = contestants.find((contestant) => contestant.name === name)!
      const session = yield* contestant.open
      const token = nextToken()
      yield* session.start({ token, spin, restartMillis: 0 })
      const worker = yield* ground.signs.next("entered", token)
      say({ pid: process.pid, folder: ground.folder, worker: worker.pid })
      return yield* Effect.never
    }).pipe(Effect.mapError((cause) => new Failed({ detail: cause._tag === "Absent" ? cause.reason : cause.detail })))
  )
}
