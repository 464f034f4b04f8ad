import type { Pid } from "@effect-postmaster/core/Identity"
import { assert, describe, it } from "@effect/vitest"
import * as Heap from "../src/internal/heap.ts"
import * as SlotTable from "../src/internal/slotTable.ts"
import { attached, define } from "./machineHarness.ts"

const seat = (table: SlotTable.SlotTable, name: string): SlotTable.Tenant =>
  SlotTable.seat(table, define(name), { dynamic: true, now: 0 })

const running = (table: SlotTable.SlotTable, name: string, pid: number): SlotTable.Tenant => {
  const tenant = seat(table, name)
  SlotTable.toStarting(table, tenant)
  SlotTable.toRunning(table, tenant, pid as Pid, 0)
  return tenant
}

/** One tenant of every kind of life, and a slot that has been left. */
const crowd = () => {
  const table = SlotTable.make(8)
  const waiting = seat(table, "waiting")
  SlotTable.toWaiting(table, waiting)
  const resting = seat(table, "twin")
  SlotTable.toResting(table, resting, 5)
  const left = seat(table, "left")
  const runner = SlotTable.seat(table, attached("twin", { class: "parallel" }), { dynamic: true, now: 0 })
  SlotTable.toStarting(table, runner)
  SlotTable.setDeadline(table, runner, SlotTable.toRunning(table, runner, 42 as Pid, 0), 7)
  const owner = running(table, "owner", 41)
  const life = { ref: owner.ref, pid: 41 as Pid }
  const owned = SlotTable.seat(table, define("owned"), { dynamic: true, now: 0, owner: life })
  SlotTable.toWaiting(table, owned)
  const successor = SlotTable.seat(table, define("waiting"), { dynamic: true, now: 0, replaces: waiting.ref })
  waiting.successor = successor.ref
  const held = SlotTable.seat(table, define("held", { after: ["owner"] }), { dynamic: true, now: 0 })
  SlotTable.hold(table, held, SlotTable.holderOf(table, held)!)
  const watched = SlotTable.seat(table, define("watched", { readyTimeoutMillis: 9 }), { dynamic: true, now: 0 })
  SlotTable.toStarting(table, watched)
  const watchedLife = SlotTable.toRunning(table, watched, 44 as Pid, 0)
  SlotTable.setWatch(table, watched, watchedLife, 9)
  SlotTable.unseat(table, left)
  return { table, waiting, resting, runner, owner, owned, successor, held, watched, watchedLife }
}

type Crowd = ReturnType<typeof crowd>

describe("the slot table's invariants: what breaks one is noticed, by its number", () => {
  const faults: ReadonlyArray<readonly [invariant: string, how: string, fault: (crowd: Crowd) => void]> = [
    ["T1", "a tenant in another's seat", ({ table, waiting }) => table.seats.push(waiting)],
    ["T2", "a generation that has gone by", ({ table, waiting }) => table.generations[waiting.ref.slot]!++],
    // By the counts: the table knows no child that has no tenant.
    [
      "T4",
      "a seat that is given up while its child lives (T3)",
      ({ runner, table }) => SlotTable.unseat(table, runner)
    ],
    ["T4", "a child too many", ({ table }) => table.children++],
    ["T4", "a member too many in a class", ({ table }) => table.classes.set("parallel", 2)],
    ["T5", "a queue that has lost whoever waits", ({ table }) => Heap.pop(table.waiting.RecoveryFinished)],
    ["T4", "a name that fewer wait for", ({ table }) => table.awaited.set("owner", 2)],
    ["T5", "one that is held up and forgotten", ({ table }) => Heap.pop(table.names.get("owner")!.held!)],
    ["T5", "one that is held up by whoever is ready", ({ owner, table }) => {
      if (owner.life._tag === "Running") owner.life.ready = true
      table.names.get("owner")!.ready++
    }],
    ["T5", "one that is ready and does not count", ({ runner }) => {
      if (runner.life._tag === "Running") runner.life.ready = true
    }],
    ["T6", "a rest that is never over", ({ table }) => Heap.pop(table.due)],
    ["T7", "a deadline that is forgotten", ({ table }) => Heap.pop(table.deadlines)],
    ["T8", "a free slot that is lost", ({ table }) => Heap.pop(table.freed)],
    ["T9", "a name that finds nobody", ({ table }) => table.names.delete("waiting")],
    ["T9", "a name that finds the younger first", ({ resting, runner, table }) => {
      runner.younger = resting
      resting.elder = runner
      resting.younger = runner.elder = undefined
      table.names.set("twin", { first: runner, last: resting, ready: 0, held: undefined })
    }],
    ["T9", "names that nobody bears", ({ table }) => {
      for (let index = 0; index < 100; index++) {
        table.names.set(`${index}`, { first: undefined, last: undefined, ready: 0, held: undefined })
      }
    }],
    ["T10", "a pid that finds nobody", ({ table }) => table.pids.delete(42 as Pid)],
    ["T10", "a pid that finds somebody else", ({ resting, table }) => table.pids.set(43 as Pid, resting)],
    ["T11", "a change that the page does not show", ({ runner, table }) => {
      runner.version = table.version + 1
    }],
    ["T14", "one that is watched and forgotten", ({ table }) => Heap.pop(table.watches)],
    ["T14", "one that is looked at too late", ({ table, watched, watchedLife }) => {
      SlotTable.setWatch(table, watched, watchedLife, 10)
    }],
    ["T12", "an owner that forgets who belongs to it", ({ owner, table }) => {
      table.owned[owner.ref.slot]!.clear()
    }],
    ["T12", "one that outlives the life it belongs to", ({ owner, table }) => SlotTable.toDown(table, owner)],
    ["T12", "one that belongs to the next life", ({ owner, table }) => {
      SlotTable.toDown(table, owner)
      SlotTable.toStarting(table, owner)
      SlotTable.toRunning(table, owner, 43 as Pid, 9)
    }],
    ["T12", "an owner of somebody who belongs to nobody", ({ owner, resting, table }) => {
      table.owned[owner.ref.slot]!.add(resting.ref.slot)
    }],
    ["T12", "an owner of a free slot", ({ owner, table }) => {
      table.owned[owner.ref.slot]!.add(7)
    }],
    ["T12", "somebody who is known to an owner that is gone", ({ owned, owner, table }) => {
      owned.doomed = true
      SlotTable.toDown(table, owner)
    }],
    ["T13", "a successor of somebody else", ({ owned, waiting }) => {
      waiting.successor = owned.ref
    }],
    ["T13", "a successor that has gone", ({ successor, table }) => SlotTable.unseat(table, successor)],
    ["T13", "a successor that is ready", ({ successor, table }) => {
      SlotTable.toStarting(table, successor)
      SlotTable.toRunning(table, successor, 45 as Pid, 9).ready = true
    }],
    ["T13", "a successor of one that ends for good", ({ waiting }) => {
      waiting.doomed = true
    }],
    ["T13", "a successor that ends for good", ({ successor }) => {
      successor.doomed = true
    }],
    ["T13", "a successor that is being replaced", ({ owned, successor }) => {
      successor.successor = owned.ref
    }]
  ]
  for (const [invariant, how, fault] of faults) {
    it(`${invariant}: ${how}`, () => {
      const crowded = crowd()
      assert.isUndefined(SlotTable.broken(crowded.table))
      fault(crowded)
      assert.match(SlotTable.broken(crowded.table) ?? "nothing", new RegExp(`^${invariant}: `))
    })
  }
})

describe("the slot table", () => {
  it("T9 tenants are found by their name, in the order of their registration, whatever their slots", () => {
    const table = SlotTable.make(8)
    const [first, a, other, b] = ["x", "job", "other", "job"].map((name) => seat(table, name)) as [
      SlotTable.Tenant,
      SlotTable.Tenant,
      SlotTable.Tenant,
      SlotTable.Tenant
    ]
    SlotTable.unseat(table, first)
    const c = seat(table, "job")
    assert.deepStrictEqual([a, b, c].map(({ ref }) => ref.slot), [1, 3, 0] as never)
    const found = (name: string) => SlotTable.namesakes(table, name).map(({ sequence }) => sequence)
    assert.deepStrictEqual(found("job"), [a.sequence, b.sequence, c.sequence])
    SlotTable.unseat(table, b)
    assert.deepStrictEqual(found("job"), [a.sequence, c.sequence])
    assert.deepStrictEqual(found("other"), [other.sequence])
    SlotTable.unseat(table, a)
    SlotTable.unseat(table, c)
    assert.deepStrictEqual([found("job"), found("x"), found("nobody")], [[], [], []])
    assert.isUndefined(SlotTable.broken(table))
    assert.deepStrictEqual(SlotTable.namesakes(SlotTable.copy(table), "other").map(({ ref }) => ref), [other.ref])
  })

  it("T9 names and classes that nobody bears any more do not pile up", () => {
    const table = SlotTable.make(8)
    for (let index = 0; index < 10_000; index++) {
      const one = SlotTable.seat(table, define(`${index}`, { class: `${index}` }), { dynamic: true, now: 0 })
      SlotTable.unseat(table, one)
    }
    assert.isAtMost(table.names.size, 64)
    assert.isAtMost(table.classes.size, 64)
  })

  it("T4 names that nobody waits for any more do not pile up", () => {
    const table = SlotTable.make(8)
    for (let index = 0; index < 1_000; index++) {
      const after = Array.from({ length: 20 }, (_, name) => `${index}/${name}`)
      const one = SlotTable.seat(table, define("one", { after }), { dynamic: true, now: 0 })
      assert.isUndefined(SlotTable.broken(table))
      SlotTable.unseat(table, one)
    }
    assert.isAtMost(table.awaited.size, 128)
  })

  it("T10 whoever runs is found by its pid, until its child has gone", () => {
    const table = SlotTable.make(8)
    const a = running(table, "a", 1)
    running(table, "b", 2)
    const found = (pid: number) => SlotTable.findPid(table, pid)?.registration.name
    assert.deepStrictEqual([found(1), found(2), found(3), found(-1)], ["a", "b", undefined, undefined])
    SlotTable.toResting(table, a, 5)
    assert.isUndefined(found(1))
    SlotTable.toStarting(table, a)
    assert.isUndefined(found(1))
    SlotTable.toRunning(table, a, 3 as Pid, 5)
    assert.strictEqual(found(3), "a")
    assert.strictEqual(SlotTable.findPid(SlotTable.copy(table), 3)?.registration.name, "a")
  })

  it("T10 of two who report the same pid it is the later born's, and stays so when the first has gone", () => {
    const table = SlotTable.make(8)
    const first = running(table, "first", 1)
    const second = running(table, "second", 1)
    assert.strictEqual(SlotTable.findPid(table, 1), second)
    SlotTable.toDown(table, first)
    assert.strictEqual(SlotTable.findPid(table, 1), second)
    SlotTable.toDown(table, second)
    assert.isUndefined(SlotTable.findPid(table, 1))
  })

  it("T12 who belongs to a life is known until that is over, in a copy too, and asked for once", () => {
    const table = SlotTable.make(8)
    const owner = running(table, "owner", 1)
    const life = { ref: owner.ref, pid: 1 as Pid }
    const admit = (name: string) => SlotTable.seat(table, define(name), { dynamic: true, now: 0, owner: life })
    const [left, a, doomed, b] = ["left", "a", "doomed", "b"].map(admit) as [
      SlotTable.Tenant,
      SlotTable.Tenant,
      SlotTable.Tenant,
      SlotTable.Tenant
    ]
    doomed.doomed = true
    SlotTable.unseat(table, left)
    seat(table, "nobody's")
    assert.strictEqual(SlotTable.findLife(table, life), owner)
    assert.isUndefined(SlotTable.findLife(table, { ...life, pid: 2 as Pid }))
    assert.isUndefined(SlotTable.findLife(table, { ref: a.ref, pid: 1 as Pid }))
    const copy = SlotTable.copy(table)
    SlotTable.toDown(table, owner)
    assert.isUndefined(SlotTable.findLife(table, life))
    assert.deepStrictEqual(SlotTable.disown(table, owner), [a, doomed, b])
    assert.deepStrictEqual(SlotTable.disown(table, owner), [])
    assert.deepStrictEqual(SlotTable.disown(table, a), [])
    // Whoever is doomed has been told.
    const copied = SlotTable.disown(copy, SlotTable.findLife(copy, life)!).map(({ registration }) => registration.name)
    assert.deepStrictEqual(copied, ["a", "b"])
  })
})
