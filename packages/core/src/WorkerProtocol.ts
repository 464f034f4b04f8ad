/**
 * Decides what a worker can be called: a group of RPCs, together with what it
 * takes to answer them in a worker.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import type * as Scope from "effect/Scope"
import * as Callee from "./internal/callee.ts"
import { CurrentLine } from "./internal/workerLine.ts"

/**
 * The calls a worker answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Calls<out Rpcs extends Rpc.Any> {
  readonly rpcs: ReadonlyArray<Rpcs>
  /**
   * Answers calls to the worker that runs here, by the handlers in its context,
   * until the scope closes. `BackgroundWorker.main` does it, and sees to the
   * handlers.
   */
  readonly serve: (options?: {
    readonly concurrency?: number | "unbounded" | undefined
  }) => Effect.Effect<void, never, Scope.Scope>
}

/**
 * The calls a worker answers, as whoever writes their handlers needs them.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerProtocol<in out Rpcs extends Rpc.Any>
  extends Calls<Rpcs>, Pick<RpcGroup.RpcGroup<Rpcs>, "toLayer" | "toLayerHandler" | "of">
{
  readonly group: RpcGroup.RpcGroup<Rpcs>
}

/**
 * Makes the protocol of a worker.
 *
 * **When to use**
 *
 * Use for a worker that is called, by the application through its handle or by
 * other workers.
 *
 * **Details**
 *
 * The calls are those of `effect/rpc`: typed errors, streams that are produced
 * as fast as they are read, interruption. Payloads and answers travel in the
 * form of `SchemaBinary`, in which bytes are bytes. A `Schema.Uint8Array` of
 * 32 KiB or more that is a field of a struct, an element of an array, an answer
 * or any of these within another is copied once, when the call or the answer is
 * made: from then on it is its owner's again.
 *
 * A handler that dies is its caller's defect; the worker lives on.
 *
 * **Gotchas**
 *
 * No call and no answer may be larger than 64 MiB. What a stream produces at
 * once, as one chunk, is one answer: `Stream.rechunk` makes it smaller.
 *
 * Bytes that arrive may be a part of a larger `ArrayBuffer`: mind `byteOffset`,
 * and that a small part which is kept keeps all of its message.
 *
 * **Example** (A worker that adds)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 * import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
 * import * as Effect from "effect/Effect"
 * import * as Rpc from "effect/rpc/Rpc"
 * import * as Schema from "effect/Schema"
 *
 * const Calculation = WorkerProtocol.make(
 *   Rpc.make("Add", { payload: { a: Schema.Finite, b: Schema.Finite }, success: Schema.Finite })
 * )
 *
 * export const Calculator = BackgroundWorker.make("calculator", {
 *   entry: { module: new URL(import.meta.url) },
 *   protocol: Calculation
 * })
 *
 * export const main = BackgroundWorker.main(Calculator, () => Effect.never, {
 *   layer: Calculation.toLayer({ Add: ({ a, b }) => Effect.succeed(a + b) })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Rpcs extends ReadonlyArray<Rpc.Any>>(...rpcs: Rpcs): WorkerProtocol<Rpcs[number]> => {
  const group = RpcGroup.make(...rpcs)
  return {
    rpcs,
    group,
    toLayer: (build) => group.toLayer(build),
    toLayerHandler: (tag, build) => group.toLayerHandler(tag, build),
    of: group.of,
    serve: (options) =>
      // The handlers are not in the type: `main` has asked for them.
      serve(group as unknown as RpcGroup.RpcGroup<never>, options)
  }
}

const serve = Effect.fnUntraced(function*(
  group: RpcGroup.RpcGroup<never>,
  options: { readonly concurrency?: number | "unbounded" | undefined } | undefined
) {
  const line = yield* CurrentLine
  if (line === undefined) return
  const { send, serve } = line()
  const { connect } = yield* Callee.make(group, options)
  serve(connect(send))
})
