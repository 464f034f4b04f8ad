/**
 * Finds duplicate files with worker processes: the command line, and how the
 * parts fit together.
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Argument, CliConfig, CliOutput, Command, Flag, GlobalFlag, TerminalCapabilities } from "effect/cli"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Ref from "effect/Ref"
import * as References from "effect/References"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { chaos } from "./chaos.ts"
import { hashAll, type Pool } from "./pool.ts"
import * as Progress from "./progress.ts"
import { formatResult, formatRun, Report, toResult } from "./report.ts"
import { split, survey } from "./shards.ts"
import { walk } from "./walk.ts"

class NoFolder extends Schema.TaggedError<NoFolder>()("NoFolder", { message: Schema.String }) {}

/** The folder as a full path, if it is one. */
const toFolder = Effect.fn("toFolder")(function*(name: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = (yield* Path.Path).resolve(name)
  const { type } = yield* Effect.catch(fs.stat(folder), (error) =>
    new NoFolder({
      message: error.reason._tag === "NotFound"
        ? `folder "${name}" does not exist`
        : `folder "${name}": ${error.message}`
    }))
  if (type !== "Directory") return yield* new NoFolder({ message: `"${name}" is not a folder` })
  return folder
})

const postmasterOf = (slots: number) =>
  Postmaster.layer().pipe(
    Layer.provide([NodeSpawner.layer, PostmasterConfig.layer({ maxWorkers: slots, killAfter: "1 second" })])
  )

const flags = {
  folder: Argument.String("folder").pipe(
    Argument.withDescription("Where to look; default: this project's node_modules"),
    Argument.withDefault(fileURLToPath(new URL("../../node_modules", import.meta.url)))
  ),
  workers: Flag.Int("workers").pipe(
    Flag.withDescription("How many workers at a time, 1 to 64; default: one per core, at least 2"),
    Flag.filter((workers) => workers >= 1 && workers <= 64, () => "Expected an integer from 1 to 64"),
    Flag.withDefault(Math.min(Math.max(availableParallelism(), 2), 64))
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("Print one JSON document and nothing else"),
    Flag.withDefault(false)
  ),
  chaos: Flag.Boolean("chaos").pipe(
    Flag.withDescription("Kill a random worker every half second; the result stays the same"),
    Flag.withDefault(false)
  ),
  chaosInterval: Flag.Int("chaos-interval").pipe(Flag.withDefault(500), Flag.withHidden),
  verbose: Flag.Boolean("verbose").pipe(
    Flag.withDescription("Show the postmaster's log on stderr"),
    Flag.withDefault(false)
  )
}

const duplicates = Command.make(
  "duplicates",
  flags,
  Effect.fn("duplicates")(function*(options) {
    const root = yield* toFolder(options.folder)
    const { files, unreadable } = yield* walk(root)
    const { candidates, counts } = survey(files)

    const shards = split(candidates, options.workers)
    const pool: Pool = { root, slots: options.workers, shards, running: new Set(), finished: [] }
    const kills = yield* Ref.make(0)
    const onTerminal = yield* (yield* Stdio.Stdio).stderrIsTerminal
    const progress = onTerminal && !options.verbose ? Progress.bar : Progress.lines

    const hash = Effect.gen(function*() {
      if (!options.json) yield* Effect.forkScoped(progress(pool))
      if (options.chaos) yield* Effect.forkScoped(chaos(pool, options.chaosInterval, kills))
      return yield* hashAll(pool)
    })
    const [took, outcomes] = yield* hash.pipe(
      Effect.scoped,
      Effect.provide(postmasterOf(pool.slots)),
      // A kill is not worth a warning where killing is what was asked for.
      Effect.provideService(References.MinimumLogLevel, options.verbose ? "Debug" : options.chaos ? "Error" : "Warn"),
      Effect.timed
    )

    const result = toResult(root, counts, outcomes, unreadable)
    const run = {
      slots: pool.slots,
      millis: Math.round(Duration.toMillis(took)),
      kills: yield* Ref.get(kills),
      workers: pool.finished
    }
    if (options.json) return yield* Console.log(yield* Schema.encodeEffect(Report)({ result, run }))
    const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
    const bold = (text: string): string => `\x1b[1m${text}\x1b[0m`
    yield* Console.log(formatResult(result, canColor ? bold : String))
    yield* Console.error(formatRun(run, canColor && onTerminal ? bold : String))
  }, Effect.scoped)
).pipe(Command.withDescription("Finds duplicate files with worker processes that may be killed at any time."))

/** What can be expected to go wrong is one line on stderr; only a defect shows a stack trace. */
const complain = (message: string) => Console.error(`duplicates: ${message.replaceAll(/\s*\n\s*/g, " ")}`)

const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? complain(event.errors.map((error) => error.message).join("; "))
      : CliOutput.defaultPresenter.present(event)
})

// A terminal that closes ends the program as SIGTERM does, so that the temporary folder goes, too.
for (const signal of ["SIGHUP", "SIGQUIT"]) process.once(signal, () => process.kill(process.pid, "SIGTERM"))
// Nobody reads the progress: that is no reason to stop. The result is another matter.
process.stderr.on("error", () => {})
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return
  process.exitCode = 1
  process.stderr.write(`duplicates: the result could not be written: ${error.message}\n`)
})

Command.run(duplicates, { version: "0.1.0" }).pipe(
  // The presenter has said what is wrong with the command line.
  Effect.catchIf(
    (error) => error._tag !== "ShowHelp",
    (error) => Effect.andThen(complain(error.message), Effect.fail({ [Runtime.errorReported]: false }))
  ),
  Effect.provide([NodeServices.layer, presenter, CliConfig.layer({ builtIns: [GlobalFlag.Help] })]),
  Effect.provideService(References.LogToStderr, true),
  NodeRuntime.runMain
)
