/**
 * Decides which modules of a worker come from the bundle instead of from the
 * packages that are installed.
 *
 * Importing Effect file by file is the dearest thing a worker does. The bundle
 * holds the modules of Effect and of the core that a worker needs in one file,
 * and stands in for a package that is installed in the very version that was
 * bundled. It stands in for all of a package's modules that it holds or for
 * none, whoever imports them and by whatever name: there is one copy of each.
 *
 * @since 0.1.0
 */
import * as Module from "node:module"
import { Fs } from "./fs.ts"

/** A package as it was bundled. */
export interface BundledPackage {
  readonly name: string
  readonly version: string
  /** Bundled packages that this one imports. Their bundled modules are its own only if they are what it would get. */
  readonly imports: ReadonlyArray<string>
  /** Paths in the package, all of them in `dist`. */
  readonly modules: ReadonlyArray<string>
}

const packageJson = (file: string | URL): { readonly name?: unknown; readonly version?: unknown } | undefined => {
  try {
    return JSON.parse(Fs.readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}

/** The version that a package gets when it imports another. */
const installedVersion = (name: string, from: string): unknown => {
  try {
    const file = Module.findPackageJSON(name, from)
    return file === undefined ? undefined : packageJson(file)?.version
  } catch {
    return undefined
  }
}

/**
 * Finds the URL in the bundle that stands in for the URL of an installed
 * module. `base` is the folder of the bundle.
 */
export const makeStandIn = (
  bundled: ReadonlyArray<BundledPackage>,
  base: string
): (url: string) => string | undefined => {
  const packages = new Map(bundled.map((one) => [one.name, { ...one, modules: new Set(one.modules) }]))
  const candidates = new Set(bundled.flatMap((one) => one.modules))
  /** By the root of each package that has been met: what stands in for it. */
  const met = new Map<string, { readonly name: string; readonly modules: ReadonlySet<string> } | undefined>()

  const standsInFor = (root: string) => {
    const { name, version } = packageJson(new URL("package.json", root)) ?? {}
    const one = typeof name === "string" ? packages.get(name) : undefined
    return one !== undefined && one.version === version &&
        one.imports.every((name) => installedVersion(name, root) === packages.get(name)?.version)
      ? one
      : undefined
  }

  return (url) => {
    const end = url.lastIndexOf("/dist/") + 1
    const module = url.slice(end)
    if (end === 0 || !candidates.has(module)) return undefined
    const root = url.slice(0, end)
    if (!met.has(root)) met.set(root, standsInFor(root))
    const one = met.get(root)
    return one?.modules.has(module) === true ? new URL(`${one.name}/${module}`, base).href : undefined
  }
}

/**
 * Has the bundle stand in from now on. `EFFECT_POSTMASTER_BUNDLE=off` prevents
 * it, for a package that was patched and kept its version.
 */
export const standIn = (bundled: ReadonlyArray<BundledPackage>, base: string): void => {
  if (process.env["EFFECT_POSTMASTER_BUNDLE"] === "off") return
  const standInFor = makeStandIn(bundled, base)
  Module.registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      const url = standInFor(resolved.url)
      return url === undefined ? resolved : { ...resolved, url, format: "module" }
    }
  })
}
