/**
 * Adds up the numbers in a file with parallel workers under a leader: the
 * command line, and what is shown of it.
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as BigDecimal from "effect/BigDecimal"
import * as ByteSize from "effect/ByteSize"
import { Argument, CliConfig, CliOutput, Command, Flag, GlobalFlag } from "effect/cli"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as References from "effect/References"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { availableParallelism } from "node:os"
import type { Summed } from "./leader.ts"
import { generate, plainSum } from "./numbers.ts"
import { sum } from "./sum.ts"

class WrongSum extends Schema.TaggedError<WrongSum>()("WrongSum", { message: Schema.String }) {}

const postmasterOf = (workers: number) =>
  Postmaster.layer().pipe(Layer.provide([
    NodeSpawner.layer,
    // Twice as many adders as there are parts: those that a leader has left behind may take a moment to end.
    PostmasterConfig.layer({ maxWorkers: 1 + 2 * workers, classLimits: { parallel: 2 * workers } })
  ]))

const numberOf = new Intl.NumberFormat("en-US")
const sizeOf = (bytes: number): string => ByteSize.format(ByteSize.bytes(bytes), { precision: 1 })

const barWidth = 20
const clear = "\x1b[2K"

/** A bar on a terminal, a line a second elsewhere. */
const progress = Effect.fn("progress")(function*(onTerminal: boolean, latest: () => Summed | undefined) {
  const draw = Effect.sync(() => {
    const summed = latest()
    if (summed === undefined) return
    const text = `${numberOf.format(summed.numbers)} numbers, ${sizeOf(summed.bytes)} of ${sizeOf(summed.size)}`
    const filled = Math.round(summed.bytes / summed.size * barWidth)
    const bar = `[${"#".repeat(filled)}${"-".repeat(barWidth - filled)}]`
    // The cursor goes back to the start, so that the next line takes the bar's place.
    process.stderr.write(onTerminal ? `${clear}${bar} ${text}\r` : `${text}\n`)
  })
  yield* Effect.schedule(draw, Schedule.spaced(onTerminal ? "50 millis" : "1 second")).pipe(
    Effect.ensuring(Effect.sync(() => onTerminal && process.stderr.write(clear)))
  )
})

const flags = {
  file: Argument.String("file").pipe(
    Argument.withDescription("A file with a decimal number in each line; default: one that is generated"),
    Argument.optional
  ),
  numbers: Flag.Int("numbers").pipe(
    Flag.withDescription("How many numbers to generate, 0 to 1000000000; default: 5000000"),
    Flag.filter((numbers) => numbers >= 0 && numbers <= 1e9, () => "Expected an integer from 0 to 1000000000"),
    Flag.withDefault(5_000_000)
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDescription("Which numbers to generate; default: 1"),
    Flag.withDefault(1)
  ),
  workers: Flag.Int("workers").pipe(
    Flag.withDescription("How many parts to add up at a time, 1 to 64; default: one per core, at least 2"),
    Flag.filter((workers) => workers >= 1 && workers <= 64, () => "Expected an integer from 1 to 64"),
    Flag.withDefault(Math.min(Math.max(availableParallelism(), 2), 64))
  ),
  crash: Flag.Boolean("crash").pipe(
    Flag.withDescription("Have workers kill themselves in the middle; the result stays the same"),
    Flag.withDefault(false)
  ),
  check: Flag.Boolean("check").pipe(
    Flag.withDescription("Compare the result with that of a plain loop in one process"),
    Flag.withDefault(false)
  ),
  verbose: Flag.Boolean("verbose").pipe(
    Flag.withDescription("Show the postmaster's log on stderr"),
    Flag.withDefault(false)
  )
}

const parallelSum = Command.make(
  "parallel-sum",
  flags,
  Effect.fn("parallelSum")(function*({ check, crash, numbers, seed, verbose, workers, ...options }) {
    const file = Option.isSome(options.file)
      ? (yield* Path.Path).resolve(options.file.value)
      : yield* (yield* FileSystem.FileSystem).makeTempFileScoped({ prefix: "parallel-sum-", suffix: ".txt" })
    if (Option.isNone(options.file)) yield* generate(file, numbers, seed)

    const onTerminal = yield* (yield* Stdio.Stdio).stderrIsTerminal
    let latest: Summed | undefined
    let lost = 0
    const add = Effect.gen(function*() {
      yield* Effect.forkScoped(progress(onTerminal, () => latest))
      yield* Stream.runForEach(sum({ file, workers, crash }), (update) => {
        if (update._tag === "Lost") {
          lost++
          return Console.error(`${onTerminal ? clear : ""}${update.message}`)
        }
        return Effect.sync(() => latest = update)
      })
    })
    const [took] = yield* add.pipe(
      Effect.scoped,
      Effect.provide(postmasterOf(workers)),
      // The postmaster warns of every crash, and so do we.
      Effect.provideService(References.MinimumLogLevel, verbose ? "Debug" : "Error"),
      Effect.timed
    )
    // The stream begins with a sum, so it has not ended without one.
    const result = latest!

    yield* Console.log(BigDecimal.format(result.sum))
    yield* Console.error(
      `${numberOf.format(result.numbers)} numbers, ${sizeOf(result.size)}, ${
        Math.round(Duration.toMillis(took))
      } ms, ` +
        `crashes: ${lost}`
    )
    if (!check) return
    const expected = yield* plainSum(file)
    if (!BigDecimal.equals(expected, result.sum)) {
      const message = `a plain loop comes to ${BigDecimal.format(expected)}, and not to ${
        BigDecimal.format(result.sum)
      }`
      return yield* new WrongSum({ message })
    }
    yield* Console.error("a plain loop comes to the same sum")
  }, Effect.scoped)
).pipe(Command.withDescription("Adds up the numbers in a file with parallel workers that may crash."))

/** What can be expected to go wrong is one line on stderr; only a defect shows a stack trace. */
const complain = (message: string) => Console.error(`parallel-sum: ${message.replaceAll(/\s*\n\s*/g, " ")}`)

const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? complain(event.errors.map((error) => error.message).join("; "))
      : CliOutput.defaultPresenter.present(event)
})

// A terminal that closes ends the program as SIGTERM does, so that the generated file goes, too.
process.once("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
// Nobody reads the progress: that is no reason to stop.
process.stderr.on("error", () => {})

Command.run(parallelSum, { version: "0.1.0" }).pipe(
  // The presenter has said what is wrong with the command line.
  Effect.catchIf(
    (error) => error._tag !== "ShowHelp",
    (error) => Effect.andThen(complain(error.message), Effect.fail({ [Runtime.errorReported]: false }))
  ),
  Effect.provide([NodeServices.layer, presenter, CliConfig.layer({ builtIns: [GlobalFlag.Help] })]),
  Effect.provideService(References.LogToStderr, true),
  NodeRuntime.runMain
)
