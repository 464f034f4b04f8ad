/**
 * How a worker is called: its handlers answer what comes on its line.
 *
 * Loaded by workers that have a protocol, and by no others.
 */
import * as Effect from "effect/Effect"
import type * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import type * as Scope from "effect/Scope"
import * as Callee from "./callee.ts"
import { CurrentLine } from "./workerLine.ts"

export const serve = Effect.fnUntraced(function*<Rpcs extends Rpc.Any>(
  protocol: ReadonlyArray<Rpcs>,
  options?: { readonly concurrency?: number | "unbounded" | undefined }
): Effect.fn.Return<void, never, Scope.Scope | Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs> | Rpc.ServicesServer<Rpcs>> {
  const line = yield* CurrentLine
  if (line === undefined) return
  const { send, serve } = line()
  const { connect } = yield* Callee.make(RpcGroup.make(...protocol), options)
  serve(connect(send))
})
