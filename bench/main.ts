/** `npm run bench`: measures, writes `results/*.json` and `RESULTS.md`, and says which targets are met. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { parseArgs } from "node:util"
import * as Clock from "./clock.ts"
import * as Ground from "./ground.ts"
import type { Heat, Options } from "./line.ts"
import { bytes, calls } from "./lines/calls.ts"
import { crash } from "./lines/crash.ts"
import { fiber } from "./lines/fiber.ts"
import { hang } from "./lines/hang.ts"
import { hold } from "./lines/hold.ts"
import { many } from "./lines/many.ts"
import { memory } from "./lines/memory.ts"
import { orphan } from "./lines/orphan.ts"
import { rest } from "./lines/rest.ts"
import { start } from "./lines/start.ts"
import { supervisor } from "./lines/supervisor.ts"
import { turn } from "./lines/turn.ts"
import { teardown } from "./program.ts"
import * as Report from "./report.ts"
import { progress } from "./rounds.ts"

/** In the order in which they run: whoever needs the machine quiet comes first. */
const heats: ReadonlyArray<Heat> = [
  start,
  crash,
  hang,
  rest,
  calls,
  bytes,
  hold,
  turn,
  fiber,
  many,
  memory,
  supervisor,
  orphan
]

const usage = `usage: npm run bench -- [--full] [--only S1,S4] [--trials N]

  --full       all contestants in at least five counted rounds; without it a quick set, under three minutes
  --only       some lines; they are ${heats.flatMap(({ lines }) => lines).join(", ")}
  --trials N   how often the application is killed for S14: 1000 in the full set, 10 in the quick one

Writes bench/results/*.json and bench/RESULTS.md. Exit code 1: a measurement failed, met or not.`

const refuse = (problem: string): never => {
  process.stderr.write(`bench: ${problem}\n${usage}\n`)
  process.exit(1)
}

const read = () => {
  try {
    return parseArgs({
      options: {
        full: { type: "boolean", default: false },
        only: { type: "string" },
        trials: { type: "string" },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return refuse((error as Error).message.split(". ")[0]!)
  }
}

const select = (only: string | undefined): ReadonlyArray<Heat> => {
  if (only === undefined) return heats
  const wanted = only.split(",").map((line) => line.trim().toUpperCase())
  for (const line of wanted) {
    if (!heats.some(({ lines }) => lines.includes(line))) refuse(`there is no line ${JSON.stringify(line)}`)
  }
  return heats.filter(({ lines }) => lines.some((line) => wanted.includes(line)))
}

const given = read()
if (given.help) {
  process.stdout.write(`${usage}\n`)
  process.exit(0)
}
if (process.platform !== "linux") refuse("it looks for processes in /proc, which this system does not have")
const options: Options = { full: given.full, trials: Number(given.trials ?? (given.full ? 1_000 : 10)) }
if (given.trials === "" || !Number.isSafeInteger(options.trials) || options.trials < 1) {
  refuse(`--trials takes a whole number of at least 1, got ${JSON.stringify(given.trials)}`)
}
const selected = select(given.only)

const program = Effect.gen(function*() {
  progress(`clocks agree within ${(yield* Clock.check).toFixed(3)} ms`)
  const said: Array<string> = []
  for (const heat of selected) {
    const outcome = yield* heat.run(options)
    Report.write(heat, options.full, outcome)
    said.push(...Report.tell(heat, outcome))
    if (outcome.failed.length > 0) process.exitCode = 1
  }
  Report.writePage(heats)
  process.stdout.write(`${said.join("\n")}\nbench/RESULTS.md has the rest\n`)
})

program.pipe(
  Effect.provide(Ground.layer),
  Effect.provideService(Logger.CurrentLoggers, new Set()),
  Effect.tapCause((cause) =>
    Effect.sync(() => {
      if (!Cause.hasInterruptsOnly(cause)) process.stderr.write(`bench: ${Cause.pretty(cause)}\n`)
    })
  ),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown })
)
