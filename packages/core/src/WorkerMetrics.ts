/**
 * Decides what a worker reports of what it measures: Effect's own metrics, as
 * often as an interval says, and what has changed when it ends.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import { exchangeOf } from "./internal/exchange.ts"
import { MetricsRpcs } from "./internal/metricsRpcs.ts"
import { CurrentLine, SharesProcess } from "./internal/workerLine.ts"
import type { WorkerContext } from "./WorkerContext.ts"
import { maxReportLength, Series } from "./WorkerReport.ts"

/**
 * What the layer may be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How often is reported what has changed. Defaults to 5 seconds. */
  readonly interval?: Duration.Input | undefined
  /** How many series are reported, those first that were registered first. Defaults to 1,000. */
  readonly maxSeries?: number | undefined
}

/**
 * Reports what the worker measures, with what is worth changing.
 *
 * @see {@link layer} for what is reported
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options?: Options): Layer.Layer<never, never, WorkerContext> =>
  Layer.effectContext(Effect.suspend(() => make(options)))

/**
 * Reports what the worker measures with Effect's `Metric` to the application,
 * where `PostmasterMetrics.layer` adds it to the application's own.
 *
 * **When to use**
 *
 * Use in the `layer` of a worker's `main`. A worker that does not use it loads
 * and pays nothing for it.
 *
 * **Details**
 *
 * Everything in the worker's registry is reported when `PostmasterMetrics.layer`
 * begins to listen, then what has changed, every 5 seconds and when the worker
 * ends in good order. While nobody listens nothing is reported.
 *
 * A worker that is a fiber shares the application's registry: there the layer
 * gives it a registry of its own, so that a series is one worker's and counted
 * once on every spawner.
 *
 * **Gotchas**
 *
 * - What was measured since the last report is lost with a worker that is killed
 *   or crashes.
 * - More than 1,000 series are dropped, and so are those of an excessive size
 *   (`WorkerReport.limits`); the application counts them in
 *   `postmaster_worker_series_dropped_total`.
 * - A series that is removed (`Metric.remove`) stays as it was reported last,
 *   and counts among the thousand, until the worker ends.
 * - In a fiber, what other layers measure by themselves is the worker's only if
 *   they are built on this one (`Layer.provideMerge`).
 * - Building it outside of a worker is a defect.
 *
 * **Example** (A worker that counts)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 * import * as WorkerMetrics from "@effect-postmaster/core/WorkerMetrics"
 * import * as Effect from "effect/Effect"
 * import * as Metric from "effect/Metric"
 *
 * const mails = Metric.counter("mails_total", { incremental: true })
 *
 * const Mailer = BackgroundWorker.make("mailer", { entry: { module: new URL(import.meta.url) } })
 *
 * // The application's scrape has mails_total{worker="mailer"}.
 * export const main = BackgroundWorker.main(
 *   Mailer,
 *   () => Metric.update(mails, 1).pipe(Effect.delay("1 second"), Effect.forever),
 *   { layer: WorkerMetrics.layer }
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, WorkerContext> = /* @__PURE__ */ layerWith()

/** A worker does not stay for the sake of a postmaster that does not answer. */
const lastPatience = Duration.seconds(1)

const isSeries = (json: unknown): boolean => Exit.isSuccess(decodeSeries(json))
const decodeSeries = /* @__PURE__ */ Schema.decodeUnknownExit(/* @__PURE__ */ Schema.toCodecJson(Series))

const make = /* @__PURE__ */ Effect.fnUntraced(function*(options: Options | undefined) {
  const line = yield* CurrentLine
  if (line === undefined) {
    return yield* Effect.die(new Error("WorkerMetrics.layer is for workers, and this is none: it has no postmaster"))
  }
  const interval = Duration.fromInputUnsafe(options?.interval ?? "5 seconds")
  const maxSeries = options?.maxSeries ?? 1_000
  const shares = yield* SharesProcess
  const registry: Metric.MetricRegistry = shares ? new Map() : yield* Metric.MetricRegistry
  const context = Context.add(yield* Effect.context<never>(), Metric.MetricRegistry, registry)
  const postmaster = yield* exchangeOf(line()).caller.client(MetricsRpcs, { disableTracing: true })

  /** How each series was when it was reported last, as text. */
  const known = new Map<string, string>()
  let toldDropped = 0

  const changed = (): { readonly reports: ReadonlyArray<Report>; readonly dropped: number } => {
    const reports: Array<Report> = []
    let report: Report | undefined
    let length = 0
    let room = maxSeries
    let dropped = 0
    // Series may have been removed, and others have come.
    if (known.size > maxSeries) {
      for (const key of known.keys()) if (!registry.has(key)) known.delete(key)
    }
    for (const [key, metadata] of registry) {
      const state: unknown = room > 0 ? metadata.hooks.get(context) : undefined
      const weight = weightOf(state)
      if (room < weight) {
        dropped++
        continue
      }
      room -= weight
      const json = toJson(metadata, state)
      const text = JSON.stringify(json)
      if (known.get(key) === text) continue
      if (text.length > maxReportLength - 2 || !isSeries(json)) {
        dropped++
        continue
      }
      if (report === undefined || length + text.length + 1 > maxReportLength - 2) {
        reports.push(report = new Map())
        length = 0
      }
      report.set(key, text)
      length += text.length + 1
    }
    return { reports, dropped }
  }

  const push = Effect.gen(function*() {
    const { dropped, reports } = changed()
    for (const report of reports.length === 0 && dropped !== toldDropped ? [new Map<string, string>()] : reports) {
      yield* postmaster.ReportMetrics({ series: `[${[...report.values()].join()}]`, dropped })
      toldDropped = dropped
      for (const [key, text] of report) known.set(key, text)
    }
  })

  let listener = 0
  const pushing = Effect.forever(Effect.andThen(push, Effect.sleep(interval)))
  const serve: Effect.Effect<never, unknown> = Effect.suspend(() =>
    Effect.raceFirst(
      postmaster.MetricsWanted({ known: listener }),
      listener === 0 ? Effect.never : pushing
    )
  ).pipe(Effect.flatMap((next) => {
    listener = next
    // Whoever is new knows nothing.
    known.clear()
    toldDropped = 0
    return serve
  }))

  const serving = yield* Effect.forkScoped(Effect.ignoreCause(serve))
  // Before the calls are given up with the scope, and after what the program has still measured at its end.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Fiber.interrupt(serving),
      Effect.suspend(() => listener === 0 ? Effect.void : push).pipe(
        Effect.interruptible,
        Effect.timeoutOption(lastPatience),
        Effect.ignoreCause
      )
    )
  )
  return shares ? Context.make(Metric.MetricRegistry, registry) : Context.empty()
})

/** Texts of series by their keys in the registry, for one report. */
type Report = Map<string, string>

type Metadata = Metric.Metric.Metadata<unknown, unknown>

const weightOf = (state: unknown): number =>
  typeof state === "object" && state !== null && "occurrences" in state
    ? Math.max(1, (state as Metric.FrequencyState).occurrences.size)
    : 1

/** As `Schema.toCodecJson` has it. */
const amount = (value: number | bigint): number | string =>
  typeof value === "bigint" || !Number.isFinite(value) ? String(value) : value

const distribution = ({ count, max, min, sum }: Metric.HistogramState | Metric.SummaryState) => ({
  count,
  min: amount(min),
  max: amount(max),
  sum: amount(sum)
})

const toJson = ({ attributes, description, id, type }: Metadata, state: unknown): unknown => ({
  id,
  ...(description === undefined ? undefined : { description }),
  attributes: attributes ?? {},
  state: stateToJson(type, state)
})

/** The registry says by the type what the state is. */
const stateToJson = (type: Metric.Metric.Type, state: unknown): unknown => {
  switch (type) {
    case "Counter": {
      const { count, incremental } = state as Metric.CounterState<number | bigint>
      return { _tag: type, count: amount(count), incremental }
    }
    case "Gauge":
      return { _tag: type, value: amount((state as Metric.GaugeState<number | bigint>).value) }
    case "Frequency":
      return { _tag: type, occurrences: [...(state as Metric.FrequencyState).occurrences] }
    case "Histogram": {
      const histogram = state as Metric.HistogramState
      const buckets = histogram.buckets.filter(([boundary]) => Number.isFinite(boundary))
      return { _tag: type, buckets, ...distribution(histogram) }
    }
    case "Summary": {
      const summary = state as Metric.SummaryState
      const quantiles = summary.quantiles.map(([quantile, value]) => [
        quantile,
        value === undefined ? null : amount(value)
      ])
      return { _tag: type, quantiles, ...distribution(summary) }
    }
  }
}
