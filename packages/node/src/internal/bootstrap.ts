/**
 * Decides which program a worker is, and what its environment has that the
 * application's has not.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

/** What a worker is started with. */
export interface Bootstrap {
  readonly file: string
  /** Defaults: what the application or `NodeSpawner.Options` say comes before. */
  readonly env: Readonly<Record<string, string>>
}

const fileAt = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The sources run as they are; what is published brings its bundle along, and `tsc` alone makes none. */
const program = (name: string): string => {
  if (Path.extname(import.meta.filename) === ".ts") return fileAt(`../${name}.ts`)
  const bundle = fileAt(`../bundle/${name}.cjs`)
  return Fs.existsSync(bundle) ? bundle : fileAt(`../${name}.js`)
}

/**
 * Node's own folder for its compile cache, so that there is one cache and not
 * two. Code that comes out of the cache is blurred in a report on coverage.
 */
const environment = (): Bootstrap["env"] =>
  process.env["NODE_V8_COVERAGE"] === undefined
    ? { NODE_COMPILE_CACHE: Path.join(Os.tmpdir(), "node-compile-cache") }
    : {}

// Decided once: what is installed does not change under a running application.

export const bootstrap: Bootstrap = { file: program("NodeWorkerMain"), env: environment() }
export const threadBootstrap: Bootstrap = { file: program("NodeThreadMain"), env: bootstrap.env }
