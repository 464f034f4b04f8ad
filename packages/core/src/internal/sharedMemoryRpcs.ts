/**
 * Shared memory over a line: the calls of attached workers, how the postmaster
 * answers them, and the service that a worker makes of them.
 *
 * All of them are single calls. `CellChanged` waits for one change; whoever
 * watches calls again when he has dealt with it, so that nothing piles up on the
 * way.
 */
import * as Effect from "effect/Effect"
import * as Rpc from "effect/rpc/Rpc"
import type * as RpcClient from "effect/rpc/RpcClient"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import { PostmasterDied } from "../HandleError.ts"
import { Present, type SharedMemory, Swap } from "../SharedMemory.ts"
import { MemoryExhausted, SharedMemoryError } from "../SharedMemoryError.ts"
import { bytesOf, mostBytes } from "./cells.ts"

const error = Schema.Union([SharedMemoryError, PostmasterDied])

export class SharedMemoryRpcs extends RpcGroup.make(
  Rpc.make("CellRead", { payload: { cell: Schema.String }, success: Present, error }),
  Rpc.make("CellSwap", {
    payload: { cell: Schema.String, version: Schema.Natural, text: Schema.UndefinedOr(Schema.String) },
    success: Swap,
    error
  }),
  /** Answered when the version is another, which may be never. */
  Rpc.make("CellChanged", { payload: { cell: Schema.String, version: Schema.Natural }, success: Present, error })
) {}

/** The answers of the postmaster; `memoryOf` tells which memory the caller of this number may use. */
export const handlers = (memoryOf: (client: number) => SharedMemory["Service"]) =>
  SharedMemoryRpcs.of({
    CellRead: ({ cell }, { client }) => memoryOf(client.id).read(cell),
    CellSwap: ({ cell, text, version }, { client }) => memoryOf(client.id).swap(cell, version, text),
    CellChanged: ({ cell, version }, { client }) => memoryOf(client.id).changed(cell, version)
  })

/** The shared memory of the postmaster that the client calls. */
export const fromClient = (
  client: RpcClient.RpcClient<RpcGroup.Rpcs<typeof SharedMemoryRpcs>, PostmasterDied>
): SharedMemory["Service"] => ({
  read: (cell) => client.CellRead({ cell }),
  swap: (cell, version, text) =>
    Effect.suspend(() => {
      const bytes = text === undefined ? 0 : bytesOf(cell, text)
      // No memory is as large, and what does not fit into a frame would be a defect.
      return bytes <= mostBytes ? client.CellSwap({ cell, version, text }) : Effect.fail(
        new SharedMemoryError({ reason: new MemoryExhausted({ cell, bytes, taken: 0, maxBytes: mostBytes }) })
      )
    }),
  changed: (cell, version) => client.CellChanged({ cell, version })
})
