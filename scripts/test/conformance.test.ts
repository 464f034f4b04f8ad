import { assert, describe, it } from "@effect/vitest"
import { judge, numbersOf, toMarkdown } from "../conformance.ts"
import { type Case, groups } from "../conformance/cases.ts"

const cases: ReadonlyArray<Case> = [
  { number: 1, line: "one", verdict: "same" },
  { number: 2, line: "two", verdict: "departs", because: "better" },
  { number: 3, line: "three", verdict: "inapplicable", because: "no database" }
]
const passed = (...titles: ReadonlyArray<string>) => titles.map((title) => ({ title, status: "passed" }))
const problems = (tests: ReadonlyArray<{ readonly title: string; readonly status: string }>) =>
  judge([{ title: "All", cases }], tests).problems

describe("conformance", () => {
  it("numbers stand at the beginning of a title", () => {
    assert.deepStrictEqual(numbersOf("C76, C77 exit 1: see C78"), [76, 77])
    assert.deepStrictEqual(numbersOf("C2 (departs) two"), [2])
    for (const title of ["see C2", "C2x", "Cats", "c2"]) assert.deepStrictEqual(numbersOf(title), [])
  })

  it("is content when every case has a test of its verdict, or a reason", () => {
    assert.deepStrictEqual(problems(passed("C1 one", "C2 (departs) two", "C2 more", "none")), [])
  })

  it("names what is missing, unknown, failed or contradictory", () => {
    const good = passed("C1 one", "C2 (departs) two")
    assert.deepStrictEqual(problems(passed("C1 one")), ["C2 has neither a test nor a reason: two"])
    assert.deepStrictEqual(problems([...good, ...passed("C4 four")]), ["C4 is no case: C4 four"])
    assert.deepStrictEqual(problems([...good, { title: "C1 again", status: "failed" }]), ["failed: C1 again"])
    assert.deepStrictEqual(problems([...good, { title: "C1 later", status: "pending" }]), ["pending: C1 later"])
    assert.strictEqual(problems(passed("C1 (departs) one", "C2 (departs) two")).length, 1)
    assert.strictEqual(problems(passed("C1 one", "C2 two")).length, 1)
    assert.strictEqual(problems([...good, ...passed("C3 three")]).length, 1)
  })

  it("the document lists every case once, in order", () => {
    const listed = [...toMarkdown(judge(groups, [])).matchAll(/^\| C(\d+) \|/gm)].map(([, number]) => Number(number))
    assert.strictEqual(listed.length, 126)
    assert.deepStrictEqual(listed, listed.toSorted((self, that) => self - that))
    assert.strictEqual(new Set(listed).size, listed.length)
  })
})
