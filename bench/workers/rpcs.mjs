/** What the worker of Effect's own `RpcClient` can be asked. */
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"

export const BenchRpcs = RpcGroup.make(
  Rpc.make("Enter", { payload: { token: Schema.String, exit: Schema.Boolean, spin: Schema.Boolean } })
)
