/** `docs/PEERS.md` names tests, and goes through every complaint that the first release has to answer. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"

const document = new URL("../../docs/PEERS.md", import.meta.url)
const text = readFileSync(document, "utf8")

/** The complaints of users of other systems that come first. */
// dprint-ignore
const first = [
  1, 2, 3, 4, 5, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 28, 29, 30, 31, 32, 35, 36, 37, 38,
  39, 40, 41, 43, 44, 46, 48, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 66, 69, 70
]
/** The points that users of PostgreSQL's workers have made. */
const points = Array.from({ length: 20 }, (_, index) => `P${index + 1}`)

interface Row {
  readonly number: string
  readonly cells: ReadonlyArray<string>
}

/** A stroke that is escaped parts no cells. */
const rows: ReadonlyArray<Row> = text.split("\n").flatMap((line) => {
  const [, number, ...cells] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
  return number !== undefined && /^P?\d+$/.test(number) ? [{ number, cells: cells.slice(0, -1) }] : []
})

const files = new Map(
  [...text.matchAll(/^\[(\w+)\]: (\S+)$/gm)].map((
    [, label, path]
  ) => [label!, readFileSync(new URL(path!, document), "utf8")])
)

/** The tests that a cell names, each with the label of its file: `[file] title title [file] title`. */
const namedIn = (cell: string): ReadonlyArray<{ readonly label: string; readonly title: string }> =>
  [...cell.matchAll(/\[(\w+)\]((?: `[^`]+`)+)/g)].flatMap(([, label, titles]) =>
    [...titles!.matchAll(/`([^`]+)`/g)].map(([, title]) => ({ label: label!, title: title!.replaceAll("\\|", "|") }))
  )

describe("docs/PEERS.md", () => {
  it("goes through every complaint that comes first, and every point, once and in order", () => {
    const numbers = rows.map(({ number }) => number)
    const complaints = numbers.filter((number) => !number.startsWith("P")).map(Number)
    assert.deepStrictEqual(complaints, [...new Set(complaints)].toSorted((self, that) => self - that))
    assert.deepStrictEqual(first.filter((number) => !complaints.includes(number)), [])
    assert.deepStrictEqual(numbers.filter((number) => number.startsWith("P")), points)
  })

  it("says of each who met it, what happened, what happens here, and what shows it", () => {
    for (const { cells, number } of rows) {
      assert.strictEqual(cells.length, 4, number)
      assert.isTrue(cells.every((cell) => cell !== ""), number)
      assert.isNotEmpty(namedIn(cells[3]!), `${number} is shown by nothing`)
    }
    assert.notInclude(text, "TODO(")
  })

  it("names only tests that exist, and all of those that were written for it", () => {
    const named = rows.flatMap(({ cells }) => namedIn(cells[3]!))
    for (const { label, title } of named) {
      const source = files.get(label)
      assert.isDefined(source, `[${label}] is no file`)
      assert.isTrue(["\"", "`"].some((quote) => source!.includes(quote + title + quote)), `[${label}] has no ${title}`)
    }
    const titles = new Set(named.map(({ title }) => title))
    const written = [...files].filter(([label]) => ["peers", "pack"].includes(label)).flatMap(([, source]) =>
      [...source.matchAll(/["`]([\w.-]+\/[\w.-]+#\d+[:,][^"`]*)["`]/g)].map(([, title]) => title!)
    )
    assert.isAbove(written.length, 10)
    assert.deepStrictEqual(written.filter((title) => !titles.has(title)), [])
    assert.deepStrictEqual([...files.keys()].filter((label) => !named.some((test) => test.label === label)), [])
  })
})
