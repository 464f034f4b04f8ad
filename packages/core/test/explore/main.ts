/**
 * `npm run explore`: walks the worlds of the tests to their ends and says how
 * far it came. `--full` walks larger ones, `--states` says how far at most,
 * `--world` picks those whose names contain a text, `--bail` stops at the first
 * broken law.
 */
import { parseArgs } from "node:util"
import { explore } from "./explore.ts"
import { full, worlds } from "./worlds.ts"

const { values } = parseArgs({
  options: {
    bail: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    states: { type: "string" },
    world: { type: "string", default: "" }
  }
})
const maxStates = values.states === undefined ? Number.POSITIVE_INFINITY : Number(values.states)
if (Number.isNaN(maxStates) || maxStates < 1) {
  console.error(`explore: --states takes a whole number of at least 1, got ${values.states}`)
  process.exit(2)
}

let broken = 0
const total = { states: 0, turns: 0, seconds: 0 }
for (const [name, bounds] of Object.entries(values.full ? { ...worlds, ...full } : worlds)) {
  if (!name.includes(values.world)) continue
  const { exhausted, seconds, states, turns, violation } = explore(bounds, maxStates)
  total.states += states
  total.turns += turns
  total.seconds += seconds
  const end = violation !== undefined ? "broken" : exhausted ? "exhausted" : "cut short"
  console.log(`${name}: ${states} states, ${turns} turns, ${seconds.toFixed(1)} s, ${end}`)
  if (violation === undefined) continue
  broken++
  console.log(`  broken: ${violation.law}\n    ${violation.road.join("\n    ")}`)
  if (values.bail) break
}
console.log(`all: ${total.states} states, ${total.turns} turns, ${total.seconds.toFixed(1)} s`)
process.exit(broken === 0 ? 0 : 1)
