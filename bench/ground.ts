/**
 * What a run stands on: a folder of its own, the signs of its workers, bundles of their entries. Every process of the
 * run bears the folder's name in its environment, and with the run ends whoever still does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { pathToFileURL } from "node:url"
import { Absent, Failed } from "./contestant.ts"
import * as Procfs from "./procfs.ts"
import { listen, type Signs } from "./signs.ts"

export class Ground extends Context.Service<Ground, {
  readonly folder: string
  readonly signs: Signs
  /** A worker's entry as the documented step bundles it, with everything it uses. */
  readonly bundled: (worker: string) => Effect.Effect<URL, Absent | Failed>
}>()("@effect-postmaster/bench/Ground") {}

const here = import.meta.dirname
const modules = join(here, "node_modules")
const variable = "BENCH_FOLDER"

/** The file of a worker. */
export const worker = (name: string): string => join(here, "workers", name)

/** A program that the machine has, with links followed. */
export const onPath = (program: string): string | undefined => {
  const found = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, program)).find(existsSync)
  return found === undefined ? undefined : realpathSync(found)
}

/** A package of a contestant, by a name at run time: the bench is checked without them. */
export const load = <A>(name: string): Effect.Effect<A, Absent> =>
  Effect.tryPromise({
    try: () => import(name) as Promise<A>,
    catch: () => new Absent({ reason: notInstalled(name) })
  })

const notInstalled = (name: string): string =>
  `${name} is not installed; npm run bench does that, or npm ci --prefix bench`

/** The name of a package with the version that is installed, in the bench or in the repository. */
export const label = (name: string): string => {
  const folder = [modules, join(here, "..", "node_modules")].map((folder) => join(folder, name)).find(existsSync)
  return folder === undefined ? name : `${name} ${version(folder)}`
}

export const version = (folder: string): string =>
  (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { readonly version: string }).version

/**
 * The bundles lie under `node_modules`, where `effect` is found from as from anywhere in the repository. The program is
 * called and not the library, which would leave a process of its own running.
 */
const bundler = (folder: string) => (name: string): Effect.Effect<URL, Absent | Failed> =>
  Effect.suspend((): Effect.Effect<URL, Absent | Failed> => {
    const file = join(folder, name.replace(/\.\w+$/, ".mjs"))
    if (existsSync(file)) return Effect.succeed(pathToFileURL(file))
    const esbuild = join(modules, ".bin", "esbuild")
    if (!existsSync(esbuild)) return Effect.fail(new Absent({ reason: notInstalled("esbuild") }))
    const { status, stderr } = spawnSync(esbuild, [
      worker(name),
      "--bundle",
      "--format=esm",
      "--platform=node",
      `--outfile=${file}`,
      "--log-level=error"
    ], { encoding: "utf8" })
    return status === 0
      ? Effect.succeed(pathToFileURL(file))
      : Effect.fail(new Failed({ detail: `esbuild: ${stderr}` }))
  })

const temporary = (prefix: string) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(prefix)),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

/** Whoever bears the mark of a run, or of a program inside it, and is not this process. */
export const company = (folder: string): ReadonlyArray<Procfs.Process> =>
  Procfs.bearing(`${variable}=${folder}`).filter(({ pid }) => pid !== process.pid)

/** Ends whoever is left, and tells how many: a contestant that leaves somebody behind is news. */
const sweep = (folder: string) =>
  Effect.sync(() => {
    const left = company(folder)
    left.forEach(Procfs.kill)
    if (left.length > 0) process.stderr.write(`ended ${left.length} processes that were left behind\n`)
  })

/** A program that the bench starts makes its ground inside the bench's, which outlives it, and finds the bundles there. */
const make = Effect.gen(function*() {
  const outer = process.env[variable]
  const folder = yield* temporary(outer === undefined ? join(tmpdir(), "postmaster-bench-") : join(outer, "program-"))
  chmodSync(folder, 0o755)
  process.env[variable] = folder
  yield* Effect.addFinalizer(() => sweep(folder))
  const bundles = process.env.BENCH_BUNDLES ??
    (existsSync(modules) ? yield* temporary(join(modules, ".bundles-")) : folder)
  process.env.BENCH_BUNDLES = bundles
  return { folder, signs: yield* listen(join(folder, "signs")), bundled: bundler(bundles) }
})

export const layer: Layer.Layer<Ground> = Layer.effect(Ground, make)
