/** Decides what is added up when no file is given, and what a sum is compared with. */
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"

/** The same seed, the same numbers, on every machine (mulberry32). */
const random = (seed: number) => (): number => {
  seed = seed + 0x6d2b79f5 | 0
  let bits = Math.imul(seed ^ seed >>> 15, seed | 1)
  bits ^= bits + Math.imul(bits ^ bits >>> 7, bits | 61)
  return (bits ^ bits >>> 14) | 0
}

const linesPerChunk = 10_000

const chunks = function*(numbers: number, seed: number): Generator<string> {
  const next = random(seed)
  for (let left = numbers; left > 0; left -= linesPerChunk) {
    yield Array.from({ length: Math.min(left, linesPerChunk) }, () => `${next()}\n`).join("")
  }
}

/** Writes whole numbers of 32 bits, one a line. */
export const generate = Effect.fn("generate")(function*(file: string, numbers: number, seed: number) {
  const fs = yield* FileSystem.FileSystem
  yield* Stream.fromIterable(chunks(numbers, seed), { chunkSize: 1 }).pipe(
    Stream.encodeText,
    Stream.run(fs.sink(file))
  )
})

/** The sum as one process finds it, line by line and with none of the workers' code. */
export const plainSum = Effect.fn("plainSum")(function*(file: string) {
  const lines = (yield* FileSystem.FileSystem).stream(file).pipe(Stream.decodeText(), Stream.splitLines)
  return yield* Stream.runFold(
    lines,
    () => BigDecimal.fromBigInt(0n),
    (sum, line) => BigDecimal.sum(sum, BigDecimal.fromStringUnsafe(line.trim()))
  )
})
