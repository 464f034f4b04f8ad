/**
 * The worker of the soak, and what it is asked. Both sides know the bytes beforehand, so that each compares all of what
 * it receives.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as Effect from "effect/Effect"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { used } from "../used.ts"

// -----------------------------------------------------------------------------
// what is known
// -----------------------------------------------------------------------------

/** Chunks are of one byte to so many. */
const maxChunkBytes = 1024 * 1024

const pseudoRandom = (n: number): number => {
  let x = Math.imul(n ^ n >>> 16, 0x45d9f3b)
  x = Math.imul(x ^ x >>> 16, 0x45d9f3b)
  return (x ^ x >>> 16) >>> 0
}

const pad = new Uint8Array(2 * maxChunkBytes)
new Uint32Array(pad.buffer).forEach((_, index, words) => words[index] = pseudoRandom(index + 1))

/** The chunk with this number: its own place in what looks like noise, and its own size. Do not write into it. */
export const chunkOf = (index: number): Uint8Array<ArrayBuffer> => {
  const size = 1 + pseudoRandom(index + 1) % maxChunkBytes
  const at = pseudoRandom(index + 0x10000000) % maxChunkBytes
  return pad.subarray(at, at + size)
}

export const isChunk = (bytes: Uint8Array, index: number): boolean => Buffer.compare(bytes, chunkOf(index)) === 0

export const answerTo = (n: number): number => pseudoRandom(n)

// -----------------------------------------------------------------------------
// what is asked
// -----------------------------------------------------------------------------

const Memory = Schema.Struct({ heap: Schema.Finite, resident: Schema.Finite })

export const protocol = WorkerProtocol.make(
  Rpc.make("Answer", { payload: { n: Schema.Finite }, success: Schema.Finite }),
  Rpc.make("Echo", { payload: { index: Schema.Finite, bytes: Schema.Uint8Array }, success: Schema.Uint8Array }),
  /** The chunks from one number to before another. */
  Rpc.make("Pour", { payload: { from: Schema.Finite, to: Schema.Finite }, success: Schema.Uint8Array, stream: true }),
  /** What has been asked so far, as the worker has seen it. */
  Rpc.make("Tally", {
    success: Schema.Struct({ answered: Schema.Finite, sum: Schema.Finite, echoed: Schema.Finite, wrong: Schema.Finite })
  }),
  Rpc.make("Memory", { success: Memory })
)

export const Soaked = BackgroundWorker.make("soaked", { entry: { module: new URL(import.meta.url) }, protocol })

export const main = BackgroundWorker.main(Soaked, () => Effect.never, {
  layer: protocol.toLayer(Effect.sync(() => {
    const tally = { answered: 0, sum: 0, echoed: 0, wrong: 0 }
    return {
      Answer: ({ n }) =>
        Effect.sync(() => {
          tally.answered++
          tally.sum += n
          return answerTo(n)
        }),
      Echo: ({ bytes, index }) =>
        Effect.sync(() => {
          tally.echoed += bytes.length
          if (!isChunk(bytes, index)) tally.wrong++
          return bytes
        }),
      Pour: ({ from, to }) =>
        Stream.range(from, to - 1).pipe(
          Stream.rechunk(1),
          Stream.map(chunkOf)
        ),
      Tally: () => Effect.sync(() => ({ ...tally })),
      Memory: () => used
    }
  }))
})
