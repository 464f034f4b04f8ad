import { BackgroundWorker, Postmaster } from "@effect-postmaster/core"
import { signaled } from "@effect-postmaster/core/ExitStatus"
import * as Restart from "@effect-postmaster/core/Restart"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Machine from "../src/internal/machine.ts"
import * as Onlook from "../src/internal/onlook.ts"
import * as SlotTable from "../src/internal/slotTable.ts"
import { define, every, Harness } from "./machineHarness.ts"

const entry = { module: new URL("file:///worker.js") }

describe("a key", () => {
  const keyed = (name: string, options: Parameters<typeof define>[1] = {}) => define(name, { key: "k", ...options })

  it("M12 is held by one worker; whoever asks for it again is answered with that one, and nothing is told", () => {
    const h = new Harness().run().register(keyed("a")).born("a")
    const ref = h.ref("a")
    assert.deepStrictEqual(h.register(keyed("a")).orders, [{ _tag: "Reply", request: 1, ref }])
    assert.strictEqual(h.state.table.tenants, 1)
    assert.isDefined(h.register(define("a")).order("Reply"), "without the key there may be another")
    assert.strictEqual(h.state.table.tenants, 2)
  })

  it("needs no free slot, and no place in its class, to be answered with its holder", () => {
    const h = new Harness({ maxWorkers: 1, classLimits: { parallel: 1 } }).run()
    h.register(keyed("a", { class: "parallel" }))
    assert.isDefined(h.register(keyed("a", { class: "parallel" })).order("Reply"))
  })

  it("is refused to a worker of another name, type or entry, which is told who holds it", () => {
    const h = new Harness().run().register(keyed("a")).born("a").ready("a").later(7_900)
    const others = [
      keyed("b"),
      keyed("a", { type: "other" }),
      keyed("a", { entry: { module: "file:///other.js", export: "main" } }),
      keyed("a", { entry: { module: "file:///worker.js", export: "other" } })
    ]
    for (const other of others) {
      const reason = h.register(other).order("Reject")!.reason
      assert(reason._tag === "KeyTaken")
      assert.deepStrictEqual(reason.occupant, { ref: h.ref("a"), name: "a", state: "ready", ageMillis: 7_900 })
      assert.include(reason.message, "key \"k\" is held by \"a\" (slot 0, ready, 7 s old), which is another worker")
    }
    assert.strictEqual(h.state.table.tenants, 1)
  })

  it("is refused as long as its holder ends for good, and free as soon as it has ended", () => {
    const h = new Harness().run().register(keyed("a", { restart: every(1_000) })).born("a").terminate("a")
    const before = h.ref("a")
    const reason = h.register(keyed("a")).order("Reject")!.reason
    assert(reason._tag === "KeyTaken" && reason.isEnding)
    assert.include(reason.message, "which has not ended yet")
    assert.isDefined(h.exits("a", 1).register(keyed("a")).order("Reply"))
    assert.notStrictEqual(h.ref("a").generation, before.generation)
  })

  it("stays with its holder through its failures, its rests and a recovery", () => {
    const h = new Harness().run().register(keyed("a", { restart: every(1_000), flags: ["SharedMemory"] })).born("a")
    const holds = () => assert.deepStrictEqual(h.register(keyed("a")).order("Reply")?.ref, h.ref("a"))
    h.exits("a", 1)
    holds()
    h.wake(1_000).born("a").exits("a", 2)
    holds()
    assert.strictEqual(h.phase("Run").life("a"), "Starting")
    holds()
  })

  it("must be a name", () => {
    const reason = new Harness().run().register(keyed("a", { key: " " })).order("Reject")!.reason
    assert(reason._tag === "InvalidName" && reason.field === "key")
  })

  it("is seen in the snapshot", () => {
    const h = new Harness().run().register(keyed("a")).register(define("b"))
    assert.deepStrictEqual(Onlook.snapshot(h.state, 0).workers.map((worker) => worker.key), ["k", undefined])
  })

  it("T13 that comes and goes ten thousand times leaves nothing behind", () => {
    const h = new Harness().run()
    for (let index = 0; index < 10_000; index++) {
      h.register(define("a", { key: `k${index}` })).born("a").exits("a", 0)
    }
    assert.isAtMost(h.state.table.keys.size, 64)
  })
})

describe("whoever waits for a slot", () => {
  const parallel = (name: string) => define(name, { class: "parallel" })

  it("M4 is answered in the turn in which one comes free, before anybody else, and takes that very slot", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a")
    h.registerWithin(5_000, define("b")).registerWithin(5_000, define("c"))
    assert.deepStrictEqual([h.answered, h.lobby], [[], ["b", "c"]])
    assert.deepStrictEqual(h.exits("a", 0).answered, ["b slot 0"])
    assert.deepStrictEqual(h.told, ["a Stopped gone"])
    assert.deepStrictEqual([h.launched, h.lobby], [["b"], ["c"]])
    assert.deepStrictEqual(h.register(define("d")).answered, ["d SlotsExhausted"])
    assert.deepStrictEqual(h.born("b").exits("b", 0).answered, ["c slot 0"])
  })

  it("is refused when its time is over (equality is over), with the reason for which it waits, and for how long", () => {
    const h = new Harness({ maxWorkers: 2, classLimits: { parallel: 1 } }).run()
    h.register(parallel("a")).registerWithin(3_000, parallel("b")).register(define("c"))
    h.later(1_000).registerWithin(1_000, define("d"))
    assert.strictEqual(h.wakeIn(), 1_000)
    assert.deepStrictEqual(h.wake(999).answered, [])
    const [full] = h.wake(1).all("Reject")
    assert(full!.reason._tag === "SlotsExhausted")
    assert.strictEqual(full!.reason.waitedMillis, 1_000)
    assert.include(full!.reason.message, "all 2 slots are taken")
    assert.include(full!.reason.message, "; waited 1000 ms for it")
    const [limited] = h.wake(1_000).all("Reject")
    assert(limited!.reason._tag === "ClassLimitReached" && limited!.reason.waitedMillis === 3_000)
    assert.isUndefined(h.wakeIn())
  })

  it("does not hold up those who wait for something else", () => {
    const h = new Harness({ maxWorkers: 3, classLimits: { parallel: 1 } }).run()
    h.register(parallel("p1")).register(define("a")).register(define("b")).born("p1", "a", "b")
    h.registerWithin(5_000, parallel("p2")).registerWithin(5_000, parallel("p3")).registerWithin(5_000, define("c"))
    assert.deepStrictEqual(h.exits("a", 0).answered, ["c slot 1"])
    assert.deepStrictEqual(h.exits("p1", 0).answered, ["p2 slot 0"])
    assert.deepStrictEqual(h.lobby, ["p3"])
  })

  it("waits for a key whose holder has not ended yet, and has it then; the others are answered with that one", () => {
    const keyed = define("a", { key: "k" })
    const h = new Harness().run().register(keyed).born("a").terminate("a")
    h.registerWithin(5_000, keyed).registerWithin(5_000, keyed).registerWithin(5_000, define("b", { key: "k" }))
    assert.deepStrictEqual(h.lobby, ["a", "a", "b"])
    assert.deepStrictEqual(h.exits("a", 1).answered, ["a slot 0", "a slot 0", "b KeyTaken"])
    assert.strictEqual(h.state.table.tenants, 1)
  })

  it("is answered with whoever gets the key meanwhile, wherever in the lobby it stands", () => {
    const slot = { key: "k" }
    const h = new Harness({ maxWorkers: 3, classLimits: { parallel: 0 } }).run()
    h.registerWithin(5_000, define("a", { ...slot, class: "parallel" }))
    assert.deepStrictEqual(h.lobby, ["a"])
    // The same worker by all that tells it apart, and of no class.
    assert.deepStrictEqual(h.register(define("a", slot)).answered, ["a slot 0", "a slot 0"])
  })

  it("takes nothing when it goes away, and gives back what it has been given unheard", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a")
    h.registerWithin(5_000, define("b")).registerWithin(5_000, define("c"))
    assert.deepStrictEqual(h.withdraw("b").answered, ["b SlotsExhausted"])
    assert.deepStrictEqual(h.exits("a", 0).answered, ["c slot 0"])
    assert.deepStrictEqual(h.withdraw("c", true).signals, [])
    assert.deepStrictEqual(h.born("c").signals, ["c SIGTERM Process"])
  })

  it("gives nothing back that somebody else was given, too", () => {
    const keyed = define("a", { key: "k" })
    const h = new Harness({ maxWorkers: 1 }).run().registerWithin(5_000, keyed).register(keyed)
    const first = { _tag: "RegisterWithdrawn", request: 0, ref: h.ref("a") } as const
    assert.isFalse(SlotTable.find(h.hear(first).state.table, h.ref("a"))!.doomed)
    assert.isFalse(SlotTable.find(h.withdraw("a", true).state.table, h.ref("a"))!.doomed)
  })

  it("is told of a shutdown as soon as it stops the postmaster, and none may wait from then on", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a").registerWithin(5_000, define("b"))
    assert.deepStrictEqual(h.shutdown("Smart").answered, [])
    assert.deepStrictEqual(h.shutdown("Fast").answered, ["b NotAccepting"])
    assert.deepStrictEqual(h.registerWithin(5_000, define("c")).answered, ["c SlotsExhausted"])
  })

  it("is not seated in a recovery, in which nobody may start, but after it", () => {
    const h = new Harness({ maxWorkers: 2 }).run()
    h.register(define("a", { flags: ["SharedMemory"], restart: every(0) })).register(define("b")).born("a", "b")
    h.registerWithin(5_000, define("c")).registerWithin(1_000, define("d"))
    h.register(define("e"))
    h.joins("a").exits("a", 2)
    assert.strictEqual(h.state.phase, "Startup")
    assert.deepStrictEqual(h.exits("b", 0).answered, ["c slot 1"])
    h.phase("Run").born("a").joins("a").exits("a", 2)
    assert.strictEqual(h.state.phase, "Waiting")
    assert.deepStrictEqual(h.born("c").exits("c", 0).answered, [])
    const [late] = h.wake(50).later(5_000).hear({ _tag: "RegisterWithdrawn", request: 3 }).all("Reject")
    assert(late?.reason._tag === "NotAccepting")
    assert.include(late?.reason.message, "in phase Waiting: it recovers from a crash")
  })

  it("a negative time, and one that is no number, is no time", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a"))
    for (const millis of [0, -1, Number.NaN]) {
      assert.deepStrictEqual(h.registerWithin(millis, define("b")).answered, ["b SlotsExhausted"])
    }
    assert.deepStrictEqual(h.registerWithin(Number.POSITIVE_INFINITY, define("b")).answered, [])
    assert.isUndefined(h.wakeIn() === Number.NEGATIVE_INFINITY ? undefined : h.wakeIn())
  })

  it("a preload does not wait", () => {
    const h = new Harness({ maxWorkers: 0 }).registerWithin(5_000, define("a"), "Preload")
    assert.deepStrictEqual(h.answered, ["a SlotsExhausted"])
  })

  it("1,024 may wait, the next one is refused at once; a turn that frees nothing does not look at them", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).born("a")
    for (let index = 0; index < 1_024; index++) h.registerWithin(60_000, define(`b${index}`))
    assert.strictEqual(h.lobby.length, 1_024)
    assert.deepStrictEqual(h.registerWithin(60_000, define("late")).answered, ["late SlotsExhausted"])
    const { waiters } = h.state.lobby
    let looks = 0
    const { values } = waiters
    waiters.values = () => {
      looks++
      return values.call(waiters)
    }
    const before = looks
    const step = () => Machine.step(h.state, { _tag: "ChildReady", ref: h.ref("a") }, h.now)
    for (let turns = 0; turns < 10; turns++) step()
    assert.strictEqual(looks, before)
    h.exits("a", 0)
    assert.isAbove(looks, before)
    assert.deepStrictEqual(h.answered, ["b0 slot 0"])
  })

  it("is counted in the snapshot", () => {
    const h = new Harness({ maxWorkers: 1 }).run().register(define("a")).registerWithin(5_000, define("b"))
    assert.strictEqual(Onlook.snapshot(h.state, 0).waiting, 1)
  })
})

describe("slots that are kept for a class", () => {
  const parallel = (name: string) => define(name, { class: "parallel" })

  it("are refused to everybody else, who is told how many they are", () => {
    const h = new Harness({ maxWorkers: 3, reservedSlots: { parallel: 2 } }).run().register(define("a"))
    const reason = h.register(define("b")).order("Reject")!.reason
    assert(reason._tag === "SlotsExhausted")
    assert.strictEqual(reason.reserved, 2)
    assert.include(
      reason.message,
      "of 3 slots 2 are kept for other classes, and the others are taken, by \"a\" (slot 0, starting, 0 s old); consider"
    )
    h.register(parallel("p1")).register(parallel("p2"))
    assert.deepStrictEqual(h.answered, ["p2 slot 2"])
    assert.deepStrictEqual(h.register(define("c")).answered, ["c SlotsExhausted"])
  })

  it("come free for their class alone, and whoever waits for another slot waits on", () => {
    const h = new Harness({ maxWorkers: 2, reservedSlots: { parallel: 1 } }).run()
    h.register(define("a")).register(parallel("p1")).born("a", "p1")
    h.registerWithin(5_000, define("b")).registerWithin(5_000, parallel("p2"))
    assert.deepStrictEqual(h.exits("p1", 0).answered, ["p2 slot 1"])
    assert.deepStrictEqual(h.exits("a", 0).answered, ["b slot 0"])
  })

  it("are no limit to their class, and are not kept beyond it", () => {
    const h = new Harness({ maxWorkers: 4, classLimits: { parallel: 2 }, reservedSlots: { mail: 1, parallel: 3 } })
      .run()
    const mail = (name: string) => define(name, { class: "mail" })
    h.register(mail("m1")).register(mail("m2"))
    assert.deepStrictEqual(h.answered, ["m2 slot 1"])
    assert.deepStrictEqual(h.register(mail("m3")).answered, ["m3 SlotsExhausted"])
    assert.deepStrictEqual(h.register(define("a")).answered, ["a SlotsExhausted"])
    assert.deepStrictEqual(h.register(parallel("p1")).register(parallel("p2")).answered, ["p2 slot 3"])
  })

  it("are kept from preloads, too", () => {
    const h = new Harness({ maxWorkers: 1, reservedSlots: { parallel: 1 } }).register(define("a"), "Preload")
    assert.deepStrictEqual(h.answered, ["a SlotsExhausted"])
  })
})

describe("a stop ladder", () => {
  const ladder = (...rungs: ReadonlyArray<readonly ["SIGTERM" | "SIGQUIT", number]>) => ({
    stopLadder: rungs.map(([signal, millis]) => ({ signal, millis }))
  })
  const gentle = ladder(["SIGTERM", 1_000], ["SIGTERM", 500], ["SIGQUIT", 200])

  it("is gone down one rung after the other, SIGKILL last; each is told", () => {
    const h = new Harness().run().register(define("a", gentle)).born("a").terminate("a")
    const sent: Array<string> = []
    for (let millis: number | undefined = 0; millis !== undefined; millis = h.wakeIn()) {
      if (millis > 0) h.wake(millis)
      assert.strictEqual(h.events.filter((tag) => tag === "SignalSent").length, 1)
      sent.push(`${h.now} ${h.signals.join()}`)
    }
    assert.deepStrictEqual(sent, [
      "0 a SIGTERM Process",
      "1000 a SIGTERM Group",
      "1500 a SIGQUIT Group",
      "1700 a SIGKILL Group"
    ])
    assert.deepStrictEqual(h.terminate("a").signals, [])
  })

  it("is gone down in a shutdown, too, and an immediate one overtakes it", () => {
    const h = new Harness().run().register(define("a", gentle)).born("a")
    assert.deepStrictEqual(h.shutdown("Fast").signals, ["a SIGTERM Group"])
    assert.deepStrictEqual(h.wake(1_000).signals, ["a SIGTERM Group"])
    assert.deepStrictEqual(h.shutdown("Immediate").signals, ["a SIGQUIT Group"])
    assert.deepStrictEqual(h.wake(500).signals, ["a SIGQUIT Group"])
    assert.deepStrictEqual(h.wake(200).signals, ["a SIGKILL Group"])
  })

  it("may begin with SIGQUIT, may take no time, and may last for ever", () => {
    const h = new Harness().run().register(define("a", ladder(["SIGQUIT", 0]))).born("a").terminate("a")
    assert.deepStrictEqual(h.signals, ["a SIGQUIT Process", "a SIGKILL Group"])
    h.register(define("b", ladder(["SIGTERM", 10], ["SIGQUIT", Number.POSITIVE_INFINITY]))).born("b").terminate("b")
    assert.deepStrictEqual(h.wake(10).signals, ["b SIGQUIT Group"])
    assert.isUndefined(h.wakeIn())
  })

  it("reaches whoever is being born at its birth, where it stands by then, and its time begins anew", () => {
    const h = new Harness().run().register(define("a", gentle)).terminate("a").wake(900)
    assert.deepStrictEqual(h.born("a").signals, ["a SIGTERM Process"])
    assert.strictEqual(h.wakeIn(), 1_000)
    const late = new Harness().run().register(define("a", gentle)).terminate("a").wake(1_000).wake(500)
    assert.deepStrictEqual(late.born("a").signals, ["a SIGQUIT Group"])
    assert.deepStrictEqual(late.wake(200).signals, ["a SIGKILL Group"])
    const never = new Harness().run().register(define("a", gentle)).terminate("a").wake(1_000).wake(500).wake(200)
    assert.isDefined(never.order("AbandonBirth"))
  })

  it("is not for a crash: SIGQUIT, and SIGKILL after killAfter", () => {
    const options = { ...ladder(["SIGQUIT", 10], ["SIGQUIT", 10]), flags: ["SharedMemory"] as const, restart: every(0) }
    const h = new Harness().run().register(define("a", options)).register(define("b", options)).born("a", "b")
    assert.deepStrictEqual(h.exits("a", 2).signals, ["b SIGQUIT Group"])
    assert.strictEqual(h.wakeIn(), 5_000)
    assert.deepStrictEqual(h.terminate("b").signals, [])
  })

  it("an attached worker that leaves as SIGQUIT tells it to has not crashed; one that dies of something else has", () => {
    const options = { ...ladder(["SIGTERM", 10], ["SIGQUIT", 10]), flags: ["SharedMemory"] as const }
    const asked = () => new Harness().run().register(define("a", options)).born("a").joins("a").terminate("a").wake(10)
    assert.deepStrictEqual(asked().exits("a", 2).state.recovering, false)
    assert.deepStrictEqual(asked().exits("a", 1).state.recovering, true)
    assert.deepStrictEqual(asked().exits("a", signaled("SIGSEGV")).state.recovering, true)
    const early = new Harness().run().register(define("a", options)).born("a").joins("a").terminate("a")
    assert.deepStrictEqual(early.exits("a", 2).state.recovering, true)
  })

  const wrong: ReadonlyArray<readonly [string, ReturnType<typeof ladder>]> = [
    ["it must have between 1 and 8 rungs", ladder()],
    ["it must have between 1 and 8 rungs", ladder(...Array.from({ length: 9 }, () => ["SIGTERM", 1] as const))],
    ["every time must be 0 ms or more, or infinite", ladder(["SIGTERM", -1])],
    ["every time must be 0 ms or more, or infinite", ladder(["SIGTERM", Number.NaN])],
    ["a signal must not be gentler than the one before", ladder(["SIGQUIT", 1], ["SIGTERM", 1])]
  ]
  for (const [detail, options] of wrong) {
    it(`${JSON.stringify(options.stopLadder)} is refused: ${detail}`, () => {
      const reason = new Harness().run().register(define("a", options)).order("Reject")!.reason
      assert(reason._tag === "InvalidInterval" && reason.field === "stop ladder")
      assert.strictEqual(reason.detail, detail)
    })
  }

  it.effect("is written as signals and durations", () =>
    Effect.gen(function*() {
      const Mail = BackgroundWorker.make("mail", { entry, stopLadder: [["SIGTERM", "10 seconds"], ["SIGQUIT", 2]] })
      const { stopLadder } = yield* BackgroundWorker.toRegistration(Mail, undefined)
      assert.deepStrictEqual(stopLadder, [{ signal: "SIGTERM", millis: 10_000 }, { signal: "SIGQUIT", millis: 2 }])
    }))
})

describe("another policy", () => {
  it("is the one of the next failure; a rest under way lasts as long as it was to", () => {
    const h = new Harness().run().register(define("a", { restart: every(10_000) })).born("a").exits("a", 1)
    assert.deepStrictEqual(h.wake(4_000).change("a", { restart: every(1_000) }).answered, ["a slot 0"])
    assert.deepStrictEqual(h.events, ["PolicyChanged"])
    assert.strictEqual(h.wakeIn(), 6_000)
    assert.deepStrictEqual(h.wake(6_000).launched, ["a"])
    h.born("a").exits("a", 1)
    assert.strictEqual(h.wakeIn(), 1_000)
    assert.deepStrictEqual(h.change("a", { restart: every(7_000) }).resume("a").launched, ["a"])
  })

  it("begins with a clean count", () => {
    const restart = Restart.giveUp(Restart.after(0), { failures: 2, within: 60_000 })
    const h = new Harness().run().register(define("a", { restart })).born("a").exits("a", 1)
    h.change("a", { restart }).born("a").exits("a", 1)
    assert.strictEqual(h.life("a"), "Starting")
    h.born("a").exits("a", 1)
    assert.strictEqual(h.life("a"), "Parked")
    assert.strictEqual(h.change("a", { restart: every(0) }).life("a"), "Parked")
    assert.deepStrictEqual(h.resume("a").launched, ["a"])
  })

  it("makes a job of a service, and a service of a job: a smart shutdown waits for those that are jobs now", () => {
    const h = new Harness().run().register(define("a")).register(define("b", { restart: every(0) })).born("a", "b")
    h.change("b", { restart: Restart.never() }).change("a", { restart: every(0) })
    h.shutdown("Smart")
    assert.deepStrictEqual(h.signals, [])
    assert.deepStrictEqual(h.change("b", { restart: every(0) }).signals, ["a SIGTERM Group", "b SIGTERM Group"])
  })

  it("of how to stop takes the place of the old one, whichever way it was said", () => {
    const h = new Harness().run().register(define("a", { stopTimeoutMillis: 9 })).born("a")
    const seen = () => {
      const { stopLadder, stopTimeoutMillis } = Onlook.snapshot(h.state, 0).workers[0]!
      return { stopLadder, stopTimeoutMillis }
    }
    const stopLadder = [{ signal: "SIGQUIT", millis: 300 }] as const
    h.change("a", { stopLadder })
    assert.deepStrictEqual(seen(), { stopLadder, stopTimeoutMillis: undefined })
    h.change("a", {})
    assert.deepStrictEqual(seen(), { stopLadder, stopTimeoutMillis: undefined })
    h.change("a", { stopTimeoutMillis: 200 })
    assert.deepStrictEqual(seen(), { stopLadder: undefined, stopTimeoutMillis: 200 })
    h.terminate("a").change("a", { stopTimeoutMillis: 1 })
    assert.strictEqual(h.wakeIn(), 200)
    // Asked once more, it does not begin anew.
    assert.deepStrictEqual(h.change("a", { stopLadder }).shutdown("Fast").signals, [])
    assert.strictEqual(h.wakeIn(), 200)
    // The rung on which it stands is the last of the ladder that it has now.
    h.wake(200)
    assert.deepStrictEqual(h.signals, ["a SIGKILL Group"])
  })

  it("is seen by whoever has seen the one before", () => {
    const h = new Harness().run().register(define("a", { restart: every(5) })).born("a")
    const onlook = Onlook.make(h.state, 0)
    assert.deepStrictEqual(Onlook.look(onlook).workers[0]!.restart, every(5))
    h.change("a", { restart: every(7) })
    assert.deepStrictEqual(Onlook.look(onlook).workers[0]!.restart, every(7))
  })

  it("that is a mistake changes nothing; and nobody is there to be given one when the registration has ended", () => {
    const h = new Harness().run().register(define("a", { restart: every(5) })).born("a")
    assert.deepStrictEqual(h.change("a", { restart: every(-1), stopTimeoutMillis: 7 }).answered, ["a InvalidInterval"])
    const { restart, stopTimeoutMillis } = Onlook.snapshot(h.state, 0).workers[0]!
    assert.deepStrictEqual([restart, stopTimeoutMillis], [every(5), undefined])
    const parallel = new Harness().run().register(define("a", { class: "parallel" }))
    assert.deepStrictEqual(parallel.change("a", { restart: every(5) }).answered, ["a ParallelRestart"])
    assert.deepStrictEqual(h.exits("a", 0).change("a", { restart: every(5) }).answered, ["a NotRegistered"])
  })

  it.effect("is given through the handle", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("mail", Script.exits(1), Script.exits(1), Script.serves())
      const mail = yield* postmaster.register(BackgroundWorker.make("mail", { entry, restart: "1 hour" }))
      yield* mail.changePolicy({ restart: "10 seconds", stopLadder: [["SIGQUIT", "1 seconds"]] })
      yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* mail.status)._tag, "Ready")
      const wrong = yield* Effect.flip(mail.changePolicy({ restart: "-1 seconds" }))
      assert.strictEqual(wrong.reason._tag, "InvalidInterval")
      const nonsense = yield* Effect.flip(mail.changePolicy({ stopLadder: [["SIGHUP" as never, 1]] }))
      assert.strictEqual(nonsense.reason._tag, "InvalidDefinition")
      yield* mail.terminate
      yield* mail.waitForEnd
      const { reason } = yield* Effect.flip(mail.changePolicy({ restart: "never" }))
      assert(reason._tag === "NotRegistered")
      assert.include(reason.message, "background worker \"mail\" (slot 0, generation 1) is not registered any more")
    }).pipe(Effect.provide(TestPostmaster.layer)))
})

describe("the breaker", () => {
  it("shows how many recoveries have followed each other, when the next begins, and when all is well again", () => {
    const h = new Harness().run()
    const seen = () => Onlook.snapshot(h.state, 1_000_000).breaker
    assert.deepStrictEqual(seen(), { recoveries: 0 })
    h.register(define("a", { flags: ["SharedMemory"], restart: every(0) })).born("a").wake(500).exits("a", 2)
    assert.deepStrictEqual(seen(), { recoveries: 1, healthyAt: 1_060_500 })
    h.phase("Run").born("a").wake(1_000).exits("a", 2)
    assert.deepStrictEqual(seen(), { recoveries: 2, nextAt: 1_001_600, healthyAt: 1_060_500 })
    h.wake(100).phase("Run").born("a")
    assert.deepStrictEqual(seen(), { recoveries: 2, healthyAt: 1_061_600 })
    h.wake(59_999).exits("a", 2)
    assert.deepStrictEqual(seen(), { recoveries: 3, nextAt: 1_061_799, healthyAt: 1_061_600 })
    h.wake(200).phase("Run").born("a").wake(60_000).exits("a", 2)
    assert.deepStrictEqual(seen(), { recoveries: 1, healthyAt: 1_181_799 })
  })
})

layer(TestPostmaster.layer)("a key, over the front door", (it) => {
  it.effect("asked for by fifty callers at once is one worker, which all of them hold and call the same", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      const Index = BackgroundWorker.make("index", { entry, key: "index" })
      yield* script("index", Script.serves())
      const handles = yield* Effect.all(Array.from({ length: 50 }, () => postmaster.register(Index)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(handles.map(({ ref }) => `${ref.slot}/${ref.generation}`)).size, 1)
      assert.strictEqual((yield* postmaster.snapshot).workers.length, 1)
      const pids = yield* Effect.all(handles.map((handle) => handle.waitForReady), { concurrency: "unbounded" })
      assert.strictEqual(new Set(pids).size, 1)
      yield* handles[7]!.terminate
      yield* Effect.all(handles.map((handle) => handle.waitForEnd), { concurrency: "unbounded" })
    }))

  it.effect("is refused with a typed reason, which names whoever holds it", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("one", Script.serves())
      yield* postmaster.register(BackgroundWorker.make("one", { entry }).pipe(BackgroundWorker.keyed("both")))
      const answer = yield* postmaster.register(BackgroundWorker.keyed(BackgroundWorker.make("two", { entry }), "both"))
        .pipe(
          Effect.catchReason("RegistrationError", "KeyTaken", ({ occupant }) => Effect.succeed(occupant.name)),
          Effect.result
        )
      assert.deepStrictEqual(answer, Result.succeed("one") as never)
    }))
})

describe("waiting for a slot, over the front door", () => {
  const oneSlot = TestPostmaster.layerWith({ config: { maxWorkers: 1 } })
  const First = BackgroundWorker.make("first", { entry })
  const Second = BackgroundWorker.make("second", { entry })

  it.effect("fails with the typed reason when the time is over", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("first", Script.serves())
      yield* postmaster.register(First)
      const waiting = yield* Effect.forkChild(Effect.flip(postmaster.registerWithin("10 seconds", Second)), {
        startImmediately: true
      })
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* postmaster.snapshot).waiting, 1)
      yield* TestClock.adjust("1 seconds")
      const { reason } = yield* Fiber.join(waiting)
      assert(reason._tag === "SlotsExhausted")
      assert.strictEqual(reason.waitedMillis, 10_000)
      assert.strictEqual((yield* postmaster.snapshot).waiting, 0)
    }).pipe(Effect.provide(oneSlot)))

  it.effect("answers the handle as soon as somebody leaves", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("first", Script.exits(0, { after: "5 seconds" }))
      yield* script("second", Script.serves())
      yield* postmaster.register(First)
      const waiting = yield* Effect.forkChild(postmaster.registerWithin("10 seconds", Second), {
        startImmediately: true
      })
      yield* TestClock.adjust("5 seconds")
      const handle = yield* Fiber.join(waiting)
      assert.isAbove(yield* handle.waitForReady, 0)
      assert.strictEqual(handle.ref.slot, 0 as never)
    }).pipe(Effect.provide(oneSlot)))

  it.effect("an interrupted wait takes nothing", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("first", Script.exits(0, { after: "5 seconds" }))
      yield* postmaster.register(First)
      const timedOut = yield* Effect.forkChild(
        Effect.timeoutOption(postmaster.registerWithin("1 hour", Second), "1 seconds"),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.join(timedOut)))
      assert.strictEqual((yield* postmaster.snapshot).waiting, 0)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual((yield* postmaster.snapshot).workers, [])
    }).pipe(Effect.provide(oneSlot)))

  it.effect("what was given in the moment of the interruption is given back", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("second", Script.serves())
      const events: Array<string> = []
      yield* Effect.forkChild(
        Stream.runForEach(postmaster.events, (event) => Effect.sync(() => events.push(event._tag))),
        { startImmediately: true }
      )
      const asking = yield* Effect.forkChild(postmaster.registerWithin("1 hour", Second), { startImmediately: true })
      // Its request is in the mailbox, and the loop has not heard it.
      asking.interruptUnsafe()
      yield* TestClock.adjust("1 minutes")
      assert.deepStrictEqual((yield* postmaster.snapshot).workers, [])
      assert.include(events, "Registered")
    }).pipe(Effect.provide(oneSlot)))

  it.effect("a shutdown ends every wait", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("first", Script.serves())
      yield* postmaster.register(First)
      const waiting = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(Effect.flip(postmaster.registerWithin("Infinity", Second)), { startImmediately: true }))
      yield* TestClock.adjust("1 seconds")
      yield* postmaster.shutdown("Fast")
      for (const fiber of waiting) {
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "NotAccepting")
      }
    }).pipe(Effect.provide(oneSlot)))
})
