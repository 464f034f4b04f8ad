/** `npm run chaos`: a minute of chaos on real processes, or as long as `--minutes` or `--seconds` say. */
import { parseArgs } from "node:util"
import { run } from "./chaos.ts"

const usage = "usage: npm run chaos -- [--minutes M | --seconds S] [--seed N]"

const refuse = (problem: string): never => {
  console.error(`chaos: ${problem}; ${usage}`)
  process.exit(1)
}

const read = (): { readonly [name in "minutes" | "seconds" | "seed"]: string | undefined } => {
  try {
    const option = { type: "string" } as const
    const { values } = parseArgs({ options: { minutes: option, seconds: option, seed: option } })
    return { minutes: values.minutes, seconds: values.seconds, seed: values.seed }
  } catch (error) {
    return refuse((error as Error).message.split(". ")[0]!)
  }
}

const positive = (name: string, text: string): number => {
  const value = text === "" ? Number.NaN : Number(text)
  return Number.isFinite(value) && value > 0
    ? value
    : refuse(`--${name} takes a number above 0, got ${JSON.stringify(text)}`)
}

const given = read()
if (given.minutes !== undefined && given.seconds !== undefined) {
  refuse("--minutes and --seconds are two ways to say one thing")
}
if (process.platform !== "linux") refuse("it looks for survivors in /proc, which this system does not have")
const seconds = given.seconds === undefined
  ? 60 * positive("minutes", given.minutes ?? "1")
  : positive("seconds", given.seconds)
const seed = given.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(given.seed)
if (given.seed === "" || !Number.isSafeInteger(seed) || seed < 0) {
  refuse(`--seed takes a whole number of at least 0, got ${JSON.stringify(given.seed)}`)
}

const clear = "\r\u001b[2K"
const { orphanages, rounds, tally, violation } = await run({
  seed,
  seconds,
  onRound: (round, ending, elapsed) => {
    if (!process.stdout.isTTY) return
    process.stdout.write(`${clear}${elapsed.toFixed(0)} of ${seconds} s, round ${round}, to end by ${ending}`)
  }
})
if (process.stdout.isTTY) process.stdout.write(clear)

console.log(`seed ${seed}, ${rounds} rounds`)
const rows = [...tally].toSorted(([self], [that]) => self < that ? -1 : 1)
for (const [what, times] of rows) console.log(`${String(times).padStart(6)}  ${what}`)
for (const { guarded, millis, spares, spinning, workers } of orphanages) {
  const crew = `${workers} workers, ${spinning} of them spinning for good, and ${spares} spares`
  console.log(
    `${millis.toFixed(0).padStart(6)} ms after the application was killed ${
      guarded ? "its launcher had ended" : "all but the spinning had left, of"
    } ${crew}`
  )
}
if (violation !== undefined) {
  console.error(`violation: ${violation}`)
  console.error(`the same choices again: npm run chaos -- --seed ${seed} --seconds ${seconds}`)
  process.exit(1)
}
console.log(
  "no process is left, nothing has leaked, slots and spares add up, every exit was reported, every call has ended"
)
