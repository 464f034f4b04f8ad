/** Our worker that is called: on a fiber, a thread or a process. */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as Effect from "effect/Effect"
import { Bytes, Text } from "./echoRpcs.mjs"

const protocol = WorkerProtocol.make(Text, Bytes)

export const Called = BackgroundWorker.make("called", { entry: { module: new URL(import.meta.url) }, protocol })

export const main = BackgroundWorker.main(Called, () => Effect.never, {
  layer: protocol.toLayer({
    Text: ({ text }) => Effect.succeed(text),
    Bytes: ({ bytes }) => Effect.succeed(bytes)
  })
})
