/**
 * Decides which program a worker is, which one its launcher, and what a worker's
 * environment has that the application's has not.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

/** What a worker is started with. */
export interface Bootstrap {
  readonly file: string
  /** Defaults: what the application or `NodeSpawner.Options` say comes before. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * One of the programs, whose folder holds them all. It lies beside the modules
 * that applications import, unless somebody has bundled these into a file of his
 * own: then where this package is installed.
 */
const findLauncher = (): string => {
  const beside = fileURLToPath(new URL(`../NodeLauncherMain${Path.extname(import.meta.filename)}`, import.meta.url))
  if (Fs.existsSync(beside)) return beside
  try {
    return createRequire(import.meta.url).resolve("@effect-postmaster/node/NodeLauncherMain")
  } catch {
    return beside
  }
}

// Decided once: what is installed does not change under a running application.

export const launcherFile = findLauncher()

/** Why nobody can be borne here, if nobody can. */
export const missing: string | undefined = Fs.existsSync(launcherFile)
  ? undefined
  : `there is no ${launcherFile}; a bundled application needs @effect-postmaster/node installed beside it`

/** The sources run as they are; what is published brings its bundle along, and `tsc` alone makes none. */
const program = (name: string): string => {
  const folder = Path.dirname(launcherFile)
  const extension = Path.extname(launcherFile)
  const bundle = Path.join(folder, `bundle/${name}.cjs`)
  return extension === ".js" && Fs.existsSync(bundle) ? bundle : Path.join(folder, name + extension)
}

/**
 * Node's own folder for its compile cache, so that there is one cache and not
 * two. Code that comes out of the cache is blurred in a report on coverage.
 */
const environment = (): Bootstrap["env"] =>
  process.env["NODE_V8_COVERAGE"] === undefined
    ? { NODE_COMPILE_CACHE: Path.join(Os.tmpdir(), "node-compile-cache") }
    : {}

export const bootstrap: Bootstrap = { file: program("NodeWorkerMain"), env: environment() }
export const threadBootstrap: Bootstrap = { file: program("NodeThreadMain"), env: bootstrap.env }
