/**
 * Decides what the far side of every spawner does with a launch: load the
 * entry, join the shared state, run the program, leave in good order. A process
 * and a fiber differ in how they are reached and how they end, not in this.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { isMain, type Main } from "./BackgroundWorker.ts"
import { EntryError, type ExitError } from "./ExitStatus.ts"
import type { Outcome } from "./Outcome.ts"
import type { Entry } from "./Registration.ts"
import type { ChildReport, Launch } from "./Spawner.ts"
import type { WorkerContext } from "./WorkerContext.ts"
import * as WorkerLife from "./WorkerLife.ts"

const firstLine = (text: string): string => text.split("\n", 1)[0]!

/**
 * Says that an entry module does not load, and why.
 *
 * @category loading
 * @since 0.1.0
 */
export const notLoaded = (entry: Entry, cause: unknown): ExitError => ({
  kind: "EntryNotLoaded",
  message: `could not load ${entry.module}: ${firstLine(String(cause))}`,
  ...(Predicate.isError(cause) && cause.stack !== undefined ? { stack: cause.stack } : undefined)
})

/**
 * Finds the `main` in an entry module, or says what is wrong with it: it has no
 * such export (the message lists those it has), or the export was not made by
 * `BackgroundWorker.main`. PostgreSQL: `LookupBackgroundWorkerFunction`.
 *
 * @category loading
 * @since 0.1.0
 */
export const findMain = (module: unknown, entry: Entry): Main | ExitError => {
  if (!Predicate.hasProperty(module, entry.export)) {
    const names = Predicate.isObject(module) ? Object.keys(module) : []
    return {
      kind: "ExportMissing",
      message: `${entry.module} has no export "${entry.export}"; it has ${
        names.length === 0 ? "none" : names.join(", ")
      }`
    }
  }
  const main = module[entry.export]
  return isMain(main)
    ? main
    : {
      kind: "ExportNotMain",
      message: `export "${entry.export}" of ${entry.module} was not made by BackgroundWorker.main`
    }
}

const entryError = ({ kind, message, stack }: ExitError): EntryError =>
  new EntryError({ kind, message, ...(stack === undefined ? undefined : { details: stack }) })

/**
 * Imports an entry module and finds the `main` in it. Fails with an
 * `EntryError` that names the module.
 *
 * @category loading
 * @since 0.1.0
 */
export const load = /* @__PURE__ */ Effect.fnUntraced(function*(
  entry: Entry,
  importModule: (href: string) => Promise<unknown>
): Effect.fn.Return<Main, EntryError> {
  const module = yield* Effect.tryPromise({
    try: () => importModule(entry.module),
    catch: (cause) => entryError(notLoaded(entry, cause))
  })
  const main = findMain(module, entry)
  return isMain(main) ? main : yield* entryError(main)
})

/**
 * Runs a launched worker to its end, in the `WorkerContext` it is given, by the
 * Effect of whoever calls.
 *
 * @see {@link WorkerLife.begin} for a host that is apart from the worker
 * @category running
 * @since 0.1.0
 */
export const run = /* @__PURE__ */ Effect.fnUntraced(function*(
  launch: Launch,
  options: {
    readonly importModule: (href: string) => Promise<unknown>
    readonly report: (report: ChildReport) => void
  }
): Effect.fn.Return<void | Outcome, unknown, WorkerContext> {
  const { registration } = launch
  const main = yield* load(registration.entry, options.importModule)
  return yield* WorkerLife.run(launch, main.run(registration.args), options.report)
})
