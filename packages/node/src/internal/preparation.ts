/**
 * Decides what a spare does while it waits for a launch: it imports the entry
 * modules it may be launched with, and goes once through what a launch goes
 * through, so that all of it is loaded and compiled.
 *
 * @since 0.1.0
 */
import { isMain } from "@effect-postmaster/core/BackgroundWorker"
import * as Predicate from "effect/Predicate"
import * as Module from "node:module"
import { sep } from "node:path"
import { fileURLToPath } from "node:url"
import type { ToPostmaster } from "./channel.ts"
import { stamp } from "./stamp.ts"

type Prepared = Extract<ToPostmaster, { readonly _tag: "Prepared" }>

/** What is installed does not change under a running application; what is written here may. */
const mayChange = (file: string): boolean => !file.includes(`${sep}node_modules${sep}`)

const isTypeScript = (href: string): boolean => /\.[cm]?ts$/.test(href)

/** Imports the modules one after the other. One that throws is left to the launch that wants it, which says why. */
export const prepare = (
  modules: ReadonlyArray<string>,
  importModule: (href: string) => Promise<unknown>
): Promise<Prepared> => {
  const files: Record<string, string> = {}
  const hooks = Module.registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      const file = resolved.url.startsWith("file:") ? fileURLToPath(resolved.url) : undefined
      // Before it is loaded: whatever changes from now on is noticed.
      if (file !== undefined && mayChange(file)) files[file] ??= stamp(file)
      return resolved
    }
  })
  const failed: Array<string> = []
  const importAll = modules.reduce<Promise<void>>(
    (before, module) =>
      before.then(() => importModule(module)).then(rehearse, () => {
        failed.push(module)
      }),
    Promise.resolve()
  )
  return importAll.then(() => {
    hooks.deregister()
    // Node loads what strips types when it first strips something, which a launch need not wait for.
    if (modules.some(isTypeScript)) warmStripper()
    return { _tag: "Prepared", failed, files }
  })
}

/** By its own copy of Effect, which is the one that a launch will run on. */
const rehearse = (module: unknown): void => {
  if (Predicate.isObject(module)) Object.values(module).find(isMain)?.rehearse()
}

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
