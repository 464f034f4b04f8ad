/** What the machine decides about spares, rule by rule, and what of it survives being written down. */
import type { Phase, ShutdownMode } from "@effect-postmaster/core/Phase"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Checkpoint from "../src/internal/checkpoint.ts"
import * as Machine from "../src/internal/machine.ts"
import * as Onlook from "../src/internal/onlook.ts"
import { attached, define, every, Harness } from "./machineHarness.ts"

/** In phase Run, with so many spares ready. */
const standing = (spares: number, settings: Partial<Machine.Settings> = {}): Harness => {
  const h = new Harness({ spares, ...settings }).run()
  for (let spare = 0; spare < spares; spare++) h.spareReady(spare)
  return h
}

const made = (name: string) => define(name, { entry: { module: `file:///${name}.js`, export: "main" } })

const seen = (h: Harness) => {
  const { nextSpareAt, spares } = Onlook.snapshot(h.state, 0)
  return [spares.map(({ spare, state }) => `${spare} ${state}`), nextSpareAt]
}

describe("births of spares", () => {
  it("by default there are none", () => {
    const h = new Harness().run().register(define("a", { restart: every(0) })).born("a").exits("a", 1).wake(3_600_000)
    assert.deepStrictEqual([h.sparesBegun, seen(h), h.state.spares.modules.size], [[], [[], undefined], 0])
    assert.isUndefined(h.wakeIn())
  })

  it("the first begins when the table opens, and not before", () => {
    const h = new Harness({ spares: 2 }).register(define("a"), "Preload").wake(1_000)
    assert.deepStrictEqual([h.sparesBegun, h.wakeIn()], [[], undefined])
    h.phase("Startup")
    assert.deepStrictEqual(h.order("SpawnSpare"), { _tag: "SpawnSpare", spare: 0, modules: ["file:///worker.js"] })
    assert.include(h.events, "SpareStarting")
  })

  for (const wanted of [1, 2, 5]) {
    it(`one at a time, up to the ${wanted} wanted`, () => {
      const h = new Harness({ spares: wanted }).run()
      for (let spare = 0; spare < wanted; spare++) {
        assert.strictEqual(h.state.spares.standing.size, spare + 1)
        assert.deepStrictEqual([h.wake(1_000).sparesBegun, h.wakeIn()], [[], undefined])
        h.spareReady(spare)
        assert.deepStrictEqual(h.sparesBegun, spare + 1 < wanted ? [spare + 1] : [])
        assert.include(h.events, "SpareReady")
      }
      assert.deepStrictEqual(h.wake(1_000).orders, [])
    })
  }

  it("a launch holds them back until 100 ms after its end, and the machine asks to be woken then", () => {
    for (const end of ["born", "notBorn"] as const) {
      const h = standing(1).later(1_000).register(define("a"))
      assert.deepStrictEqual([h.launchedFrom, h.sparesBegun, h.wakeIn()], [["a 0"], [], undefined])
      assert.deepStrictEqual(h.wake(500).sparesBegun, [])
      h[end]("a")
      assert.deepStrictEqual([h.sparesBegun, h.wakeIn(), seen(h)], [[], 100, [[], 1_600]])
      assert.deepStrictEqual(h.wake(99).sparesBegun, [])
      assert.deepStrictEqual(h.wake(1).sparesBegun, [1])
    }
  })

  it("as long as others are being born, none is begun", () => {
    const h = new Harness({ spares: 1 })
    for (const name of ["a", "b"]) h.register(define(name, { startTime: "PostmasterStart" }), "Preload")
    assert.deepStrictEqual(h.phase("Startup").launchedFrom, ["a cold", "b cold"])
    assert.deepStrictEqual(h.born("a").wake(100).sparesBegun, [])
    assert.deepStrictEqual(h.born("b").wake(99).sparesBegun, [])
    assert.deepStrictEqual(h.wake(1).sparesBegun, [0])
  })

  it("each launch moves the next one further away", () => {
    const h = standing(1).register(define("a")).born("a").wake(60).register(define("b")).born("b")
    assert.strictEqual(h.wakeIn(), 100)
    assert.deepStrictEqual([h.wake(40).sparesBegun, h.wake(60).sparesBegun], [[], [1]])
  })

  const phases: ReadonlyArray<readonly [Phase, boolean]> = [
    ["Init", false],
    ["Startup", true],
    ["Consistent", true],
    ["Run", true],
    ["Waiting", true]
  ]
  for (const [phase, open] of phases) {
    it(`in phase ${phase}${phase === "Waiting" ? ", recovering," : ""} a lost one is ${open ? "" : "not "}replaced`, () => {
      const h = new Harness({ spares: 1 })
      for (const next of ["Startup", "Consistent", "Run"] as const) if (h.state.phase !== phase) h.phase(next)
      if (phase === "Waiting") h.register(attached("a")).register(attached("b")).born("a", "b").exits("a", 2)
      assert.strictEqual(h.state.phase, phase)
      assert.deepStrictEqual(h.spareLost(0).sparesBegun, [])
      assert.deepStrictEqual(h.wake(100).sparesBegun, open ? [1] : [])
    })
  }
})

describe("launches", () => {
  it("take the youngest that is ready, whoever is being born", () => {
    const h = standing(3)
    h.register(define("a"))
    assert.deepStrictEqual(h.launchedFrom, ["a 2"])
    // 3 is being born when the next two come.
    h.born("a").wake(100).register(define("b")).register(define("c"))
    assert.deepStrictEqual([h.sparesBegun, h.launchedFrom], [[], ["c 0"]])
    h.register(define("d"))
    assert.deepStrictEqual(h.launchedFrom, ["d cold"])
    assert.deepStrictEqual(seen(h)[0], ["3 Starting"])
  })

  it("several in one turn take one each, and the rest start cold", () => {
    const h = new Harness({ spares: 2 })
    for (const name of ["a", "b", "c"]) h.register(define(name), "Preload")
    h.phase("Startup").spareReady(0).spareReady(1)
    assert.deepStrictEqual(h.phase("Run").launchedFrom, ["a 1", "b 0", "c cold"])
  })

  it("from a spare show it in their event", () => {
    const h = standing(1)
    for (const [name, made] of [["a", { spare: 0 }], ["b", {}]] as const) {
      const events = h.register(define(name)).all("Publish").map(({ event }) => event)
      assert.deepInclude(events, { _tag: "Starting", ref: h.ref(name), name, type: name, ...made })
    }
  })

  it("with the hint take none, and leave it to the next", () => {
    const h = standing(1).register(define("a", { spare: false }))
    assert.deepStrictEqual(h.launchedFrom, ["a cold"])
    assert.deepStrictEqual(h.register(define("b", { spare: true })).launchedFrom, ["b 0"])
  })

  it("restarts take one as first starts do, and none is used twice", () => {
    const h = standing(1).register(define("a", { restart: every(1_000) })).born("a").wake(100).spareReady(1)
    assert.deepStrictEqual(h.exits("a", 1).wake(1_000).launchedFrom, ["a 1"])
    assert.deepStrictEqual(h.born("a").exits("a", 1).spareReady(0).spareReady(1).wake(1_000).launchedFrom, ["a cold"])
  })
})

describe("modules", () => {
  const modules = (h: Harness) =>
    h.order("SpawnSpare")?.modules.map((url) => url.slice("file:///".length, -".js".length))

  it("those registered, in their order, each once, the latest at the end", () => {
    const h = new Harness({ spares: 1 }).register(made("a"), "Preload").register(made("b"), "Preload")
    assert.deepStrictEqual(modules(h.phase("Startup")), ["a", "b"])
    h.phase("Run").register(made("c")).register({ ...made("a"), name: "d" }).born("a", "b", "c", "d").wake(100)
    assert.deepStrictEqual(modules(h.spareLost(0, "Outdated")), ["b", "c", "a"])
  })

  it("of workers with the hint, and of those refused, none", () => {
    const h = new Harness({ spares: 1, maxWorkers: 1 }).run()
    h.register({ ...made("loner"), spare: false }).register(made("refused")).born("loner").wake(100)
    assert.deepStrictEqual(modules(h.spareLost(0, "Outdated")), [])
  })

  it("32 at most, the latest", () => {
    const h = new Harness({ spares: 1, maxWorkers: 100 })
    const names = Array.from({ length: 40 }, (_, index) => `w${index}`)
    for (const name of names) h.register(made(name), "Preload")
    // Whoever comes again is among the latest.
    h.register(made("w8"), "Preload").phase("Startup")
    assert.deepStrictEqual(modules(h), [...names.slice(9), "w8"])
  })
})

describe("losses", () => {
  it("of one that was born and died, are damped: 0.1, 0.2, 0.4 … 10 seconds", () => {
    const h = new Harness({ spares: 1 }).run()
    const waits: Array<number> = []
    for (let spare = 0; spare < 9; spare++) {
      // Ready or not makes no difference.
      if (spare % 2 === 0) h.spareReady(spare)
      waits.push(h.spareLost(spare).wakeIn()!)
      const lost = h.order("Publish")!.event
      assert(lost._tag === "SpareLost")
      assert.strictEqual(lost.nextStartInMillis, waits.at(-1))
      assert.deepStrictEqual(h.wake(waits.at(-1)! - 1).sparesBegun, [])
      assert.deepStrictEqual(h.wake(1).sparesBegun, [spare + 1])
    }
    assert.deepStrictEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
  })

  it("of an outdated one are not, and do not count", () => {
    const h = new Harness({ spares: 1 }).run()
    for (let spare = 0; spare < 5; spare++) {
      assert.deepStrictEqual(h.spareReady(spare).spareLost(spare, "Outdated").sparesBegun, [spare + 1])
    }
    assert.strictEqual(h.spareLost(5).wakeIn(), 100)
    h.wake(100).spareReady(6).spareLost(6, "Outdated").spareReady(7).spareLost(7)
    assert.strictEqual(h.wakeIn(), 200)
  })

  /** Three have died in a row, and the fourth is ready. */
  const unlucky = (): Harness => {
    const h = new Harness({ spares: 1 }).run()
    for (const [spare, wait] of [100, 200, 400].entries()) h.spareLost(spare).wake(wait)
    return h.spareReady(3)
  }

  it("are forgotten when one is of use", () => {
    assert.strictEqual(unlucky().spareLost(3).wakeIn(), 800)
    const h = unlucky().register(define("a")).born("a").wake(100)
    assert.strictEqual(h.spareLost(4).wakeIn(), 100)
  })

  it("are forgotten when one has stood for 60 seconds, and not before", () => {
    assert.strictEqual(unlucky().later(59_999).spareLost(3).wakeIn(), 800)
    assert.strictEqual(unlucky().later(60_000).spareLost(3).wakeIn(), 100)
    const outdated = unlucky().later(60_000).spareLost(3, "Outdated").spareReady(4).spareLost(4)
    assert.strictEqual(outdated.wakeIn(), 100)
  })

  it("a birth that fails after a minute was no standing", () => {
    const h = unlucky().spareLost(3).wake(800).later(60_000).spareLost(4)
    assert.strictEqual(h.wakeIn(), 1_600)
  })

  it("a launch does not shorten what a loss has set", () => {
    const h = unlucky().spareLost(3).later(10).register(define("a")).born("a")
    assert.strictEqual(h.wakeIn(), 790)
  })

  it("a loss is no crash: no phase, no worker, no recovery", () => {
    const h = standing(1).register(attached("a")).born("a").joins("a").wake(100).spareReady(1).spareLost(1)
    assert.deepStrictEqual([h.events, h.signals, h.told], [["SpareLost"], [], []])
    assert.deepStrictEqual([h.state.phase, h.state.recovering, h.life("a")], ["Run", false, "Running"])
  })

  it("of a spare that is unknown or taken change nothing, and neither does its readiness", () => {
    const h = standing(1).register(define("a"))
    const before = JSON.stringify(Checkpoint.save(h.state))
    for (const spare of [0, 1, 4711]) {
      for (const cause of ["Died", "Outdated"] as const) assert.deepStrictEqual(h.spareLost(spare, cause).orders, [])
      assert.deepStrictEqual(h.spareReady(spare).orders, [])
    }
    assert.strictEqual(JSON.stringify(Checkpoint.save(h.state)), before)
    assert.deepStrictEqual(standing(1).spareReady(0).orders, [])
  })
})

describe("the end of spares", () => {
  for (const mode of ["Smart", "Fast", "Immediate"] as ReadonlyArray<ShutdownMode>) {
    it(`${mode}: each is ended when the shutdown begins, ready or not, and none is begun`, () => {
      const h = standing(2).register(define("a", { restart: every(1) })).born("a").wake(100).shutdown(mode)
      assert.deepStrictEqual(h.sparesEnded, [0, 2])
      assert.deepStrictEqual(
        h.all("Publish").flatMap(({ event }) => event._tag === "SpareEnded" ? [event.spare] : []),
        [0, 2]
      )
      assert.deepStrictEqual([h.state.phase, seen(h)], ["Waiting", [[], undefined]])
      for (const late of [() => h.spareReady(2), () => h.spareLost(0), () => h.wake(1_000)]) {
        assert.deepStrictEqual([late().sparesBegun, h.sparesEnded], [[], []])
      }
    })

    it(`${mode}: the halt does not wait for them`, () => {
      const h = standing(1).register(define("a", { restart: every(1) })).born("a").wake(100).shutdown(mode)
      assert.deepStrictEqual(h.sparesEnded, [1])
      assert.isFalse(h.exits("a", 1).order("Halt")?.abnormal)
      const idle = new Harness({ spares: 1 }).run().shutdown(mode)
      assert.deepStrictEqual([idle.sparesEnded, idle.order("Halt")?.abnormal], [[0], false])
      assert.isUndefined(idle.wakeIn())
    })
  }

  it("a smart shutdown that waits for jobs keeps them, and goes on using and replacing them", () => {
    const h = standing(1).register(define("job")).born("job").wake(100).spareReady(1).shutdown("Smart")
    assert.deepStrictEqual([h.state.phase, h.sparesEnded], ["Run", []])
    assert.deepStrictEqual(h.register(define("another")).launchedFrom, ["another 1"])
    assert.deepStrictEqual(h.born("another").wake(100).sparesBegun, [2])
    h.exits("job", 0).exits("another", 0)
    assert.deepStrictEqual([h.sparesEnded, h.state.phase], [[2], "Halted"])
  })

  it("a crash leaves them alone, and the recovery is served by them", () => {
    const h = standing(2).register(attached("a", { restart: every(0) })).born("a").joins("a").wake(100)
    h.exits("a", 2)
    assert.deepStrictEqual([h.sparesEnded, seen(h)[0], h.state.phase], [[], ["0 Ready", "2 Starting"], "Startup"])
    assert.deepStrictEqual(h.phase("Run").launchedFrom, ["a 0"])
  })

  it("restartAfterCrash off, and a startup effect that fails, end them", () => {
    const crash = standing(1, { restartAfterCrash: false }).register(attached("a")).register(define("b"))
    crash.born("a", "b").wake(100).exits("a", 2)
    assert.deepStrictEqual(crash.sparesEnded, [1])
    const failed = new Harness({ spares: 1 }).phase("Startup")
    assert.deepStrictEqual(failed.hear({ _tag: "StartupFailed", run: 0, detail: "no" }).sparesEnded, [0])
  })
})

describe("a checkpoint", () => {
  it("holds all there is to know of spares: what follows it is the same", () => {
    const codec = Schema.toCodecJson(Checkpoint.Checkpoint)
    const history = (h: Harness): ReadonlyArray<() => Harness> => [
      () => h.phase("Startup"),
      () => h.phase("Run").spareLost(0),
      () => h.wake(100).spareLost(1),
      () => h.wake(200).spareReady(2),
      () => h.register(made("b")),
      () => h.register(made("a")),
      () => h.born("b"),
      () => h.born("a"),
      () => h.wake(100),
      () => h.later(60_000).spareLost(3),
      () => h.wake(100).spareReady(4),
      () => h.spareLost(4),
      () => h.shutdown("Fast")
    ]
    const settings = { spares: 2 }
    const length = history(new Harness(settings)).length
    for (let until = 0; until < length; until++) {
      const h = new Harness(settings).register(made("p"), "Preload").register(made("q"), "Preload")
      const steps = history(h)
      for (const step of steps.slice(0, until)) step()
      const written = JSON.stringify(Schema.encodeUnknownSync(codec)(Checkpoint.save(h.state)))
      const again = Checkpoint.load(h.state.settings, Schema.decodeUnknownSync(codec)(JSON.parse(written)))
      const copied = Machine.copy(h.state)
      const heard: Array<readonly [Machine.Input, number]> = []
      const hear = h.hear.bind(h)
      h.hear = (input) => {
        heard.push([input, h.now])
        return hear(input)
      }
      for (const step of steps.slice(until)) step()
      for (const state of [again, copied]) {
        for (const [input, now] of heard) Machine.step(state, input, now)
        assert.deepStrictEqual(Checkpoint.save(state), Checkpoint.save(h.state))
      }
    }
  })
})
