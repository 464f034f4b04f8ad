/**
 * Builds `dist/bundle` of `@effect-postmaster/node` from what `tsc` has emitted: what a worker process runs, in as few
 * files as possible.
 *
 * | file | holds |
 * | --- | --- |
 * | `NodeWorkerMain.cjs`, `NodeThreadMain.cjs` | the bootstraps, each with the little it uses of other packages |
 * | `modules.js` | the modules of Effect and of the core that a worker's entry imports, whole |
 * | `<package>/dist/….js` | what stands in for one of these modules: its exports, from `modules.js` |
 *
 * The modules are handed out as objects, made when one is asked for: if `modules.js` exported their four thousand names
 * itself, loading it would take half as long again.
 *
 * Usage: `node scripts/bundle.ts [folder of the package]`.
 */
import { type BuildOptions, buildSync } from "esbuild"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire, findPackageJSON } from "node:module"
import { dirname, join, relative, resolve, sep } from "node:path"
import { pathToFileURL } from "node:url"
import type { BundledPackage } from "../packages/node/src/internal/bundledModules.ts"

const dist = resolve(process.argv[2] ?? "packages/node", "dist")
const out = join(dist, "bundle")
const require = createRequire(join(dist, "NodeWorkerMain.js"))

/** What the entry of a worker imports to be one; all else is reached from there. */
const roots = ["@effect-postmaster/core/BackgroundWorker", "@effect-postmaster/core/WorkerContext"]

const common = {
  bundle: true,
  platform: "node",
  target: "node24",
  legalComments: "none",
  logLevel: "warning"
} as const satisfies BuildOptions

const json = (file: string): { readonly name: string; readonly version: string; readonly [key: string]: unknown } =>
  JSON.parse(readFileSync(file, "utf8"))

const list = (entries: ReadonlyArray<string>): string => entries.map((entry) => `\n  ${entry}`).join(",")

/** A module to be bundled. */
interface Bundled {
  readonly file: string
  readonly package: string
  /** Its path in the package, as in URLs. */
  readonly path: string
  readonly names: ReadonlyArray<string>
  /** Whether its exports may change while it lives; an object would hold what they were. */
  readonly isLive: boolean
}

/** Everything that loading the roots loads with them. */
const closure = (): ReadonlyArray<Bundled> => {
  const { metafile } = buildSync({
    ...common,
    format: "esm",
    entryPoints: roots.map((root) => require.resolve(root)),
    outdir: out,
    write: false,
    metafile: true
  })
  return Object.keys(metafile.inputs).toSorted().map((input) => {
    const file = resolve(input)
    const packageFile = findPackageJSON(pathToFileURL(file))!
    return {
      file,
      package: packageFile,
      path: relative(dirname(packageFile), file).replaceAll(sep, "/"),
      names: Object.keys(require(file)),
      isLive: /^export (let|var) /m.test(readFileSync(file, "utf8"))
    }
  })
}

const modules = closure()
const packages = [...new Set(modules.map((module) => module.package))].map((file): BundledPackage => {
  const { dependencies, name, peerDependencies, version } = json(file)
  const needed = Object.keys({ ...dependencies as object, ...peerDependencies as object })
  return {
    name,
    version,
    imports: needed.filter((name) => modules.some((module) => json(module.package).name === name)),
    modules: modules.filter((module) => module.package === file).map((module) => module.path)
  }
})
const nameOf = (module: Bundled): string => `${json(module.package).name}/${module.path}`

rmSync(out, { recursive: true, force: true })

buildSync({
  ...common,
  format: "esm",
  outfile: join(out, "modules.js"),
  stdin: {
    resolveDir: dist,
    contents: [
      ...modules.map(({ file, names }, index) =>
        `import {${list(names.map((name) => `${name} as m${index}_${name}`))}\n} from ${JSON.stringify(file)}`
      ),
      ...modules.map(({ isLive, names }, index) =>
        isLive ? `export {${list(names.map((name) => `m${index}_${name}`))}\n}` : ""
      ),
      `export const modules = {${
        list(modules.map((module, index) =>
          `${JSON.stringify(nameOf(module))}: () => ({ ${
            module.names.map((name) =>
              `${name}: m${index}_${name}`
            ).join(", ")
          } })`
        ))
      }\n}`
    ].join("\n")
  }
})

for (const [index, module] of modules.entries()) {
  const file = join(out, nameOf(module))
  const from = JSON.stringify(relative(dirname(file), join(out, "modules.js")).replaceAll(sep, "/"))
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(
    file,
    module.isLive
      ? `export {${list(module.names.map((name) => `m${index}_${name} as ${name}`))}\n} from ${from}\n`
      : `import { modules } from ${from}\n` +
        // Not all names of exports can be names of variables.
        `const {${list(module.names.map((name) => `${name}: _${name}`))}\n} = modules[${
          JSON.stringify(nameOf(module))
        }]()\n` +
        `export {${list(module.names.map((name) => `_${name} as ${name}`))}\n}\n`
  )
}

// Node begins with a CommonJS module a millisecond sooner.
for (const program of ["NodeWorkerMain", "NodeThreadMain"]) {
  buildSync({
    ...common,
    format: "cjs",
    outfile: join(out, `${program}.cjs`),
    stdin: {
      resolveDir: dist,
      contents: `import { pathToFileURL } from "node:url"\n` +
        `import { standIn } from "./internal/bundledModules.js"\n` +
        `import "./${program}.js"\n` +
        `standIn(${JSON.stringify(packages)}, pathToFileURL(__filename).href)\n`
    }
  })
}

console.log(
  `bundle: ${modules.length} modules of ${packages.map(({ name, version }) => `${name} ${version}`).join(" and ")}`
)
