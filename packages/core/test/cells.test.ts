import { assert, describe, it } from "@effect/vitest"
import * as Cells from "../src/internal/cells.ts"
import * as History from "./history.ts"

const roomy: Cells.Limits = { maxBytes: 1_000, maxCells: 10 }

/** Writes over whatever there is. */
const put = (cells: Cells.Cells, name: string, text: string | undefined): Cells.Swap =>
  Cells.swap(cells, name, Cells.read(cells, name).version, text)

describe("cells", () => {
  it("one swap of two with the same version succeeds, and the other is told what there is", () => {
    const cells = Cells.make(roomy)
    const { version } = Cells.read(cells, "a")
    const first = Cells.swap(cells, "a", version, "1")
    assert(first._tag === "Swapped")
    assert.deepStrictEqual(Cells.swap(cells, "a", version, "2"), {
      _tag: "Lost",
      present: Cells.read(cells, "a")
    })
    assert.include(Cells.read(cells, "a"), { version: first.version, text: "1" })
  })

  it("no version of before a clearing is good for anything after it", () => {
    const cells = Cells.make(roomy)
    const unwritten = Cells.read(cells, "a").version
    put(cells, "a", "1")
    const written = Cells.read(cells, "a").version
    Cells.clear(cells)
    assert.deepStrictEqual([cells.bytes, Cells.read(cells, "a").text], [0, undefined])
    for (const version of [unwritten, written]) {
      assert.strictEqual(Cells.swap(cells, "a", version, "2")._tag, "Lost")
      assert.strictEqual(Cells.swap(cells, "b", version, "2")._tag, "Lost")
    }
    assert.strictEqual(put(cells, "a", "2")._tag, "Swapped")
  })

  it("a cell that was taken away has no version it had before", () => {
    const cells = Cells.make(roomy)
    const { version } = Cells.read(cells, "a")
    put(cells, "a", "1")
    put(cells, "a", undefined)
    assert.strictEqual(Cells.read(cells, "a").text, undefined)
    assert.strictEqual(Cells.swap(cells, "a", version, "2")._tag, "Lost")
  })

  it("names count, bytes are those of UTF-8, and the limit itself is allowed", () => {
    const cells = Cells.make({ maxBytes: 10, maxCells: 2 })
    // 2 for the name, 8 for the text.
    assert.strictEqual(put(cells, "ü", "€€12")._tag, "Swapped")
    assert.strictEqual(cells.bytes, 10)
    assert.deepStrictEqual(put(cells, "b", "1"), { _tag: "NoBytes", bytes: 2, taken: 10 })
    assert.deepStrictEqual(put(cells, "ü", "€€123"), { _tag: "NoBytes", bytes: 11, taken: 0 })
    assert.strictEqual(Cells.read(cells, "ü").text, "€€12")
    assert.strictEqual(put(cells, "ü", "1")._tag, "Swapped")
    assert.strictEqual(put(cells, "b", "1")._tag, "Swapped")
    assert.deepStrictEqual(put(cells, "c", "1"), { _tag: "NoCells" })
    put(cells, "b", undefined)
    assert.strictEqual(put(cells, "c", "1")._tag, "Swapped")
    assert.strictEqual(cells.bytes, 5)
  })

  it("who was too late is told so, whatever room there is", () => {
    const cells = Cells.make({ maxBytes: 4, maxCells: 1 })
    put(cells, "a", "1")
    assert.strictEqual(Cells.swap(cells, "a", 0, "too long")._tag, "Lost")
    assert.strictEqual(Cells.swap(cells, "b", 99, "1")._tag, "Lost")
  })

  it("a listener is told once, of its own cell and of a clearing, and not after it has left", () => {
    const cells = Cells.make(roomy)
    const told: Array<string> = []
    const listen = (name: string, as: string) => Cells.listen(cells, name, () => told.push(as))
    listen("a", "first")
    const leave = listen("a", "gone")
    listen("b", "other")
    leave()
    put(cells, "a", "1")
    put(cells, "a", "2")
    assert.deepStrictEqual(told, ["first"])
    leave()
    listen("a", "second")
    leave()
    Cells.clear(cells)
    assert.sameMembers(told, ["first", "other", "second"])
    assert.strictEqual(cells.listeners.size, 0)
  })

  it("nobody is told of a swap that changed nothing", () => {
    const cells = Cells.make({ maxBytes: 3, maxCells: 1 })
    let told = 0
    Cells.listen(cells, "a", () => told++)
    Cells.swap(cells, "a", 7, "1")
    put(cells, "a", "too long")
    put(cells, "a", undefined)
    assert.strictEqual(told, 0)
  })

  it("who leaves in the middle of a telling, or comes, leaves nothing behind and hears the next", () => {
    const cells = Cells.make(roomy)
    const told: Array<string> = []
    Cells.listen(cells, "a", () => {
      told.push("first")
      leave()
      Cells.listen(cells, "a", () => told.push("late"))
    })
    const leave = Cells.listen(cells, "a", () => told.push("second"))
    put(cells, "a", "1")
    // It was due already.
    assert.deepStrictEqual(told, ["first", "second"])
    put(cells, "a", "2")
    assert.deepStrictEqual(told, ["first", "second", "late"])
    assert.strictEqual(cells.listeners.size, 0)
  })
})

const names = ["a", "b", "constructor", "ü", "__proto__"]
const texts = ["", "1", "\"€\"", "[1,2,3,4,5]", undefined]

describe("generated histories", () => {
  it("20 of 500 swaps and clearings: a list of what was last said tells the same", { timeout: 60_000 }, () => {
    const seen = new Set<string>()
    for (let seed = 1; seed <= 20; seed++) {
      const luck = History.random(seed)
      const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(luck() * from.length)]!
      const limits = { maxBytes: 5 + Math.floor(luck() * 30), maxCells: 1 + Math.floor(luck() * 5) }
      const cells = Cells.make(limits)
      const naive = new Naive(limits)
      const told = new Set<string>()
      const old: Array<number> = []
      let highest = 0
      for (let step = 0; step < 500; step++) {
        if (luck() < 0.02) {
          Cells.clear(cells)
          naive.clear()
        } else {
          const name = pick(names)
          const before = Cells.read(cells, name)
          told.clear()
          const leave = Cells.listen(cells, name, () => told.add(name))
          const version = luck() < 0.7 || old.length === 0 ? before.version : pick(old)
          const text = pick(texts)
          const swap = Cells.swap(cells, name, version, text)
          seen.add(swap._tag)
          const expected = naive.swap(name, version, text)
          assert.strictEqual(swap._tag, expected, `seed ${seed}, step ${step}`)
          const after = Cells.read(cells, name)
          assert.strictEqual(told.has(name), after.version !== before.version)
          if (after.version !== before.version) {
            // Never given before, to this cell or any other.
            assert.isAbove(after.version, highest)
            highest = after.version
            old.push(before.version)
          }
          leave()
        }
        for (const name of names) assert.strictEqual(Cells.read(cells, name).text, naive.text(name))
        assert.strictEqual(cells.bytes, naive.bytes())
        assert.isAtMost(cells.bytes, limits.maxBytes)
        assert.isAtMost(cells.written.size, limits.maxCells)
        assert.strictEqual(cells.listeners.size, 0)
      }
    }
    assert.sameMembers([...seen], ["Swapped", "Lost", "NoBytes", "NoCells"])
  })
})

/** The memory once more, as a list of what was last said of each cell, and when; everything is counted out of it. */
class Naive {
  readonly limits: Cells.Limits
  private story: ReadonlyArray<{ readonly name: string; readonly text: string | undefined; readonly at: number }> = []
  private moment = 0
  private lastLoss = 0

  constructor(limits: Cells.Limits) {
    this.limits = limits
  }

  text(name: string): string | undefined {
    return this.story.findLast((one) => one.name === name)?.text
  }

  names(): ReadonlyArray<string> {
    return names.filter((name) => this.text(name) !== undefined)
  }

  bytes(besides?: string): number {
    const those = this.names().filter((name) => name !== besides)
    return those.reduce((sum, name) => sum + Buffer.byteLength(name) + Buffer.byteLength(this.text(name)!), 0)
  }

  swap(name: string, version: number, text: string | undefined): Cells.Swap["_tag"] {
    const there = this.text(name) !== undefined
    const at = there ? this.story.findLast((one) => one.name === name)!.at : this.lastLoss
    if (at !== version) return "Lost"
    if (text === undefined && !there) return "Swapped"
    if (text !== undefined) {
      if (!there && this.names().length === this.limits.maxCells) return "NoCells"
      if (this.bytes(name) + Buffer.byteLength(name + text) > this.limits.maxBytes) return "NoBytes"
    }
    this.moment++
    if (text === undefined) this.lastLoss = this.moment
    this.story = [...this.story.filter((one) => one.name !== name), { name, text, at: this.moment }]
    return "Swapped"
  }

  clear(): void {
    this.story = []
    this.lastLoss = ++this.moment
  }
}
