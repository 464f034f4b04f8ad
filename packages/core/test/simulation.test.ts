/** Three short simulations; `npm run simulate` runs long ones. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { simulate } from "./simulation/simulate.ts"

const days = 20

describe("every law holds at the loop's boundary", () => {
  for (const seed of [1, 2, 3]) {
    it.live(`seed ${seed}, ${days} virtual days`, () =>
      Effect.gen(function*() {
        const { counts, violation } = yield* simulate({ seed, days })
        assert.isUndefined(
          violation,
          violation && `${violation.law}\n  ${violation.how}\n  ${violation.road.join("\n  ")}`
        )
        assert.isAbove(counts.lives, 100)
        assert.isAbove(counts.crashes, 10)
        assert.isAbove(counts["lives asked for"], 10)
        assert.isAbove(counts.replaced, 5)
      }), 60_000)
  }

  it.live("the same seed makes the same history, and another seed another", () =>
    Effect.gen(function*() {
      const digest = (seed: number) => Effect.map(simulate({ seed, days: 5 }), (outcome) => outcome.digest)
      const first = yield* digest(4)
      assert.strictEqual(yield* digest(4), first)
      assert.notStrictEqual(yield* digest(5), first)
    }), 60_000)
})
