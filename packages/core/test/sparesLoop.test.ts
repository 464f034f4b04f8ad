/** Spares as callers, onlookers and spawners meet them. */
import {
  BackgroundWorker,
  type Child,
  ExitStatus,
  type Identity,
  Postmaster,
  PostmasterConfig,
  type PostmasterEvent,
  preload,
  Recording,
  type Spare,
  type SpareLoss,
  Spawner
} from "@effect-postmaster/core"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

const define = (name: string, options?: Partial<BackgroundWorker.Options<typeof Schema.Void>>) =>
  BackgroundWorker.make(name, { entry: { module: new URL(`file:///${name}.js`) }, ...options })

const Job = define("job")

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options
) => it.effect(name, () => Effect.provide(body(), TestPostmaster.layerWith({ config: { spares: 1 }, ...options })))

/** What is heard from here on. */
const listen = Effect.gen(function*() {
  const { events } = yield* Postmaster
  const heard: Array<PostmasterEvent.PostmasterEvent> = []
  yield* Effect.forkChild(Stream.runForEach(events, (event) => Effect.sync(() => heard.push(event))), {
    startImmediately: true
  })
  return heard
})

const gone: SpareLoss = { cause: "Died", detail: "gone" }

const tags = (events: ReadonlyArray<PostmasterEvent.PostmasterEvent>) => events.map((event) => event._tag)

describe("spares", () => {
  test("by default there are none", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal } = yield* TestSpawner
      yield* (yield* postmaster.register(Job)).waitForReady
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual((yield* postmaster.snapshot).spares, [])
      assert.deepStrictEqual((yield* journal).map((entry) => entry._tag), ["Spawned"])
    }), { config: {} })

  test("a launch from one is Started at once, with the spare's pid, and the next is made 100 ms later", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, script, spares } = yield* TestSpawner
      yield* script("job", Script.serves({ birth: "1 hour" }))
      const [spare] = (yield* postmaster.snapshot).spares
      assert.deepInclude(spare, { spare: 0, state: "Ready", since: 0 })
      const heard = yield* listen
      const job = yield* postmaster.register(Job)
      const pid = yield* job.waitForReady
      assert.strictEqual(pid, spare?.pid)
      assert.deepStrictEqual(yield* spares, [])
      assert.deepInclude(yield* postmaster.snapshot, { spares: [], nextSpareAt: 100 })
      yield* TestClock.adjust(99)
      assert.deepStrictEqual(yield* spares, [])
      yield* TestClock.adjust(1)
      const [next] = yield* spares
      assert.notStrictEqual(next, pid)
      assert.deepStrictEqual(yield* journal, [
        { _tag: "SpareMade", at: 0, pid, modules: [] },
        { _tag: "Spawned", at: 0, name: "job", ref: job.ref, args: null, spare: true },
        { _tag: "SpareMade", at: 100, pid: next!, modules: ["file:///job.js"] }
      ])
      assert.deepStrictEqual(tags(heard), ["Registered", "Starting", "Started", "Ready", "SpareStarting", "SpareReady"])
      assert.deepInclude(heard[1], { _tag: "Starting", spare: 0 })
    }))

  test("a spare is no worker: it takes no slot, and its pid has no type", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { spares } = yield* TestSpawner
      const { freeSlots, workers } = yield* postmaster.snapshot
      assert.deepStrictEqual([freeSlots, workers], [1, []])
      const [pid] = yield* spares
      assert.deepStrictEqual(yield* postmaster.typeByPid(pid!), Option.none())
      const job = yield* postmaster.register(Job)
      yield* job.waitForStartup
      assert.deepStrictEqual(yield* postmaster.typeByPid(pid!), Option.some("job"))
    }), { config: { maxWorkers: 1, spares: 1 } })

  test("a worker with the hint is born, and its module is not imported ahead", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { journal, spares } = yield* TestSpawner
      const standing = yield* spares
      yield* (yield* postmaster.register(define("loner", { spare: false }))).waitForStartup
      assert.deepStrictEqual(yield* spares, standing)
      yield* (yield* postmaster.register(Job)).waitForStartup
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(
        (yield* journal).map((entry) =>
          entry._tag === "Spawned" ? entry.spare : entry._tag === "SpareMade" && String(entry.modules)
        ),
        ["", false, true, "file:///job.js"]
      )
    }))

  test("those preloaded are imported by the first", () =>
    Effect.gen(function*() {
      const { journal } = yield* TestSpawner
      const made = (yield* journal).find((entry) => entry._tag === "SpareMade")
      assert(made?._tag === "SpareMade")
      assert.deepStrictEqual(made.modules, ["file:///job.js"])
    }), { config: { spares: 1 }, preload: [preload(Job)] })

  test("one that dies while it waits is no crash, and is in events and snapshot", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { loseSpare, spares } = yield* TestSpawner
      const worker = yield* postmaster.register(
        define("attached", { flags: ["SharedMemory"], restart: 0, spare: false })
      )
      yield* worker.waitForReady
      const heard = yield* listen
      const loss: SpareLoss = { cause: "Died", detail: "out of memory" }
      for (const wait of [100, 200, 400]) {
        const [pid] = yield* spares
        heard.length = 0
        assert.isTrue(yield* loseSpare(pid!, loss))
        const { nextSpareAt, phase, recovering, spares: seen } = yield* postmaster.snapshot
        assert.deepStrictEqual([phase, recovering, seen], ["Run", false, []])
        assert.strictEqual(nextSpareAt! - (yield* Clock.currentTimeMillis), wait)
        assert.deepInclude(heard[0], { _tag: "SpareLost", loss, nextStartInMillis: wait })
        yield* TestClock.adjust(wait)
        assert.deepStrictEqual(tags(heard), ["SpareLost", "SpareStarting", "SpareReady"])
        assert.isFalse(yield* loseSpare(pid!, loss))
      }
      assert.strictEqual((yield* worker.status)._tag, "Ready")
    }))

  test("one that is outdated is replaced at once", () =>
    Effect.gen(function*() {
      const { loseSpare, spares } = yield* TestSpawner
      for (let round = 0; round < 5; round++) {
        const [old] = yield* spares
        yield* loseSpare(old!, { cause: "Outdated", detail: "job.js has changed" })
        const [young] = yield* spares
        assert.isAbove(young!, old!)
      }
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    }))

  test("a recording that spares play a part in leads to the present again", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { loseSpare, script, spares } = yield* TestSpawner
      yield* script("job", Script.exits(1, { after: "1 second" }))
      yield* postmaster.register(define("job", { restart: "1 second" }))
      for (const cause of ["Died", "Outdated", "Died"] as const) {
        yield* TestClock.adjust("5 seconds")
        const [pid] = yield* spares
        assert.isTrue(yield* loseSpare(pid!, { cause, detail: "gone" }))
      }
      yield* TestClock.adjust(50)
      const recording = yield* postmaster.recording
      const codec = Schema.toCodecJson(Recording.Recording)
      const written = JSON.stringify(yield* Schema.encodeEffect(codec)(recording))
      const turns = Recording.replay(yield* Schema.decodeUnknownEffect(codec)(JSON.parse(written)))
      const heard = turns.map((turn) => turn.heard.input._tag)
      assert.includeMembers(heard, ["SpareReady", "SpareLost"])
      assert.strictEqual(
        turns.flatMap((turn) => turn.orders.filter((order) => order === "SpawnSpare")).length,
        heard.filter((fact) => fact === "SpareReady").length
      )
      assert.deepStrictEqual(turns.at(-1)?.snapshot, yield* postmaster.snapshot)
    }), { config: { spares: 2 } })
})

describe("the end of spares", () => {
  test("with the postmaster's halt", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { spares } = yield* TestSpawner
      const heard = yield* listen
      yield* postmaster.shutdown("Fast")
      yield* postmaster.awaitHalt
      assert.deepStrictEqual([yield* spares, (yield* postmaster.snapshot).spares], [[], []])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(tags(heard), ["ShutdownRequested", "PhaseReached", "SpareEnded", "PhaseReached", "Halted"])
    }))

  it.effect("with the postmaster's layer", () =>
    Effect.gen(function*() {
      const memo = yield* Layer.makeMemoMap
      const outer = yield* Layer.buildWithMemoMap(TestSpawner.layer, memo, yield* Effect.scope)
      const inner = yield* Scope.make()
      yield* Layer.buildWithMemoMap(TestPostmaster.layerWith({ config: { spares: 1 } }), memo, inner)
      yield* Effect.gen(function*() {
        const { spares } = yield* TestSpawner
        assert.strictEqual((yield* spares).length, 1)
        yield* Scope.close(inner, Exit.void)
        assert.deepStrictEqual(yield* spares, [])
      }).pipe(Effect.provide(outer))
    }))

  it.effect("with a loop that dies, and nothing is said to stand any more", () =>
    Effect.gen(function*() {
      const inner = yield* Clock.Clock
      let broken = false
      const clock: Clock.Clock = {
        currentTimeMillisUnsafe: () => inner.currentTimeMillisUnsafe(),
        currentTimeMillis: inner.currentTimeMillis,
        currentTimeNanosUnsafe: () => inner.currentTimeNanosUnsafe(),
        currentTimeNanos: inner.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => {
          if (broken) throw new Error("the clock has stopped")
          return inner.monotonicTimeNanosUnsafe()
        },
        monotonicTimeNanos: inner.monotonicTimeNanos,
        sleep: (duration) => inner.sleep(duration)
      }
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const { loseSpare, spares } = yield* TestSpawner
        const [pid, lost] = yield* spares
        assert.strictEqual((yield* postmaster.snapshot).spares.length, 2)
        broken = true
        yield* loseSpare(lost!, gone)
        const died = yield* Effect.flip(postmaster.awaitHalt)
        assert.include(died.message, "the clock has stopped")
        assert.notInclude(yield* spares, pid!)
        const { nextSpareAt, phase, spares: seen } = yield* postmaster.snapshot
        assert.deepStrictEqual([phase, seen, nextSpareAt], ["Halted", [], undefined])
      }).pipe(
        Effect.provide(
          TestPostmaster.layerWith({ config: { spares: 2 } }).pipe(Layer.provide(Layer.succeed(Clock.Clock, clock)))
        )
      )
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")))
})

/** A spawner that remembers what became of whom. */
const makeSpawner = (options: {
  readonly spare?: Partial<Spare>
  /** Whether a spare that is given is used. */
  readonly fits?: boolean
  readonly birth?: Effect.Effect<void, SpawnError>
  readonly spareBirth?: Effect.Effect<void, SpawnError>
  readonly sweep?: Effect.Effect<void>
} = {}) => {
  const story: Array<string> = []
  const lost = Deferred.makeUnsafe<SpareLoss>()
  const exit = Deferred.makeUnsafe<ExitStatus.ExitStatus>()
  let lastPid = 0
  const spawn: Spawner["Service"]["spawn"] = Effect.fnUntraced(function*(launch, _, spare) {
    story.push(`spawn ${launch.registration.name} ${spare === undefined ? "cold" : `given ${spare.pid}`}`)
    yield* options.birth ?? Effect.void
    const pid = spare !== undefined && options.fits !== false ? spare.pid : (++lastPid as Identity.Pid)
    yield* Effect.addFinalizer(() => Effect.sync(() => story.push(`child ${pid} swept`)))
    const leave = Effect.asVoid(Deferred.succeed(exit, ExitStatus.exited(1)))
    return {
      pid,
      signal: () => leave,
      exit: Deferred.await(exit),
      port: FramePort.closed,
      reject: () => {}
    } satisfies Child
  })
  const spare = Effect.fnUntraced(function*() {
    yield* options.spareBirth ?? Effect.void
    const pid = ++lastPid as Identity.Pid
    story.push(`spare ${pid}`)
    yield* Effect.addFinalizer(() =>
      Effect.andThen(options.sweep ?? Effect.void, Effect.sync(() => story.push(`spare ${pid} swept`)))
    )
    return { pid, lost: Deferred.await(lost), ...options.spare } satisfies Spare
  })
  return { spawn, spare, story, lost, exit }
}

const serve = ({ spare, spawn }: Spawner["Service"], config = { spares: 1 }) =>
  Postmaster.layer().pipe(
    Layer.provide([
      Layer.succeed(Spawner, Spawner.of(spare === undefined ? { spawn } : { spare, spawn })),
      PostmasterConfig.layer({ ...config, shutdownOnRelease: "Immediate", killAfter: 0 })
    ])
  )

describe("the spawner's side", () => {
  it.effect("a spawner that makes none has none, whatever the setting", () =>
    Effect.gen(function*() {
      const { exit, spawn, story } = makeSpawner()
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        yield* TestClock.adjust("1 hour")
        yield* (yield* postmaster.register(Job)).waitForStartup
        yield* TestClock.adjust("1 hour")
        const { nextSpareAt, spares } = yield* postmaster.snapshot
        assert.deepStrictEqual([spares, nextSpareAt, story], [[], undefined, ["spawn job cold"]])
        yield* Deferred.succeed(exit, ExitStatus.exited(0))
      }).pipe(Effect.provide(serve({ spawn }, { spares: 5 })))
    }))

  for (const fits of [true, false]) {
    it.effect(`one that ${fits ? "is taken" : "does not fit"} is swept as a spare, and the child lives on`, () =>
      Effect.gen(function*() {
        const { exit, story, ...service } = makeSpawner({ fits })
        yield* Effect.gen(function*() {
          const postmaster = yield* Postmaster
          const heard = yield* listen
          const job = yield* postmaster.register(Job)
          const pid = yield* job.waitForStartup
          assert.strictEqual(pid, fits ? 1 : 2)
          assert.deepStrictEqual(story, ["spare 1", "spawn job given 1", "spare 1 swept"])
          assert.deepStrictEqual((yield* job.status)._tag, "Started")
          yield* Deferred.succeed(exit, ExitStatus.exited(0))
          yield* job.waitForEnd
          assert.strictEqual(story.at(-1), `child ${pid} swept`)
          // That it is no spare any more was no loss.
          assert.notInclude(tags(heard), "SpareLost")
          const { heard: facts } = yield* postmaster.recording
          assert.isFalse(facts.some(({ input }) => input._tag === "SpareLost"))
        }).pipe(Effect.provide(serve(service)))
      }))
  }

  it.effect("one that was given to a birth that fails goes with it", () =>
    Effect.gen(function*() {
      const error = new SpawnError({ reason: new ProcessNotStarted({ worker: "job", detail: "no" }) })
      const { story, ...service } = makeSpawner({ birth: Effect.fail(error) })
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const end = yield* (yield* postmaster.register(Job)).waitForEnd
        assert(Option.isSome(end) && end.value._tag === "NotStarted")
        assert.deepStrictEqual(story, ["spare 1", "spawn job given 1", "spare 1 swept"])
        yield* TestClock.adjust(100)
        assert.deepInclude((yield* postmaster.snapshot).spares[0], { spare: 1, pid: 2 as Identity.Pid })
      }).pipe(Effect.provide(serve(service)))
    }))

  it.effect("one that was given to a birth that never ends goes when the birth is given up", () =>
    Effect.gen(function*() {
      const { story, ...service } = makeSpawner({ birth: Effect.never })
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const job = yield* postmaster.register(Job)
        yield* job.terminate
        yield* TestClock.adjust("29 seconds")
        assert.deepStrictEqual(story, ["spare 1", "spawn job given 1"])
        yield* TestClock.adjust("1 second")
        yield* job.waitForEnd
        assert.strictEqual(story.at(-1), "spare 1 swept")
      }).pipe(Effect.provide(serve(service)))
    }))

  it.effect("one that is lost at the moment it is taken: the launch starts cold, and that is all", () =>
    Effect.gen(function*() {
      const { lost, story, ...service } = makeSpawner()
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const heard = yield* listen
        const registering = yield* Effect.forkChild(postmaster.register(Job), { startImmediately: true })
        // The loop has been asked, and has not yet had its turn.
        yield* Deferred.succeed(lost, gone)
        const job = yield* Fiber.join(registering)
        yield* job.waitForStartup
        assert.deepStrictEqual(story, ["spare 1", "spare 1 swept", "spawn job cold"])
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(tags(heard), ["Registered", "Starting", "Started"])
      }).pipe(Effect.provide(serve(service)))
    }))

  for (const fault of [false, true]) {
    it.effect(`a loss is told before the spare is swept up${fault ? ", even if it cannot be told" : ""}, so that no launch is given one that is gone`, () =>
      Effect.gen(function*() {
        const swept = Deferred.makeUnsafe<void>()
        const broken = Deferred.makeUnsafe<SpareLoss>()
        const { lost, story, ...service } = makeSpawner({
          sweep: Deferred.await(swept),
          ...(fault ? { spare: { lost: Deferred.await(broken) } } : undefined)
        })
        yield* Effect.gen(function*() {
          const postmaster = yield* Postmaster
          yield* fault ? Deferred.die(broken, new Error("no nurse")) : Deferred.succeed(lost, gone)
          yield* TestClock.adjust(0)
          assert.deepStrictEqual((yield* postmaster.snapshot).spares, [])
          const job = yield* postmaster.register(Job)
          yield* job.waitForStartup
          assert.deepStrictEqual(story, ["spare 1", "spawn job cold"])
          // The release below waits for the sweeping.
          yield* Deferred.succeed(swept, undefined)
        }).pipe(Effect.provide(serve(service)))
      }))
  }

  it.effect("the halt does not wait until a spare is gone, the release of the layer does", () =>
    Effect.gen(function*() {
      const swept = Deferred.makeUnsafe<void>()
      const { story, ...service } = makeSpawner({ sweep: Deferred.await(swept) })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(serve(service), scope)
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        yield* postmaster.shutdown("Smart")
        yield* postmaster.awaitHalt
      }).pipe(Effect.provide(context))
      assert.deepStrictEqual(story, ["spare 1"])
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(swept, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(story, ["spare 1", "spare 1 swept"])
    }))

  it.effect("a spare whose birth never ends delays neither launches nor the halt nor the release", () =>
    Effect.gen(function*() {
      const { exit, story, ...service } = makeSpawner({ spareBirth: Effect.never })
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const job = yield* postmaster.register(Job)
        yield* job.waitForStartup
        assert.deepInclude((yield* postmaster.snapshot).spares, { spare: 0, state: "Starting", since: 0 })
        assert.deepStrictEqual(story, ["spawn job cold"])
        yield* Deferred.succeed(exit, ExitStatus.exited(0))
        yield* postmaster.shutdown("Smart")
        yield* postmaster.awaitHalt
      }).pipe(Effect.provide(serve(service)))
      assert.deepStrictEqual(yield* Clock.currentTimeMillis, 0)
    }))

  const breaches: ReadonlyArray<readonly [string, Parameters<typeof makeSpawner>[0]]> = [
    ["failing in a birth", {
      spareBirth: Effect.fail(
        new SpawnError({ reason: new ProcessNotStarted({ worker: "spare", detail: "no nurse" }) })
      )
    }],
    ["dying in a birth", { spareBirth: Effect.die(new Error("no nurse")) }],
    ["dying while it stands", { spare: { lost: Effect.die(new Error("no nurse")) } }]
  ]
  for (const [how, options] of breaches) {
    it.effect(`a spawner that breaks its contract by ${how} of a spare: a loss, damped`, () =>
      Effect.gen(function*() {
        const { exit, story, ...service } = makeSpawner(options)
        yield* Effect.gen(function*() {
          const postmaster = yield* Postmaster
          const heard = yield* listen
          yield* TestClock.adjust("1 minute")
          const waits = heard.flatMap((event) => event._tag === "SpareLost" ? [event.nextStartInMillis] : [])
          // The first was lost before anybody listened.
          assert.deepStrictEqual(waits.slice(0, 7), [200, 400, 800, 1600, 3200, 6400, 10_000])
          const lost = heard.find((event) => event._tag === "SpareLost")
          assert(lost?._tag === "SpareLost" && lost.loss.cause === "Died")
          assert.include(lost.loss.detail, "no nurse")
          const job = yield* postmaster.register(Job)
          yield* job.waitForStartup
          assert.strictEqual(story.at(-1), "spawn job cold")
          yield* Deferred.succeed(exit, ExitStatus.exited(0))
        }).pipe(Effect.provide(serve(service)))
      }))
  }

  it.effect("a spawner that throws instead of bearing a spare has lost it, too", () =>
    Effect.gen(function*() {
      const { exit, spawn } = makeSpawner()
      const spare = (): never => {
        throw new Error("no nurse")
      }
      yield* Effect.gen(function*() {
        const postmaster = yield* Postmaster
        yield* (yield* postmaster.register(Job)).waitForStartup
        assert.isAbove((yield* postmaster.snapshot).nextSpareAt!, 0)
        yield* Deferred.succeed(exit, ExitStatus.exited(0))
      }).pipe(Effect.provide(serve({ spawn, spare })))
    }))
})
