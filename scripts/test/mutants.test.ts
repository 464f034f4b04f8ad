import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { faults } from "../mutants/faults.ts"

it("every planted fault still has its place in the core", () => {
  const source = (file: string) => readFileSync(new URL(`../../packages/core/src/${file}`, import.meta.url), "utf8")
  const lost = faults.filter(({ file, find, put }) => find === put || source(file).split(find).length !== 2)
  assert.deepStrictEqual(lost.map(({ fault }) => fault), [])
  assert.strictEqual(new Set(faults.map(({ fault }) => fault)).size, faults.length)
})
