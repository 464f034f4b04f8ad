/**
 * Those of the crew who are called, and who register and call others. An answer
 * carries its question, so that a wrong one is noticed; whoever notices that
 * something is wrong writes it into the ledger.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import type { PostmasterDied, WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import type { WorkerHandle } from "@effect-postmaster/core/WorkerHandle"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Args, sign } from "./crew.ts"

const protocol = WorkerProtocol.make(
  Rpc.make("Echo", {
    payload: { question: Schema.Natural, bytes: Schema.Uint8Array },
    success: Schema.Struct({ question: Schema.Natural, bytes: Schema.Uint8Array })
  }),
  Rpc.make("Count", {
    payload: { question: Schema.Natural },
    success: Schema.Struct({ question: Schema.Natural, n: Schema.Natural }),
    stream: true
  }),
  /** Never answers. */
  Rpc.make("Hang")
)

const module = new URL(import.meta.url)

const define = (name: string, options?: { readonly ownership: "registrant" }) =>
  BackgroundWorker.make(name, {
    entry: { module, export: name },
    args: Args,
    protocol,
    restart: "200 millis",
    ...options
  })

export const callers = {
  answers: define("answers"),
  owned: define("owned", { ownership: "registrant" }),
  leads: define("leads")
}

export type Answering = WorkerHandle<typeof protocol extends WorkerProtocol.WorkerProtocol<infer Rpcs> ? Rpcs : never>

/** What has become of calls. Whoever has begun more than have ended still waits. */
export interface Ledger {
  begun: number
  answered: number
  stopped: number
  readonly wrong: (detail: string) => Effect.Effect<void>
}

/** Counts one way of calling, again and again, and how it ends. */
const keepOn = <E>(ledger: Ledger, call: Effect.Effect<void, E>): Effect.Effect<never, E> =>
  Effect.forever(
    Effect.suspend(() => {
      ledger.begun++
      return Effect.onExit(call, (exit) =>
        Effect.sync(() => {
          if (exit._tag === "Success") ledger.answered++
          else ledger.stopped++
        }))
    })
  )

/** Calls every life of a worker in all ways at once, until there will be no other. */
export const call = (worker: Answering, ledger: Ledger): Effect.Effect<void> => {
  let last = 0
  const calls = Effect.gen(function*() {
    const { Count, Echo, Hang } = yield* worker.waitForClient
    const echo = Effect.suspend(() => {
      const question = last++
      const bytes = new Uint8Array(question % 50 === 0 ? 300_000 : question % 100).fill(question)
      return Effect.flatMap(
        Echo({ question, bytes }),
        (answer) =>
          answer.question === question && Buffer.compare(answer.bytes, bytes) === 0
            ? Effect.sleep(1)
            : ledger.wrong(`${worker.name} was asked ${question} and answered ${answer.question}`)
      )
    })
    const count = Effect.suspend(() => {
      const question = last++
      let expected = 0
      return Stream.runForEach(
        Stream.take(Count({ question }), 50),
        ({ n, question: answered }) =>
          answered === question && n === expected++
            ? Effect.void
            : ledger.wrong(`${worker.name} was asked to count for ${question} and said ${n} for ${answered}`)
      )
    })
    const hang = Effect.flatMap(Hang(), () => ledger.wrong(`${worker.name} answered what is never answered`))
    yield* Effect.all([echo, echo, count, hang].map((one) => keepOn(ledger, one)), { concurrency: "unbounded" })
  })
  return Effect.scoped(calls).pipe(
    Effect.retry({
      while: (error: WorkerStopped | PostmasterDied) => error._tag === "WorkerStopped" && error.isRetryable
    }),
    Effect.ignore
  )
}

const handlers = protocol.toLayer({
  Echo: Effect.succeed,
  Count: ({ question }) =>
    Stream.iterate(0, (n) => n + 1).pipe(Stream.map((n) => ({ question, n })), Stream.rechunk(3)),
  Hang: () => Effect.never
})

const main = (worker: typeof callers.answers) =>
  BackgroundWorker.main(worker, ({ ledger }) => Effect.andThen(sign(ledger, worker.name), Effect.never), {
    layer: handlers
  })

export const answers = main(callers.answers)
export const owned = main(callers.owned)

/** Registers one that it owns and one that it does not, and calls both as long as it lives. */
export const leads = BackgroundWorker.main(
  callers.leads,
  (args) =>
    Effect.scoped(Effect.gen(function*() {
      yield* sign(args.ledger, callers.leads.name)
      const postmaster = yield* Postmaster
      const wrong = (detail: string) => sign(args.ledger, `${wrongly}${detail}`)
      yield* Effect.forEach([callers.owned, callers.answers], (kind) =>
        Effect.ignore(Effect.flatMap(
          postmaster.register(kind, args),
          (worker) => call(worker, { begun: 0, answered: 0, stopped: 0, wrong })
        )), { concurrency: "unbounded" })
      return yield* Effect.never
    })),
  { layer: Layer.provideMerge(handlers, Postmaster.layerClient) }
)

/** How an entry of the ledger begins that is no signature. */
export const wrongly = "wrong: "
