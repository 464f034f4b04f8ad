/**
 * The crew of the chaos: workers that mean well and workers that do not. Each
 * signs the ledger, which is a file, before it begins, so that whoever looks
 * for survivors knows whom to look for, even if the application was killed.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"

const module = new URL(import.meta.url)

/** Where to sign, and how long the good part of the life lasts. */
export const Args = Schema.Struct({ ledger: Schema.String, millis: Schema.Natural })

type Args = typeof Args.Type

/** One line of the ledger. A worker leads its group; what it starts belongs to it. */
export interface Entry {
  readonly pid: number
  readonly group: number
  readonly kind: string
}

export const sign = (ledger: string, kind: string): Effect.Effect<void> =>
  Effect.sync(() => Fs.appendFileSync(ledger, `${JSON.stringify({ pid: process.pid, group: process.pid, kind })}\n`))

type Options = Omit<BackgroundWorker.Options<typeof Args>, "entry" | "args">

const define = (name: string, options?: Options) =>
  BackgroundWorker.make(name, { entry: { module, export: name }, args: Args, ...options })

/** Signs, works, then does what it is for. */
const main = (
  worker: BackgroundWorker.BackgroundWorker<typeof Args>,
  then: (args: Args) => Effect.Effect<void, unknown>
) =>
  BackgroundWorker.main(worker, (args) =>
    sign(args.ledger, worker.name).pipe(
      Effect.andThen(Effect.sleep(args.millis)),
      Effect.andThen(then(args))
    ))

const attached = { flags: ["SharedMemory"], restart: "200 millis" } as const

export const crew = {
  serves: define("serves"),
  attachedServes: define("attachedServes", attached),
  attachedFails: define("attachedFails", attached),
  attachedDies: define("attachedDies", attached),
  works: define("works", { class: "parallel" }),
  fails: define("fails", { restart: "100 millis" }),
  dies: define("dies", { restart: "300 millis" }),
  babbles: define("babbles", { restart: "300 millis" }),
  attachedBabbles: define("attachedBabbles", attached),
  hoards: define("hoards", { restart: "500 millis" }),
  floods: define("floods", { restart: "1 second" }),
  deaf: define("deaf", { stopTimeout: "500 millis" }),
  spins: define("spins", { stopTimeout: "500 millis", restart: "1 second" }),
  spinsForGood: define("spinsForGood", { stopTimeout: "500 millis", restart: "1 second" }),
  begets: define("begets", { restart: "500 millis" }),
  begetsAndReturns: define("begetsAndReturns"),
  begetsAndCrashes: define("begetsAndCrashes", { restart: "500 millis" }),
  beats: define("beats", { heartbeat: "2 seconds", restart: "200 millis" }),
  attachedBeats: define("attachedBeats", { heartbeat: "2 seconds", ...attached }),
  stalls: define("stalls", { progressTimeout: "1 second", restart: "200 millis" }),
  blocks: define("blocks", { heartbeat: "1 second", restart: "500 millis" }),
  dawdles: define("dawdles", { readyTimeout: "500 millis", restart: "500 millis" }),
  missing: define("missing", { restart: "400 millis" })
}

/** Made of a module that is changed meanwhile; it leads here. */
export const visits = (module: URL) =>
  BackgroundWorker.make("visits", { entry: { module, export: "serves" }, args: Args, restart: "300 millis" })

/** Those of `callers.ts` who are registered by the application. */
export type Called = "answers" | "leads"

export type Kind = keyof typeof crew | "visits" | Called

// --- those who mean well ---

export const serves = main(crew.serves, () => Effect.never)
export const attachedServes = main(crew.attachedServes, () => Effect.never)
export const works = main(crew.works, () => Effect.void)
export const fails = main(crew.fails, () => Effect.fail("chaos"))
export const attachedFails = main(crew.attachedFails, () => Effect.fail("chaos"))

export const beats = main(crew.beats, () => Effect.never)
export const attachedBeats = main(crew.attachedBeats, () => Effect.never)

// --- those who do not ---

export const stalls = main(crew.stalls, () => Effect.never)

/** Would never hear anything any more, and is noticed. */
export const blocks = main(crew.blocks, () =>
  Effect.sync(() => {
    Os.setPriority(Os.constants.priority.PRIORITY_LOW)
    for (;;);
  }))

export const dawdles = BackgroundWorker.main(
  crew.dawdles,
  ({ ledger }) => Effect.andThen(sign(ledger, "dawdles"), Effect.never),
  { ready: "Manual" }
)

export const dies = main(crew.dies, () => Effect.die(new Error("chaos")))
export const attachedDies = main(crew.attachedDies, () => Effect.die(new Error("chaos")))

const babble = Effect.andThen(
  Effect.sync(() => Fs.writeSync(3, Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))),
  Effect.never
)
export const babbles = main(crew.babbles, () => babble)
export const attachedBabbles = main(crew.attachedBabbles, () => babble)

export const hoards = main(crew.hoards, () =>
  Effect.sync(() => {
    const hoard: Array<Array<number>> = []
    for (;;) hoard.push(Array.from({ length: 10_000 }, () => hoard.length + 0.5))
  }))

const line = `${"flood ".repeat(40)}\n`
/** As fast as it is read, and it hears what it is told. */
const flood: Effect.Effect<void> = Effect.callback<void>(() => {
  let flooding = true
  const more = (): void => {
    if (!flooding) return
    process.stdout.write(line.repeat(20))
    setImmediate(more)
  }
  more()
  return Effect.sync(() => {
    flooding = false
  })
})
export const floods = main(crew.floods, () => flood)

export const deaf = main(crew.deaf, () => Effect.uninterruptible(Effect.never))

/** Two seconds without its event loop, again and again: it hears everything late. */
export const spins = main(crew.spins, () =>
  Effect.forever(Effect.andThen(
    Effect.sync(() => {
      const until = performance.now() + 2000
      while (performance.now() < until);
    }),
    Effect.sleep(10)
  )))

/** Never hears anything any more. Whoever else wants the processor goes first. */
export const spinsForGood = main(crew.spinsForGood, () =>
  Effect.sync(() => {
    Os.setPriority(Os.constants.priority.PRIORITY_LOW)
    for (;;);
  }))

/** Starts a child that signs and stays; with `trap`, one that ignores SIGTERM. */
const beget = (ledger: string, trap: boolean): Effect.Effect<void> =>
  Effect.sync(() => {
    const signature = `{"pid":'$$',"group":${process.pid},"kind":"${trap ? "stubborn grandchild" : "grandchild"}"}`
    const script = `${trap ? "trap '' TERM; " : ""}echo '${signature}' >> "$0"; while :; do sleep 1000; done`
    spawn("/bin/sh", ["-c", script, ledger], { stdio: "ignore" })
  })
const begetTwo = (ledger: string): Effect.Effect<void> => Effect.andThen(beget(ledger, false), beget(ledger, true))

export const begets = main(crew.begets, ({ ledger }) => Effect.andThen(begetTwo(ledger), Effect.never))
export const begetsAndReturns = main(
  crew.begetsAndReturns,
  ({ ledger, millis }) => Effect.andThen(begetTwo(ledger), Effect.sleep(millis))
)
export const begetsAndCrashes = main(crew.begetsAndCrashes, ({ ledger, millis }) =>
  begetTwo(ledger).pipe(
    Effect.andThen(Effect.sleep(millis)),
    Effect.andThen(Effect.sync(() => process.kill(process.pid, "SIGSEGV"))),
    Effect.andThen(Effect.never)
  ))
