/** The worker of Effect's own `RpcClient` over `NodeWorker`, with deep imports as ours has them. */
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcServer from "effect/rpc/RpcServer"
import { BenchRpcs } from "./rpcs.mjs"
import { sign } from "./sign.mjs"

const handlers = BenchRpcs.toLayer({
  Enter: ({ exit, spin, token }) =>
    Effect.sync(() => {
      if (exit) process.exit(1)
      sign("entered", token)
      if (spin) { for (;;); }
      // Workers have timers of their own, and live as long as these.
      setInterval(() => {}, 1_000_000)
    })
})

RpcServer.layer(BenchRpcs).pipe(
  Layer.provide(handlers),
  Layer.provide(RpcServer.layerProtocolWorkerRunner),
  Layer.provide(NodeWorkerRunner.layer),
  Layer.launch,
  Effect.runFork
)
