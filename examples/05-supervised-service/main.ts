/**
 * A service that is meant to run for a long time: an importer that is watched
 * and comes back, the cache that it needs, metrics and controls over HTTP, and
 * a log in files. README.md says how to break it, and what is seen then.
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as PostmasterMetrics from "@effect-postmaster/core/PostmasterMetrics"
import { NodeLogFile } from "@effect-postmaster/node/NodeLogFile"
import * as NodeSignals from "@effect-postmaster/node/NodeSignals"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Path from "effect/Path"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import { Importer } from "./importer.ts"
import { Rates } from "./rates.ts"
import { Routes } from "./routes.ts"

/** The folder stays when the service has ended: somebody may want to know why. */
const LogLive = Layer.unwrap(Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  const given = yield* Config.String("LOG_FOLDER").pipe(Config.withDefault(undefined))
  const folder = given ?? (yield* fs.makeTempDirectory({ prefix: "supervised-service-" }))
  const path = join(folder, "service.log")
  yield* Console.error(`log in ${path}`)
  return NodeLogFile.layer({ path, maxBytes: 1024 * 1024, maxFiles: 5 })
})).pipe(Layer.provide(NodeServices.layer))

const PostmasterLive = Layer.mergeAll(PostmasterMetrics.layer, NodeLogFile.layerReload).pipe(
  Layer.provideMerge(Postmaster.layer()),
  Layer.provide([NodeSpawner.layer, PostmasterConfig.layer({ spares: 1 })])
)

/** Whoever may use this machine may use the service; nobody else can reach it. */
const ServerLive = HttpRouter.serve(
  Layer.merge(PrometheusMetrics.layerHttp(), Routes),
  { disableLogger: true, disableListenLog: true }
).pipe(
  Layer.provideMerge(Layer.unwrap(
    Effect.map(
      Config.Port("PORT").pipe(Config.withDefault(0)),
      (port) => NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })
    )
  ))
)

const service = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  yield* Console.error(`process ${process.pid} listens on ${HttpServer.formatAddress(address)}`)
  const ordersPerLife = yield* Config.schema(
    Schema.FiniteFromString.pipe(Schema.decodeTo(Schema.Natural)),
    "ORDERS_PER_LIFE"
  ).pipe(
    Config.withDefault(10_000)
  )
  const postmaster = yield* Postmaster
  // The importer waits for this one, so this one must be known first.
  yield* postmaster.register(Rates)
  const importer = yield* postmaster.register(Importer, { ordersPerLife })
  yield* Effect.logInfo(`importing in process ${yield* importer.waitForReadyWithin("30 seconds")}`)
})

NodeSignals.launch(Layer.provide(Layer.effectDiscard(service), ServerLive)).pipe(
  Effect.provide(Layer.provideMerge(PostmasterLive, LogLive)),
  Effect.provideService(References.LogToStderr, true),
  NodeSignals.runMain
)
