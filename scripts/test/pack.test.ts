/**
 * What a user gets: the packages are built and packed, installed from their tarballs into an empty folder, and the first
 * example runs there on the compiled packages.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("../..", import.meta.url))
const packages = ["core", "node"]
const minute = 60_000

// a user knows nothing of the source condition
const { NODE_OPTIONS: _, ...env } = process.env

const run = (command: string, args: ReadonlyArray<string>, cwd: string): string => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8", timeout: minute })
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
}

describe("pack", () => {
  let folder: string
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
          !/^(package\.json|README\.md|LICENSE|src\/.+\.ts|dist\/.+\.(js|d\.ts)(\.map)?)$/.test(path)
        ),
        []
      )
    }
  })

  it("the first example runs on the installed packages", () => {
    const app = join(folder, "app")
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

    const stdout = run(process.execPath, ["01-hello/main.ts"], app)

    assert.match(stdout, /\bhello\b/)
  }, 2 * minute)
})
