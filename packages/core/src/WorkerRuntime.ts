/**
 * Decides what the far side of every spawner does with a launch: load the
 * entry, join the shared state, run the program, leave in good order. A process
 * and a fiber differ in how they are reached and how they end, not in this.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { isMain, type Main } from "./BackgroundWorker.ts"
import { EntryError } from "./ExitStatus.ts"
import { type Entry, isAttached } from "./Registration.ts"
import type { ChildReport, Launch } from "./Spawner.ts"
import type { WorkerContext } from "./WorkerContext.ts"

const firstLine = (text: string): string => text.split("\n", 1)[0]!

/**
 * Imports an entry module and finds the `main` in it.
 *
 * **Details**
 *
 * Fails with an `EntryError` that names the module: it does not load, it has no
 * such export (the message lists those it has), or the export was not made by
 * `BackgroundWorker.main`. PostgreSQL: `LookupBackgroundWorkerFunction`.
 *
 * @category running
 * @since 0.1.0
 */
export const load = Effect.fnUntraced(function*(
  entry: Entry,
  importModule: (href: string) => Promise<unknown>
): Effect.fn.Return<Main, EntryError> {
  const module = yield* Effect.tryPromise({
    try: () => importModule(entry.module),
    catch: (cause) =>
      new EntryError({
        kind: "EntryNotLoaded",
        message: `could not load ${entry.module}: ${firstLine(String(cause))}`,
        ...(Predicate.isError(cause) && cause.stack !== undefined ? { details: cause.stack } : undefined)
      })
  })
  if (!Predicate.hasProperty(module, entry.export)) {
    const names = Predicate.isObject(module) ? Object.keys(module) : []
    return yield* new EntryError({
      kind: "ExportMissing",
      message: `${entry.module} has no export "${entry.export}"; it has ${
        names.length === 0 ? "none" : names.join(", ")
      }`
    })
  }
  const main = module[entry.export]
  if (!isMain(main)) {
    return yield* new EntryError({
      kind: "ExportNotMain",
      message: `export "${entry.export}" of ${entry.module} was not made by BackgroundWorker.main`
    })
  }
  return main
})

/**
 * Runs a launched worker to its end, in the `WorkerContext` it is given.
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
export const run = Effect.fnUntraced(function*(
  launch: Launch,
  options: {
    readonly importModule: (href: string) => Promise<unknown>
    readonly report: (report: ChildReport) => void
  }
): Effect.fn.Return<void, unknown, WorkerContext> {
  const { registration } = launch
  const main = yield* load(registration.entry, options.importModule)
  const program = Effect.scoped(main.run(registration.args))
  if (!isAttached(registration)) return yield* program
  yield* Effect.acquireUseRelease(
    Effect.sync(() => options.report("Attached")),
    () => program,
    (_, exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit) || !Cause.hasDies(exit.cause)) options.report("Detached")
      })
  )
})
