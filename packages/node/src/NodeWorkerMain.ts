/**
 * Decides how a worker process lives: the bootstrap that `NodeSpawner` starts,
 * which loads the entry, runs its `main` and leaves with a verdict.
 *
 * It is a program, not a library: it exports nothing and acts when loaded. It
 * imports by deep paths only, since every worker pays for what it loads.
 *
 * | what happens | what the worker does (PostgreSQL: `BackgroundWorkerMain`) |
 * | --- | --- |
 * | `main` returns | exit code 0 |
 * | `main` fails, or SIGTERM has interrupted it | finalizers, exit code 1 |
 * | `main` dies, or something is thrown outside it | exit code 2 |
 * | SIGQUIT | exit code 2 at once, no finalizers |
 * | SIGHUP, SIGUSR1 | an element of `reloads`, `latch.set` |
 * | SIGINT | nothing: the terminal's interrupt is the postmaster's affair |
 * | fd 3 ends | the postmaster is gone: the whole process group ends by SIGKILL |
 *
 * @since 0.1.0
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { WorkerName } from "@effect-postmaster/core/Identity"
import type { ChildReport, Launch } from "@effect-postmaster/core/Spawner"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerRuntime from "@effect-postmaster/core/WorkerRuntime"
import type { WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Net from "node:net"
import { channelFd, decodeToWorker, makeDeframer, maxFrameToWorker } from "./internal/channel.ts"
import { say, sayLastWords } from "./internal/lastWords.ts"
import { signalGroup } from "./internal/processGroup.ts"
import { workerLogger } from "./internal/workerLogger.ts"

// -----------------------------------------------------------------------------
// what a worker is at any moment
// -----------------------------------------------------------------------------

/** The main fiber, from `Launch` on. */
let main: Fiber.Fiber<void, unknown> | undefined
/** The code of the verdict, once it is spoken. After that the worker says nothing more on the channel. */
let spoken: number | undefined
/** What has been reported. Each report is made once, however often the program asks for it. */
const reported = new Set<ChildReport>()

const latch = Latch.makeUnsafe()
const reloads = Effect.runSync(Queue.sliding<void>(1))
const postmasterDeath = Deferred.makeUnsafe<void>()

const report = (name: ChildReport): void => {
  if (spoken !== undefined || reported.has(name)) return
  reported.add(name)
  say({ _tag: "Report", report: name })
}

// -----------------------------------------------------------------------------
// leaving
// -----------------------------------------------------------------------------

/** How long output that nobody reads is waited for. Output that is being read is waited for to its end. */
const drainPatienceMillis = 5_000
const drainIntervalMillis = 5

const unwritten = (): number =>
  [process.stdout, process.stderr].reduce((sum, stream) => sum + (stream.destroyed ? 0 : stream.writableLength), 0)

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

/**
 * Ends with everything this worker has started. The group named by our own
 * process id is ours or does not exist: nobody else can ever have made it.
 */
const orphaned = (): void => {
  Deferred.doneUnsafe(postmasterDeath, Effect.void)
  try {
    process.kill(-process.pid, "SIGKILL")
  } catch {
    process.exit(2)
  }
}

// -----------------------------------------------------------------------------
// signals, from the channel and from the operating system alike
// -----------------------------------------------------------------------------

/** Before `Launch` there is nothing to interrupt and nothing to undo; a main that has not begun never begins. */
const stop = (): void => {
  if (main !== undefined) return main.interruptUnsafe()
  leave(ExitStatus.exited(1, { kind: "Interrupted", message: "the worker was asked to stop before it began" }))
}

const onSignal: { readonly [K in Exclude<WorkerSignal, "SIGKILL">]: () => void } = {
  SIGTERM: stop,
  SIGQUIT: leaveAtOnce,
  SIGHUP: () => void Queue.offerUnsafe(reloads, undefined),
  SIGUSR1: () => void Latch.openUnsafe(latch)
}

// -----------------------------------------------------------------------------
// the life
// -----------------------------------------------------------------------------

const importModule = (href: string): Promise<unknown> => import(href)

const contextOf = (launch: Launch): WorkerContext["Service"] =>
  WorkerContext.of({
    // Whoever is launched has passed the sanity check.
    name: launch.registration.name as WorkerName,
    ref: launch.ref,
    ready: Effect.sync(() => report("Ready")),
    latch: { wait: latch.await, set: latch.open, reset: latch.close },
    reloads: Stream.fromQueue(reloads),
    postmasterDeath: Deferred.await(postmasterDeath)
  })

const begin = (launch: Launch): void => {
  process.title = `bgworker: ${launch.registration.name}`
  main = Effect.runFork(
    WorkerRuntime.run(launch, { importModule, report }).pipe(
      Effect.provideService(WorkerContext, contextOf(launch)),
      Effect.provideService(Logger.CurrentLoggers, new Set([workerLogger]))
    )
  )
  main.addObserver((exit) => leave(ExitStatus.fromExit(exit)))
}

const deframer = makeDeframer(maxFrameToWorker)

const onBytes = (chunk: Uint8Array): void => {
  const frames = deframer.push(chunk)
  if (Result.isFailure(frames)) return crash(new Error(`the postmaster sent ${frames.failure}`))
  for (const frame of frames.success) {
    const message = decodeToWorker(frame)
    if (Result.isFailure(message)) return crash(new Error(`the postmaster sent ${message.failure}`))
    if (message.success._tag === "Launch") begin(message.success.launch)
    else if (message.success.signal !== "SIGKILL") onSignal[message.success.signal]()
  }
}

/**
 * Output is written to the end even if the program leaves by `process.exit` in
 * the same breath: on a socket Node would queue it and lose the queue. The
 * postmaster always reads, so no write waits for long.
 */
const writeAtOnce = (stream: NodeJS.WriteStream): void => {
  const handle = (stream as { readonly _handle?: { readonly setBlocking?: (blocking: boolean) => void } })._handle
  handle?.setBlocking?.(true)
}
writeAtOnce(process.stdout)
writeAtOnce(process.stderr)

// Takes along what it has started, should nobody be left to do it. The last words
// are believed, whatever this looks like from outside.
process.on("exit", (code) => {
  if (spoken === code) signalGroup(process.pid, "SIGKILL")
})

// The order matters: handlers, then the channel, then Listening. Once the
// postmaster has read Listening, no signal of its own meets a default action.
process.on("uncaughtException", crash)
process.on("unhandledRejection", crash)
process.on("SIGINT", () => {})
for (const [signal, handler] of Object.entries(onSignal)) process.on(signal, handler)
// A reader of our output that is gone is no reason to crash: the end of fd 3 will tell.
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

// The socket stays referenced: it is what keeps an idle worker alive.
const channel = new Net.Socket({ fd: channelFd, readable: true, writable: false })
channel.on("data", onBytes)
channel.on("end", orphaned)
channel.on("error", orphaned)
channel.on("close", orphaned)
say({ _tag: "Listening" })
