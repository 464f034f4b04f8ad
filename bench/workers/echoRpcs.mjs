/** What our worker and that of Effect's own `RpcClient` are called with. */
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Transferable from "effect/workers/Transferable"

export const Text = Rpc.make("Text", { payload: { text: Schema.String }, success: Schema.String })

export const Bytes = Rpc.make("Bytes", { payload: { bytes: Schema.Uint8Array }, success: Schema.Uint8Array })

/** The same, moved where that is possible. */
export const Moved = Rpc.make("Moved", {
  payload: { bytes: Transferable.Uint8Array },
  success: Transferable.Uint8Array
})
