/** What workers measure, and what becomes of it in the application: scripted lives in the test's own time. */
import {
  BackgroundWorker,
  ExitStatus,
  Identity,
  Postmaster,
  PostmasterMetrics,
  WorkerMetrics
} from "@effect-postmaster/core"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import { WorkerContext } from "@effect-postmaster/core/WorkerContext"
import * as WorkerReport from "@effect-postmaster/core/WorkerReport"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { exchangeOf } from "../src/internal/exchange.ts"
import * as MergedSeries from "../src/internal/mergedSeries.ts"
import { MetricsRpcs } from "../src/internal/metricsRpcs.ts"
import * as Reports from "../src/internal/reports.ts"
import { CurrentLine } from "../src/internal/workerLine.ts"

const entry = { module: new URL("file:///worker.js") }
const Mail = BackgroundWorker.make("mail", { entry, restart: "1 second" })

/** More turns of the scheduler than anything that follows at once takes; no time passes. */
const settled = Effect.repeat(Effect.yieldNow, { times: 64 })

const test = <E>(
  name: string,
  body: () => Effect.Effect<void, E, Postmaster | TestSpawner | Scope.Scope>,
  metrics?: PostmasterMetrics.Options
) =>
  it.effect(name, () =>
    body().pipe(
      Effect.provide(
        PostmasterMetrics.layerWith({ lagInterval: "Infinity", ...metrics }).pipe(
          Layer.provideMerge(TestPostmaster.layer)
        )
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))

/** The lines about workers' own metrics, as Prometheus reads them. */
const scrape = Effect.map(
  PrometheusMetrics.format(),
  (text) => text.split("\n").filter((line) => /^\w+\{.*worker=/.test(line) && !line.startsWith("postmaster_"))
)

const dropped = Effect.map(
  PrometheusMetrics.format(),
  (text) => text.split("\n").filter((line) => line.startsWith("postmaster_worker_series_dropped_total"))
)

/** The program of one life, in a registry of its own. */
const life = (
  measure: Effect.Effect<unknown>,
  options?: WorkerMetrics.Options,
  registry?: Metric.MetricRegistry
): Script.Calls =>
  Effect.suspend(() =>
    Layer.build(WorkerMetrics.layerWith(options)).pipe(
      Effect.andThen(measure),
      Effect.provideService(Metric.MetricRegistry, registry ?? new Map()),
      Effect.provideService(WorkerContext, {} as WorkerContext["Service"]),
      Effect.asVoid
    )
  )

const counter = Metric.counter("sent_total", { description: "Mails sent", incremental: true })
const gauge = Metric.gauge("queue")
const frequency = Metric.frequency("answers")
const histogram = Metric.histogram("took", { boundaries: [1, 10] })
const summary = Metric.summary("size", { maxAge: "1 hour", maxSize: 10, quantiles: [0.5] })

const measureAll = Effect.all([
  Metric.update(counter, 3),
  Metric.update(gauge, 7),
  Metric.update(frequency, "ok"),
  Metric.update(histogram, 5),
  Metric.update(summary, 4)
])

describe("what a worker measures", () => {
  test("is in the application's registry under its name, every kind of it", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script("mail", Script.serves({ calls: life(measureAll) }))
      yield* (yield* (yield* Postmaster).register(Mail)).waitForReady
      yield* settled
      assert.sameMembers(yield* scrape, [
        "sent_total{worker=\"mail\"} 3",
        "queue{worker=\"mail\"} 7",
        "answers{worker=\"mail\",key=\"ok\"} 1",
        "took_bucket{worker=\"mail\",le=\"1\"} 0",
        "took_bucket{worker=\"mail\",le=\"10\"} 1",
        "took_bucket{worker=\"mail\",le=\"+Inf\"} 1",
        "took_sum{worker=\"mail\"} 5",
        "took_count{worker=\"mail\"} 1",
        "size{worker=\"mail\",quantile=\"0.5\"} 4",
        "size_sum{worker=\"mail\"} 4",
        "size_count{worker=\"mail\"} 1"
      ])
      assert.include(yield* PrometheusMetrics.format(), "# HELP sent_total Mails sent\n# TYPE sent_total counter\n")
    }))

  test("adds up over its lives, and gauges are of the present one", () =>
    Effect.gen(function*() {
      const { end, script } = yield* TestSpawner
      yield* script("mail", Script.serves({ calls: life(measureAll) }))
      const worker = yield* (yield* Postmaster).register(Mail)
      yield* worker.waitForReady
      yield* settled
      yield* end(worker.ref, ExitStatus.exited(1))
      yield* settled
      const rest = yield* scrape
      assert.include(rest, "sent_total{worker=\"mail\"} 3")
      assert.include(rest, "size_count{worker=\"mail\"} 1")
      assert.isFalse(rest.some((line) => line.startsWith("queue") || line.includes("quantile")))
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.sameMembers(yield* scrape, [
        "sent_total{worker=\"mail\"} 6",
        "queue{worker=\"mail\"} 7",
        "answers{worker=\"mail\",key=\"ok\"} 2",
        "took_bucket{worker=\"mail\",le=\"1\"} 0",
        "took_bucket{worker=\"mail\",le=\"10\"} 2",
        "took_bucket{worker=\"mail\",le=\"+Inf\"} 2",
        "took_sum{worker=\"mail\"} 10",
        "took_count{worker=\"mail\"} 2",
        "size{worker=\"mail\",quantile=\"0.5\"} 4",
        "size_sum{worker=\"mail\"} 8",
        "size_count{worker=\"mail\"} 2"
      ])
    }))

  test("is told by the interval, and only what has changed", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      const heard: Array<ReadonlyArray<string>> = []
      yield* postmaster.workerReports.pipe(
        Stream.runForEach((report) =>
          Effect.sync(() => {
            if (report._tag === "Measured") heard.push(report.series.map(({ id }) => id))
          })
        ),
        Effect.forkScoped({ startImmediately: true })
      )
      const registry: Metric.MetricRegistry = new Map()
      const sent = Effect.provideService(Metric.update(counter, 1), Metric.MetricRegistry, registry)
      yield* script("mail", Script.serves({ calls: life(measureAll, { interval: "5 seconds" }, registry) }))
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* settled
      assert.deepStrictEqual(heard, [["sent_total", "queue", "answers", "took", "size"]])
      yield* sent
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(heard.length, 1)
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepStrictEqual(heard.slice(1), [["sent_total"]])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(heard.length, 2)
      assert.include(yield* scrape, "sent_total{worker=\"mail\"} 4")
    }))

  test("is told in full to whoever begins to listen later", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      yield* script("mail", Script.serves({ calls: life(measureAll) }))
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* settled
      const first = yield* Stream.runHead(postmaster.workerReports)
      assert(first._tag === "Some" && first.value._tag === "Measured")
      assert.deepStrictEqual(first.value.series.length, 5)
      assert.deepStrictEqual(first.value.name, "mail")
    }))
})

describe("what is not taken on", () => {
  const manyCounters = (count: number, prefix = "series") =>
    Effect.forEach(
      Array.from({ length: count }, (_, n) => n),
      (n) => Metric.update(Metric.counter(`${prefix}_${n}`), 1),
      { discard: true }
    )

  test("a hundred thousand series are a thousand, and the others are counted", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script("mail", Script.serves({ calls: life(manyCounters(100_000)) }))
      const registry = yield* Metric.MetricRegistry
      const before = registry.size
      yield* (yield* (yield* Postmaster).register(Mail)).waitForReady
      yield* settled
      // The first report may have come in the middle of it.
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(yield* scrape, 1_000)
      assert.deepStrictEqual(yield* dropped, ["postmaster_worker_series_dropped_total{worker=\"mail\"} 99000"])
      // Beside those thousand there are the postmaster's own about this worker.
      assert.isBelow(registry.size, before + 1_030)
    }))

  test("what a worker sends beyond what is taken of its name is counted, too", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      const calls = (prefix: string) => life(manyCounters(8, prefix))
      yield* script("mail", Script.serves({ calls: calls("one") }))
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* script("mail", Script.serves({ calls: calls("two") }))
      yield* (yield* postmaster.register(Mail)).waitForReady
      yield* settled
      assert.lengthOf(yield* scrape, 10)
      assert.deepStrictEqual(yield* dropped, ["postmaster_worker_series_dropped_total{worker=\"mail\"} 6"])
    }), { maxSeries: 10 })

  test("names beyond the most are one", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const postmaster = yield* Postmaster
      for (const name of ["a", "b", "c", "d"]) {
        yield* script(name, Script.serves({ calls: life(Metric.update(counter, 1)) }))
        yield* (yield* postmaster.register(BackgroundWorker.make(name, { entry }))).waitForReady
        yield* settled
      }
      assert.deepStrictEqual(yield* scrape, [
        "sent_total{worker=\"a\"} 1",
        "sent_total{worker=\"b\"} 1",
        "sent_total{worker=\"other\"} 2"
      ])
    }), { maxTypes: 2 })

  test("what is too large stays where it is", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const words = Metric.frequency("words", { preregisteredWords: Array.from({ length: 1_001 }, (_, n) => `${n}`) })
      const long = Metric.counter("x".repeat(257))
      const much = Metric.counter("bytes", { bigint: true })
      yield* script(
        "mail",
        Script.serves({
          calls: life(Effect.all([
            Metric.update(words, "1"),
            Metric.update(long, 1),
            Metric.update(much, 2n ** 127n + 1n),
            Metric.update(Metric.counter("well", { bigint: true }), 2n ** 127n),
            Metric.update(Metric.gauge("odd"), Number.NaN)
          ]))
        })
      )
      yield* (yield* (yield* Postmaster).register(Mail)).waitForReady
      yield* settled
      assert.deepStrictEqual(yield* scrape, [`well{worker="mail"} ${2n ** 127n}`, "odd{worker=\"mail\"} NaN"])
      assert.deepStrictEqual(yield* dropped, ["postmaster_worker_series_dropped_total{worker=\"mail\"} 3"])
    }))

  const nonsense: ReadonlyArray<readonly [what: string, series: string]> = [
    ["no JSON", "[{"],
    ["no series", "[1]"],
    ["a state of another kind", `[{"id":"a","attributes":{},"state":{"_tag":"Counter","value":1}}]`],
    ["a name without end", `[{"id":"${"a".repeat(257)}","attributes":{},"state":{"_tag":"Gauge","value":1}}]`],
    ["a text without end", `[${" ".repeat(WorkerReport.maxReportLength)}]`]
  ]
  for (const [what, series] of nonsense) {
    test(`${what} ends that worker, and nobody else`, () =>
      Effect.gen(function*() {
        const { script } = yield* TestSpawner
        const postmaster = yield* Postmaster
        const honest = BackgroundWorker.make("honest", { entry })
        yield* script("honest", Script.serves({ calls: life(Metric.update(counter, 1)) }))
        yield* script(
          "mail",
          Script.serves({
            calls: Effect.gen(function*() {
              const line = (yield* CurrentLine)!
              const client = yield* exchangeOf(line()).caller.client(MetricsRpcs, {})
              yield* Effect.forkScoped(Effect.ignoreCause(client.ReportMetrics({ series, dropped: 0 })))
            })
          })
        )
        const other = yield* postmaster.register(honest)
        const worker = yield* postmaster.register(BackgroundWorker.make("mail", { entry }))
        assert.deepStrictEqual(
          yield* worker.waitForEnd,
          Option.some(ExitStatus.lost("sent metrics that do not decode"))
        )
        yield* settled
        assert.strictEqual((yield* other.status)._tag, "Ready")
        assert.deepStrictEqual(yield* scrape, ["sent_total{worker=\"honest\"} 1"])
      }))
  }
})

describe("whoever listens", () => {
  const ref = Identity.slotRef(0, 1)
  const gauge = (id: string, value: number): WorkerReport.Series => ({
    id,
    attributes: {},
    state: { _tag: "Gauge", value }
  })
  const measured = (life: number, ...series: ReadonlyArray<WorkerReport.Series>) =>
    ({ _tag: "Measured", ref, name: "mail", life, series, dropped: 0 }) as const
  const ended = (life: number) => ({ _tag: "Ended", ref, name: "mail", life }) as const

  it.effect("and is behind reads the newest of each series, life by life", () =>
    Effect.gen(function*() {
      const reports = Reports.make()
      const read: Array<WorkerReport.WorkerReport> = []
      const reader = yield* Effect.forkScoped(
        Stream.runForEach(reports.stream, (report) => Effect.sync(() => read.push(report))),
        { startImmediately: true }
      )
      assert.strictEqual(yield* reports.wanted(0), 1)
      reports.report(measured(1, gauge("a", 1), gauge("b", 1)))
      reports.report(measured(2, gauge("a", 5)))
      reports.report(measured(1, gauge("b", 2), gauge("c", 2)))
      reports.ended(ended(2))
      yield* settled
      assert.deepStrictEqual(read, [
        measured(1, gauge("a", 1), gauge("b", 2), gauge("c", 2)),
        measured(2, gauge("a", 5)),
        ended(2)
      ])
      reports.ended(ended(1))
      // Nobody has heard of it.
      reports.ended(ended(3))
      reports.end()
      yield* Fiber.join(reader)
      assert.deepStrictEqual(read.slice(3), [ended(1)])
    }))

  it.effect("and never reads grows neither by lives nor by series", () =>
    Effect.gen(function*() {
      const reports = Reports.make()
      const scope = yield* Scope.make()
      const pull = yield* Scope.provide(Stream.toPull(reports.stream), scope)
      const first = yield* Effect.forkScoped(pull, { startImmediately: true })
      reports.report(measured(0))
      yield* Fiber.join(first)
      for (let life = 1; life <= 3_000; life++) {
        reports.report(measured(life, gauge("a", life)))
        reports.ended(ended(life))
      }
      reports.ended(ended(0))
      for (let n = 0; n < 12_000; n++) reports.report(measured(9_999, gauge(`${n}`, n)))
      const read: Array<WorkerReport.WorkerReport> = []
      while (read.at(-1)?.life !== 9_999) read.push(...yield* pull)
      const last = read.pop()!
      assert(last._tag === "Measured")
      assert.lengthOf(last.series, 10_000)
      assert.strictEqual(last.dropped, 2_000)
      assert.deepStrictEqual(read.pop(), ended(0))
      // What was said first, with an end for each.
      assert.lengthOf(read, 2 * 1_024)
      assert.deepStrictEqual(read.at(-1), ended(1_024))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* reports.wanted(1), 0)
    }))

  it.effect("is told who else begins to, so that everything is reported again", () =>
    Effect.gen(function*() {
      const reports = Reports.make()
      const one = yield* Scope.make()
      const read = (scope: Scope.Scope) =>
        Effect.forkIn(Stream.runDrain(reports.stream), scope, { startImmediately: true })
      yield* read(one)
      const waits = yield* Effect.forkScoped(reports.wanted(1), { startImmediately: true })
      assert.isUndefined(waits.pollUnsafe())
      const two = yield* Scope.make()
      yield* read(two)
      assert.strictEqual(yield* Fiber.join(waits), 2)
      yield* Scope.close(two, Exit.void)
      assert.strictEqual(yield* reports.wanted(1), 2)
      yield* Scope.close(one, Exit.void)
      assert.strictEqual(yield* reports.wanted(2), 0)
    }))
})

describe("series together", () => {
  const make = Effect.sync(() => {
    const registry: Metric.MetricRegistry = new Map()
    const context = Context.make(Metric.MetricRegistry, registry)
    const merged = MergedSeries.make(10, context)
    const lines = () => PrometheusMetrics.formatUnsafe(context).split("\n").filter((line) => /^[a-z]/.test(line))
    return { merged, lines, registry }
  })
  const series = (state: WorkerReport.SeriesState): ReadonlyArray<WorkerReport.Series> => [
    { id: "it", attributes: {}, state }
  ]
  const histogram = (...buckets: ReadonlyArray<readonly [number, number]>): WorkerReport.SeriesState => ({
    _tag: "Histogram",
    buckets,
    count: 4,
    min: 0,
    max: 9,
    sum: 20
  })

  it.effect("gauges of two lives are their sum, of one life its own, of none nothing", () =>
    Effect.gen(function*() {
      const { lines, merged } = yield* make
      merged.update("a", 1, series({ _tag: "Gauge", value: 3 }))
      merged.update("a", 2, series({ _tag: "Gauge", value: 4n }))
      assert.deepStrictEqual(lines(), ["it{worker=\"a\"} 7"])
      merged.end("a", 1)
      assert.deepStrictEqual(lines(), ["it{worker=\"a\"} 4"])
      merged.end("a", 2)
      assert.deepStrictEqual(lines(), [])
    }))

  it.effect("a histogram with other boundaries is another one", () =>
    Effect.gen(function*() {
      const { lines, merged } = yield* make
      merged.update("a", 1, series(histogram([1, 2], [5, 4])))
      merged.end("a", 1)
      merged.update("a", 2, series(histogram([1, 1], [5, 2])))
      assert.include(lines(), "it_bucket{worker=\"a\",le=\"5\"} 6")
      assert.include(lines(), "it_count{worker=\"a\"} 8")
      merged.end("a", 2)
      merged.update("a", 3, series(histogram([2, 1])))
      assert.deepStrictEqual(lines(), [
        "it_bucket{worker=\"a\",le=\"2\"} 1",
        "it_bucket{worker=\"a\",le=\"+Inf\"} 4",
        "it_sum{worker=\"a\"} 20",
        "it_count{worker=\"a\"} 4"
      ])
    }))

  it.effect("words count as series, of all lives", () =>
    Effect.gen(function*() {
      const { lines, merged } = yield* make
      const words = (...all: ReadonlyArray<string>) =>
        series({ _tag: "Frequency", occurrences: all.map((word) => [word, 1] as const) })
      assert.strictEqual(merged.update("a", 1, words("a", "b", "c", "d", "e", "f")), 0)
      merged.end("a", 1)
      assert.strictEqual(merged.update("a", 2, words("g", "h", "i", "j", "k", "l", "m")), 1)
      assert.strictEqual(merged.update("a", 2, words("a", "b")), 0)
      assert.include(lines(), "it{worker=\"a\",key=\"a\"} 2")
      assert.lengthOf(lines(), 6)
    }))

  it.effect("a label of the worker's own stays, by another name", () =>
    Effect.gen(function*() {
      const { lines, merged } = yield* make
      const state: WorkerReport.SeriesState = { _tag: "Counter", count: 1, incremental: true }
      merged.update("a", 1, ["x", "y"].map((worker) => ({ id: "it", attributes: { worker, b: "c" }, state })))
      assert.deepStrictEqual(lines(), [
        "it{b=\"c\",exported_worker=\"x\",worker=\"a\"} 1",
        "it{b=\"c\",exported_worker=\"y\",worker=\"a\"} 1"
      ])
    }))

  it.effect("what was merged goes at once", () =>
    Effect.gen(function*() {
      const { merged, registry } = yield* make
      merged.update("a", 1, series({ _tag: "Counter", count: 1, incremental: true }))
      assert.strictEqual(registry.size, 1)
      merged.clear()
      assert.strictEqual(registry.size, 0)
    }))
})
