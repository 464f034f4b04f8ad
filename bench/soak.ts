/**
 * `npm run soak`: very many calls and very many bytes through one worker process. Every answer is checked and every byte
 * compared, and neither side may have more memory in use afterwards than it had when it was warm.
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { Client } from "@effect-postmaster/core/WorkerHandle"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { parseArgs } from "node:util"
import * as Procfs from "./procfs.ts"
import { teardown } from "./program.ts"
import { progress } from "./rounds.ts"
import { type Used, used } from "./used.ts"
import { answerTo, chunkOf, isChunk, type protocol, Soaked } from "./workers/soaked.ts"

const callsInFlight = 64
const echoesInFlight = 4

const mebibyte = 1024 * 1024

/**
 * How much more there may be at the end. A heap comes back to what it was, whatever has gone through it. What is resident
 * grows by steps to what was once needed and stays there, since V8 and the allocator keep their pages.
 */
const mostGrown: Used = { heap: 8 * mebibyte, resident: 256 * mebibyte }

/** Of everything, so much warms up: all at once, and before memory is first looked at. */
const warmUp = 1 / 20

// -----------------------------------------------------------------------------
// what is asked for
// -----------------------------------------------------------------------------

const usage = `usage: npm run soak -- [--calls N] [--gigabytes G]

  --calls N       how many calls, ${callsInFlight} at a time; 1,000,000 unless told
  --gigabytes G   how many bytes, half as one stream from the worker, half in calls that give them back; 10 unless told

Exit code 1: something was lost or came changed, or memory grew by more than ${mostGrown.heap / mebibyte} MiB of heap
or ${mostGrown.resident / mebibyte} MiB resident on either side.`

const refuse = (problem: string): never => {
  process.stderr.write(`soak: ${problem}\n${usage}\n`)
  process.exit(1)
}

const read = () => {
  try {
    return parseArgs({
      options: {
        calls: { type: "string", default: "1000000" },
        gigabytes: { type: "string", default: "10" },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return refuse((error as Error).message.split(". ")[0]!)
  }
}

const given = read()
if (given.help) {
  process.stdout.write(`${usage}\n`)
  process.exit(0)
}
const asked = { calls: Number(given.calls), gigabytes: Number(given.gigabytes) }
if (given.calls === "" || !Number.isSafeInteger(asked.calls) || asked.calls < 1 || asked.calls > 1e8) {
  refuse(`--calls takes a whole number from 1 to 100,000,000, got ${JSON.stringify(given.calls)}`)
}
if (given.gigabytes === "" || !(asked.gigabytes > 0 && asked.gigabytes <= 10_000)) {
  refuse(`--gigabytes takes a number above 0, up to 10,000, got ${JSON.stringify(given.gigabytes)}`)
}

// -----------------------------------------------------------------------------
// what is done
// -----------------------------------------------------------------------------

type Worker = Client<RpcGroup.Rpcs<(typeof protocol)["group"]>>

/** What has been sent, and what has come back. */
const seen = { answered: 0, sum: 0, echoed: 0, poured: 0, wrong: 0 }

/** Numbers are used once, by whichever part asks next. */
let nextCall = 0
let nextChunk = 0

/** So many fibers do one after the other, for as long as there is something to do. */
const crew = <A, E>(size: number, isDue: () => boolean, one: () => Effect.Effect<A, E>): Effect.Effect<void, E> => {
  const member = Effect.whileLoop({ while: isDue, body: one, step: () => {} })
  return Effect.all(Array.from({ length: size }, () => member), { concurrency: "unbounded", discard: true })
}

const call = (worker: Worker, calls: number) => {
  const end = nextCall + calls
  return crew(callsInFlight, () => nextCall < end, () => {
    const n = nextCall++
    return Effect.map(worker.Answer({ n }), (answer) => {
      seen.answered++
      seen.sum += n
      if (answer !== answerTo(n)) seen.wrong++
    })
  })
}

const echo = (worker: Worker, bytes: number) => {
  let sent = 0
  return crew(echoesInFlight, () => sent < bytes, () => {
    const index = nextChunk++
    const chunk = chunkOf(index)
    sent += chunk.length
    return Effect.map(worker.Echo({ index, bytes: chunk }), (answer) => {
      seen.echoed += answer.length
      if (!isChunk(answer, index)) seen.wrong++
    })
  })
}

const pour = (worker: Worker, bytes: number) =>
  Effect.suspend(() => {
    let index = nextChunk
    for (let size = 0; size < bytes;) size += chunkOf(nextChunk++).length
    const to = nextChunk
    return Stream.runForEachArray(worker.Pour({ from: index, to }), (chunks) =>
      Effect.sync(() => {
        for (const chunk of chunks) {
          seen.poured += chunk.length
          if (!isChunk(chunk, index++)) seen.wrong++
        }
      })).pipe(Effect.andThen(Effect.sync(() => {
        seen.wrong += to - index
      })))
  })

const number = (value: number): string => Math.round(value).toLocaleString("en")
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`
const mebibytes = (bytes: number): string => (bytes / mebibyte).toFixed(1)

const timed = <A, E>(what: string, amount: number, unit: string, effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const begun = performance.now()
    return Effect.map(effect, () => {
      const seconds = (performance.now() - begun) / 1_000
      return `${what}: ${seconds.toFixed(1)} s, ${number(amount / seconds)} ${unit}/s`
    })
  })

const memory = (worker: Worker) => Effect.all({ application: used, worker: worker.Memory() })

/** What was lost or has grown. */
const findings: Array<string> = []

const grew = (side: string, before: Used, after: Used): string => {
  for (const part of ["heap", "resident"] as const) {
    const grown = after[part] - before[part]
    if (grown > mostGrown[part]) {
      findings.push(
        `the ${side} has ${mebibytes(grown)} MiB more ${part}, and ${mebibytes(mostGrown[part])} are allowed`
      )
    }
  }
  return `${side}: heap ${mebibytes(before.heap)} to ${mebibytes(after.heap)} MiB, resident ${
    mebibytes(before.resident)
  } to ${mebibytes(after.resident)} MiB`
}

const soak = Effect.gen(function*() {
  const registered = yield* (yield* Postmaster).register(Soaked)
  const worker = yield* registered.client
  const { calls } = asked
  const half = asked.gigabytes * 1e9 / 2

  const pid = yield* registered.waitForReady
  yield* Effect.sync(() =>
    progress(
      `${number(seen.answered)} calls, ${gigabytes(seen.poured)} poured, ${gigabytes(seen.echoed)} echoed; resident ` +
        `${Procfs.rss(process.pid)?.toFixed(0)} and, worker, ${Procfs.rss(pid)?.toFixed(0)} MiB`
    )
  ).pipe(Effect.repeat(Schedule.spaced("5 seconds")), Effect.forkScoped)

  const small = Math.ceil(calls * warmUp)
  yield* Effect.all([call(worker, small), pour(worker, half * warmUp), echo(worker, half * warmUp)], {
    concurrency: "unbounded"
  })
  const before = yield* memory(worker)
  const rest = calls - small
  const bytes = half * (1 - warmUp)
  const said = [
    yield* timed(`${number(rest)} calls, ${callsInFlight} at a time`, rest, "calls", call(worker, rest)),
    yield* timed(`${gigabytes(bytes)} from the worker as a stream`, bytes / 1e6, "MB", pour(worker, bytes)),
    yield* timed(
      `${gigabytes(bytes)} to the worker and back, ${echoesInFlight} calls at a time`,
      bytes / 1e6,
      "MB",
      echo(worker, bytes)
    )
  ]
  const after = yield* memory(worker)
  const tally = yield* worker.Tally()

  if (seen.answered !== calls) findings.push(`${seen.answered} of ${calls} calls were answered`)
  if (tally.answered !== seen.answered || tally.sum !== seen.sum || tally.echoed !== seen.echoed) {
    findings.push(`the worker has seen ${JSON.stringify(tally)}, and the application ${JSON.stringify(seen)}`)
  }
  if (seen.wrong + tally.wrong > 0) {
    findings.push(`${seen.wrong} answers and chunks, and ${tally.wrong} at the worker, were not what they should be`)
  }
  return [
    ...said,
    grew("application", before.application, after.application),
    grew("worker", before.worker, after.worker)
  ]
})

const postmaster = Postmaster.layer().pipe(
  Layer.provide([NodeSpawner.layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })])
)

soak.pipe(
  Effect.scoped,
  Effect.provide(postmaster),
  Effect.provideService(Logger.CurrentLoggers, new Set()),
  Effect.map((said) => {
    process.stdout.write(`${said.join("\n")}\n`)
    for (const finding of findings) process.stderr.write(`soak: ${finding}\n`)
    if (findings.length > 0) process.exitCode = 1
    else process.stdout.write("nothing was lost, nothing came changed, memory stays\n")
  }),
  Effect.tapCause((cause) =>
    Effect.sync(() => {
      if (!Cause.hasInterruptsOnly(cause)) process.stderr.write(`soak: ${Cause.pretty(cause)}\n`)
    })
  ),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown })
)
