import { type ExitStatus, lost, signaled } from "@effect-postmaster/core/ExitStatus"
import type { Phase, StartTime } from "@effect-postmaster/core/Phase"
import type { Registration } from "@effect-postmaster/core/Registration"
import * as Restart from "@effect-postmaster/core/Restart"
import { assert, describe, it } from "@effect/vitest"
import * as SlotTable from "../src/internal/slotTable.ts"
import { attached, define, every, Harness, owned } from "./machineHarness.ts"

describe("registration", () => {
  it("C28 the lowest free slot is taken", () => {
    const h = new Harness().run()
    for (const name of ["a", "b", "c"]) h.register(define(name)).born(name)
    assert.deepStrictEqual(["a", "b", "c"].map((name) => h.ref(name).slot), [0, 1, 2])
    h.exits("b", 0).register(define("d"))
    assert.strictEqual(h.ref("d").slot, 1)
  })

  it("C29 the generation of a slot grows by one at every taking", () => {
    const h = new Harness().run().register(define("a")).born("a")
    assert.strictEqual(h.ref("a").generation, 1)
    h.exits("a", 0).register(define("b"))
    assert.deepStrictEqual(h.ref("b"), { slot: 0 as never, generation: 2 as never })
  })

  it("C24, C25 preloads have generation 0, their successors 1", () => {
    const h = new Harness({ maxWorkers: 3 })
    h.register(define("s1"), "Preload").register(define("s2"), "Preload").run()
    h.register(define("d"))
    assert.deepStrictEqual([h.ref("s1").generation, h.ref("s2").generation, h.ref("d").generation], [0, 0, 1] as never)
    assert.strictEqual(h.register(define("e")).order("Reject")?.reason._tag, "SlotsExhausted")
    h.born("s1").exits("s1", 0).register(define("f"))
    assert.deepStrictEqual(h.ref("f"), { slot: 0 as never, generation: 1 as never })
  })

  it("C27 a full table refuses, names its occupants, and takes nothing", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a").ready("a").later(2_500)
    const reason = h.register(define("b")).order("Reject")!.reason
    assert(reason._tag === "SlotsExhausted")
    assert.deepStrictEqual(reason.occupants, [{ ref: h.ref("a"), name: "a", state: "ready", ageMillis: 2_500 }])
    assert.include(reason.message, "\"b\": the only slot is taken, by \"a\" (slot 0, ready, 2 s old)")
    assert.strictEqual(h.orders.length, 1)
    assert.strictEqual(h.state.table.tenants, 1)
  })

  it("C12 a refused registration takes no slot, no generation and no place in its class", () => {
    const h = new Harness().run().register(define("bad", { class: "parallel", restart: every(1) }))
    assert.strictEqual(h.order("Reject")?.reason._tag, "ParallelRestart")
    assert.strictEqual(h.orders.length, 1)
    assert.deepStrictEqual([h.state.table.tenants, SlotTable.countOfClass(h.state.table, "parallel")], [0, 0])
    assert.strictEqual(h.register(define("good")).ref("good").generation, 1 as never)
  })

  it("C37, C38 a class has its limit, and gets a place back when a worker ends", () => {
    const parallel = { class: "parallel" }
    const h = new Harness().run().register(define("a", parallel)).register(define("b", parallel)).born("a", "b")
    assert.strictEqual(h.register(define("c", parallel)).order("Reject")?.reason._tag, "ClassLimitReached")
    assert.isDefined(h.register(define("other")).order("Reply"))
    h.exits("a", 0)
    assert.isDefined(h.register(define("c", parallel)).order("Reply"))
    const none = new Harness({ classLimits: { parallel: 0 } }).run().register(define("a", parallel))
    assert.strictEqual(none.order("Reject")?.reason._tag, "ClassLimitReached")
  })

  it("C19 (departs) a preload after the table has opened, and a registration before it, are refused", () => {
    const late = new Harness().run().register(define("late"), "Preload").order("Reject")!.reason
    assert.strictEqual(late._tag, "NotAccepting")
    const early = new Harness().register(define("early")).order("Reject")!.reason
    assert.strictEqual(early._tag, "NotAccepting")
  })

  it("refusal for its phase comes before every other check", () => {
    const h = new Harness().run().shutdown("Fast")
    assert.strictEqual(h.state.phase, "Halted")
    const reason = h.register(define("", { flags: ["DatabaseConnection"], restart: every(-1) })).order("Reject")!.reason
    assert.strictEqual(reason._tag, "NotAccepting")
  })

  it("C58, C111 a registration while the postmaster waits for its children is taken and thrown out", () => {
    const h = new Harness().run().register(define("a")).born("a").shutdown("Fast").register(define("late"))
    assert.deepStrictEqual(h.told, ["late Stopped gone"])
    assert.deepStrictEqual(h.launched, [])
    assert.isUndefined(h.life("late"))
  })
})

describe("launching", () => {
  const table: ReadonlyArray<readonly [Phase, ReadonlyArray<StartTime>]> = [
    ["Init", []],
    ["Startup", ["PostmasterStart"]],
    ["Consistent", ["PostmasterStart", "ConsistentState"]],
    ["Run", ["PostmasterStart", "ConsistentState", "RecoveryFinished"]]
  ]
  for (const [phase, allowed] of table) {
    it(`C59 in phase ${phase} may start: ${allowed.join(", ") || "nobody"}`, () => {
      const h = new Harness()
      for (const startTime of ["PostmasterStart", "ConsistentState", "RecoveryFinished"] as const) {
        h.register(define(startTime, { startTime }), "Preload")
      }
      const launched: Array<string> = []
      for (const next of ["Startup", "Consistent", "Run"] as const) {
        if (h.state.phase === phase) break
        launched.push(...h.phase(next).launched)
      }
      assert.deepStrictEqual(launched, [...allowed])
    })
  }

  it("C60, C61 a worker for the consistent state starts in Run if need be, and survives the change to Run", () => {
    const startTime = { startTime: "ConsistentState" } as const
    assert.deepStrictEqual(
      new Harness().register(define("a", startTime), "Preload").phase("Startup").phase("Run").launched,
      ["a"]
    )
    const h = new Harness().register(define("a", startTime), "Preload").phase("Startup").phase("Consistent").born("a")
    assert.deepStrictEqual(h.phase("Run").orders.map((order) => order._tag), ["Publish"])
    assert.strictEqual(h.life("a"), "Running")
  })

  it("C22 (departs) workers start in the order in which they were registered", () => {
    const h = new Harness()
    for (const name of ["a", "b", "c"]) h.register(define(name), "Preload")
    assert.deepStrictEqual(h.run().launched, ["a", "b", "c"])
  })

  it("C64, C65 250 workers start in passes of 100, and whatever is in the mailbox is heard in between", () => {
    const h = new Harness({ maxWorkers: 250 })
    for (let index = 0; index < 250; index++) h.register(define(`w${index}`), "Preload")
    assert.strictEqual(h.run().launched.length, 100)
    assert.strictEqual(h.wakeIn(), Number.NEGATIVE_INFINITY)
    assert.strictEqual(h.wake().launched.length, 100)
    assert.strictEqual(h.wake().launched.length, 50)
    assert.isUndefined(h.wakeIn())
  })

  it("C66 a fast shutdown after the first pass: the others never start, and their holders are told", () => {
    const h = new Harness({ maxWorkers: 3, maxLaunchesPerTurn: 1 })
    for (const name of ["a", "b", "c"]) h.register(define(name), "Preload")
    assert.deepStrictEqual(h.run().launched, ["a"])
    assert.deepStrictEqual(h.shutdown("Fast").told, ["b Stopped gone", "c Stopped gone"])
    assert.deepStrictEqual(h.launched, [])
  })

  it("C67 a failed birth is tried again after the interval, and does not hold up the others", () => {
    const h = new Harness().register(define("a", { restart: every(5_000) }), "Preload")
    h.register(define("b"), "Preload").run().notBorn("a")
    assert.deepStrictEqual(h.told, [])
    assert.strictEqual(h.wakeIn(), 5_000)
    assert.deepStrictEqual(h.wake(4_999).launched, [])
    assert.deepStrictEqual(h.wake(1).launched, ["a"])
  })

  it("C69 (departs) failed births with interval 0 are damped: 0.1, 0.2, 0.4 … 10 seconds", () => {
    const h = new Harness().run().register(define("a", { restart: every(0) }))
    const waits: Array<number> = []
    for (let attempt = 0; attempt < 9; attempt++) {
      waits.push(h.notBorn("a").wakeIn()!)
      assert.deepStrictEqual(h.wake(waits.at(-1)).launched, ["a"])
    }
    assert.deepStrictEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
    h.born("a").exits("a", 1).notBorn("a")
    assert.strictEqual(h.wakeIn(), 100)
  })

  it("a failed birth of a worker that never restarts ends its registration", () => {
    const h = new Harness().run().register(define("a")).notBorn("a")
    assert.deepStrictEqual(h.told, ["a Stopped gone"])
    assert.deepStrictEqual(h.events, ["NotStarted", "Unregistered"])
  })
})

describe("exits", () => {
  it("C74 exit 0 ends the registration", () => {
    const h = new Harness().run().register(define("a", { restart: every(1_000) })).born("a").exits("a", 0)
    assert.deepStrictEqual(h.told, ["a Stopped gone"])
    assert.isUndefined(h.wakeIn())
  })

  it("C75 the old rule: after success it starts again at once", () => {
    for (const restart of [Restart.never({ onSuccess: "Restart" }), Restart.after(60_000, { onSuccess: "Restart" })]) {
      const h = new Harness().run().register(define("a", { restart })).born("a").exits("a", 0)
      assert.deepStrictEqual(h.launched, ["a"])
      assert.deepStrictEqual(h.told, ["a Stopped"])
    }
  })

  it("C76, C77 exit 1: stopped, then started again after the interval and not before; equality is enough", () => {
    const h = new Harness().run().register(define("a", { restart: every(1_000) })).born("a").later(500).exits("a", 1)
    assert.deepStrictEqual(h.told, ["a Stopped"])
    assert.strictEqual(h.wakeIn(), 1_000)
    assert.deepStrictEqual(h.wake(999).launched, [])
    assert.deepStrictEqual(h.wake(1).launched, ["a"])
    assert.deepStrictEqual(h.born("a").told, ["a Started"])
  })

  it("C78 exit 1 of a worker that never restarts: its slot is free before its holder is told", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a").exits("a", 1)
    assert.strictEqual(h.state.table.tenants, 0)
    assert.deepStrictEqual(h.told, ["a Stopped gone"])
    assert.isDefined(h.register(define("b")).order("Reply"))
  })

  it("C79 exit 1 after terminate is the end", () => {
    const h = new Harness().run().register(define("a", { restart: every(1_000) })).born("a").terminate("a")
    assert.deepStrictEqual(h.exits("a", 1).told, ["a Stopped gone"])
  })

  it("C82 whatever an isolated worker dies of is its own affair", () => {
    for (const status of [signaled("SIGSEGV"), lost("garbage")]) {
      const h = new Harness().run().register(define("a", { restart: every(1_000) })).register(attached("b")).born(
        "a",
        "b"
      )
      h.exits("a", status)
      assert.deepStrictEqual([h.signals, h.state.phase, h.wakeIn()], [[], "Run", 1_000])
    }
  })

  it("C84 an attached worker that dies before it has joined, with 0 or 1, has not crashed", () => {
    for (const code of [0, 1]) {
      const h = new Harness().run().register(attached("a")).born("a").exits("a", code)
      assert.isFalse(h.state.recovering)
    }
  })

  it("C92 interval 0: started again in the same turn", () => {
    const h = new Harness().run().register(define("a", { restart: every(0) })).born("a").exits("a", 1)
    assert.deepStrictEqual([h.told, h.launched], [["a Stopped"], ["a"]])
  })

  it("the registration survives any number of lives, with one reference", () => {
    const h = new Harness().run().register(define("a", { restart: every(10) })).born("a")
    for (let life = 0; life < 100; life++) h.exits("a", 1).wake(10).born("a")
    assert.strictEqual(SlotTable.find(h.state.table, h.ref("a"))?.lives, 101)
  })
})

describe("terminate", () => {
  it("C52, C129 one SIGTERM to the process, however often it is asked for", () => {
    const h = new Harness().run().register(define("a")).born("a").terminate("a")
    assert.deepStrictEqual(h.signals, ["a SIGTERM Process"])
    assert.deepStrictEqual(h.terminate("a").orders, [])
  })

  it("C54 while it waits for its phase: gone at once, never launched", () => {
    const h = new Harness().phase("Startup").register(define("a")).terminate("a")
    assert.deepStrictEqual(h.told, ["a Stopped gone"])
    assert.deepStrictEqual(h.phase("Run").launched, [])
  })

  it("while it is being born: told the moment it answers", () => {
    const h = new Harness().run().register(define("a")).terminate("a")
    assert.deepStrictEqual(h.signals, [])
    h.born("a")
    assert.deepStrictEqual([h.told, h.signals], [["a Started"], ["a SIGTERM Process"]])
  })

  it("C30 a stale handle does nothing to the next occupant", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a").exits("a", 0)
    h.register(define("b")).born("b")
    assert.deepStrictEqual(h.terminate("a").orders, [])
    assert.strictEqual(h.life("b"), "Running")
  })

  it("whoever ignores SIGTERM is killed with its group after its stop timeout", () => {
    const h = new Harness().run()
    h.register(define("patient")).register(define("short", { stopTimeoutMillis: 100 }))
    h.register(define("endless", { stopTimeoutMillis: Number.POSITIVE_INFINITY })).born("patient", "short", "endless")
    h.terminate("patient").terminate("short").terminate("endless")
    assert.strictEqual(h.wakeIn(), 100)
    assert.deepStrictEqual(h.wake(100).signals, ["short SIGKILL Group"])
    assert.strictEqual(h.wakeIn(), 29_900)
    assert.deepStrictEqual(h.wake(29_900).signals, ["patient SIGKILL Group"])
    assert.isUndefined(h.wakeIn())
    h.exits("short", signaled("SIGKILL", { ordered: true }))
    assert.deepStrictEqual(h.told, ["short Stopped gone"])
  })
})

describe("workers that register workers", () => {
  const killed = signaled("SIGKILL", { ordered: true })

  /** A leader that comes back after a second, and what it has registered. */
  const house = (...registrations: ReadonlyArray<Registration>) => {
    const h = new Harness().run().register(define("leader", { restart: every(1_000) })).born("leader")
    for (const registration of registrations) h.registerBy("leader", registration)
    return h
  }

  const ends: ReadonlyArray<readonly [how: string, status: ExitStatus | number, before?: (h: Harness) => unknown]> = [
    ["exit 0", 0],
    ["a failure", 1],
    ["a crash", 2],
    ["a signal from outside", signaled("SIGSEGV")],
    ["the end of its line", lost("garbage")],
    ["a termination", 1, (h) => h.terminate("leader")],
    ["a kill on order", killed, (h) => h.terminate("leader").wake(30_000)]
  ]
  for (const [how, status, before] of ends) {
    it(`M10 what belongs to a life ends with it: ${how}`, () => {
      const h = house(
        owned("runs"),
        owned("comesBack", { restart: every(0) }),
        owned("rests", { restart: every(90_000) })
      )
      h.born("runs", "comesBack", "rests").exits("rests", 1)
      before?.(h)
      h.exits("leader", status)
      assert.deepStrictEqual(h.signals, ["runs SIGTERM Process", "comesBack SIGTERM Process"])
      assert.include(h.told, "rests Stopped gone")
      assert.isUndefined(h.life("rests"))
      assert.deepStrictEqual(h.exits("comesBack", 1).told, ["comesBack Stopped gone"])
      assert.deepStrictEqual(h.exits("runs", 1).told, ["runs Stopped gone"])
    })

    it(`C86 what does not belong to it lives on: ${how}`, () => {
      const h = house(define("free", { restart: every(1) }), define("resting", { restart: every(60_000) }))
      h.born("free", "resting").exits("resting", 1)
      before?.(h)
      h.exits("leader", status)
      assert.deepStrictEqual([h.signals, h.life("free"), h.life("resting")], [[], "Running", "Resting"])
      assert.deepStrictEqual(h.exits("free", 1).wake(1).launched, ["free"])
    })
  }

  it("M10 what belongs to what belongs to it ends in its turn, not before", () => {
    const h = house(owned("child")).born("child").registerBy("child", owned("grandchild")).born("grandchild")
    assert.deepStrictEqual(h.exits("leader", 0).signals, ["child SIGTERM Process"])
    assert.deepStrictEqual(h.exits("child", 1).signals, ["grandchild SIGTERM Process"])
    assert.deepStrictEqual(h.exits("grandchild", 1).told, ["grandchild Stopped gone"])
    assert.strictEqual(h.state.table.tenants, 0)
  })

  it("M10 an owner that starts again does not get back what belonged to its former life, nor does that end twice", () => {
    const h = house(owned("former")).born("former").exits("leader", 1).wake(1_000).born("leader")
    assert.strictEqual(h.life("former"), "Running")
    h.registerBy("leader", owned("new")).born("new")
    assert.deepStrictEqual(h.exits("former", 1).told, ["former Stopped gone"])
    assert.deepStrictEqual(h.exits("leader", 1).signals, ["new SIGTERM Process"])
  })

  it("M10 who belongs to a life that is over cannot be registered; who belongs to nobody can", () => {
    const h = house()
    const first = h.latestLife("leader")
    const refused = () => {
      const { reason } = h.order("Reject")!
      assert(reason._tag === "NotAccepting")
      assert.include(reason.message, "whoever registered it has ended")
      assert.strictEqual(h.orders.length, 1)
    }
    h.exits("leader", 1).registerBy("leader", owned("late"))
    refused()
    h.wake(1_000).registerBy("leader", owned("late"))
    refused()
    h.born("leader").registerBy("leader", owned("late"), first)
    refused()
    h.exits("leader", 0).registerBy("leader", owned("late"))
    refused()
    // Another one has its slot.
    h.register(define("successor")).born("successor").registerBy("leader", owned("late"))
    refused()
    assert.strictEqual(h.state.table.tenants, 1)
    assert.deepStrictEqual(h.registerBy("leader", define("free"), first).launched, ["free"])
  })

  it("M10 whoever is owned and cannot be registered for its own sake is refused for that first; for want of room last", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("leader")).born("leader")
    const refusal = (registration: Registration) => h.registerBy("leader", registration).order("Reject")?.reason._tag
    assert.strictEqual(refusal(owned("full")), "SlotsExhausted")
    h.exits("leader", 0).register(define("successor"))
    assert.deepStrictEqual([refusal(owned("")), refusal(owned("late"))], ["InvalidName", "NotAccepting"])
  })

  it("M10 the application owns nobody: what it registers lives with the postmaster, whatever it is", () => {
    const h = house().register(owned("orphan")).born("orphan").exits("leader", 0)
    assert.deepStrictEqual([h.signals, h.life("orphan")], [[], "Running"])
  })

  it("M10 whoever is being born is told the moment it answers; a birth that fails is its end", () => {
    const h = house(owned("late"), owned("never", { restart: every(0) })).exits("leader", 0)
    assert.deepStrictEqual([h.signals, h.told], [[], ["leader Stopped gone"]])
    assert.deepStrictEqual(h.born("late").signals, ["late SIGTERM Process"])
    assert.deepStrictEqual([h.notBorn("never").told, h.launched], [["never Stopped gone"], []])
  })

  it("M10 whoever waits for its phase is released at once, and its seat is free", () => {
    const h = new Harness({ maxWorkers: 2 }).phase("Startup")
    h.register(define("leader", { startTime: "PostmasterStart" })).born("leader").registerBy("leader", owned("waits"))
    assert.deepStrictEqual(h.exits("leader", 0).told, ["leader Stopped gone", "waits Stopped gone"])
    assert.deepStrictEqual(
      [h.register(define("a")).ref("a").slot, h.register(define("b")).ref("b").slot],
      [0, 1] as never
    )
    assert.deepStrictEqual(h.phase("Run").launched, ["a", "b"])
  })

  it("M10 the seat of one that has ended belongs to its next tenant alone", () => {
    const h = house(owned("brief")).born("brief").exits("brief", 0).register(define("other")).born("other")
    assert.strictEqual(h.ref("other").slot, h.ref("brief").slot)
    assert.deepStrictEqual([h.exits("leader", 0).signals, h.life("other")], [[], "Running"])
  })

  it("M10 one that was terminated before is not told again", () => {
    const h = house(owned("a"), owned("b")).born("a", "b").terminate("a").exits("leader", 1)
    assert.deepStrictEqual(h.signals, ["b SIGTERM Process"])
    assert.deepStrictEqual([h.terminate("b").orders, h.exits("a", 1).told], [[], ["a Stopped gone"]])
  })

  it("M10 one that ignores its termination is killed after its stop timeout", () => {
    const h = house(owned("deaf", { stopTimeoutMillis: 100 })).born("deaf").exits("leader", 0)
    assert.strictEqual(h.wakeIn(), 100)
    assert.deepStrictEqual(h.wake(100).signals, ["deaf SIGKILL Group"])
  })

  it("M10 a crash of the owner: the crash group is stopped, what is isolated and owned is terminated, the rest goes on", () => {
    const h = new Harness().run().register(attached("leader", { restart: every(0) })).born("leader").joins("leader")
    h.registerBy("leader", owned("isolated", { restart: every(0) })).registerBy("leader", define("free"))
    h.registerBy("leader", attached("member", { ownership: "registrant", restart: every(0) }))
    h.registerBy("leader", attached("freeMember", { restart: every(0) }))
    h.born("isolated", "free", "member", "freeMember").exits("leader", 2)
    assert.deepStrictEqual(h.signals, [
      "isolated SIGTERM Process",
      "member SIGTERM Process",
      "member SIGQUIT Group",
      "freeMember SIGQUIT Group"
    ])
    assert.deepStrictEqual(h.exits("isolated", 1).told, ["isolated Stopped gone"])
    assert.deepStrictEqual(h.exits("member", 2).told, ["member Stopped gone"])
    assert.deepStrictEqual(h.exits("freeMember", 2).phase("Run").launched, ["leader", "freeMember"])
    assert.strictEqual(h.life("free"), "Running")
  })

  it("M10 during recovery: an owner that goes with the crash group takes along what is isolated and its own", () => {
    const h = new Harness().run().register(attached("crasher")).register(attached("leader", { restart: every(0) }))
    h.born("crasher", "leader").registerBy("leader", owned("isolated")).born("isolated").exits("crasher", 2)
    assert.deepStrictEqual(h.signals, ["leader SIGQUIT Group"])
    // It still lives, and may register; nobody is launched meanwhile.
    assert.deepStrictEqual(h.registerBy("leader", owned("late")).told, ["late Stopped gone"])
    h.exits("leader", 2)
    assert.deepStrictEqual([h.signals, h.state.phase], [["isolated SIGTERM Process"], "Startup"])
  })

  it("M10 a member of the crash group that is down when its owner ends does not come back", () => {
    const h = house(attached("member", { ownership: "registrant", restart: every(0) })).register(attached("other"))
    h.born("member", "other").exits("member", 2)
    assert.strictEqual(h.life("member"), "Down")
    assert.deepStrictEqual(h.exits("leader", 1).told, ["leader Stopped", "member Stopped gone"])
    assert.deepStrictEqual(h.exits("other", 2).wake(1_000).phase("Run").launched, ["leader"])
  })

  it("M10 in a smart shutdown it ends with its owner, and the postmaster with the last job", () => {
    const h = house(owned("helper")).born("helper").shutdown("Smart")
    assert.deepStrictEqual(h.signals, [])
    assert.deepStrictEqual(h.exits("leader", 1).signals, ["helper SIGTERM Process"])
    h.exits("helper", 1)
    assert.strictEqual(h.state.phase, "Halted")
  })

  it("M10 in a fast or immediate shutdown everyone is told once", () => {
    for (const [mode, signal] of [["Fast", "SIGTERM"], ["Immediate", "SIGQUIT"]] as const) {
      const h = house(owned("helper")).born("helper").shutdown(mode)
      assert.deepStrictEqual(h.signals, [`leader ${signal} Group`, `helper ${signal} Group`])
      assert.deepStrictEqual(h.exits("leader", 1).signals, [])
      assert.strictEqual(h.exits("helper", 1).order("Halt")?.abnormal, false)
    }
  })
})

describe("a crash of the attached workers", () => {
  const crew = () =>
    new Harness().run()
      .register(attached("crasher", { restart: every(3_600_000) }))
      .register(attached("service", { restart: every(3_600_000) }))
      .register(attached("job"))
      .register(define("isolated"))
      .born("crasher", "service", "job", "isolated")
      .joins("crasher", "service", "job")

  for (const status of [2, 3, 127, 255, signaled("SIGSEGV"), signaled("SIGKILL"), lost("garbage"), 0, 1]) {
    it(`C81, C93 exit ${JSON.stringify(status)} while joined: every other attached worker leaves at once`, () => {
      const h = crew().exits("crasher", status)
      assert.deepStrictEqual(h.signals, ["service SIGQUIT Group", "job SIGQUIT Group"])
      assert.deepStrictEqual([h.state.phase, h.state.recovering], ["Waiting", true])
      assert.include(h.events, "CrashDetected")
      assert.strictEqual(h.life("isolated"), "Running")
    })
  }

  it("leaving in good order is no crash", () => {
    for (const code of [0, 1]) assert.isFalse(crew().leaves("crasher").exits("crasher", code).state.recovering)
  })

  it("a kill that the postmaster ordered is no crash", () => {
    const h = crew().terminate("crasher").wake(30_000)
    assert.deepStrictEqual(h.signals, ["crasher SIGKILL Group"])
    h.exits("crasher", signaled("SIGKILL", { ordered: true }))
    assert.isFalse(h.state.recovering)
    assert.deepStrictEqual(h.told, ["crasher Stopped gone"])
  })

  it("C95, C96 whoever dies of the SIGQUIT is no further crash", () => {
    const h = crew().exits("crasher", 2).exits("service", 2)
    assert.deepStrictEqual([h.signals, h.events], [[], ["Exited"]])
  })

  it("C104 every holder is told at once", () => {
    assert.include(crew().exits("crasher", 2).told, "crasher Stopped")
  })

  it("C98 when all are gone: services start at once, whatever their interval; jobs are gone; nothing isolated is touched", () => {
    const h = crew().exits("crasher", 2).exits("service", 2).exits("job", 2)
    assert.deepStrictEqual([h.state.phase, h.told], ["Startup", ["job Stopped", "job Stopped gone"]])
    assert.deepStrictEqual(h.order("Reinitialize"), { _tag: "Reinitialize", run: 1 })
    assert.deepStrictEqual(h.launched, [])
    assert.deepStrictEqual(h.phase("Run").launched, ["crasher", "service"])
    assert.isFalse(h.state.recovering)
    assert.strictEqual(h.life("isolated"), "Running")
  })

  it("C62 nothing is launched while recovering, not even for the start of the postmaster", () => {
    const h = crew().register(attached("early", { startTime: "PostmasterStart", restart: every(0) })).born("early")
    h.exits("crasher", 2).exits("service", 2).exits("job", 2).exits("early", 2)
    assert.deepStrictEqual([h.state.phase, h.launched], ["Startup", []])
    assert.deepStrictEqual(h.phase("Consistent").launched, ["early"])
  })

  it("C94 a registration meanwhile is taken and thrown out", () => {
    assert.deepStrictEqual(crew().exits("crasher", 2).register(define("late")).told, ["late Stopped gone"])
  })

  it("C97 whoever is deaf to SIGQUIT is killed after killAfter, once", () => {
    const h = crew().exits("crasher", 2)
    assert.strictEqual(h.wakeIn(), 5_000)
    assert.deepStrictEqual(h.wake(5_000).signals, ["service SIGKILL Group", "job SIGKILL Group"])
    assert.include(h.events, "KillIssued")
    assert.isUndefined(h.wakeIn())
    assert.deepStrictEqual(h.wake(5_000).signals, [])
  })

  it("C101 (departs) crash cycles that follow each other closely are held back: 0.1, 0.2, 0.4 s …", () => {
    const h = new Harness().run().register(attached("a", { restart: every(0) }))
    const waits: Array<number> = []
    for (let cycle = 0; cycle < 9; cycle++) {
      h.born("a").exits("a", 2)
      waits.push(h.state.phase === "Waiting" ? h.wakeIn()! : 0)
      if (h.state.phase === "Waiting") h.wake(h.wakeIn())
      assert.deepStrictEqual(h.phase("Run").launched, ["a"])
    }
    assert.deepStrictEqual(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000])
    // A minute without trouble, and all is forgiven.
    h.born("a").later(60_000).exits("a", 2)
    assert.strictEqual(h.state.phase, "Startup")
  })

  it("a shutdown while recovery is being held back does not spin", () => {
    const h = new Harness().run().register(attached("a", { restart: every(0) })).born("a").exits("a", 2).phase("Run")
    h.register(define("isolated")).born("a", "isolated").exits("a", 2)
    assert.strictEqual(h.wakeIn(), 100)
    assert.deepStrictEqual(h.shutdown("Fast").signals, ["isolated SIGTERM Group"])
    assert.strictEqual(h.wakeIn(), 30_000)
    assert.deepStrictEqual(h.exits("isolated", 1).order("Halt")?.abnormal, true)
  })

  it("C102 restartAfterCrash off: everyone is stopped and the halt is abnormal", () => {
    const h = new Harness({ restartAfterCrash: false }).run()
    h.register(attached("a", { restart: every(0) })).register(define("isolated")).born("a", "isolated").exits("a", 2)
    assert.deepStrictEqual(h.signals, ["isolated SIGTERM Group"])
    const halt = h.exits("isolated", 1).order("Halt")
    assert.deepStrictEqual([halt?.abnormal, halt?.detail], [true, "shutting down because \"restartAfterCrash\" is off"])
  })

  it("C103 a crash during a fast shutdown: no recovery, abnormal halt", () => {
    const h = crew().shutdown("Fast").exits("crasher", 2).exits("service", 2).exits("job", 2)
    assert.isUndefined(h.order("Reinitialize"))
    assert.isTrue(h.exits("isolated", 1).order("Halt")?.abnormal)
  })

  it("the word of a startup run of before the crash counts for nothing", () => {
    const h = crew().exits("crasher", 2).exits("service", 2).exits("job", 2)
    h.hear({ _tag: "PhaseReached", phase: "Run", run: 0 })
    assert.deepStrictEqual([h.state.phase, h.state.recovering], ["Startup", true])
  })
})

describe("shutdown", () => {
  it("C105 smart without jobs: services are asked at once", () => {
    const h = new Harness().run().register(define("service", { restart: every(1_000) })).born("service").shutdown(
      "Smart"
    )
    assert.deepStrictEqual(h.signals, ["service SIGTERM Group"])
    assert.strictEqual(h.exits("service", 1).order("Halt")?.abnormal, false)
  })

  it("C106, C107 (departs) smart with a job: all goes on, restarts too, until the last job is done", () => {
    const h = new Harness().run().register(define("job")).register(define("service", { restart: every(1_000) }))
    h.born("job", "service").shutdown("Smart")
    assert.deepStrictEqual([h.signals, h.state.phase], [[], "Run"])
    assert.deepStrictEqual(h.exits("service", 1).wake(1_000).launched, ["service"])
    assert.deepStrictEqual(h.born("service").register(define("job2")).launched, ["job2"])
    assert.deepStrictEqual(h.born("job2").exits("job", 0).signals, [])
    assert.deepStrictEqual(h.exits("job2", 0).signals, ["service SIGTERM Group"])
  })

  it("smart before anything is consistent stops at once", () => {
    const h = new Harness().register(define("job"), "Preload").phase("Startup").shutdown("Smart")
    assert.strictEqual(h.state.phase, "Halted")
  })

  it("C108, C109 fast: everyone is asked, nobody starts again", () => {
    const h = new Harness().run().register(define("a", { restart: every(0) })).born("a").shutdown("Fast")
    assert.deepStrictEqual(h.signals, ["a SIGTERM Group"])
    const halted = h.exits("a", 1)
    assert.deepStrictEqual([halted.launched, halted.order("Halt")?.abnormal], [[], false])
  })

  it("fast: whoever does not go is killed after its stop timeout", () => {
    const h = new Harness().run().register(define("a")).born("a").shutdown("Fast")
    assert.deepStrictEqual(h.wake(30_000).signals, ["a SIGKILL Group"])
  })

  it("C112 immediate: SIGQUIT, SIGKILL after killAfter, then wait", () => {
    const h = new Harness().run().register(define("a")).register(attached("b")).born("a", "b").shutdown("Immediate")
    assert.deepStrictEqual(h.signals, ["a SIGQUIT Group", "b SIGQUIT Group"])
    h.exits("b", 2)
    assert.isFalse(h.state.recovering)
    assert.deepStrictEqual(h.wake(5_000).signals, ["a SIGKILL Group"])
    assert.strictEqual(h.exits("a", signaled("SIGKILL", { ordered: true })).order("Halt")?.abnormal, false)
  })

  it("C114 each harsher request overtakes, a gentler one is ignored", () => {
    const h = new Harness().run().register(define("job")).born("job")
    assert.deepStrictEqual(h.shutdown("Smart").signals, [])
    assert.deepStrictEqual(h.shutdown("Fast").signals, ["job SIGTERM Group"])
    assert.deepStrictEqual(h.shutdown("Smart").orders, [])
    assert.deepStrictEqual(h.shutdown("Immediate").signals, ["job SIGQUIT Group"])
    assert.deepStrictEqual(h.shutdown("Fast").orders, [])
  })

  it("C116 reload reaches the workers in Run and during smart, and not later", () => {
    const h = new Harness().run().register(define("job")).register(define("unborn")).born("job")
    assert.deepStrictEqual(h.hear({ _tag: "ReloadRequested" }).signals, ["job SIGHUP Process"])
    assert.deepStrictEqual(h.shutdown("Smart").hear({ _tag: "ReloadRequested" }).signals, ["job SIGHUP Process"])
    assert.deepStrictEqual(h.shutdown("Fast").hear({ _tag: "ReloadRequested" }).orders, [])
  })

  it("reload reaches the workers during the recovery from a crash, too", () => {
    const h = new Harness().run().register(attached("a")).register(attached("b")).register(define("isolated"))
    h.born("a", "b", "isolated").exits("a", 2)
    assert.strictEqual(h.state.phase, "Waiting")
    assert.include(h.hear({ _tag: "ReloadRequested" }).signals, "isolated SIGHUP Process")
  })

  it("nobody is said to be killed when nobody is left to kill", () => {
    const h = new Harness().run().register(attached("a")).register(attached("b")).register(define("isolated"))
    h.born("a", "b", "isolated").exits("a", 2).shutdown("Fast").exits("b", 2).wake(5_000)
    assert.deepStrictEqual(h.events, [])
  })

  it("a crash during a smart shutdown ends it for everybody: there is no recovery any more", () => {
    const h = new Harness().run().register(attached("a", { restart: every(1) })).register(define("job")).born(
      "a",
      "job"
    )
    assert.deepStrictEqual(h.shutdown("Smart").exits("a", 2).signals, ["job SIGTERM Group"])
    assert.isTrue(h.exits("job", 1).order("Halt")?.abnormal)
  })

  it("C117 whoever is being born when the shutdown comes is waited for, and told", () => {
    const h = new Harness().run().register(define("a")).shutdown("Fast")
    assert.strictEqual(h.state.phase, "Waiting")
    assert.deepStrictEqual(h.born("a").signals, ["a SIGTERM Group"])
    assert.isDefined(h.exits("a", 1).order("Halt"))
  })

  it("a startup effect that fails stops everyone and halts abnormally", () => {
    const h = new Harness().register(define("early", { startTime: "PostmasterStart" }), "Preload").phase("Startup")
    h.born("early").hear({ _tag: "StartupFailed", run: 0, detail: "no schema" })
    assert.deepStrictEqual(h.signals, ["early SIGTERM Group"])
    const halt = h.exits("early", 1).order("Halt")
    assert.deepStrictEqual([halt?.abnormal, halt?.detail], [true, "the startup effect failed: no schema"])
  })
})

describe("sleep time", () => {
  it("C140, C142, C143, C144 nothing, the earliest, however far, or at once", () => {
    const h = new Harness().run()
    assert.isUndefined(h.wakeIn())
    h.register(define("a", { restart: every(300_000) })).register(define("b", { restart: every(7_000) }))
    h.born("a", "b").exits("a", 1)
    assert.strictEqual(h.wakeIn(), 300_000)
    h.exits("b", 1)
    assert.strictEqual(h.wakeIn(), 7_000)
    assert.isBelow(h.later(8_000).wakeIn()!, 0)
  })
})
