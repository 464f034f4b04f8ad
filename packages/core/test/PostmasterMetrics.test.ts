import {
  BackgroundWorker,
  ExitStatus,
  Identity,
  Postmaster,
  type PostmasterEvent,
  PostmasterMetrics,
  preload,
  Snapshot,
  WorkerContext
} from "@effect-postmaster/core"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Queue from "effect/Queue"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Meter from "../src/internal/meter.ts"

const entry = { module: new URL("file:///worker.js") }
const define = (name: string, options?: Partial<BackgroundWorker.Options<typeof Schema.Void>>) =>
  BackgroundWorker.make(name, { entry, ...options })

const Mail = define("mail 1", { type: "mail", restart: "10 seconds" })

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  options?: TestPostmaster.Options & { readonly metrics?: PostmasterMetrics.Options }
) =>
  it.effect(name, () =>
    body().pipe(
      Effect.provide(
        PostmasterMetrics.layerWith({ lagInterval: "Infinity", ...options?.metrics }).pipe(
          Layer.provideMerge(TestPostmaster.layerWith(options))
        )
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))

/** More turns of the scheduler than anything that follows at once takes; no time passes. */
const settled = Effect.repeat(Effect.yieldNow, { times: 64 })

/** The lines of these metrics, as Prometheus reads them. */
const scrape = Effect.fnUntraced(function*(...metrics: ReadonlyArray<string>) {
  const text = yield* PrometheusMetrics.format()
  return text.split("\n").filter((line) => metrics.some((metric) => line.startsWith(`postmaster_${metric}`)))
})

/** How many states of slots there are; a free one has no worker. */
const states = Snapshot.WorkerState.literals.length + 1

/** The slots that are in any state. */
const slots = Effect.map(scrape("slots"), (lines) =>
  Object.fromEntries(
    lines.flatMap((line) => {
      const [, state, value] = /state="(\w+)"\} (\d+)/.exec(line)!
      return value === "0" ? [] : [[state, Number(value)]]
    })
  ))

describe("counters", () => {
  test("a worker that fails, crashes and is done: starts, restarts and exits by verdict", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("mail 1", Script.exits(1), Script.exits(1), Script.exits(3), Script.exits(0))
      yield* postmaster.register(Mail)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* scrape("worker_starts", "worker_restarts", "worker_exits"), [
        "postmaster_worker_starts_total{type=\"mail\"} 4",
        "postmaster_worker_restarts_total{type=\"mail\"} 3",
        "postmaster_worker_exits_total{type=\"mail\",verdict=\"done\"} 1",
        "postmaster_worker_exits_total{type=\"mail\",verdict=\"again\"} 0",
        "postmaster_worker_exits_total{type=\"mail\",verdict=\"failed\"} 2",
        "postmaster_worker_exits_total{type=\"mail\",verdict=\"crashed\"} 1"
      ])
      assert.deepStrictEqual(yield* scrape("worker_registrations", "worker_unregistrations"), [
        "postmaster_worker_registrations_total{type=\"mail\"} 1",
        "postmaster_worker_unregistrations_total{type=\"mail\",reason=\"done\"} 1"
      ])
    }))

  test("another worker of the same type, in the same slot, is no restart", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("mail", Script.exits(0))
      yield* (yield* postmaster.register(Mail)).waitForEnd
      yield* (yield* postmaster.register(Mail)).waitForEnd
      yield* settled
      assert.deepStrictEqual(yield* scrape("worker_starts", "worker_restarts"), [
        "postmaster_worker_starts_total{type=\"mail\"} 2",
        "postmaster_worker_restarts_total{type=\"mail\"} 0"
      ])
    }))

  test("a birth that fails is no start", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("mail 1", Script.notBorn("no memory"), Script.serves())
      yield* postmaster.register(Mail)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* scrape("worker_start", "worker_restarts"), [
        "postmaster_worker_starts_total{type=\"mail\"} 1",
        "postmaster_worker_restarts_total{type=\"mail\"} 0",
        "postmaster_worker_start_failures_total{type=\"mail\",reason=\"process_not_started\"} 1"
      ])
    }))

  test("a type's counters stand at 0 before its first start", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("mail 1", Script.serves({ birth: "1 hour" }))
      yield* postmaster.register(Mail)
      yield* settled
      assert.include(
        yield* scrape("worker"),
        "postmaster_worker_exits_total{type=\"mail\",verdict=\"crashed\"} 0"
      )
    }))

  it.effect("workers from before are known, and their next life is a restart", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end } = yield* TestSpawner
      const [mail] = yield* postmaster.find("mail 1")
      yield* mail!.waitForReady
      yield* Layer.build(PostmasterMetrics.layer)
      assert.deepStrictEqual(yield* scrape("worker_starts", "worker_restarts"), [
        "postmaster_worker_starts_total{type=\"mail\"} 0",
        "postmaster_worker_restarts_total{type=\"mail\"} 0"
      ])
      yield* end(mail!.ref, ExitStatus.exited(1))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* scrape("worker_starts", "worker_restarts"), [
        "postmaster_worker_starts_total{type=\"mail\"} 1",
        "postmaster_worker_restarts_total{type=\"mail\"} 1"
      ])
    }).pipe(
      Effect.provide(TestPostmaster.layerWith({ preload: [preload(Mail)] })),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))

  test("orders to end, and the one to a worker that does not obey", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script("mail 1", Script.hangs())
      const mail = yield* postmaster.register(Mail)
      yield* mail.waitForReady
      yield* mail.terminate
      yield* postmaster.reload
      yield* TestClock.adjust("30 seconds")
      yield* mail.waitForEnd
      assert.deepStrictEqual(yield* scrape("worker_signals", "reloads"), [
        "postmaster_reloads_total 1",
        "postmaster_worker_signals_total{type=\"mail\",signal=\"SIGTERM\"} 1",
        "postmaster_worker_signals_total{type=\"mail\",signal=\"SIGKILL\"} 1"
      ])
    }))
})

describe("labels", () => {
  const registerThree = Effect.gen(function*() {
    const postmaster = yield* Postmaster
    yield* Effect.forEach(["a", "b", "c"], (name) => postmaster.register(define(name)))
    yield* settled
  })

  test("no more types than maxTypes have series of their own", () =>
    Effect.gen(function*() {
      yield* registerThree
      yield* registerThree
      assert.deepStrictEqual(yield* scrape("worker_registrations"), [
        "postmaster_worker_registrations_total{type=\"a\"} 2",
        "postmaster_worker_registrations_total{type=\"other\"} 4"
      ])
    }), { metrics: { maxTypes: 1 } })

  test("workers are told apart by name, if asked for", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      yield* postmaster.register(Mail)
      yield* settled
      assert.deepStrictEqual(yield* scrape("worker_starts"), ["postmaster_worker_starts_total{name=\"mail 1\"} 1"])
    }), { metrics: { by: "name" } })
})

describe("durations", () => {
  test("launches and the way to being ready, to the millisecond", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      yield* script(
        "mail 1",
        Script.exits(1, { birth: "250 millis", ready: "1500 millis", after: "2 seconds" }),
        // Never ready, so it is not counted as if it had been.
        Script.exits(1, { birth: "750 millis", ready: "1 hour", after: "2 seconds" }),
        Script.serves({ birth: "4 millis", ready: "2 millis" })
      )
      yield* postmaster.register(Mail)
      yield* TestClock.adjust("1 minute")
      const lines = yield* scrape("worker_launch", "worker_ready")
      assert.includeMembers(lines, [
        "postmaster_worker_launch_duration_seconds_bucket{type=\"mail\",from=\"birth\",le=\"0.0025\"} 0",
        "postmaster_worker_launch_duration_seconds_bucket{type=\"mail\",from=\"birth\",le=\"0.005\"} 1",
        "postmaster_worker_launch_duration_seconds_bucket{type=\"mail\",from=\"birth\",le=\"0.25\"} 2",
        "postmaster_worker_launch_duration_seconds_bucket{type=\"mail\",from=\"birth\",le=\"1\"} 3",
        "postmaster_worker_launch_duration_seconds_count{type=\"mail\",from=\"birth\"} 3",
        "postmaster_worker_ready_duration_seconds_count{type=\"mail\"} 2"
      ])
      const sumOf = (metric: string) =>
        Number(lines.find((line) => line.startsWith(`${metric}_sum`))?.split(" ").at(-1))
      assert.closeTo(sumOf("postmaster_worker_launch_duration_seconds"), 1.004, 1e-9)
      assert.closeTo(sumOf("postmaster_worker_ready_duration_seconds"), 1.502, 1e-9)
    }))

  test("a worker from a spare is told apart from one that is born", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { loseSpare, spares } = yield* TestSpawner
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* TestClock.adjust(100)
      const [pid] = yield* spares
      yield* loseSpare(pid!, { cause: "Outdated", detail: "its module has changed" })
      assert.deepStrictEqual(yield* scrape("spares"), [
        "postmaster_spares_started_total 2",
        "postmaster_spares_used_total 1",
        "postmaster_spares_lost_total{cause=\"died\"} 0",
        "postmaster_spares_lost_total{cause=\"outdated\"} 1",
        "postmaster_spares{state=\"starting\"} 0",
        "postmaster_spares{state=\"ready\"} 1"
      ])
      assert.include(
        yield* scrape("worker_launch"),
        "postmaster_worker_launch_duration_seconds_count{type=\"mail\",from=\"spare\"} 1"
      )
      assert.include(yield* scrape("spare_ready"), "postmaster_spare_ready_duration_seconds_count 2")
    }), { config: { spares: 1 } })

  test("the lag of the event loop is how late a timer rings", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      // Every timer of this process rings a quarter of a second late.
      const busy: Clock.Clock = {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        currentTimeNanos: clock.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: (duration) => clock.sleep(Duration.sum(duration, Duration.millis(250)))
      }
      const metrics = PostmasterMetrics.layerWith({ lagInterval: "1 second" })
      yield* Effect.provideService(Layer.build(metrics), Clock.Clock, busy)
      yield* TestClock.adjust("5 seconds")
      assert.includeMembers(yield* scrape("event_loop_lag"), [
        "postmaster_event_loop_lag_seconds_bucket{le=\"0.1\"} 0",
        "postmaster_event_loop_lag_seconds_count 4"
      ])
    }))
})

describe("gauges", () => {
  test("slots by state, as they are when they are read", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { script } = yield* TestSpawner
      assert.deepStrictEqual(yield* slots, { free: 8 })
      yield* script("mail 1", Script.exits(1, { birth: "1 second", ready: "1 second", after: "2 seconds" }))
      yield* script("deaf", Script.hangs())
      yield* postmaster.register(Mail)
      const deaf = yield* postmaster.register(define("deaf"))
      yield* deaf.waitForReady
      assert.deepStrictEqual(yield* slots, { free: 6, starting: 1, ready: 1 })
      yield* deaf.terminate
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* slots, { free: 6, started: 1, stopping: 1 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* slots, { free: 6, ready: 1, stopping: 1 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* slots, { free: 6, resting: 1, stopping: 1 })
    }))

  test("a crash of the attached workers, until they have recovered", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { end, script } = yield* TestSpawner
      const attached = { flags: ["SharedMemory"], restart: "1 second" } as const
      yield* script("deaf", Script.hangs())
      const one = yield* postmaster.register(define("one", attached))
      const deaf = yield* postmaster.register(define("deaf", attached))
      yield* one.waitForReady
      yield* deaf.waitForReady
      yield* end(one.ref, ExitStatus.signaled("SIGSEGV"))
      assert.deepStrictEqual(
        (yield* scrape("phase", "recovering", "crashes")).filter((line) => !line.endsWith(" 0")),
        [
          "postmaster_phase{phase=\"waiting\"} 1",
          "postmaster_recovering 1",
          "postmaster_crashes_total{type=\"one\"} 1"
        ]
      )
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(
        (yield* scrape("phase", "recovering", "kills_issued")).filter((line) => !line.endsWith(" 0")),
        ["postmaster_kills_issued_total 1", "postmaster_phase{phase=\"run\"} 1"]
      )
    }))

  it.effect("they go with the layer, and counters stay", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(PostmasterMetrics.layer, scope)
      assert.lengthOf(yield* scrape("slots", "phase", "recovering", "spares{", "line_bytes"), states + 6 + 1 + 2 + 2)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* scrape("slots", "phase", "recovering", "spares{", "line_bytes"), [])
      assert.deepStrictEqual(yield* scrape("events_lost"), ["postmaster_events_lost_total 0"])
    }).pipe(
      Effect.provide(TestPostmaster.layer),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))
})

describe("the postmaster itself", () => {
  test("turns, and how long they take", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const { turns } = yield* postmaster.vitals
      yield* (yield* postmaster.register(Mail)).waitForReady
      const now = yield* postmaster.vitals
      // Asked for, born, ready.
      assert.strictEqual(now.turns, turns + 3)
      assert.deepStrictEqual(now.turnMillis, { sum: 0, min: 0, max: 0 })
      assert.includeMembers(yield* scrape("turn_duration"), [
        `postmaster_turn_duration_seconds_bucket{le="0.00005"} ${turns + 3}`,
        "postmaster_turn_duration_seconds_sum 0",
        `postmaster_turn_duration_seconds_count ${turns + 3}`
      ])
    }))

  it("a turn is counted under the first bound that it does not exceed", () => {
    const meter = Meter.make()
    for (const millis of [0.05, 0.06, 3, 5000]) Meter.turned(meter, millis)
    const { turnMillis, turns, turnsWithin } = Meter.vitals(meter)
    assert.strictEqual(turns, 4)
    assert.deepStrictEqual(turnMillis, { sum: 5003.11, min: 0.05, max: 5000 })
    assert.deepStrictEqual(turnsWithin, [1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3])
  })

  it("what passes a port is counted both ways", () => {
    const meter = Meter.make()
    const [here, there] = FramePort.pair()
    const port = Meter.metered(meter, here)
    const heard: Array<number> = []
    port.listen({ onFrame: (frame) => heard.push(frame.length), onDrain: () => {} })
    there.listen({ onFrame: (frame) => heard.push(-frame.length), onDrain: () => {} })
    there.send(new Uint8Array(3))
    port.send(new Uint8Array(4))
    there.send(new Uint8Array(5))
    assert.deepStrictEqual(heard, [3, -4, 5])
    const { receivedBytes, sentBytes } = Meter.vitals(meter)
    assert.deepStrictEqual({ receivedBytes, sentBytes }, { receivedBytes: 8, sentBytes: 4 })
  })
})

describe("a postmaster that says", () => {
  const worker = { ref: Identity.slotRef(0, 1), name: "mail 1", type: "mail" }
  const pid = 1 as Identity.Pid

  /** The metrics of a postmaster that says nothing but what it is given to say. */
  const heard = Effect.gen(function*() {
    const events = yield* Queue.unbounded<PostmasterEvent.PostmasterEvent>()
    const postmaster = Layer.mock(Postmaster)({
      events: Stream.fromQueue(events),
      snapshot: Effect.provide(Effect.flatMap(Postmaster, ({ snapshot }) => snapshot), TestPostmaster.layer),
      vitals: Effect.sync(() => Meter.vitals(Meter.make()))
    })
    yield* Layer.build(Layer.provide(PostmasterMetrics.layerWith({ lagInterval: "Infinity" }), postmaster))
    return (...said: ReadonlyArray<PostmasterEvent.PostmasterEvent>) =>
      Effect.andThen(Queue.offerAll(events, said), settled)
  })

  it.effect("that events were lost: they are counted, and no duration is made up of what is left", () =>
    Effect.gen(function*() {
      const says = yield* heard
      yield* says(
        { ...worker, _tag: "Registered" },
        { ...worker, _tag: "Starting" },
        { ...worker, _tag: "Started", pid },
        { _tag: "SpareStarting", spare: 0 }
      )
      yield* TestClock.adjust("1 hour")
      yield* says(
        { _tag: "EventsLost", count: 12 },
        { ...worker, _tag: "Ready", pid },
        { _tag: "SpareReady", spare: 0, pid },
        { _tag: "EventsLost", count: 30 },
        // Its launch was lost, and that there was one before was not.
        { ...worker, _tag: "Started", pid }
      )
      assert.deepStrictEqual(yield* scrape("events_lost", "worker_starts", "worker_restarts"), [
        "postmaster_events_lost_total 42",
        "postmaster_worker_starts_total{type=\"mail\"} 2",
        "postmaster_worker_restarts_total{type=\"mail\"} 1"
      ])
      assert.include(
        yield* scrape("worker_launch"),
        "postmaster_worker_launch_duration_seconds_count{type=\"mail\",from=\"birth\"} 1"
      )
      assert.deepStrictEqual(yield* scrape("worker_ready", "spare_ready"), [])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))

  it.effect("that a worker is parked and resumed", () =>
    Effect.gen(function*() {
      const says = yield* heard
      yield* says({ ...worker, _tag: "Registered" })
      assert.deepStrictEqual(yield* scrape("worker_parks"), ["postmaster_worker_parks_total{type=\"mail\"} 0"])
      yield* says(
        { ...worker, _tag: "Parked", failures: 5, withinMillis: 60_000 },
        { ...worker, _tag: "Resumed" },
        { ...worker, _tag: "Parked", failures: 5, withinMillis: 60_000 }
      )
      assert.deepStrictEqual(yield* scrape("worker_parks", "worker_resumes"), [
        "postmaster_worker_parks_total{type=\"mail\"} 2",
        "postmaster_worker_resumes_total{type=\"mail\"} 1"
      ])
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())))
})

describe("exports", () => {
  test("Prometheus: every metric has its help and its type", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* settled
      const text = yield* PrometheusMetrics.format()
      assert.include(
        text,
        [
          "# HELP postmaster_slots Slots by what their workers are doing",
          "# TYPE postmaster_slots gauge",
          "postmaster_slots{state=\"free\"} 7",
          "postmaster_slots{state=\"waiting\"} 0",
          "postmaster_slots{state=\"starting\"} 0",
          "postmaster_slots{state=\"started\"} 0",
          "postmaster_slots{state=\"ready\"} 1",
          "postmaster_slots{state=\"stopping\"} 0",
          "postmaster_slots{state=\"resting\"} 0"
        ].join("\n")
      )
      assert.include(
        text,
        [
          "# HELP postmaster_worker_starts_total Lives of workers begun",
          "# TYPE postmaster_worker_starts_total counter",
          "postmaster_worker_starts_total{type=\"mail\"} 1"
        ].join("\n")
      )
      assert.include(text, "# TYPE postmaster_worker_launch_duration_seconds histogram\n")
      const samples = text.trimEnd().split("\n").filter((line) => !line.startsWith("#"))
      for (const sample of samples) assert.match(sample, /^postmaster_[a-z_]+(\{[^}]*\})? \d+(\.\d+)?$/)
    }))

  test("OTLP: sums that only rise, gauges and histograms with their unit", () =>
    Effect.gen(function*() {
      const sent = yield* Deferred.make<Otlp>()
      const client = HttpClient.make((request) => {
        const { body } = request
        if (body._tag === "Uint8Array") {
          Deferred.doneUnsafe(sent, Exit.succeed(JSON.parse(new TextDecoder().decode(body.body))))
        }
        return Effect.succeed(HttpClientResponse.fromWeb(request, new Response()))
      })
      const postmaster = yield* Postmaster
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* Layer.build(
        OtlpMetrics.layer({
          url: "http://localhost/v1/metrics",
          resource: { serviceName: "test" },
          exportInterval: "1 second"
        })
          .pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(Layer.succeed(HttpClient.HttpClient, client)))
      )
      yield* TestClock.adjust("1 second")
      const { resourceMetrics: [resource] } = yield* Deferred.await(sent)
      const metrics = new Map(resource!.scopeMetrics[0]!.metrics.map((metric) => [metric.name, metric]))
      assert.isTrue(metrics.get("postmaster_worker_starts_total")?.sum?.isMonotonic)
      assert.lengthOf(metrics.get("postmaster_slots")?.gauge?.dataPoints ?? [], states)
      const launches = metrics.get("postmaster_worker_launch_duration_seconds")
      assert.strictEqual(launches?.unit, "s")
      assert.strictEqual(launches?.histogram?.dataPoints[0]?.count, 1)
    }))
})

describe("inside a worker", () => {
  it.effect("it measures the postmaster over the worker's line", () =>
    Effect.gen(function*() {
      const registry: Metric.MetricRegistry = new Map()
      const built = yield* Deferred.make<void>()
      const { script } = yield* TestSpawner
      yield* script(
        "watcher",
        Script.serves({
          calls: PostmasterMetrics.layerWith({ lagInterval: "Infinity" }).pipe(
            Layer.provide(Postmaster.layerClient),
            Layer.build,
            Effect.provideService(WorkerContext, {} as WorkerContext["Service"]),
            Effect.provideService(Metric.MetricRegistry, registry),
            Effect.andThen(Effect.sync(() => Deferred.doneUnsafe(built, Exit.void))),
            Effect.forkScoped,
            Effect.asVoid
          )
        })
      )
      const postmaster = yield* Postmaster
      yield* (yield* postmaster.register(define("watcher"))).waitForReady
      yield* Deferred.await(built)
      yield* settled
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* settled
      const context = Context.make(Metric.MetricRegistry, registry)
      const there = Effect.sync(() => PrometheusMetrics.formatUnsafe(context))
      assert.include(yield* there, "postmaster_worker_starts_total{type=\"mail\"} 1")
      // The first export has asked for the table, the next one has it.
      yield* settled
      const text = yield* there
      assert.include(text, "postmaster_slots{state=\"free\"} 6")
      // Its own calls have come in by then, and answers have gone out.
      assert.match(text, /postmaster_line_bytes_total\{direction="received"\} [1-9]/)
      assert.match(text, /postmaster_line_bytes_total\{direction="sent"\} [1-9]/)
    }).pipe(Effect.provide(TestPostmaster.layer)))
})

interface Otlp {
  readonly resourceMetrics: ReadonlyArray<{
    readonly scopeMetrics: ReadonlyArray<{
      readonly metrics: ReadonlyArray<{
        readonly name: string
        readonly unit?: string
        readonly sum?: { readonly isMonotonic: boolean }
        readonly gauge?: { readonly dataPoints: ReadonlyArray<unknown> }
        readonly histogram?: { readonly dataPoints: ReadonlyArray<{ readonly count: number }> }
      }>
    }>
  }>
}
