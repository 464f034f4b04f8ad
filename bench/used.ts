/** What a process keeps when nobody holds what is over. */
import * as Effect from "effect/Effect"
import * as V8 from "node:v8"
import * as Vm from "node:vm"

V8.setFlagsFromString("--expose-gc")
const collect: () => void = Vm.runInNewContext("gc")

export interface Used {
  /** The heap, and the buffers that it holds outside of itself. */
  readonly heap: number
  readonly resident: number
}

/** The least of some readings, each after a collection, in bytes. */
export const used: Effect.Effect<Used> = Effect.gen(function*() {
  let least: Used = { heap: Number.POSITIVE_INFINITY, resident: Number.POSITIVE_INFINITY }
  for (let reading = 0; reading < 5; reading++) {
    collect()
    yield* Effect.sleep("50 millis")
    const { external, heapUsed, rss } = process.memoryUsage()
    least = { heap: Math.min(least.heap, heapUsed + external), resident: Math.min(least.resident, rss) }
  }
  return least
})
