/**
 * The worker: counts primes when it is asked to, measures how that goes, and
 * traces it. What it measures is merged into the application's metrics; what it
 * traces it exports itself, as OpenTelemetry's variables of the
 * environment say.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as WorkerMetrics from "@effect-postmaster/core/WorkerMetrics"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"

const protocol = WorkerProtocol.make(
  Rpc.make("Count", {
    payload: { below: Schema.Natural.check(Schema.isLessThanOrEqualTo(10_000_000)) },
    success: Schema.Natural
  })
)

export const Primes = BackgroundWorker.make("primes", {
  entry: { module: new URL(import.meta.url) },
  protocol,
  restart: "100 millis"
})

const sieves = Metric.counter("primes_sieves_total", { description: "Sieves gone through", incremental: true })
const largest = Metric.gauge("primes_largest_below", { description: "The largest bound that was asked for" })
const took = Metric.histogram("primes_sieve_duration_seconds", {
  description: "How long a sieve takes",
  attributes: { unit: "seconds" },
  boundaries: [0.001, 0.01, 0.1, 1]
})

const count = (below: number): number => {
  const composite = new Uint8Array(below)
  let primes = 0
  for (let n = 2; n < below; n++) {
    if (composite[n] === 1) continue
    primes++
    for (let multiple = n * n; multiple < below; multiple += n) composite[multiple] = 1
  }
  return primes
}

const handlers = protocol.toLayer(Effect.sync(() => {
  let asked = 0
  return {
    Count: Effect.fnUntraced(function*({ below }) {
      asked = Math.max(asked, below)
      const [duration, primes] = yield* Effect.sync(() => count(below)).pipe(
        Effect.withSpan("sieve", { attributes: { below } }),
        Effect.timed
      )
      yield* Metric.update(sieves, 1)
      yield* Metric.update(largest, asked)
      yield* Metric.update(took, Duration.toSeconds(duration))
      return primes
    })
  }
}))

const tracing = OtlpTracer.layerFromConfig({ resource: { serviceName: "primes" } }).pipe(
  Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer])
)

/** Reports sooner than by default, so that there is something to see at once. */
const metrics = WorkerMetrics.layerWith({ interval: "200 millis" })

// Begun by the program itself, and so a part of the life that it is begun in.
const warmUp = Effect.withSpan(Effect.sync(() => count(1_000)), "warm up")

export const main = BackgroundWorker.main(Primes, () => Effect.andThen(warmUp, Effect.never), {
  layer: Layer.provideMerge(handlers, Layer.mergeAll(metrics, tracing))
})
