/** `npm run explore`: walks the worlds of the tests further, and says how far it came. */
import { parseArgs } from "node:util"
import { explore } from "./explore.ts"
import { worlds } from "./worlds.ts"

const { values } = parseArgs({ options: { states: { type: "string", default: "200000" } } })
const maxStates = Number(values.states)
if (!Number.isSafeInteger(maxStates) || maxStates < 1) {
  console.error(`explore: --states takes a whole number of at least 1, got ${values.states}`)
  process.exit(1)
}

let broken = 0
for (const [name, bounds] of Object.entries(worlds)) {
  const started = performance.now()
  const { exhausted, states, turns, violation } = explore(bounds, maxStates)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${name}: ${states} states, ${turns} turns, ${exhausted ? "exhausted" : "cut short"}, ${seconds} s`)
  if (violation === undefined) continue
  broken++
  console.log(`  broken: ${violation.law}\n    ${violation.road.join("\n    ")}`)
}
process.exit(broken === 0 ? 0 : 1)
