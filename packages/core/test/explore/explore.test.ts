import { assert, describe, it } from "@effect/vitest"
import { explore } from "./explore.ts"
import { laws, prospects } from "./laws.ts"
import { worlds } from "./worlds.ts"

describe("every law holds in every state of", () => {
  for (const [name, bounds] of Object.entries(worlds)) {
    it(name, { timeout: 600_000 }, () => {
      const { exhausted, states, violation } = explore(bounds)
      assert.isUndefined(violation, violation && `${violation.law}\n  ${violation.road.join("\n  ")}`)
      assert.isTrue(exhausted)
      assert.isAbove(states, 500)
    })
  }
})

it("the laws are numbered without a gap", () => {
  for (const [letter, numbered] of [["L", laws], ["P", prospects]] as const) {
    assert.deepStrictEqual(
      Object.keys(numbered).map((name) => name.split(" ")[0]),
      Object.keys(numbered).map((_, index) => `${letter}${index + 1}`)
    )
  }
})
