/**
 * Runs the worker whose module is named on the command line, and writes the modules that its process has loaded, a line
 * each, then what it has said.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { pathToFileURL } from "node:url"

const Probe = BackgroundWorker.make("probe", {
  entry: { module: pathToFileURL(process.argv[2]!) },
  args: Schema.Struct({ greeting: Schema.String })
})

const tracer = `
  import { registerHooks } from "node:module"
  import { writeSync } from "node:fs"
  registerHooks({ load: (url, context, next) => (writeSync(1, "loaded " + url + "\\n"), next(url, context)) })`

const application = Effect.gen(function*() {
  const postmaster = yield* Postmaster
  const probe = yield* postmaster.register(Probe, { greeting: "hello" })
  yield* probe.waitForShutdown
})

const plain = Logger.make<unknown, void>(({ message }) => {
  console.log([message].flat().join(" "))
})

NodeRuntime.runMain(
  application.pipe(
    Effect.provide(Postmaster.layer()),
    Effect.provide([
      NodeSpawner.layerWith({ execArgv: [`--import=data:text/javascript,${encodeURIComponent(tracer)}`] }),
      PostmasterConfig.layer(),
      Logger.layer([plain])
    ])
  )
)
