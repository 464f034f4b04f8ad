/**
 * Decides how the application's log is kept in files of bounded number and
 * size, without ever being waited for.
 *
 * @since 0.1.0
 */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as Path from "node:path"
import { newline } from "./internal/lines.ts"
import { makeLogBuffer } from "./internal/logBuffer.ts"
import { makeRollingFile, mostFiles } from "./internal/rollingFile.ts"

/**
 * Where the log is written, and how much of it is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The newest file. Older ones are beside it, `.1` being the newest of them. Folders that are missing are made. */
  readonly path: string
  /** How large a file becomes, in bytes. Defaults to 10 MiB (`log_rotation_size`). A longer line has a file of its own. */
  readonly maxBytes?: number | undefined
  /**
   * How long a file is written, counted in whole spans since 1970 in UTC, so that
   * `"1 day"`, the default, is a day as the lines' dates say it
   * (`log_rotation_age`). An idle file is rotated by the next line. `"Infinity"`
   * is never.
   */
  readonly maxAge?: Duration.Input | undefined
  /** How many files there are, the newest included. Defaults to 10, at most 1,000; older ones are deleted. */
  readonly maxFiles?: number | undefined
  /**
   * How many bytes of lines may wait for the disk, half of them while they are
   * written. Defaults to 8 MiB; at least 64 KiB. A line of more than half of it
   * is lost.
   */
  readonly maxWaiting?: number | undefined
  /** What a line looks like. Defaults to `Logger.formatJson`; `Logger.formatLogFmt` is another. It should be one line. */
  readonly format?: Logger.Logger<unknown, string> | undefined
  /** Who may read and write new files. Defaults to `0o600`, the application's user (`log_file_mode`). */
  readonly mode?: number | undefined
}

/** How long a failure is left alone. */
const retryDelay = Duration.seconds(1)

/** How often a failure is told. */
const tellMillis = 60_000

/** How long the last lines may take. */
const closeTimeout = Duration.seconds(5)

const lostLines = Metric.counter("postmaster_log_lines_lost_total", {
  description: "Lines of the log that could not be written to its file",
  incremental: true
})

const lines = (count: number): string => count === 1 ? "one line" : `${count} lines`

const linesIn = (bytes: Uint8Array): number => bytes.reduce((count, byte) => byte === newline ? count + 1 : count, 0)

/** One out of bounds is the programmer's mistake, and a defect that names it. */
const withDefaults = (options: Options) => {
  const settings = {
    path: Path.resolve(options.path),
    maxBytes: options.maxBytes ?? 10 * 1024 * 1024,
    maxAgeMillis: Duration.toMillis(Duration.fromInputUnsafe(options.maxAge ?? "1 day")),
    maxFiles: options.maxFiles ?? 10,
    maxWaiting: options.maxWaiting ?? 8 * 1024 * 1024,
    format: options.format ?? Logger.formatJson,
    mode: options.mode ?? 0o600
  }
  const isWithin = (value: number, least: number, most: number) =>
    Number.isInteger(value) && value >= least && value <= most
  const wrong = !isWithin(settings.maxBytes, 1, Number.MAX_SAFE_INTEGER)
    ? `maxBytes of ${settings.maxBytes}`
    : !(settings.maxAgeMillis > 0)
    ? `maxAge of ${settings.maxAgeMillis} ms`
    : !isWithin(settings.maxFiles, 1, mostFiles)
    ? `maxFiles of ${settings.maxFiles}`
    : !isWithin(settings.maxWaiting, 64 * 1024, 1024 * 1024 * 1024)
    ? `maxWaiting of ${settings.maxWaiting}`
    : undefined
  return wrong === undefined
    ? Effect.succeed(settings)
    : Effect.die(new Error(`log file "${options.path}" cannot have a ${wrong}`))
}

const make = Effect.fnUntraced(function*(options: Options) {
  const settings = yield* withDefaults(options)
  const { format, path } = settings
  const self = yield* Effect.fiber
  const others = self.getRef(Logger.CurrentLoggers)
  const clock = yield* Clock.Clock
  const file = makeRollingFile(settings)

  const buffer = makeLogBuffer(settings.maxWaiting, (lost) =>
    format.log({
      message: `lost ${lines(lost)} of the log`,
      logLevel: "Warn",
      cause: Cause.empty,
      fiber: self,
      date: new Date(clock.currentTimeMillisUnsafe())
    }))

  let closing = false
  let stale = false
  let wakesForLines = false
  let wake: (() => void) | undefined
  const sleep = (forLines: boolean): Effect.Effect<void> =>
    Effect.callback((resume) => {
      if (closing || stale || (forLines && !buffer.isEmpty())) return resume(Effect.void)
      wakesForLines = forLines
      wake = () => {
        wake = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        wake = undefined
      })
    })

  let bytes: Uint8Array = new Uint8Array()
  let at = 0
  let unwritten = 0
  const lost = (): number => buffer.lost() + unwritten

  let metered = 0
  const meter = Effect.suspend(() => {
    const more = lost() - metered
    metered += more
    return more > 0 ? Metric.update(lostLines, more) : Effect.void
  })

  /** To the loggers that stood before this one, or else to the standard error output. */
  const tell = (log: Effect.Effect<void>): Effect.Effect<void> =>
    (others.size > 0
      ? Effect.provideService(log, Logger.CurrentLoggers, others)
      : log.pipe(
        Effect.provideService(Logger.CurrentLoggers, new Set([Logger.defaultLogger])),
        Effect.provideService(Logger.LogToStderr, true)
      )).pipe(Effect.ignoreCause)

  let toldAt = -Infinity
  let failing: { readonly told: boolean; readonly lost: number } | undefined
  const failed = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
    const now = clock.currentTimeMillisUnsafe()
    const isTold = now - toldAt >= tellMillis
    failing = { told: isTold || failing?.told === true, lost: failing?.lost ?? lost() }
    if (!isTold) return Effect.void
    toldAt = now
    const error = Cause.squash(cause)
    return tell(
      Effect.logError(`log file "${path}" cannot be written: ${error instanceof Error ? error.message : String(error)}`)
    )
  }
  const succeeded = (): Effect.Effect<void> => {
    const past = failing
    failing = undefined
    return past?.told === true
      ? tell(Effect.logInfo(`log file "${path}" is written again; it lacks ${lines(lost() - past.lost)}`))
      : Effect.void
  }

  const run = Effect.gen(function*() {
    while (true) {
      if (at >= bytes.length) {
        bytes = buffer.take() ?? new Uint8Array()
        at = 0
      }
      yield* meter
      if (stale) {
        stale = false
        yield* file.close
      }
      const exit = yield* Effect.exit(at < bytes.length ? file.write(bytes, at) : Effect.as(file.ready, at))
      if (Exit.isSuccess(exit)) {
        at = exit.value
        if (failing !== undefined) yield* succeeded()
        if (at < bytes.length || !buffer.isEmpty()) continue
        if (closing) break
        yield* sleep(true)
      } else {
        yield* failed(exit.cause)
        if (closing) break
        yield* Effect.timeoutOption(sleep(false), retryDelay)
      }
    }
    yield* file.close
  })

  const finish = Effect.fnUntraced(function*(writer: Fiber.Fiber<void>) {
    buffer.close()
    closing = true
    wake?.()
    // A disk that does not answer cannot be interrupted. If it does later, the writer ends by itself.
    yield* Effect.interruptible(Effect.timeoutOption(Fiber.await(writer), closeTimeout))
    unwritten = linesIn(bytes.subarray(at)) + linesIn(buffer.last())
    yield* meter
    if (unwritten > 0) {
      yield* tell(Effect.logError(`log file "${path}" was closed without the last ${lines(unwritten)}`))
    }
  })

  // Whoever leaves by process.exit, or by an exception that nobody has caught, has often just said why.
  const writeLast = (): void => {
    try {
      if (!file.isWriting()) file.writeSync(bytes.subarray(at))
      file.writeSync(buffer.last())
    } catch {
      // There is nobody left to be told.
    }
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("exit", writeLast)),
    () => Effect.sync(() => process.off("exit", writeLast))
  )

  yield* Effect.acquireRelease(Effect.forkDetach(run), finish)

  const logger = Logger.make<unknown, void>((entry) => {
    buffer.append(() => format.log(entry))
    if (wakesForLines) wake?.()
  })
  return Context.make(Logger.CurrentLoggers, new Set([...others, logger])).pipe(
    Context.add(NodeLogFile, {
      lost: Effect.sync(lost),
      reopen: Effect.sync(() => {
        stale = true
        wake?.()
      })
    })
  )
})

/**
 * A file that the application's log is written to.
 *
 * **When to use**
 *
 * Use where nobody keeps what the application prints. What workers log and
 * print comes with it, since it is in the application's log.
 *
 * @category services
 * @since 0.1.0
 */
export class NodeLogFile extends Context.Service<NodeLogFile, {
  /** How many lines have not been and will not be written, since the layer was built. */
  readonly lost: Effect.Effect<number>
  /**
   * Closes the file and opens its path again, before the next line that is
   * written. Returns at once.
   */
  readonly reopen: Effect.Effect<void>
}>()("@effect-postmaster/node/NodeLogFile") {
  /**
   * Adds a logger that writes to a file, beside the loggers that there are.
   *
   * **Details**
   *
   * A line is a JSON object with `timestamp`, `level`, `message`, `cause`,
   * `annotations`, `spans` and `fiberId`. Lines of workers are annotated with
   * `worker`, `slot`, `generation` and `pid`.
   *
   * Nothing waits for the disk. What it is too slow for, or has no space for, is
   * lost beyond `maxWaiting`, and counted: by a line of the file, in the place of
   * the lost ones; in `lost`; in the metric `postmaster_log_lines_lost_total`.
   *
   * When the file cannot be written, or not be rotated, that is told to the other
   * loggers (without any, to the standard error output), at most once a minute,
   * and tried again every second. The layer never fails for it, and the
   * application never stops.
   *
   * A file that somebody else has moved or deleted is noticed within a second of
   * writing, and its path opened anew, so `logrotate` needs no signal.
   *
   * Releasing the layer writes what waits, for at most 5 seconds. What was logged
   * before `process.exit` or an uncaught exception is written too; SIGKILL loses
   * what waits.
   *
   * A setting out of bounds is a defect that names it.
   *
   * **Gotchas**
   *
   * - Provide it to the postmaster's layer too, or its own lines and those of its
   *   workers are not in the file.
   * - Two applications must not write to the same path: they would rotate each
   *   other's files.
   *
   * **Example** (Keeping the log of an application and its workers)
   *
   * ```ts
   * import { Postmaster, PostmasterConfig } from "@effect-postmaster/core"
   * import { NodeLogFile, NodeSpawner } from "@effect-postmaster/node"
   * import * as Layer from "effect/Layer"
   *
   * export const WorkersLive = NodeLogFile.layerReload.pipe(
   *   Layer.provideMerge(Postmaster.layer()),
   *   Layer.provide([NodeSpawner.layer, PostmasterConfig.layer()]),
   *   Layer.provideMerge(NodeLogFile.layer({ path: "/var/log/orders/orders.log", maxFiles: 30 }))
   * )
   * ```
   */
  static readonly layer = (options: Options): Layer.Layer<NodeLogFile> => Layer.effectContext(make(options))

  /**
   * Reopens the file whenever the postmaster is told to reload, which SIGHUP
   * does with `NodeSignals`.
   */
  static readonly layerReload: Layer.Layer<never, never, NodeLogFile | Postmaster> = Layer.effectDiscard(
    Effect.gen(function*() {
      const { reopen } = yield* NodeLogFile
      const { events } = yield* Postmaster
      yield* events.pipe(
        Stream.runForEach((event) =>
          // A reload may be among those that were lost.
          event._tag === "ReloadRequested" || event._tag === "EventsLost" ? reopen : Effect.void
        ),
        Effect.forkScoped({ startImmediately: true })
      )
    })
  )
}
