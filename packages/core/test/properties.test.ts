import * as Recording from "@effect-postmaster/core/Recording"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Checkpoint from "../src/internal/checkpoint.ts"
import * as Heap from "../src/internal/heap.ts"
import * as Machine from "../src/internal/machine.ts"
import * as Onlook from "../src/internal/onlook.ts"
import * as History from "./history.ts"

const seeds = 20
const length = 3_000

describe("generated histories", () => {
  it(
    `${seeds} of ${length} facts: the machine, the naive model and the event stream agree after every turn, and a replay gives the same`,
    { timeout: 120_000 },
    () => {
      for (let seed = 1; seed <= seeds; seed++) {
        const story = History.generate(seed, length)
        try {
          History.live(story, (told) => replay(story, told))
        } catch (error) {
          assert.fail(History.explain(seed, story, error))
        }
      }
    }
  )

  it("a failing one is cut down to what makes it fail", () => {
    const story = History.generate(7, 500)
    const culprits = [story.choices[123]!, story.choices[456]!]
    const short = History.shrink(story, ({ choices }) => culprits.every((one) => choices.includes(one)), 5)
    assert.deepStrictEqual(short.choices, culprits)
  })
})

const replay = ({ settings }: History.Story, { facts, machine, orders }: History.Told): void => {
  const again = Machine.make(settings)
  const half = facts.length >> 1
  let checkpoint = Checkpoint.save(again)
  for (const [index, { at, input }] of facts.entries()) {
    if (index === half) checkpoint = Checkpoint.save(again)
    History.same(Machine.step(again, input, at), orders[index], "the orders of the replay")
  }
  const last = Onlook.snapshot(machine, 0)
  assert.deepStrictEqual(Onlook.snapshot(again, 0), last)

  const codec = Schema.toCodecJson(Recording.Recording)
  const written = JSON.stringify(Schema.encodeUnknownSync(codec)({ settings, checkpoint, heard: facts.slice(half) }))
  const turns = Recording.replay(Schema.decodeUnknownSync(codec)(JSON.parse(written)))
  assert.deepStrictEqual(
    turns.map((turn) => turn.orders),
    orders.slice(half).map((actions) => actions.map((action) => action._tag))
  )
  if (turns.length > 0) assert.deepStrictEqual(plain(turns.at(-1)!.snapshot), plain(last))
}

/** What has been written down is in another order. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

describe("the heap", () => {
  it("gives what a sorted list would give, whatever becomes void meanwhile", () => {
    interface Entry {
      readonly rank: number
      readonly order: number
      valid: boolean
    }
    const before = (self: Entry, that: Entry) =>
      self.rank < that.rank || (self.rank === that.rank && self.order < that.order)
    for (let seed = 1; seed <= 20; seed++) {
      const next = History.random(seed)
      const heap = Heap.make(before, (entry: Entry) => entry.valid)
      let list: Array<Entry> = []
      for (let order = 0; order < 1_500; order++) {
        const luck = next()
        if (luck < 0.6) {
          const entry = { rank: Math.floor(next() * 50), order, valid: true }
          Heap.push(heap, entry)
          list.push(entry)
        } else if (luck < 0.85 && list.length > 0) {
          list.splice(Math.floor(next() * list.length), 1)[0]!.valid = false
        } else {
          list = list.toSorted((self, that) => self.rank - that.rank || self.order - that.order)
          assert.strictEqual(Heap.peek(heap), list[0])
          if (luck < 0.95) assert.strictEqual(Heap.pop(heap), list.shift())
        }
        // What is void does not pile up.
        assert.isAtMost(heap.items.length, Math.max(64, 2 * list.length + 64))
      }
      const rest = list.toSorted((self, that) => self.rank - that.rank || self.order - that.order)
      for (const entry of rest) assert.strictEqual(Heap.pop(heap), entry)
      assert.isUndefined(Heap.pop(heap))
    }
  })
})
