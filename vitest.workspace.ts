import { defineConfig } from "vitest/config"

/** Tests run from source, and so does every process and thread that they start. */
const condition = "@effect-postmaster/source"

/** The same tests of real workers, which are borne in another way. */
const births = (birth: string, files: ReadonlyArray<string>) => ({
  extends: true as const,
  test: {
    name: `node: ${birth}`,
    root: "packages/node",
    include: files.map((name) => `test/${name}.test.ts`),
    env: { POSTMASTER_TEST_BIRTH: birth, NODE_OPTIONS: `--conditions=${condition}` }
  }
})

const project = (name: string, root: string, include: string) => ({
  extends: true as const,
  test: { name, root, include: [include] }
})

export default defineConfig({
  ssr: { resolve: { conditions: [condition] } },
  test: {
    // real processes, so that signals, exit codes and child processes behave as they do outside
    pool: "forks",
    env: { NODE_OPTIONS: `--conditions=${condition}` },
    projects: [
      project("core", "packages/core", "test/**/*.test.ts"),
      project("node", "packages/node", "test/**/*.test.ts"),
      births("spare", ["calls", "dataLine", "NodeSpawner", "Postmaster", "registrants", "spawners"]),
      births("direct", ["calls", "dataLine", "NodeSpawner", "Postmaster", "hostile", "spawners"]),
      project("examples", "examples", "**/*.test.ts"),
      project("repository", "scripts", "test/**/*.test.ts")
    ]
  }
})
