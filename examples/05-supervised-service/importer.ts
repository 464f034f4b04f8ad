/**
 * The importer: a worker that goes through a queue of orders without end, one
 * at a time, and books each in shared memory. The postmaster watches that its
 * loop is alive and that its work goes on.
 *
 * An order is booked only if it is the next one, so it counts once, however
 * many lives have been at it, and also while one importer takes another's place.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Outcome from "@effect-postmaster/core/Outcome"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import * as Restart from "@effect-postmaster/core/Restart"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerMetrics from "@effect-postmaster/core/WorkerMetrics"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Currency, Rates } from "./rates.ts"
import { Books, CurrentFault } from "./shared.ts"

export const Importer = BackgroundWorker.make("importer", {
  entry: { module: new URL(import.meta.url) },
  args: Schema.Struct({
    /** After so many orders it asks for another life, and leaves behind what this one has gathered. */
    ordersPerLife: Schema.Natural
  }),
  flags: ["SharedMemory"],
  after: [Rates],
  readyTimeout: "30 seconds",
  heartbeat: "3 seconds",
  // More than the cache's heartbeat: whoever waits for a cache that hangs must not be taken for it.
  progressTimeout: "6 seconds",
  restart: Restart.giveUp(Restart.exponential("200 millis", { max: "10 seconds" }), {
    failures: 5,
    within: "1 minute"
  }),
  stopTimeout: "5 seconds",
  limits: { nice: 5 }
})

class BadOrder extends Schema.TaggedError<BadOrder>()("BadOrder", { order: Schema.Natural }) {
  override get message(): string {
    return `order ${this.order} names no customer`
  }
}

class NoRates extends Schema.TaggedError<NoRates>()("NoRates", {}) {
  override readonly message = "there is no cache of rates"
}

const imported = Metric.counter("orders_imported_total", { description: "Orders imported", incremental: true })

/** The cache that there is now; it may be replaced, or come back, between two orders. */
const rateOf = Effect.fnUntraced(
  function*(currency: typeof Currency.Type) {
    const [rates] = yield* (yield* Postmaster).find(Rates)
    if (rates === undefined) return yield* new NoRates()
    const client = yield* rates.waitForClient
    return yield* client.Rate({ currency })
  },
  Effect.scoped,
  // Asking twice does no harm.
  Effect.retry({ while: ({ _tag }) => _tag === "WorkerStopped", schedule: Schedule.spaced("100 millis"), times: 5 })
)

const orderOf = (order: number) => ({
  currency: Currency.literals[order % Currency.literals.length]!,
  cents: (order * 7919) % 10_000
})

const fetchOrder = Effect.fnUntraced(function*(order: number) {
  const fault = yield* CurrentFault.get
  if (fault === "fail") return yield* new BadOrder({ order })
  // Only once: its next life finds nothing wrong with it.
  if (fault === "stall" && (yield* CurrentFault.compareAndSet("stall", "none"))) {
    yield* Effect.logWarning(`waiting for order ${order}, and for nothing else any more`)
    return yield* Effect.never
  }
  // Whoever it comes from takes his time.
  return yield* Effect.delay(Effect.sync(() => orderOf(order)), "50 millis")
})

const importNext = Effect.gen(function*() {
  const order = (yield* Books.get).imported + 1
  const { cents, currency } = yield* fetchOrder(order)
  const worth = Math.round(cents * (yield* rateOf(currency)))
  const isNext = yield* Books.modify((books) =>
    books.imported === order - 1
      ? [true, { imported: order, cents: books.cents + worth }]
      : [false, books]
  )
  if (isNext) yield* Metric.update(imported, 1)
  return order
})

const run = Effect.fnUntraced(function*(ordersPerLife: number) {
  const { progress, ready } = yield* WorkerContext
  const { imported } = yield* Books.get
  yield* Effect.logInfo(`going on after order ${imported}`)
  yield* ready
  let done = 0
  yield* Effect.addFinalizer(() => Effect.logInfo(`leaving after ${done} orders`))
  while (done < ordersPerLife) {
    const order = yield* importNext
    yield* progress({ done: ++done, total: ordersPerLife, message: `order ${order}` })
  }
  return Outcome.recycle
})

export const main = BackgroundWorker.main(Importer, ({ ordersPerLife }) => run(ordersPerLife), {
  ready: "Manual",
  layer: Layer.merge(Postmaster.layerClient, WorkerMetrics.layerWith({ interval: "1 second" }))
})
