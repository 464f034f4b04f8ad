import {
  BackgroundWorker,
  type ChildReport,
  FramePort,
  type Identity,
  Postmaster,
  PostmasterConfig,
  Registration,
  type SignOfLife,
  Spawner
} from "@effect-postmaster/core"
import { signaled } from "@effect-postmaster/core/ExitStatus"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Checkpoint from "../src/internal/checkpoint.ts"
import * as Liveness from "../src/internal/liveness.ts"
import { attached, define, every, Harness } from "./machineHarness.ts"

const killed = signaled("SIGKILL", { ordered: true })

/** The time beyond a limit in which what was said is still read, if the limit is found in time. */
const graceMillis = 50

const hungOf = (h: Harness) =>
  h.all("Publish").flatMap(({ event }) => event._tag === "Hung" ? [[event.missed, event.afterMillis] as const] : [])

const watched = (options: Partial<Registration.Registration> = {}): Registration.Registration =>
  define("a", { restart: every(0), heartbeatMillis: 1_000, ...options })

const running = (options: Partial<Registration.Registration> = {}): Harness =>
  new Harness().run().register(watched(options)).born("a").ready("a")

describe("limits", () => {
  const signs = { startedAt: 0, ready: true, heardAt: 1_000, workedAt: 500 }

  it("the earliest of what is asked for counts", () => {
    const both = { heartbeatMillis: 1_000, progressTimeoutMillis: 1_200, readyTimeoutMillis: 1 }
    assert.deepStrictEqual(Liveness.nextLimit(both, signs), { missed: "Progress", since: 500, at: 1_700 })
    assert.deepStrictEqual(Liveness.nextLimit({ ...both, progressTimeoutMillis: 2_000 }, signs)?.missed, "Heartbeat")
    assert.isUndefined(Liveness.nextLimit({ readyTimeoutMillis: 1 }, signs))
    assert.isUndefined(Liveness.nextLimit({}, { ...signs, ready: false }))
  })

  it("before a worker is ready only that is waited for", () => {
    const unready = { ...signs, ready: false }
    assert.isUndefined(Liveness.nextLimit({ heartbeatMillis: 1, progressTimeoutMillis: 1 }, unready))
    const limit = Liveness.nextLimit({ heartbeatMillis: 1, readyTimeoutMillis: 700 }, unready)
    assert.deepStrictEqual(limit, { missed: "Ready", since: 0, at: 700 })
  })

  const graces: ReadonlyArray<readonly [late: number, whole: number, grace: number]> = [
    [0, 1_000, 50],
    [0, 60_000, 50],
    [0, 200, 10],
    [49, 1_000, 50],
    [300, 1_000, 300],
    [5_000, 1_000, 1_000]
  ]
  for (const [late, whole, grace] of graces) {
    it(`${whole} ms found passed ${late} ms late are made ${grace} ms longer`, () => {
      assert.strictEqual(Liveness.grace({ missed: "Heartbeat", since: 10, at: 10 + whole }, 10 + whole + late), grace)
    })
  }
})

describe("a heartbeat", () => {
  it("that stops: the worker is killed with its group, told as hung, and comes back by its policy", () => {
    const h = running()
    assert.strictEqual(h.wakeIn(), 1_000)
    h.wake(1_000)
    assert.deepStrictEqual([h.signals, h.wakeIn()], [[], graceMillis])
    h.wake(graceMillis)
    assert.deepStrictEqual(hungOf(h), [["Heartbeat", 1_050]])
    assert.deepStrictEqual(h.signals, ["a SIGKILL Group"])
    h.exits("a", killed)
    const exited = h.all("Publish").find(({ event }) => event._tag === "Exited")?.event
    assert.deepInclude(exited, { verdict: "Failed", told: "SIGKILL", stopCause: "NoHeartbeat", nextStartInMillis: 0 })
    assert.deepStrictEqual(h.launched, ["a"])
  })

  it("that goes on: nothing happens, and nobody is told", () => {
    const h = running()
    const { version } = h.state.table
    for (let beat = 0; beat < 100; beat++) {
      h.later(333).beat("a")
      assert.deepStrictEqual(h.orders, [])
      if (h.wakeIn()! <= 0) h.wake()
      assert.deepStrictEqual(h.orders, [])
    }
    assert.strictEqual(h.state.table.version, version)
    assert.isAtMost(h.state.table.watches.items.length, 2)
  })

  it("one that comes in the time beyond the limit saves it", () => {
    const h = running().wake(1_000).later(graceMillis - 1).beat("a").wake(1)
    assert.deepStrictEqual(hungOf(h), [])
    assert.strictEqual(h.wakeIn(), 999)
  })

  it("is asked for only once it is ready, and of whoever is not told to end", () => {
    const unready = new Harness().run().register(watched()).born("a")
    assert.isUndefined(unready.wakeIn())
    const told = running({ stopTimeoutMillis: 60_000 }).terminate("a")
    assert.strictEqual(told.wakeIn(), 60_000)
    assert.deepStrictEqual(hungOf(told.wake(30_000)), [])
  })

  it("one that counts for nothing changes nothing: before the birth, between two lives, of a stale reference", () => {
    const h = new Harness().run().register(watched({ restart: every(5_000) })).beat("a")
    assert.strictEqual(h.life("a"), "Starting")
    h.born("a").exits("a", 1).beat("a")
    assert.strictEqual(h.life("a"), "Resting")
    h.terminate("a").beat("a")
    assert.deepStrictEqual(h.orders, [])
  })

  it("our own lateness is not held against it: found late, it is given as long again, once", () => {
    const h = running().wake(1_600)
    assert.deepStrictEqual([hungOf(h), h.wakeIn()], [[], 600])
    h.wake(600)
    assert.deepStrictEqual(hungOf(h), [["Heartbeat", 2_200]])
  })

  it("after an hour in which nobody listened it is given its whole deadline, and no more", () => {
    const h = running().wake(3_600_000)
    assert.deepStrictEqual([hungOf(h), h.wakeIn()], [[], 1_000])
    // Late once more: that has been allowed for.
    assert.strictEqual(hungOf(h.wake(5_000)).length, 1)
  })

  it("a hundred workers that a blocked application has not heard are all spared", () => {
    const h = new Harness({ maxWorkers: 100 }).run()
    const names = Array.from({ length: 100 }, (_, index) => `w${index}`)
    for (const name of names) h.register(define(name, { heartbeatMillis: 1_000 })).born(name).ready(name)
    assert.deepStrictEqual(h.wake(60_000).orders, [])
    for (const name of names) h.later(5).beat(name)
    assert.deepStrictEqual(h.wake(499).orders, [])
    assert.strictEqual(h.state.table.children, 100)
  })

  it("an attached worker that hangs has failed, and has not crashed", () => {
    const h = new Harness().run().register(attached("a", { heartbeatMillis: 1_000, restart: every(0) }))
    h.register(attached("b")).born("a", "b").joins("a", "b").ready("a").wake(1_000).wake(graceMillis)
    assert.deepStrictEqual(h.signals, ["a SIGKILL Group"])
    h.exits("a", killed)
    assert.isFalse(h.state.recovering)
    assert.deepStrictEqual(h.launched, ["a"])
  })

  it("each life is watched anew", () => {
    const h = running().wake(1_000).wake(graceMillis).exits("a", killed).born("a").ready("a")
    assert.strictEqual(h.wakeIn(), 1_000)
    assert.deepStrictEqual(hungOf(h.wake(1_000)), [])
    assert.deepStrictEqual(hungOf(h.wake(graceMillis)), [["Heartbeat", 1_050]])
  })

  it("costs a turn nothing when nobody asks for it", () => {
    const h = new Harness().run().register(define("a")).born("a").ready("a").beat("a")
    assert.isUndefined(h.wakeIn())
    assert.strictEqual(h.state.table.watches.items.length, 0)
  })
})

describe("a ready timeout", () => {
  it("a worker that is not ready in time is killed, and has failed", () => {
    const h = new Harness().run().register(define("a", { readyTimeoutMillis: 3_000, restart: every(7_000) })).born("a")
    assert.strictEqual(h.wakeIn(), 3_000)
    h.wake(3_000).wake(graceMillis)
    assert.deepStrictEqual(hungOf(h), [["Ready", 3_050]])
    h.exits("a", killed)
    assert.strictEqual(h.wakeIn(), 7_000)
  })

  it("one that is ready is not watched any more", () => {
    const h = new Harness().run().register(define("a", { readyTimeoutMillis: 3_000 })).born("a").later(2_999).ready("a")
    assert.isUndefined(h.wakeIn())
  })

  it("failures to get ready are counted like any others", () => {
    const restart = { ...every(0), giveUp: { failures: 2, withinMillis: 60_000, outcome: "Park" } } as const
    const h = new Harness().run().register(define("a", { readyTimeoutMillis: 1_000, restart: restart as never }))
    for (let life = 0; life < 2; life++) h.born("a").wake(1_000).wake(graceMillis).exits("a", killed)
    assert.strictEqual(h.life("a"), "Parked")
  })
})

describe("progress", () => {
  it("is seen in events and snapshots, and ends with the life", () => {
    const h = running({ restart: every(1_000) }).later(10).progress("a", { done: 1, total: 4, message: "one" })
    assert.deepStrictEqual(h.events, ["Progressed"])
    assert.deepStrictEqual(h.progressOf("a"), { done: 1, total: 4, message: "one", at: 10 })
    h.exits("a", 1)
    assert.isUndefined(h.progressOf("a"))
  })

  it("that stops while the loop beats: the worker is killed", () => {
    const h = running({ progressTimeoutMillis: 2_000 })
    for (let beat = 0; beat < 6; beat++) h.later(333).beat("a").wake()
    h.later(2).beat("a").wake()
    assert.deepStrictEqual([hungOf(h), h.wakeIn()], [[], graceMillis])
    h.wake(graceMillis)
    assert.deepStrictEqual(hungOf(h), [["Progress", 2_050]])
  })

  it("is a sign of life, too", () => {
    const h = running().later(900).progress("a", { done: 1 }).wake(100)
    assert.deepStrictEqual(hungOf(h), [])
    assert.strictEqual(h.wakeIn(), 900)
  })
})

describe("what is written down", () => {
  it("a state goes on from its checkpoint as it would have gone on itself", () => {
    const settings = new Harness().state.settings
    for (const wait of [0, 500, 1_000, 1_600]) {
      const h = running({ progressTimeoutMillis: 3_000 }).progress("a", { done: 1 }).wake(wait)
      const loaded = Checkpoint.load(settings, Checkpoint.save(h.state))
      assert.deepStrictEqual(Checkpoint.save(loaded), Checkpoint.save(h.state))
      const other = Object.assign(new Harness(), { state: loaded, now: h.now })
      assert.deepStrictEqual(other.wakeIn(), h.wakeIn())
      assert.deepStrictEqual(other.wake(h.wakeIn()).orders, h.wake(h.wakeIn()).orders)
    }
  })

  const refused: ReadonlyArray<readonly [string, Partial<Registration.Registration>]> = [
    ["ready timeout 99 ms", { readyTimeoutMillis: 99 }],
    ["heartbeat 0 ms", { heartbeatMillis: 0 }],
    ["heartbeat NaN ms", { heartbeatMillis: Number.NaN }],
    ["progress timeout Infinity ms", { progressTimeoutMillis: Number.POSITIVE_INFINITY }]
  ]
  for (const [what, options] of refused) {
    it(`${what} is refused`, () => {
      assert.include(Registration.sanityCheck(define("a", options))?.message, `invalid ${what}, it must be between 100`)
    })
  }
})

const module = new URL("file:///worker.js")

const hungFor = (
  define: {
    readonly heartbeat?: Duration.Input
    readonly progressTimeout?: Duration.Input
    readonly readyTimeout?: Duration.Input
  },
  ...scripts: ReadonlyArray<Script.Script>
) =>
  Effect.gen(function*() {
    const postmaster = yield* Postmaster
    yield* (yield* TestSpawner).script("a", ...scripts)
    const seen: Array<string> = []
    yield* Effect.forkChild(
      Stream.runForEach(postmaster.events, (event) =>
        Effect.map(
          Effect.clockWith((clock) => clock.currentTimeMillis),
          (now) => {
            if (event._tag === "Hung" || event._tag === "Started") {
              seen.push(`${now} ${event._tag === "Hung" ? event.missed : event._tag}`)
            }
          }
        )),
      { startImmediately: true }
    )
    const worker = BackgroundWorker.make("a", { entry: { module }, restart: "10 seconds", ...define })
    yield* postmaster.register(worker)
    yield* TestClock.adjust("1 minute")
    return seen
  }).pipe(Effect.provide(TestPostmaster.layer))

describe("scripted workers", () => {
  it.effect("beat by themselves", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* hungFor({ heartbeat: "1 second" }, Script.serves()), ["0 Started"])
    }))

  it.effect("one that hangs is noticed in time, and replaced after its rest", () =>
    Effect.gen(function*() {
      const seen = yield* hungFor(
        { heartbeat: "6 seconds" },
        Script.serves({ hangsAfter: "5 seconds" }),
        Script.serves()
      )
      // Its last beat came at 4 s.
      assert.deepStrictEqual(seen, ["0 Started", "10050 Heartbeat", "20050 Started"])
    }))

  it.effect("one that is deaf gives no sign of life either", () =>
    Effect.gen(function*() {
      const seen = yield* hungFor({ heartbeat: "1 second" }, Script.hangs(), Script.serves())
      assert.deepStrictEqual(seen, ["0 Started", "1050 Heartbeat", "11050 Started"])
    }))

  it.effect("one that takes too long to be ready", () =>
    Effect.gen(function*() {
      const seen = yield* hungFor(
        { readyTimeout: "3 seconds" },
        Script.serves({ ready: "never" }),
        Script.serves({ ready: "2 seconds" })
      )
      assert.deepStrictEqual(seen, ["0 Started", "3050 Ready", "13050 Started"])
    }))

  it.effect("one whose work stands still while its loop runs", () =>
    Effect.gen(function*() {
      const seen = yield* hungFor(
        { heartbeat: "1 second", progressTimeout: "5 seconds" },
        Script.serves({ progress: { every: "1 second", times: 3 } }),
        Script.serves({ progress: { every: "4 seconds" } })
      )
      assert.deepStrictEqual(seen, ["0 Started", "8050 Progress", "18050 Started"])
    }))
})

describe("a worker that says more than anybody can hear", () => {
  it.effect("the mailbox holds its newest progress and one beat, and later ones are heard again", () =>
    Effect.gen(function*() {
      let report: (report: ChildReport | SignOfLife) => void = () => {}
      const spawn: Spawner["Service"]["spawn"] = (_, hear) => {
        report = hear
        const [port] = FramePort.pair()
        const exit = Effect.never
        return Effect.succeed({ pid: 7 as Identity.Pid, signal: () => Effect.void, exit, port, reject: () => {} })
      }
      const layer = Postmaster.layer().pipe(
        Layer.provide([
          PostmasterConfig.layer({ shutdownOnRelease: "Immediate" }),
          Layer.succeed(Spawner, Spawner.of({ spawn }))
        ])
      )
      const scope = yield* Scope.make()
      const postmaster = Context.get(yield* Layer.buildWithScope(layer, scope), Postmaster)
      const worker = yield* postmaster.register(BackgroundWorker.make("a", { entry: { module } }))
      yield* worker.waitForStartup
      const burst = (from: number) => {
        for (let done = from; done < from + 1_000; done++) {
          report({ _tag: "Beat" })
          report({ _tag: "Progress", progress: { done } })
        }
      }
      for (const [index, from] of [0, 1_000].entries()) {
        burst(from)
        yield* TestClock.adjust(0)
        const heard = (yield* postmaster.recording).heard.map(({ input }) => input)
        assert.strictEqual(heard.filter(({ _tag }) => _tag === "ChildBeat").length, index + 1)
        assert.deepStrictEqual(
          heard.flatMap((input) => input._tag === "ChildProgressed" ? [input.progress.done] : []),
          [999, 1_999].slice(0, index + 1)
        )
        assert.strictEqual(Option.getOrThrow(yield* worker.progress).done, from + 999)
      }
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
    }))
})
