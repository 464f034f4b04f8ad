/**
 * Decides what a spare does while it waits for a launch: it imports the entry
 * modules it may be launched with, and goes once through what a launch goes
 * through, so that all of it is loaded and compiled.
 *
 * @since 0.1.0
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import type { WorkerName } from "@effect-postmaster/core/Identity"
import { slotRef } from "@effect-postmaster/core/Identity"
import type { Launch } from "@effect-postmaster/core/Spawner"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerRuntime from "@effect-postmaster/core/WorkerRuntime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Module from "node:module"
import { sep } from "node:path"
import { fileURLToPath } from "node:url"
import { decodeToWorker, encodeToWorker, type ToPostmaster } from "./channel.ts"

type Prepared = Extract<ToPostmaster, { readonly _tag: "Prepared" }>

/** What is installed does not change under a running application; what is written here may. */
const mayChange = (file: string): boolean => !file.includes(`${sep}node_modules${sep}`)

const isTypeScript = (href: string): boolean => /\.[cm]?ts$/.test(href)

/** Imports the modules one after the other. One that throws is left to the launch that wants it, which says why. */
export const prepare = Effect.fnUntraced(function*(
  modules: ReadonlyArray<string>,
  importModule: (href: string) => Promise<unknown>
): Effect.fn.Return<Prepared> {
  const files = new Set<string>()
  const hooks = Module.registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      if (resolved.url.startsWith("file:")) files.add(fileURLToPath(resolved.url))
      return resolved
    }
  })
  const failed: Array<string> = []
  for (const module of modules) {
    yield* Effect.tryPromise(() => importModule(module)).pipe(
      Effect.catchCause(() => Effect.sync(() => failed.push(module)))
    )
  }
  hooks.deregister()
  // Node loads what strips types when it first strips something, which a launch need not wait for.
  if (modules.some(isTypeScript)) warmStripper()
  yield* Effect.forEach(Array.from({ length: 3 }), () => rehearse)
  return { _tag: "Prepared", failed, files: [...files].filter(mayChange) }
})

/** The function is experimental and says so on first use, which would be a line in the log of every spare. */
const warmStripper = (): void => {
  const emit = process.emitWarning
  process.emitWarning = () => {}
  try {
    Module.stripTypeScriptTypes("")
  } finally {
    process.emitWarning = emit
  }
}

const rehearsal: Launch = {
  ref: slotRef(0, 0),
  registration: {
    name: "rehearsal",
    type: "rehearsal",
    entry: { module: "data:,", export: "main" },
    args: null,
    flags: ["SharedMemory"],
    startTime: "RecoveryFinished",
    restart: { _tag: "Never", onSuccess: "Unregister" }
  }
}

const main = BackgroundWorker.main(
  BackgroundWorker.make("rehearsal", { entry: { module: new URL("data:,") } }),
  () => Effect.void
)

/** A launch with nobody to hear of it. */
const rehearse: Effect.Effect<void> = Effect.suspend(() => {
  decodeToWorker(encodeToWorker({ _tag: "Launch", launch: rehearsal }).subarray(4))
  return WorkerRuntime.run(rehearsal, { importModule: () => Promise.resolve({ main }), report: () => {} })
}).pipe(
  Effect.provideService(
    WorkerContext,
    WorkerContext.of({
      name: "rehearsal" as WorkerName,
      ref: rehearsal.ref,
      ready: Effect.void,
      latch: { wait: Effect.void, set: Effect.void, reset: Effect.void },
      reloads: Stream.empty,
      postmasterDeath: Effect.never
    })
  ),
  Effect.ignoreCause
)
