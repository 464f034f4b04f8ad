/** The worker of Effect's own `RpcClient` over `NodeWorker` that is called. */
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcServer from "effect/rpc/RpcServer"
import { Bytes, Moved, Text } from "./echoRpcs.mjs"

const EchoRpcs = RpcGroup.make(Text, Bytes, Moved)

const handlers = EchoRpcs.toLayer({
  Text: ({ text }) => Effect.succeed(text),
  Bytes: ({ bytes }) => Effect.succeed(bytes),
  Moved: ({ bytes }) => Effect.succeed(bytes)
})

RpcServer.layer(EchoRpcs).pipe(
  Layer.provide(handlers),
  Layer.provide(RpcServer.layerProtocolWorkerRunner),
  Layer.provide(NodeWorkerRunner.layer),
  Layer.launch,
  Effect.runFork
)
