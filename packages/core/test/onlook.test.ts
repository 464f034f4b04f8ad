import { exited } from "@effect-postmaster/core/ExitStatus"
import { assert, describe, it } from "@effect/vitest"
import * as Machine from "../src/internal/machine.ts"
import * as Onlook from "../src/internal/onlook.ts"
import * as SlotTable from "../src/internal/slotTable.ts"
import * as History from "./history.ts"
import { define, every, Harness } from "./machineHarness.ts"

const seeds = 8
const length = 1_000

describe("what onlookers are shown", () => {
  it(
    `${seeds} histories of ${length} facts: whoever looks now and then sees what somebody new would see`,
    { timeout: 60_000 },
    () => {
      let shared = 0
      for (let seed = 1; seed <= seeds; seed++) {
        const story = History.generate(seed, length)
        const luck = History.random(seed)
        History.live(story, ({ facts }) => {
          const state = Machine.make(story.settings)
          const onlook = Onlook.make(state, 1_000)
          let before = Onlook.look(onlook)
          let { version } = state.table
          for (const { at, input } of facts) {
            Machine.step(state, input, at)
            if (luck() < 0.5) continue
            const now = Onlook.look(onlook)
            History.same(now, Onlook.snapshot(state, 1_000), "the table")
            for (const worker of now.workers) {
              if (SlotTable.find(state.table, worker.ref)!.version > version) continue
              assert.isTrue(before.workers.includes(worker), worker.name)
              shared++
            }
            assert.strictEqual(Onlook.look(onlook), now)
            before = now
            version = state.table.version
          }
        })
      }
      assert.isAbove(shared, 1_000)
    }
  )

  it("what has not changed is the same object in the next snapshot, and its page is not even looked at", () => {
    const size = 3 * SlotTable.pageSize
    const h = new Harness({ maxWorkers: size, maxLaunchesPerTurn: size }).run()
    for (let index = 0; index < size; index++) h.register(define(`w${index}`, { restart: every(1_000) }))
    const onlook = Onlook.make(h.state, 0)
    const before = Onlook.look(onlook)
    const [first, second, third] = onlook.pages
    h.born("w300").exits("w300", exited(1)).terminate("w301")
    const after = Onlook.look(onlook)
    assert.deepStrictEqual([onlook.pages[0] === first, onlook.pages[1] === second, onlook.pages[2] === third], [
      true,
      false,
      true
    ])
    assert.strictEqual(after.workers.length, before.workers.length)
    const changed = after.workers.filter((worker, index) => worker !== before.workers[index])
    assert.deepStrictEqual(changed.map(({ name, state }) => [name, state]), [["w300", "Resting"]])
  })

  it("somebody who has come, gone or been replaced", () => {
    const h = new Harness().run().register(define("a")).register(define("b")).born("a", "b")
    const onlook = Onlook.make(h.state, 0)
    const names = () => Onlook.look(onlook).workers.map(({ name, ref }) => `${name} ${ref.slot}.${ref.generation}`)
    assert.deepStrictEqual(names(), ["a 0.1", "b 1.1"])
    h.exits("a", 0)
    assert.deepStrictEqual(names(), ["b 1.1"])
    h.register(define("c")).register(define("d"))
    assert.deepStrictEqual(names(), ["c 0.2", "b 1.1", "d 2.1"])
    h.exits("b", 0).register(define("b"))
    assert.deepStrictEqual(names(), ["c 0.2", "b 1.2", "d 2.1"])
  })

  it("a postmaster that changes while its workers do not", () => {
    const h = new Harness()
    const onlook = Onlook.make(h.state, 0)
    const init = Onlook.look(onlook)
    const startup = Onlook.look(onlook)
    assert.strictEqual(init, startup)
    h.phase("Startup")
    const next = Onlook.look(onlook)
    assert.deepStrictEqual([init.phase, next.phase], ["Init", "Startup"])
    assert.strictEqual(init.workers, next.workers)
  })
})
