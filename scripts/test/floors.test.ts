import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { check, type Plan } from "../floors.ts"

const plan: Plan = {
  floors: [["Ground", "Other"], ["internal/machine"], ["Postmaster", "Spawner"]],
  packages: [/^effect\/[A-Z]\w*$/],
  spawners: ["Spawner"],
  pure: true
}

describe("floors", () => {
  let src: string

  beforeEach(() => {
    src = mkdtempSync(join(tmpdir(), "floors-"))
  })
  afterEach(() => {
    rmSync(src, { recursive: true })
  })

  /** Writes the sources and answers the problems found, without the folder in front. */
  const problems = (sources: Record<string, string>, rules = plan): ReadonlyArray<string> => {
    for (const [file, text] of Object.entries(sources)) {
      mkdirSync(dirname(join(src, file)), { recursive: true })
      writeFileSync(join(src, file), text)
    }
    return check(src, rules).problems.map((problem) => problem.replaceAll(`${src}/`, ""))
  }

  it("a house in order has no problems", () => {
    assert.deepStrictEqual(
      problems({
        "Ground.ts": `import * as Effect from "effect/Effect"\nimport type { Other } from "./Other.ts"`,
        "Other.ts": "export type Other = 1",
        "internal/machine.ts": `export * from "../Ground.ts"`,
        "Postmaster.ts": `import "./internal/machine.ts"`,
        "index.ts": `export * as Postmaster from "./Postmaster.ts"`
      }),
      []
    )
  })

  it("a climb is reported, also of a type", () => {
    assert.deepStrictEqual(problems({ "Ground.ts": `import type { P } from "./Postmaster.ts"`, "Postmaster.ts": "" }), [
      "Ground.ts: stands on floor 0 and climbs to Postmaster on floor 2"
    ])
  })

  it("an index stands above all", () => {
    assert.deepStrictEqual(problems({ "Ground.ts": `export {\n  a\n} from "./index.ts"`, "index.ts": "" }), [
      "Ground.ts: stands on floor 0 and climbs to index on floor 3"
    ])
  })

  it("a cycle on one floor is reported", () => {
    assert.deepStrictEqual(
      problems({ "Ground.ts": `import "./Other.ts"`, "Other.ts": `export type { G } from "./Ground.ts"` }),
      ["Ground.ts: imports itself through Other → Ground"]
    )
  })

  it("a file without a floor is reported", () => {
    assert.deepStrictEqual(problems({ "Attic.ts": "" }), ["Attic.ts: has no floor; give it one in scripts/floors.ts"])
  })

  it("barrels, Node and files outside are reported", () => {
    assert.deepStrictEqual(
      problems({
        "Ground.ts": `import { Effect } from "effect"\nimport fs from "node:fs"\ntype T = import("effect").Option`,
        "Other.ts": `import "../test/fixture.ts"`
      }),
      [
        `Ground.ts: may not import "effect"`,
        `Ground.ts: may not import "node:fs"`,
        `Ground.ts: may not import "effect"`,
        `Other.ts: imports "../test/fixture.ts", which is no source file of this package`
      ]
    )
  })

  it("a spawner that knows the engine is reported, however far the road", () => {
    assert.deepStrictEqual(
      problems(
        {
          "Spawner.ts": `import "./Ground.ts"`,
          "Ground.ts": `import "./Other.ts"`,
          "Other.ts": `import "@effect-postmaster/core/Postmaster"`
        },
        { ...plan, packages: [/./] }
      ),
      ["Spawner.ts: is a spawner and may not know @effect-postmaster/core/Postmaster"]
    )
  })

  it("clocks and promises are reported with their line, except in comments and strings", () => {
    assert.deepStrictEqual(
      problems({
        "Ground.ts": [
          "/**",
          " * await import(\"effect\"), new Date()",
          " */",
          "export const now = () => Date.now() // Math.random",
          "export const words = 'new Date', more = `async () => ${setTimeout}`",
          "export const f = async () => { await now() }",
          "export const fine = Deferred.await(deferred)"
        ].join("\n")
      }),
      [
        "Ground.ts: uses Date.now in line 4",
        "Ground.ts: uses a timer in line 5",
        "Ground.ts: uses async in line 6",
        "Ground.ts: uses await in line 6"
      ]
    )
  })
})
