import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")

describe("README", () => {
  it("shows the first program as it is", () => {
    const program = read("examples/01-hello/main.ts").replace(/^\/\*\*[^]*?\*\/\n/, "")
    assert.include(read("README.md"), `// hello.ts\n${program}`)
  })

  it("names only scripts that exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Record<string, string> }
    const named = [...`${read("README.md")}${read("CONTRIBUTING.md")}`.matchAll(/npm run ([\w:]+)/g)].map((_) => _[1]!)
    assert.isAbove(named.length, 5)
    for (const name of named) assert.property(scripts, name)
  })
})
