/**
 * What fills the messages of a call where its schemas are needed to read them:
 * `SchemaBinary`, in which bytes are bytes.
 */
import * as Effect from "effect/Effect"
import * as RpcSerialization from "effect/rpc/RpcSerialization"

export const codecFor: RpcSerialization.CodecFor = /* @__PURE__ */ Effect.runSync(
  /* @__PURE__ */ Effect.provide(
    /* @__PURE__ */ Effect.map(RpcSerialization.RpcSerialization, (serialization) => serialization.codecFor),
    /* @__PURE__ */ RpcSerialization.layerSchemaBinary()
  )
)
