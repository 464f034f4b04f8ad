import { assert, describe, it } from "@effect/vitest"
import { explore } from "./explore.ts"
import { worlds } from "./worlds.ts"

// The nearest states of each world; `npm run explore` walks them to their ends.
const maxStates = 12_000

describe("every law holds in every state", () => {
  for (const [name, bounds] of Object.entries(worlds)) {
    it(name, { timeout: 60_000 }, () => {
      const { states, violation } = explore(bounds, maxStates)
      assert.isUndefined(violation, violation && `${violation.law}\n  ${violation.road.join("\n  ")}`)
      assert.isAbove(states, 500)
    })
  }
})
