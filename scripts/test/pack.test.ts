/**
 * What a user gets: the packages are built and packed, installed from their tarballs into an empty folder, and programs
 * run there on the compiled packages.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const repository = fileURLToPath(new URL("../..", import.meta.url))
const packages = ["core", "node"]
const minute = 60_000

// a user knows nothing of the source condition
const { NODE_OPTIONS: _, ...env } = process.env

const run = (
  command: string,
  args: ReadonlyArray<string>,
  cwd: string,
  more: Readonly<Record<string, string>> = {}
): string => {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env: { ...env, ...more },
    encoding: "utf8",
    timeout: minute
  })
  assert.strictEqual(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}`)
  return stdout
}

/** Builds in a copy of the work tree: its own `dist` may be absent, old, or in somebody's hands at this moment. */
const copyAndBuild = (copy: string): void => {
  for (const file of ["tsconfig.base.json", ...packages.map((name) => `packages/${name}`)]) {
    cpSync(join(repository, file), join(copy, file), {
      recursive: true,
      filter: (path) => !["dist", "node_modules"].includes(basename(path))
    })
  }
  // the same installed packages, except that the two of this repository are those of the copy
  mkdirSync(join(copy, "node_modules/@effect-postmaster"), { recursive: true })
  for (const name of readdirSync(join(repository, "node_modules")).filter((name) => name !== "@effect-postmaster")) {
    symlinkSync(join(repository, "node_modules", name), join(copy, "node_modules", name))
  }
  for (const name of packages) {
    symlinkSync(join(copy, "packages", name), join(copy, "node_modules/@effect-postmaster", name))
  }
  const tsc = join(repository, "node_modules/typescript/bin/tsc")
  run(process.execPath, [tsc, "-b", ...packages.map((name) => `packages/${name}`)], copy)
  run(process.execPath, [join(repository, "scripts/bundle.ts")], copy)
}

describe("pack", () => {
  let folder: string
  let app: string
  let tarballs: ReadonlyArray<{ readonly filename: string; readonly files: ReadonlyArray<{ readonly path: string }> }>

  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), "pack-")))
    const copy = join(folder, "copy")
    copyAndBuild(copy)
    tarballs = packages.flatMap((name) =>
      Object.values(
        JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], join(copy, "packages", name)))
      )
    )
    app = join(folder, "app")
    mkdirSync(app)
    writeFileSync(join(app, "package.json"), JSON.stringify({ private: true, type: "module" }))
    run("npm", [
      "install",
      "--prefer-offline",
      "--no-audit",
      "--no-fund",
      "--loglevel=error",
      ...tarballs.map(({ filename }) => join(folder, filename)),
      "effect@4.1.0",
      "@effect/platform-node@4.1.0"
    ], app)
    cpSync(join(repository, "examples/01-hello"), join(app, "01-hello"), { recursive: true })
    cpSync(join(repository, "scripts/test/pack"), app, { recursive: true })
  }, 2 * minute)
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  it("tarballs hold sources and compiled files, and nothing else", () => {
    for (const { files } of tarballs) {
      const paths = files.map((file) => file.path)
      assert.include(paths, "src/index.ts")
      assert.include(paths, "dist/index.js")
      assert.include(paths, "dist/index.d.ts")
      assert.deepStrictEqual(
        paths.filter((path) =>
          !/^(package\.json|README\.md|LICENSE|src\/.+\.ts|dist\/.+\.(c?js|d\.ts)(\.map)?)$/.test(path)
        ),
        []
      )
    }
  })

  it("the first example runs on the installed packages", () => {
    const stdout = run(process.execPath, ["01-hello/main.ts"], app)

    assert.match(stdout, /\bhello\b/)
  }, minute)

  /** What the worker of `pack/application.ts` has said, and the modules it has loaded, by their paths in `app`. */
  const probe = (entry: string, more?: Readonly<Record<string, string>>) => {
    const lines = run(process.execPath, ["application.ts", entry], app, more).split("\n")
    const root = `loaded ${pathToFileURL(app).href}/`
    return {
      said: JSON.parse(lines.find((line) => line.startsWith("{"))!),
      loaded: lines.flatMap((line) => line.startsWith(root) ? [line.slice(root.length)] : [])
    }
  }
  const bundle = "node_modules/@effect-postmaster/node/dist/bundle"
  const line = readFileSync(join(repository, "scripts/test/pack/worker.ts"), "utf8")
    .split("\n").findIndex((line) => line.includes("new Error")) + 1
  const expected = () => ({
    program: join(app, bundle, "NodeWorkerMain.cjs"),
    line: String(line),
    greeting: "hello",
    isOneCopy: true
  })
  const ofEffect = (path: string): boolean => path.startsWith("node_modules/effect/")
  const ofTheBundle = (path: string): boolean => path.startsWith(`${bundle}/`) && path.endsWith(".js")

  it("a worker gets the modules that are in the bundle from the bundle, and the others know them", () => {
    const { loaded, said } = probe("worker.ts")
    assert.deepStrictEqual(said, expected())
    assert.include(loaded, `${bundle}/effect/dist/Effect.js`)
    assert.include(loaded, "node_modules/effect/dist/Trie.js")
    const twice = loaded.filter((path) => existsSync(join(app, bundle, path.replace("node_modules/", ""))))
    assert.deepStrictEqual(twice, [])
  }, minute)

  it("a worker that is bundled itself loads nothing else", () => {
    const esbuild = join(repository, "node_modules/.bin/esbuild")
    run(esbuild, ["worker.ts", "--bundle", "--platform=node", "--format=esm", "--outdir=dist"], app)
    const { loaded, said } = probe("dist/worker.js")
    assert.deepStrictEqual({ ...said, line: String(line) }, expected())
    assert.deepStrictEqual(loaded.filter((path) => ofEffect(path) || ofTheBundle(path)), [])
    assert.include(loaded, "dist/worker.js")
  }, minute)

  it("no module comes from the bundle if that is switched off", () => {
    const { loaded, said } = probe("worker.ts", { EFFECT_POSTMASTER_BUNDLE: "off" })
    assert.deepStrictEqual(said, expected())
    assert.deepStrictEqual(loaded.filter(ofTheBundle), [])
    assert.include(loaded, "node_modules/effect/dist/Effect.js")
  }, minute)

  it("no module comes from the bundle if another version of Effect is installed", () => {
    const file = join(app, "node_modules/effect/package.json")
    const installed = readFileSync(file, "utf8")
    writeFileSync(file, JSON.stringify({ ...JSON.parse(installed), version: "4.1.99" }))
    const { loaded, said } = probe("worker.ts")
    writeFileSync(file, installed)
    assert.deepStrictEqual(said, expected())
    assert.deepStrictEqual(loaded.filter(ofTheBundle), [])
    assert.include(loaded, "node_modules/effect/dist/Effect.js")
  }, minute)

  const bundled = () => {
    const esbuild = join(repository, "node_modules/.bin/esbuild")
    run(esbuild, ["01-hello/main.ts", "--bundle", "--platform=node", "--format=esm", "--outdir=bundled"], app)
    return join(app, "bundled/main.js")
  }

  it(
    "piscinajs/piscina#252: an application that is bundled takes its workers' programs from where they are installed",
    () => {
      assert.match(run(process.execPath, [bundled()], app), /hello, world, from process \d+/)
    },
    minute
  )

  it("piscinajs/piscina#252: an application that is bundled, and alone, says what it needs", () => {
    const alone = join(folder, "alone")
    cpSync(bundled(), join(alone, "dist/main.mjs"))
    const { status, stdout } = spawnSync(process.execPath, ["dist/main.mjs"], { cwd: alone, env, encoding: "utf8" })
    assert.notStrictEqual(status, 0)
    assert.include(stdout, "a bundled application needs @effect-postmaster/node installed beside it")
  }, minute)
})
