/**
 * A service whose worker is observed: one scrape has what the application, the
 * postmaster and the worker measure, and one trace has what all of them do.
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as PostmasterMetrics from "@effect-postmaster/core/PostmasterMetrics"
import * as PostmasterTraces from "@effect-postmaster/core/PostmasterTraces"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import { createServer } from "node:http"
import { Collector } from "./collector.ts"
import { Primes } from "./primes.ts"

class NotYet extends Data.TaggedError("NotYet")<{ readonly what: string }> {}

/** Metrics are read and traces are sent here. It traces nothing, least of all what it is sent. */
const ServerLive = HttpRouter.serve(
  Layer.provideMerge(PrometheusMetrics.layerHttp(), Collector.layer),
  { disableLogger: true, disableListenLog: true }
).pipe(
  Layer.provideMerge(Layer.unwrap(
    Effect.map(
      Config.Port("PORT").pipe(Config.withDefault(0)),
      (port) => NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })
    )
  ))
)

const urlOf = Effect.map(HttpServer.HttpServer, ({ address }) => HttpServer.formatAddress(address))

const TracerLive = Layer.unwrap(Effect.map(urlOf, (url) =>
  OtlpTracer.layer({
    url: `${url}/v1/traces`,
    resource: { serviceName: "application" },
    exportInterval: "100 millis"
  }))).pipe(Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]))

/** Workers are told where to send what they trace. */
const SpawnerLive = Layer.unwrap(Effect.map(urlOf, (url) =>
  NodeSpawner.layerWith({
    env: { OTEL_TRACES_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_BSP_SCHEDULE_DELAY: "100" }
  })))

const PostmasterLive = PostmasterMetrics.layer.pipe(
  Layer.provideMerge(Postmaster.layer()),
  Layer.provide(PostmasterTraces.layer),
  Layer.provide([SpawnerLive, PostmasterConfig.layer({ shutdownOnRelease: "Fast" })])
)

/** The lines of a scrape that are worth showing. */
const scrape = Effect.gen(function*() {
  const url = yield* urlOf
  const response = yield* HttpClient.get(`${url}/metrics`)
  const text = yield* response.text
  return text.split("\n").filter((line) => /^(?:primes_|postmaster_worker_(starts|restarts|exits)_total)/.test(line))
}).pipe(
  Effect.provide(FetchHttpClient.layer),
  Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
  Effect.orDie
)

/** What a worker has measured and traced comes a moment later. */
const until = (what: string, isSo: Effect.Effect<boolean, never, HttpServer.HttpServer>) =>
  Effect.flatMap(isSo, (so) => so ? Effect.void : Effect.fail(new NotYet({ what }))).pipe(
    Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 600 })
  )

const work = Effect.gen(function*() {
  const { spans } = yield* Collector
  const primes = yield* (yield* Postmaster).register(Primes)
  const ask = Effect.fn("ask")(function*(below: number) {
    const client = yield* primes.waitForClient
    yield* Console.error(`${yield* client.Count({ below })} primes below ${below}`)
  }, Effect.scoped)
  const seen = (sieves: number) =>
    Effect.andThen(
      until(
        "the metrics",
        Effect.map(scrape, (lines) => lines.includes(`primes_sieves_total{worker="primes"} ${sieves}`))
      ),
      until(
        "the spans",
        Effect.sync(() =>
          spans.filter(({ name, service }) => name === "Count" && service === "primes").length === sieves
        )
      )
    )

  yield* ask(100)
  yield* ask(1_000_000)
  yield* seen(2)
  const pid = yield* primes.waitForStartup
  yield* Console.error(`killing process ${pid}`)
  yield* Effect.sync(() => process.kill(pid, "SIGKILL"))
  yield* primes.waitForShutdown
  yield* ask(10_000)
  // The counter goes on from where the life before it has come to.
  yield* seen(3)
  yield* Console.log((yield* scrape).join("\n"))
})

const stays = process.argv.includes("--stay")

const application = Effect.gen(function*() {
  yield* Console.error(`metrics on ${yield* urlOf}/metrics`)
  const { draw } = yield* Collector
  yield* Effect.andThen(work, stays ? Effect.never : Effect.void).pipe(
    Effect.provide(PostmasterLive),
    // The postmaster is inside of it, so that lives are parts of its trace.
    Effect.withSpan("application"),
    Effect.provide(TracerLive),
    Effect.onExit(() => Effect.flatMap(draw, (trees) => Console.log(`\n${trees}`)))
  )
})

if (import.meta.main) {
  application.pipe(
    Effect.provide(ServerLive),
    Effect.provideService(References.MinimumLogLevel, "Error"),
    NodeRuntime.runMain
  )
}
