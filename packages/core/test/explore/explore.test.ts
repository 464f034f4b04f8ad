import { assert, describe, it } from "@effect/vitest"
import { explore, kinds } from "./explore.ts"

const worlds = {
  "a job and an attached service": {
    slots: 2,
    registrations: 2,
    menu: [kinds.job, kinds.attachedService],
    crashes: 1,
    failedBirths: 1,
    restartAfterCrash: true
  },
  "a service and an attached job": {
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedJob],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: true
  },
  "one slot, two crashes": {
    slots: 1,
    registrations: 1,
    menu: [kinds.attachedService],
    crashes: 2,
    failedBirths: 1,
    restartAfterCrash: true
  },
  "a phoenix and the parallel class": {
    slots: 2,
    registrations: 2,
    menu: [kinds.phoenix, kinds.parallel],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: true
  },
  "no restart after a crash": {
    slots: 2,
    registrations: 2,
    menu: [kinds.service, kinds.attachedService],
    crashes: 1,
    failedBirths: 0,
    restartAfterCrash: false
  }
}

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
