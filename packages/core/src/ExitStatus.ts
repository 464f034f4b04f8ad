/**
 * Decides how a worker ended and what that means: the status says what was
 * seen, the verdict what follows from it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Exit from "effect/Exit"
import { format as formatValue } from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { format as formatOutcome, isOutcome, Outcome } from "./Outcome.ts"
import { SpawnError } from "./SpawnError.ts"

// The schemas are marked pure, so that a bundler leaves those out of a worker that it has no use for.

/**
 * Schema of the kinds of error a worker can leave behind.
 *
 * **Details**
 *
 * `Failure` is a typed failure of `main`, `Defect` anything thrown or died with,
 * `Interrupted` a request to stop. The others are failures to begin: the entry
 * module does not load, has no such export, the export is no worker main, or the
 * arguments do not decode.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ExitErrorKind = /* @__PURE__ */ Schema.Literals([
  "Failure",
  "Defect",
  "Interrupted",
  "EntryNotLoaded",
  "ExportMissing",
  "ExportNotMain",
  "ArgumentsNotDecoded"
])

/**
 * Schema of the error a worker left behind, as text that crosses processes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ExitError = /* @__PURE__ */ Schema.Struct({
  kind: ExitErrorKind,
  message: Schema.String,
  stack: /* @__PURE__ */ Schema.optionalKey(Schema.String)
})

/**
 * The error a worker left behind.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExitError extends Schema.Schema.Type<typeof ExitError> {}

/**
 * A worker that never began: its entry did not load, or is no worker, or does
 * not accept the arguments. Raised inside the worker, where it counts as a
 * failure (exit code 1). It leaves the worker as an `ExitError`, never as itself,
 * so it is no schema, which every worker would have to make.
 *
 * @category errors
 * @since 0.1.0
 */
export class EntryError extends Data.TaggedError("EntryError")<{
  readonly kind: ExitError["kind"]
  readonly message: string
  readonly details?: string
}> {}

/**
 * Schema of an `ExitStatus`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ExitStatus = /* @__PURE__ */ Schema.TaggedUnion({
  /** The worker left by itself, with this code. `outcome`: it has asked for another life (with code 0). */
  Exited: {
    code: Schema.Natural,
    error: /* @__PURE__ */ Schema.optionalKey(ExitError),
    outcome: /* @__PURE__ */ Schema.optionalKey(Outcome)
  },
  /** A signal ended it. `ordered` is true when the postmaster had sent that very signal, `detail` says why somebody else did. */
  Signaled: {
    signal: Schema.String,
    ordered: Schema.Boolean,
    detail: /* @__PURE__ */ Schema.optionalKey(Schema.String)
  },
  /** It is gone and did not say how, or it broke the protocol and was removed. */
  Lost: { detail: Schema.String },
  /** It was never born. */
  NotStarted: { error: SpawnError }
})

/**
 * How one life of a worker ended.
 *
 * @category models
 * @since 0.1.0
 */
export type ExitStatus = typeof ExitStatus.Type

/**
 * Schema of a `Verdict`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Verdict = /* @__PURE__ */ Schema.Literals(["Done", "Again", "Failed", "Crashed"])

/**
 * What an exit means: the work is done, it is to go on in another life, it
 * failed and may be tried again, or the worker crashed and what it shared can no longer be trusted.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = typeof Verdict.Type

/**
 * Returns the verdict on an exit.
 *
 * **Details**
 *
 * | status | verdict |
 * | --- | --- |
 * | `Exited` with 0 | `Done` |
 * | `Exited` with 0, asking for another life | `Again` |
 * | `Exited` with 1 | `Failed` |
 * | `Exited` with anything else | `Crashed` |
 * | `Signaled`, ordered by the postmaster | `Failed` |
 * | `Signaled` by anybody else, `Lost` | `Crashed` |
 * | `NotStarted` | `Failed` |
 *
 * PostgreSQL: `CleanupBackend`.
 *
 * @category verdicts
 * @since 0.1.0
 */
export const verdict = (status: ExitStatus): Verdict => {
  switch (status._tag) {
    case "Exited":
      if (status.code === 0) return status.outcome === undefined ? "Done" : "Again"
      return status.code === 1 ? "Failed" : "Crashed"
    case "Signaled":
      return status.ordered ? "Failed" : "Crashed"
    case "Lost":
      return "Crashed"
    case "NotStarted":
      return "Failed"
  }
}

/**
 * An exit with a code.
 *
 * @category constructors
 * @since 0.1.0
 */
export const exited = (code: number, error?: ExitError): ExitStatus =>
  error === undefined ? { _tag: "Exited", code } : { _tag: "Exited", code, error }

/**
 * An exit with code 0 that asks for another life.
 *
 * @category constructors
 * @since 0.1.0
 */
export const again = (outcome: Outcome): ExitStatus => ({ _tag: "Exited", code: 0, outcome })

/**
 * An end by a signal.
 *
 * @category constructors
 * @since 0.1.0
 */
export const signaled = (
  signal: string,
  options?: { readonly ordered?: boolean | undefined; readonly detail?: string | undefined }
): ExitStatus => ({
  _tag: "Signaled",
  signal,
  ordered: options?.ordered ?? false,
  ...(options?.detail === undefined ? undefined : { detail: options.detail })
})

/**
 * An end without a word.
 *
 * @category constructors
 * @since 0.1.0
 */
export const lost = (detail: string): ExitStatus => ({ _tag: "Lost", detail })

/**
 * A birth that failed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const notStarted = (error: SpawnError): ExitStatus => ({ _tag: "NotStarted", error })

const describe = (error: unknown): string => {
  if (Predicate.isString(error)) return error
  if (Predicate.isError(error)) {
    const text = error.message === "" ? error.name : error.message
    return Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" && !text.startsWith(error._tag)
      ? `${error._tag}: ${text}`
      : text
  }
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  return formatValue(error)
}

/**
 * Writes any thrown or failed value as an `ExitError`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const errorOf = (kind: ExitError["kind"], error: unknown): ExitError => {
  const message = describe(error)
  return Predicate.isError(error) && typeof error.stack === "string"
    ? { kind, message, stack: error.stack }
    : { kind, message }
}

/**
 * Turns the `Exit` of a worker's main fiber into the status it leaves with.
 *
 * **Details**
 *
 * A return exits 0, also one that asks for another life; a typed failure or an interruption exits 1, a defect exits
 * 2 (house rule; in PostgreSQL an uncaught `ERROR` exits 1).
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromExit = (exit: Exit.Exit<unknown, unknown>): ExitStatus => {
  if (Exit.isSuccess(exit)) return isOutcome(exit.value) ? again(exit.value) : exited(0)
  const defect = exit.cause.reasons.find(Cause.isDieReason)
  if (defect !== undefined) return exited(2, errorOf("Defect", defect.defect))
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  if (failure === undefined) return exited(1, { kind: "Interrupted", message: "the worker was asked to stop" })
  return exited(
    1,
    failure.error instanceof EntryError
      ? {
        kind: failure.error.kind,
        message: failure.error.message,
        ...(failure.error.details === undefined ? undefined : { stack: failure.error.details })
      }
      : errorOf("Failure", failure.error)
  )
}

/**
 * Writes a status as the postmaster's log lines do: `exited with exit code 1`,
 * `was terminated by signal SIGKILL` (PostgreSQL: `LogChildExit`).
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (status: ExitStatus): string => {
  switch (status._tag) {
    case "Exited":
      return `exited with exit code ${status.code}` +
        (status.error === undefined ? "" : `: ${status.error.message}`) +
        (status.outcome === undefined ? "" : `, ${formatOutcome(status.outcome)}`)
    case "Signaled":
      return `was terminated by signal ${status.signal}` + (status.ordered ? " on the postmaster's order" : "") +
        (status.detail === undefined ? "" : `: ${status.detail}`)
    case "Lost":
      return `was lost: ${status.detail}`
    case "NotStarted":
      return `was not started: ${status.error.message}`
  }
}
