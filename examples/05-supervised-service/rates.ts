/**
 * The cache: a worker that holds the exchange rates and answers with them. It
 * says itself when it has them, and reads them anew when it is told to reload.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Restart from "@effect-postmaster/core/Restart"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as Effect from "effect/Effect"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

export const Currency = Schema.Literals(["EUR", "USD", "GBP", "JPY"])

const protocol = WorkerProtocol.make(
  Rpc.make("Rate", { payload: { currency: Currency }, success: Schema.Finite })
)

export const Rates = BackgroundWorker.make("rates", {
  entry: { module: new URL(import.meta.url) },
  protocol,
  flags: ["SharedMemory"],
  readyTimeout: "30 seconds",
  heartbeat: "3 seconds",
  restart: Restart.exponential("200 millis", { max: "10 seconds" })
})

const perUnit = new Map<typeof Currency.Type, number>()

/** In earnest this would ask somebody, and could take its time. */
const read = Effect.gen(function*() {
  const rates = [["EUR", 1], ["USD", 0.9], ["GBP", 1.2], ["JPY", 0.006]] as const
  for (const [currency, rate] of rates) perUnit.set(currency, rate)
  yield* Effect.logInfo(`${rates.length} rates`)
})

const run = Effect.gen(function*() {
  const { ready, reloads } = yield* WorkerContext
  yield* read
  yield* ready
  yield* Stream.runForEach(reloads, () => read)
})

export const main = BackgroundWorker.main(Rates, () => run, {
  ready: "Manual",
  layer: protocol.toLayer({
    // A call may come before the rates: the line stands before the worker is ready.
    Rate: ({ currency }) => Effect.sync(() => perUnit.get(currency) ?? 1)
  })
})
