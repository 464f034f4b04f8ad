/**
 * `npm run bench:core`: the part that needs no process and no peer, for every change to the core. It fails when costs
 * begin to grow with the number of workers.
 *
 * The bound is generous on purpose: a walk through the table costs some ten thousand times as much in a table ten
 * thousand times as large, a tree a few times; what is left below five is the processor's cache. What is compared is the
 * time for which the thread had a processor, so that a busy machine changes nothing.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { fibers, nameOf as livingName } from "./lines/fiber.ts"
import { nameOf as slotsName, turns } from "./lines/turn.ts"
import { teardown } from "./program.ts"
import { alternate, type Outcome } from "./rounds.ts"
import { find, ratio } from "./rows.ts"
import { showRow } from "./show.ts"

const bound = 5
const count = { warmUp: 2, counted: 5 }

const few = 10
const manySlots = 100_000
const manyLiving = 1_000

/** Whether a figure stays in its class from the small to the large; says so. */
const judge = (line: string, { failed, rows }: Outcome, small: string, large: string): boolean => {
  const [before, after] = [find(rows, small, "processor"), find(rows, large, "processor")]
  const grown = ratio(after, before)
  for (const { detail, entrant } of failed) process.stdout.write(`${line}  ${entrant} failed: ${detail}\n`)
  for (const row of rows) process.stdout.write(`${line}  ${row.entrant}: ${row.figure} ${showRow(row, "µs")}\n`)
  if (grown === undefined) return false
  process.stdout.write(`${line}  ${large} ÷ ${small}: ${grown.toFixed(2)}, at most ${bound}\n`)
  return grown <= bound
}

const program = Effect.gen(function*() {
  const ofTurns = yield* alternate("S7 turn", count, [turns(few), turns(manySlots)])
  const ofFibers = yield* alternate("S8 fiber", count, [fibers(few), fibers(manyLiving)])
  const stays = [
    judge("S7", ofTurns, slotsName(few), slotsName(manySlots)),
    judge("S8", ofFibers, livingName(few), livingName(manyLiving))
  ]
  if (!stays.every(Boolean)) {
    process.stdout.write("costs grow with the number of workers\n")
    process.exitCode = 1
  }
})

NodeRuntime.runMain(Effect.provideService(program, Logger.CurrentLoggers, new Set()), { teardown })
