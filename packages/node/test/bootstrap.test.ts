import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { buildSync } from "esbuild"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { type BundledPackage, makeStandIn } from "../src/internal/bundledModules.ts"
import { born, fixture, launch, type Life, lived, saw, until } from "./support.ts"

const patience = 60_000

const temporary = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "bootstrap-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

describe("a worker process", () => {
  const surroundings = (stays: boolean) => launch("main", { module: fixture("surroundings.ts"), args: { stays } })

  const told = (life: Life): { readonly program: string; readonly cache: string | null; readonly stripper: boolean } =>
    JSON.parse(life.log.find(({ text }) => text.startsWith("{"))!.text)

  it.live("runs from the sources where the spawner does", () =>
    Effect.gen(function*() {
      const { life } = yield* lived(surroundings(false))
      const sources = fileURLToPath(new URL("../src", import.meta.url))
      assert.strictEqual(told(life).program, Path.join(sources, "NodeWorkerMain.ts"))
    }), patience)

  it.live("has Node's compile cache on, in Node's own folder, unless told otherwise", () =>
    Effect.gen(function*() {
      const own = process.env["NODE_COMPILE_CACHE"] ?? Path.join(Os.tmpdir(), "node-compile-cache")
      const cacheWith = (env: Readonly<Record<string, string | undefined>>) =>
        Effect.map(lived(surroundings(false), { env }), ({ life }) => told(life).cache)
      const folder = yield* temporary
      assert.strictEqual(yield* cacheWith({}), own)
      assert.strictEqual(yield* cacheWith({ NODE_COMPILE_CACHE: folder }), folder)
      assert.strictEqual(yield* cacheWith({ NODE_COMPILE_CACHE: undefined }), null)
    }), patience)

  it.live("that is killed has saved what it compiled: the next one need not strip types", () =>
    Effect.gen(function*() {
      const env = { NODE_COMPILE_CACHE: yield* temporary }
      const saved = (): boolean =>
        Fs.readdirSync(env.NODE_COMPILE_CACHE, { recursive: true, withFileTypes: true }).some((one) => one.isFile())
      const first = yield* born(surroundings(true), { env })
      yield* saw(first, "{")
      yield* until("a saved compile cache", saved)
      // It saves in one turn of its event loop: when it answers, all is saved.
      yield* first.signal("SIGHUP", "Process")
      yield* saw(first, "reloaded")
      yield* first.signal("SIGKILL", "Process")
      yield* first.exit
      const { life: second } = yield* lived(surroundings(false), { env })
      assert.isTrue(told(first).stripper)
      assert.isFalse(told(second).stripper)
    }), patience)

  it.live("loads no barrel", () =>
    Effect.gen(function*() {
      const tracer = `import { registerHooks } from "node:module"
        import { writeSync } from "node:fs"
        registerHooks({ load: (url, context, next) => (writeSync(1, "loaded " + url + "\\n"), next(url, context)) })`
      const { life } = yield* lived(surroundings(false), {
        execArgv: [`--import=data:text/javascript,${encodeURIComponent(tracer)}`]
      })
      const loaded = life.log.flatMap(({ text }) => text.startsWith("loaded ") ? [text.slice("loaded ".length)] : [])
      assert.isTrue(loaded.some((url) => url.endsWith("/effect/dist/Effect.js")), loaded.join("\n"))
      assert.deepStrictEqual(loaded.filter((url) => /\/(src|dist)\/(\w+\/)?index\.[jt]s$/.test(url)), [])
    }), patience)
})

describe("the bundle", () => {
  for (const program of ["NodeWorkerMain", "NodeThreadMain"]) {
    it(`of ${program} has no runtime of Effect in it: an entry brings its own`, () => {
      const { metafile } = buildSync({
        bundle: true,
        platform: "node",
        format: "esm",
        conditions: ["@effect-postmaster/source"],
        entryPoints: [fileURLToPath(new URL(`../src/${program}.ts`, import.meta.url))],
        outdir: Os.tmpdir(),
        write: false,
        metafile: true
      })
      const [output] = Object.values(metafile.outputs)
      const bundled = Object.entries(output!.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      assert.isTrue(bundled.some(([path]) => path.endsWith("/farSide.ts")))
      const runtime = /\/effect\/(src|dist)\/(Effect|Schema|internal\/effect)\.[jt]s$/
      assert.deepStrictEqual(bundled.filter(([path]) => runtime.test(path)), [])
    })
  }

  const bundled: ReadonlyArray<BundledPackage> = [
    { name: "alpha", version: "1.0.0", imports: [], modules: ["dist/A.js", "dist/internal/a.js"] },
    { name: "@scope/beta", version: "2.0.0", imports: ["alpha"], modules: ["dist/B.js"] }
  ]
  const bundle = "file:///bundle/"

  /** Installs packages, by their folders, and gives the way from the path of a module to what stands in for it. */
  const install = (packages: Readonly<Record<string, string>>) =>
    Effect.map(temporary, (folder) => {
      for (const [path, version] of Object.entries(packages)) {
        const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)
        Fs.mkdirSync(Path.join(folder, path), { recursive: true })
        Fs.writeFileSync(Path.join(folder, path, "package.json"), JSON.stringify({ name, version }))
      }
      const standInFor = makeStandIn(bundled, `${bundle}NodeWorkerMain.cjs`)
      return (path: string) => standInFor(pathToFileURL(Path.join(folder, path)).href)
    })

  it.live("stands in for the modules it holds of a package that is installed in the same version", () =>
    Effect.gen(function*() {
      const standInFor = yield* install({ "node_modules/alpha": "1.0.0", "node_modules/@scope/beta": "2.0.0" })
      assert.strictEqual(standInFor("node_modules/alpha/dist/A.js"), `${bundle}alpha/dist/A.js`)
      assert.strictEqual(standInFor("node_modules/alpha/dist/internal/a.js"), `${bundle}alpha/dist/internal/a.js`)
      assert.strictEqual(standInFor("node_modules/@scope/beta/dist/B.js"), `${bundle}@scope/beta/dist/B.js`)
      assert.isUndefined(standInFor("node_modules/alpha/dist/Other.js"))
      assert.isUndefined(standInFor("node_modules/alpha/dist/B.js"))
      assert.isUndefined(standInFor("src/A.js"))
    }))

  it.live("stands in for no package of another version or name, wherever it is installed", () =>
    Effect.gen(function*() {
      const standInFor = yield* install({
        "node_modules/alpha": "1.0.1",
        "node_modules/gamma": "1.0.0",
        "node_modules/gamma/node_modules/alpha": "1.0.0"
      })
      assert.isUndefined(standInFor("node_modules/alpha/dist/A.js"))
      assert.isUndefined(standInFor("node_modules/gamma/dist/A.js"))
      assert.isUndefined(standInFor("nowhere/dist/A.js"))
      assert.strictEqual(standInFor("node_modules/gamma/node_modules/alpha/dist/A.js"), `${bundle}alpha/dist/A.js`)
    }))

  it.live("stands in for no package that would get another version of what it imports, or none", () =>
    Effect.gen(function*() {
      const other = yield* install({ "node_modules/alpha": "1.0.1", "node_modules/@scope/beta": "2.0.0" })
      const none = yield* install({ "node_modules/@scope/beta": "2.0.0" })
      const own = yield* install({
        "node_modules/alpha": "1.0.0",
        "node_modules/@scope/beta": "2.0.0",
        "node_modules/@scope/beta/node_modules/alpha": "1.0.1"
      })
      for (const standInFor of [other, none, own]) assert.isUndefined(standInFor("node_modules/@scope/beta/dist/B.js"))
      assert.strictEqual(own("node_modules/alpha/dist/A.js"), `${bundle}alpha/dist/A.js`)
    }))
})
