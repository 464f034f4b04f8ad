/**
 * `npm run simulate`: ten seeds of a thousand virtual days, or what `--seed`,
 * `--seeds` and `--days` say. The same seed and days make the same history.
 */
import * as Effect from "effect/Effect"
import { parseArgs } from "node:util"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { formatTime } from "./chronicle.ts"
import { laws } from "./laws.ts"
import { simulate } from "./simulate.ts"

const usage = "usage: npm run simulate -- [--seed N] [--seeds COUNT] [--days D]"

const refuse = (problem: string): never => {
  console.error(`simulate: ${problem}; ${usage}`)
  process.exit(1)
}

const read = (): { readonly [name in "seed" | "seeds" | "days"]: string | undefined } => {
  try {
    const option = { type: "string" } as const
    const { values } = parseArgs({ options: { seed: option, seeds: option, days: option } })
    return { seed: values.seed, seeds: values.seeds, days: values.days }
  } catch (error) {
    return refuse((error as Error).message.split(". ")[0]!)
  }
}

const whole = (name: string, text: string, least: number): number => {
  const value = text === "" ? Number.NaN : Number(text)
  if (Number.isSafeInteger(value) && value >= least && value <= 4_294_967_295) return value
  return refuse(`--${name} takes a whole number of at least ${least}, got ${JSON.stringify(text)}`)
}

const given = read()
const first = whole("seed", given.seed ?? "1", 0)
const count = whole("seeds", given.seeds ?? (given.seed === undefined ? "10" : "1"), 1)
const days = whole("days", given.days ?? "1000", 1)

const started = performance.now()
const seconds = (since: number): number => (performance.now() - since) / 1000

const progress = (text: string): void => {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[2K${text}`)
}

V8.setFlagsFromString("--expose-gc")
const collect: () => void = Vm.runInNewContext("gc")

const heapInterval = 100

/** Megabytes that are still in use when nobody holds what is over. */
const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed / 1_000_000
}

for (let seed = first; seed < first + count; seed++) {
  const since = performance.now()
  const heaps: Array<number> = []
  const onDay = (day: number): void => {
    if (day % heapInterval === 0) heaps.push(heap())
    const speed = Math.round(day / seconds(since))
    if (day % 5 === 0) progress(`seed ${seed}: day ${day} of ${days}, ${speed} days/s`)
  }
  const { counts, digest, violation } = await Effect.runPromise(simulate({ seed, days, onDay }))
  progress("")
  if (violation !== undefined) {
    console.error(`seed ${seed} broke a law at ${formatTime(violation.at)} (${violation.at} ms)`)
    console.error(`  ${violation.law}\n  ${violation.how}`)
    console.error(`what came before:\n  ${violation.road.join("\n  ")}`)
    console.error(`replay: npm run simulate -- --seed ${seed} --days ${days}`)
    process.exit(1)
  }
  if (heaps.length > 1 && heaps.at(-1)! > heaps[0]! * 1.5 + 10) {
    console.error(`seed ${seed} broke a law\n  ${laws.heap}`)
    console.error(`  megabytes every ${heapInterval} days: ${heaps.map(Math.round).join(", ")}`)
    console.error(`replay: npm run simulate -- --seed ${seed} --days ${days}`)
    process.exit(1)
  }
  const summary = Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(", ")
  const taken = seconds(since)
  console.log(`seed ${seed}: ${days} days in ${taken.toFixed(1)} s (${Math.round(days / taken)}/s), digest ${digest}`)
  const growth = heaps.length > 1 ? `, heap ${heaps[0]!.toFixed(1)} to ${heaps.at(-1)!.toFixed(1)} MB` : ""
  console.log(`  ${summary}${growth}`)
}
const total = seconds(started)
console.log(
  `${count} ${count === 1 ? "seed" : "seeds"} × ${days} days, every law held: ${total.toFixed(0)} s, ` +
    `${Math.round(count * days / total)} days/s`
)
