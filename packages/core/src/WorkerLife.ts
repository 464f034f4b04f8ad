/**
 * Decides how one life of a worker is held by a host that shares no copy of
 * Effect with it: plain functions and plain data go across, effects never do.
 *
 * An entry module brings its own Effect, bundled into it or found from where it
 * lies. The process that hosts it need not have the same one, or any.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as Queue from "effect/Queue"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { errorOf, exited, type ExitStatus, fromExit } from "./ExitStatus.ts"
import * as FramePort from "./FramePort.ts"
import type { SlotRef, WorkerName } from "./Identity.ts"
import { entryLogger } from "./internal/entryLogger.ts"
import * as Progressing from "./internal/progressing.ts"
import * as WorkerLine from "./internal/workerLine.ts"
import type { LogEntry } from "./LogEntry.ts"
import type { Progress } from "./Progress.ts"
import type { Registration } from "./Registration.ts"
import type { ChildReport, Launch } from "./Spawner.ts"
import { WorkerContext } from "./WorkerContext.ts"

/**
 * What a life is told of its launch. All of it is the same in its JSON form.
 *
 * @category models
 * @since 0.1.0
 */
export interface LifeOrder {
  readonly ref: SlotRef
  readonly registration: Pick<
    Registration,
    "name" | "entry" | "args" | "flags" | "heartbeatMillis" | "progressTimeoutMillis"
  >
  /** Below it the application logs nothing, and the life tells nothing. Absent: Effect's own default. */
  readonly minimumLogLevel?: LogLevel.LogLevel
  /** The span in the application that the spans of the life belong to. */
  readonly trace?: Launch["trace"]
}

/**
 * Who hosts a life: what the life tells, and to whom.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerHost {
  /** The program may report a thing more than once; only the first time counts. */
  readonly report: (report: ChildReport) => void
  /** The program's progress, some ten times a second at most. */
  readonly progress: (progress: Progress) => void
  /** One entry of the worker's log. When this returns, the entry cannot be lost any more. */
  readonly log: (entry: LogEntry) => void
  /** The worker's end of the line to its postmaster. Opened when it is first asked for; always the same. */
  readonly port: () => FramePort.FramePort
  /** The end, told once and last. */
  readonly leave: (status: ExitStatus) => void
}

/**
 * A life that has begun, as its host holds it. Both functions return at once,
 * and are harmless after the end.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerLife {
  readonly signal: (signal: "SIGTERM" | "SIGHUP" | "SIGUSR1") => void
  /** Says that the postmaster is gone. What follows from it is the host's affair. */
  readonly orphan: () => void
}

/**
 * Runs the program of a launched worker, as a member of the crash group if the
 * worker is attached.
 *
 * **Details**
 *
 * An attached worker reports `Attached` before its program begins and
 * `Detached` after its finalizers, however it ended, except by a defect: the
 * dead-man switch (PostgreSQL: `RegisterPostmasterChildActive`,
 * `MarkPostmasterChildInactive`).
 *
 * @category running
 * @since 0.1.0
 */
export const run = <A, R>(
  order: LifeOrder,
  program: Effect.Effect<A, unknown, R>,
  report: (report: ChildReport) => void
): Effect.Effect<A, unknown, Exclude<R, Scope.Scope>> => {
  const scoped = Effect.scoped(program)
  // Not by `isAttached`: a bundled worker would carry all of `Registration` for it.
  if (!order.registration.flags.includes("SharedMemory")) return scoped
  return Effect.acquireUseRelease(
    Effect.sync(() => report("Attached")),
    () => scoped,
    (_, exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit) || !Cause.hasDies(exit.cause)) report("Detached")
      })
  )
}

/**
 * What a running program is given, and how its host reaches it there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Surroundings {
  readonly context: Context.Context<WorkerContext>
  readonly signal: (signal: "SIGHUP" | "SIGUSR1") => void
  readonly orphan: () => void
  /** Tells what the program has said of its progress and is still held back. For its end. */
  readonly flush: () => void
}

/**
 * Makes what a launched worker's program is given.
 *
 * @category running
 * @since 0.1.0
 */
export const surround = (
  { ref, registration, trace }: LifeOrder,
  { leave, port, progress, report }: Pick<WorkerHost, "leave" | "port" | "progress" | "report">
): Surroundings => {
  const latch = Latch.makeUnsafe()
  const reloads = Effect.runSync(Queue.sliding<void>(1))
  const postmasterDeath = Deferred.makeUnsafe<void>()
  const { flush, say } = Progressing.make(progress, registration.progressTimeoutMillis)
  const context = WorkerContext.of({
    // Whoever is launched has passed the sanity check.
    name: registration.name as WorkerName,
    ref,
    ready: Effect.sync(() => report("Ready")),
    progress: say,
    latch: { wait: latch.await, set: latch.open, reset: latch.close },
    reloads: Stream.fromQueue(reloads),
    postmasterDeath: Deferred.await(postmasterDeath)
  })
  const reject = (detail: string): void => leave(exited(2, errorOf("Defect", new Error(detail))))
  let opened: WorkerLine.WorkerLine | undefined
  const line = (): WorkerLine.WorkerLine => opened ??= WorkerLine.make(port(), reject)
  const own = Context.add(Context.make(WorkerContext, context), WorkerLine.CurrentLine, line)
  return {
    context: trace === undefined ? own : Context.add(own, Tracer.ParentSpan, Tracer.externalSpan(trace)),
    signal: (signal) => {
      if (signal === "SIGUSR1") latch.openUnsafe()
      else Queue.offerUnsafe(reloads, undefined)
    },
    orphan: () => {
      Deferred.doneUnsafe(postmasterDeath, Effect.void)
    },
    flush
  }
}

/**
 * Begins the life of a launched worker.
 *
 * @category running
 * @since 0.1.0
 */
export const begin = (
  order: LifeOrder,
  program: Effect.Effect<unknown, unknown, WorkerContext | Scope.Scope>,
  host: WorkerHost
): WorkerLife => {
  const { context, flush, orphan, signal } = surround(order, host)
  const loggers = Context.add(context, Logger.CurrentLoggers, new Set([entryLogger(host.log)]))
  const fiber = Effect.runFork(
    Effect.provideContext(
      run(order, program, host.report),
      order.minimumLogLevel === undefined
        ? loggers
        : Context.add(loggers, References.MinimumLogLevel, order.minimumLogLevel)
    )
  )
  fiber.addObserver((exit) => {
    flush()
    host.leave(fromExit(exit))
  })
  return {
    signal: (name) => name === "SIGTERM" ? fiber.interruptUnsafe() : signal(name),
    orphan
  }
}

const deaf: WorkerHost = {
  report: () => {},
  progress: () => {},
  log: () => {},
  port: () => FramePort.closed,
  leave: () => {}
}

/**
 * Goes through what `begin` goes through, with nothing to do but a first step
 * and nobody to hear of it.
 *
 * @category running
 * @since 0.1.0
 */
export const rehearse = (step: Effect.Effect<void>): void => {
  const order: LifeOrder = {
    // Nobody in particular; `slotRef` would bring the schemas of `Identity` along.
    ref: { slot: 0, generation: 0 } as SlotRef,
    registration: {
      name: "rehearsal",
      entry: { module: "data:,", export: "main" },
      args: null,
      flags: ["SharedMemory"]
    }
  }
  const program = Effect.andThen(step, WorkerContext.use(({ ready }) => ready))
  for (let times = 0; times < 3; times++) begin(order, program, deaf)
}
