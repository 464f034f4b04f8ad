/**
 * Decides how a worker lives, whatever carries it: it loads the entry, runs its
 * `main` and leaves with a verdict.
 *
 * | what happens | what the worker does (PostgreSQL: `BackgroundWorkerMain`) |
 * | --- | --- |
 * | `main` returns | exit code 0 |
 * | `main` fails, or SIGTERM has interrupted it | finalizers, exit code 1 |
 * | `main` dies, or something is thrown outside it | exit code 2 |
 * | SIGQUIT | exit code 2 at once, no finalizers |
 * | SIGHUP, SIGUSR1 | an element of `reloads`, `latch.set` |
 *
 * @since 0.1.0
 */
import { isMain } from "@effect-postmaster/core/BackgroundWorker"
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { LogEntry } from "@effect-postmaster/core/LogEntry"
import type { Progress } from "@effect-postmaster/core/Progress"
import type { ChildReport } from "@effect-postmaster/core/Spawner"
import type { LifeOrder, WorkerHost, WorkerLife } from "@effect-postmaster/core/WorkerLife"
import * as WorkerRuntime from "@effect-postmaster/core/WorkerRuntime"
import type { WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Module from "node:module"
import { decodeToWorker, encodeToPostmaster, maxFrameToWorker, type Told, type ToPostmaster } from "./channel.ts"
import { entryLines } from "./entryLine.ts"
import { makeDeframer } from "./frames.ts"
import { lastWords } from "./lastWords.ts"
import type { Line, OpenLine } from "./line.ts"
import { prepare } from "./preparation.ts"

/** What carries a worker. */
export interface Carrier {
  /** Sends a frame to the postmaster and returns when it cannot be lost any more. */
  readonly send: (frame: Uint8Array) => void
  /** Sends a frame if that takes no waiting, and returns whether it was sent. */
  readonly offer: (frame: Uint8Array) => boolean
  /** Called when the program asks for it, at most once. */
  readonly openLine: OpenLine
  /** Shows who this is to whoever lists what is running. */
  readonly entitle: (title: string) => void
}

/** What the carrier of a worker tells it. */
export interface FarSide {
  /** Tells the postmaster that it is heard from now on. Once, when the carrier is set up. */
  readonly listen: () => void
  /** Hears what the postmaster says. */
  readonly hear: (bytes: Uint8Array) => void
  readonly signals: { readonly [K in Exclude<WorkerSignal, "SIGKILL">]: () => void }
  /** What was thrown outside of everything. */
  readonly crash: (error: unknown) => void
  readonly orphan: () => void
  /** The code of the verdict, once it is spoken. */
  readonly spoken: () => number | undefined
  /** Passes on what the program has sent in this very turn, which may be its last. */
  readonly flush: () => void
}

/** A timer of Node that is set for longer fires at once. */
const longestTimer = 2 ** 31 - 1

export const makeFarSide = (carrier: Carrier): FarSide => {
  // -----------------------------------------------------------------------------
  // what a worker is at any moment
  // -----------------------------------------------------------------------------

  /** What the entry has made of the launch. */
  let life: WorkerLife | undefined
  /** Requests made before there was a life to hear them. Either counts once. */
  const early = new Set<"SIGHUP" | "SIGUSR1">()
  /** The code of the verdict, once it is spoken. After that the worker says nothing more on the channel. */
  let spoken: number | undefined
  /** What has been reported. Each report is made once, however often the program asks for it. */
  const reported = new Set<ChildReport>()
  /** The data line to the postmaster, once the program has asked for it. */
  let dataLine: Line | undefined

  const say = (message: ToPostmaster): void => carrier.send(encodeToPostmaster(message))

  const sayLastWords = (status: ExitStatus.ExitStatus): void => {
    // The last that it has done, too, is waited for.
    if (unsaid !== undefined) say({ _tag: "Progress", progress: unsaid })
    unsaid = undefined
    const words = lastWords(status)
    if (words !== undefined) say(words)
  }

  const report = (name: ChildReport): void => {
    if (spoken !== undefined || reported.has(name)) return
    reported.add(name)
    say({ _tag: "Report", report: name })
    if (name === "Ready") beat()
  }

  // -----------------------------------------------------------------------------
  // signs of life: a postmaster that does not read is not waited for
  // -----------------------------------------------------------------------------

  /** How often the postmaster wants a sign that the main loop runs; it goes on as long as this very loop. */
  let beatMillis: number | undefined

  const beatFrame = encodeToPostmaster({ _tag: "Beat" })

  const beat = (): void => {
    if (beatMillis === undefined) return
    const timer = setInterval(() => {
      if (spoken === undefined) carrier.offer(beatFrame)
      else clearInterval(timer)
    }, beatMillis).unref()
  }

  /** What could not be sent yet. */
  let unsaid: Progress | undefined
  const progressRetryMillis = 100

  const progress = (newest: Progress): void => {
    const waits = unsaid !== undefined
    unsaid = newest
    if (!waits) offerProgress()
  }

  const offerProgress = (): void => {
    if (unsaid === undefined || spoken !== undefined) return
    if (carrier.offer(encodeToPostmaster({ _tag: "Progress", progress: unsaid }))) unsaid = undefined
    else setTimeout(offerProgress, progressRetryMillis).unref()
  }

  // -----------------------------------------------------------------------------
  // leaving
  // -----------------------------------------------------------------------------

  /**
   * How long is waited for output, or for what was sent on the data line, that nobody reads. What is being read is
   * waited for to its end.
   */
  const drainPatienceMillis = 5_000
  const drainIntervalMillis = 5

  const unwritten = (): number =>
    [process.stdout, process.stderr].reduce(
      (sum, stream) => sum + (stream.destroyed ? 0 : stream.writableLength),
      dataLine?.unwritten() ?? 0
    )

  const exitWhenDrained = (code: number, before: number, waited: number): void => {
    const left = unwritten()
    if (left === 0 || waited >= drainPatienceMillis) process.exit(code)
    setTimeout(
      () => exitWhenDrained(code, left, left < before ? 0 : waited + drainIntervalMillis),
      drainIntervalMillis
    )
  }

  /** Words first, then output, then the end: a worker killed while it drains has already said why it leaves. */
  const leave = (status: ExitStatus.ExitStatus): void => {
    if (spoken !== undefined || status._tag !== "Exited") return
    spoken = status.code
    sayLastWords(status)
    dataLine?.flush()
    exitWhenDrained(status.code, unwritten(), 0)
  }

  const leaveAtOnce = (): void => {
    if (spoken === undefined) {
      spoken = 2
      sayLastWords(ExitStatus.exited(2, { kind: "Interrupted", message: "the worker was told to leave at once" }))
    }
    process.exit(spoken)
  }

  /** What was thrown outside the runtime is a crash, also after the verdict: then the exit code alone says so. */
  const crash = (error: unknown): void => {
    const text = Predicate.isError(error) && error.stack !== undefined ? error.stack : String(error)
    process.stderr.write(`${text}\n`)
    if (spoken === undefined) leave(ExitStatus.exited(2, ExitStatus.errorOf("Defect", error)))
    else exitWhenDrained(2, unwritten(), 0)
  }

  // -----------------------------------------------------------------------------
  // signals, from the channel and from the operating system alike
  // -----------------------------------------------------------------------------

  /** Without a life there is nothing to interrupt and nothing to undo; a main that has not begun never begins. */
  const stop = (): void => {
    if (life !== undefined) return life.signal("SIGTERM")
    leave(ExitStatus.exited(1, { kind: "Interrupted", message: "the worker was asked to stop before it began" }))
  }

  const request = (signal: "SIGHUP" | "SIGUSR1"): void => {
    if (life === undefined) early.add(signal)
    else life.signal(signal)
  }

  const onSignal: { readonly [K in Exclude<WorkerSignal, "SIGKILL">]: () => void } = {
    SIGTERM: stop,
    SIGQUIT: leaveAtOnce,
    SIGHUP: () => request("SIGHUP"),
    SIGUSR1: () => request("SIGUSR1")
  }

  // -----------------------------------------------------------------------------
  // the life
  // -----------------------------------------------------------------------------

  const saveMillis = 1_000
  let saving: NodeJS.Timeout | undefined

  /** Node saves what it has compiled when a process leaves by itself, and many a worker never does. */
  const saveCompiled = (): void => {
    saving ??= setTimeout(Module.flushCompileCache, saveMillis).unref()
  }

  /** What a spare has imported is at hand when it is launched; to ask Node again would take it a while. */
  const imported = new Map<string, Promise<unknown>>()

  const importModule = (href: string): Promise<unknown> => {
    const module = imported.get(href) ?? import(href).finally(saveCompiled)
    imported.set(href, module)
    return module
  }

  const host: WorkerHost = {
    report,
    progress,
    // An entry that was built with an older core logs in lines, and says with each whether it is a warning.
    log: (entry: LogEntry | string, level?: string) =>
      void (level === "Warn" ? process.stderr : process.stdout).write(
        typeof entry === "string" ? `${entry}\n` : entryLines(entry)
      ),
    port: () => {
      dataLine ??= carrier.openLine((problem) => crash(new Error(`the postmaster sent ${problem} on the data line`)))
      return dataLine.port
    },
    leave
  }

  const begin = (launch: LifeOrder): void => {
    const { entry, heartbeatMillis, name } = launch.registration
    beatMillis = heartbeatMillis === undefined ? undefined : Math.min(Math.floor(heartbeatMillis / 3), longestTimer)
    carrier.entitle(`bgworker: ${name}`)
    void importModule(entry.module).then(
      (module) => {
        if (spoken !== undefined) return
        const main = WorkerRuntime.findMain(module, entry)
        if (!isMain(main)) return leave(ExitStatus.exited(1, main))
        life = main.begin(launch, host)
        for (const signal of early) life.signal(signal)
      },
      (cause: unknown) => leave(ExitStatus.exited(1, WorkerRuntime.notLoaded(entry, cause)))
    )
  }

  /** What a spare does until it is launched. Its title says what it is to whoever lists processes. */
  const standBy = (modules: ReadonlyArray<string>): void => {
    carrier.entitle("bgworker: spare")
    void prepare(modules, importModule).then(say, crash)
  }

  const obey = (message: Told): void => {
    switch (message._tag) {
      case "Prepare":
        return standBy(message.modules)
      case "Launch": {
        const { launch, minimumLogLevel } = message
        return begin(minimumLogLevel === undefined ? launch : { ...launch, minimumLogLevel })
      }
      case "Signal":
        if (message.signal !== "SIGKILL") onSignal[message.signal]()
    }
  }

  const deframer = makeDeframer(maxFrameToWorker)

  const onBytes = (chunk: Uint8Array): void => {
    deframer.push(chunk)
    for (let frame = deframer.next(); frame !== undefined; frame = deframer.next()) {
      if (typeof frame === "string") return crash(new Error(`the postmaster sent ${frame}`))
      const message = decodeToWorker(frame)
      if (Result.isFailure(message)) return crash(new Error(`the postmaster sent ${message.failure}`))
      obey(message.success)
    }
  }

  return {
    listen: () => say({ _tag: "Listening" }),
    hear: onBytes,
    signals: onSignal,
    crash,
    orphan: () => life?.orphan(),
    spoken: () => spoken,
    flush: () => dataLine?.flush()
  }
}
