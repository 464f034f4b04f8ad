/**
 * The smallest program with a background worker. Application and worker share
 * this file: the worker's process imports it too, for the export `main`, and
 * must not become a second application. `import.meta.main` tells them apart.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Hello = BackgroundWorker.make("hello", {
  entry: { module: new URL(import.meta.url) },
  args: Schema.Struct({ name: Schema.String })
})

// What the worker does, in a process of its own.
export const main = BackgroundWorker.main(
  Hello,
  ({ name }) => Effect.logInfo(`hello, ${name}, from process ${process.pid}`)
)

// What the application does.
const application = Effect.gen(function*() {
  const postmaster = yield* Postmaster
  const hello = yield* postmaster.register(Hello, { name: "world" })
  yield* Effect.logInfo(`hello is process ${yield* hello.waitForStartup}`)
  yield* hello.waitForShutdown
})

const PostmasterLive = Postmaster.layer().pipe(Layer.provide([NodeSpawner.layer, PostmasterConfig.layer()]))

if (import.meta.main) {
  NodeRuntime.runMain(Effect.provide(application, PostmasterLive))
}
