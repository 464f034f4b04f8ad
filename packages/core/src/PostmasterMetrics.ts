/**
 * Decides which figures of a postmaster are measured: their names, units and
 * labels. They are Effect's own metrics, so whatever exports those
 * (`PrometheusMetrics`, `OtlpMetrics`) exports these.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import { Verdict } from "./ExitStatus.ts"
import type { SlotRef } from "./Identity.ts"
import * as MergedSeries from "./internal/mergedSeries.ts"
import { Phase } from "./Phase.ts"
import { Postmaster } from "./Postmaster.ts"
import type { PostmasterEvent } from "./PostmasterEvent.ts"
import { type PostmasterSnapshot, SpareSnapshot, type WorkerSnapshot, WorkerState } from "./Snapshot.ts"
import { SpareLoss } from "./SpareLoss.ts"
import { turnBounds, type Vitals } from "./Vitals.ts"
import type { WorkerReport } from "./WorkerReport.ts"

/**
 * What the layer may be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** What workers are told apart by; it is also the name of the label. Defaults to `"type"`. */
  readonly by?: "type" | "name" | undefined
  /**
   * How many types (or names) have series of their own, first come, first
   * served. The rest are counted together as `other`. Defaults to 100. So many
   * names may also have series of their own that workers report.
   */
  readonly maxTypes?: number | undefined
  /**
   * How many series are taken on of the workers of one name; 0 is none. A
   * frequency's words count as series. Defaults to 1,000.
   */
  readonly maxSeries?: number | undefined
  /** How often the lag of the event loop is taken, which wakes this process. Defaults to a second; `"Infinity"` is never. */
  readonly lagInterval?: Duration.Input | undefined
}

/**
 * Measures the postmaster, with what is worth changing.
 *
 * @see {@link layer} for what is measured
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options?: Options): Layer.Layer<never, never, Postmaster> =>
  Layer.effectDiscard(Effect.suspend(() => measure(options)))

/**
 * Measures the postmaster with Effect's metrics.
 *
 * **When to use**
 *
 * Use beside one of Effect's exporters, in the application or in a worker with
 * `Postmaster.layerClient`.
 *
 * **Details**
 *
 * Gauges, read when they are exported:
 *
 * | metric | labels | what |
 * | --- | --- | --- |
 * | `postmaster_slots` | `state`: `free`, `waiting`, `starting`, `started`, `ready`, `stopping`, `resting`, `parked` | slots; together they are `maxWorkers` |
 * | `postmaster_spares` | `state`: `starting`, `ready` | spares |
 * | `postmaster_phase` | `phase`: `init`, `startup`, `consistent`, `run`, `waiting`, `halted` | 1 for the present one, 0 for the others |
 * | `postmaster_recovering` | | 1 from a crash of the attached workers to the end of recovery |
 *
 * Of the postmaster itself, from its beginning on, and read like the gauges:
 *
 * | metric | kind | labels | what |
 * | --- | --- | --- | --- |
 * | `postmaster_turn_duration_seconds` | histogram | | from a fact that is heard to the last order that follows from it |
 * | `postmaster_line_bytes_total` | counter | `direction`: `received`, `sent` | what the lines of workers have carried |
 *
 * Counters of what has happened since the layer was built:
 *
 * | metric | labels | what |
 * | --- | --- | --- |
 * | `postmaster_worker_registrations_total` | `type` | registrations |
 * | `postmaster_worker_unregistrations_total` | `type`, `reason`: `done`, `never_restarts`, `gave_up`, `terminated`, `shutting_down`, `crash` | ends of registrations |
 * | `postmaster_worker_starts_total` | `type` | lives begun |
 * | `postmaster_worker_restarts_total` | `type` | of these, the ones after a worker's first |
 * | `postmaster_worker_start_failures_total` | `type`, `reason`: `process_not_started`, `not_supported` | births that failed |
 * | `postmaster_worker_exits_total` | `type`, `verdict`: `done`, `again`, `failed`, `crashed` | lives ended |
 * | `postmaster_worker_parks_total` | `type` | workers that failed too often and wait to be resumed |
 * | `postmaster_worker_resumes_total` | `type` | workers that were told to start again |
 * | `postmaster_worker_signals_total` | `type`, `signal`: `SIGTERM`, `SIGQUIT`, `SIGKILL` | orders to end |
 * | `postmaster_crashes_total` | `type` of the one that crashed | crashes that take all attached workers along |
 * | `postmaster_kills_issued_total` | | times that those who were left after `killAfter` were killed |
 * | `postmaster_reloads_total` | | reload requests |
 * | `postmaster_spares_started_total` | | spares begun |
 * | `postmaster_spares_used_total` | | spares that became workers |
 * | `postmaster_spares_lost_total` | `cause`: `died`, `outdated` | spares that can serve no more |
 * | `postmaster_events_lost_total` | | events that this layer was too slow for, and no counter has seen |
 *
 * Histograms, in seconds:
 *
 * | metric | labels | from | to |
 * | --- | --- | --- | --- |
 * | `postmaster_worker_launch_duration_seconds` | `type`, `from`: `birth`, `spare` | a launch is ordered | the worker has started |
 * | `postmaster_worker_ready_duration_seconds` | `type` | it has started | it is ready |
 * | `postmaster_spare_ready_duration_seconds` | | a spare is begun | it is ready |
 * | `postmaster_event_loop_lag_seconds` | | a timer was to ring | it rang, in the process of this layer |
 *
 * What workers with `WorkerMetrics.layer` measure themselves is merged with the
 * label `worker`, their name. Counters, frequencies, histograms and summaries
 * add up over a worker's lives, so a restart takes nothing back; gauges are the
 * sums of the lives that last. It is done in the application alone. A worker's
 * own label `worker` becomes `exported_worker`.
 *
 * | metric | kind | labels | what |
 * | --- | --- | --- | --- |
 * | `postmaster_worker_series_dropped_total` | counter | `worker` | series that were not taken on, as there were too many of a name (1,000) or they were too large; one that goes on changing counts again |
 *
 * Pids are no labels, as their number has no bounds, and names are labels of
 * nothing else; `layerWith` can tell workers apart by name.
 *
 * **Gotchas**
 *
 * - A worker without a type has its name for one. Give workers that are named
 *   after their work a type; otherwise most of them are counted as `other`.
 * - The first lives of preloads are over or under way when this layer is built,
 *   so they are seen by the gauges and not counted as starts.
 * - Inside a worker a snapshot has to be fetched: gauges show the table as it
 *   was soon after the export before, and durations contain the worker's line.
 * - Workers of one name at the same time are one series. Quantiles of a summary
 *   are those of whichever has reported last; after a change of a histogram's
 *   boundaries the newer ones count.
 * - Two postmasters in one process count together and overwrite each other's
 *   gauges, unless each layer has its own `Metric.CurrentMetricAttributes`.
 *
 * **Example** (Metrics for Prometheus)
 *
 * ```ts
 * import { Postmaster, PostmasterMetrics } from "@effect-postmaster/core"
 * import * as Layer from "effect/Layer"
 * import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
 *
 * export const WorkersLive = Layer.provideMerge(PostmasterMetrics.layer, Postmaster.layer())
 *
 * // GET /metrics, of whatever router the application has.
 * export const MetricsLive = PrometheusMetrics.layerHttp()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Postmaster> = layerWith()

const measure = Effect.fnUntraced(function*(options: Options | undefined) {
  const postmaster = yield* Postmaster
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const by = options?.by ?? "type"
  const lagInterval = Duration.fromInputUnsafe(options?.lagInterval ?? "1 second")
  const monotonic = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e9

  const counters = (id: string, description: string): Count => {
    const metricOf = seriesOf((attributes) => Metric.counter(id, { description, attributes, incremental: true }))
    return (labels = {}, by = 1) => metricOf(labels).updateUnsafe(by, context)
  }
  const durations = (id: string, description: string): Observe => {
    const metricOf = seriesOf((attributes) =>
      Metric.histogram(id, { description, attributes: { ...attributes, unit: "seconds" }, boundaries })
    )
    return (seconds, labels = {}) => metricOf(labels).updateUnsafe(seconds, context)
  }
  const count = {
    registrations: counters("postmaster_worker_registrations_total", "Registrations of workers"),
    unregistrations: counters("postmaster_worker_unregistrations_total", "Ends of registrations"),
    starts: counters("postmaster_worker_starts_total", "Lives of workers begun"),
    restarts: counters("postmaster_worker_restarts_total", "Lives of workers begun after the first"),
    startFailures: counters("postmaster_worker_start_failures_total", "Births of workers that failed"),
    exits: counters("postmaster_worker_exits_total", "Lives of workers ended"),
    parks: counters("postmaster_worker_parks_total", "Workers that failed too often and wait to be resumed"),
    resumes: counters("postmaster_worker_resumes_total", "Workers that were told to start again"),
    signals: counters("postmaster_worker_signals_total", "Orders to end that were sent to workers"),
    crashes: counters("postmaster_crashes_total", "Crashes that took all attached workers along"),
    killsIssued: counters("postmaster_kills_issued_total", "Times that whoever was left after killAfter was killed"),
    reloads: counters("postmaster_reloads_total", "Reload requests"),
    sparesStarted: counters("postmaster_spares_started_total", "Spares begun"),
    sparesUsed: counters("postmaster_spares_used_total", "Spares that became workers"),
    sparesLost: counters("postmaster_spares_lost_total", "Spares that could serve no more"),
    seriesDropped: counters("postmaster_worker_series_dropped_total", "Series of workers that were not taken on"),
    eventsLost: counters("postmaster_events_lost_total", "Events that came too fast to be counted")
  }
  const observe = {
    launch: durations("postmaster_worker_launch_duration_seconds", "From the order to launch a worker to its start"),
    ready: durations("postmaster_worker_ready_duration_seconds", "From the start of a worker to its being ready"),
    spare: durations("postmaster_spare_ready_duration_seconds", "From the beginning of a spare to its being ready"),
    lag: durations("postmaster_event_loop_lag_seconds", "How late a timer rings")
  }

  const known = new Set<string>()
  const maxTypes = options?.maxTypes ?? 100
  const labelOf = (worker: Named): Labels => {
    const label = worker[by]
    if (known.has(label)) return { [by]: label }
    if (known.size >= maxTypes) return { [by]: "other" }
    known.add(label)
    introduce({ [by]: label })
    return { [by]: label }
  }
  /** A series that begins with its first crash would hide it: the rise from nothing is not seen. */
  const introduce = (label: Labels): void => {
    count.starts(label, 0)
    count.restarts(label, 0)
    count.parks(label, 0)
    for (const verdict of Verdict.literals) count.exits({ ...label, verdict: snakeCase(verdict) }, 0)
  }
  for (const plain of [count.killsIssued, count.reloads, count.sparesStarted, count.sparesUsed, count.eventsLost]) {
    plain({}, 0)
  }
  for (const cause of SpareLoss.fields.cause.literals) count.sparesLost({ cause: snakeCase(cause) }, 0)

  /** By slot. */
  const tenancies: Array<Tenancy | undefined> = []
  const tenancyOf = ({ generation, slot }: SlotRef, lives = 0): Tenancy => {
    const present = tenancies[slot]
    if (present?.generation === generation) return present
    return tenancies[slot] = { generation, lives, orderedAt: undefined, startedAt: undefined, from: "birth" }
  }
  const spareSince = new Map<number, number>()

  const note = (event: PostmasterEvent): void => {
    switch (event._tag) {
      case "Registered":
        tenancyOf(event.ref)
        return count.registrations(labelOf(event))
      case "Unregistered":
        tenancies[event.ref.slot] = undefined
        return count.unregistrations({ ...labelOf(event), reason: snakeCase(event.reason) })
      case "Starting": {
        const tenancy = tenancyOf(event.ref)
        tenancy.orderedAt = monotonic()
        tenancy.from = event.spare === undefined ? "birth" : "spare"
        if (event.spare !== undefined) count.sparesUsed()
        return
      }
      case "Started": {
        const tenancy = tenancyOf(event.ref)
        const label = labelOf(event)
        const now = monotonic()
        if (tenancy.orderedAt !== undefined) observe.launch(now - tenancy.orderedAt, { ...label, from: tenancy.from })
        tenancy.orderedAt = undefined
        tenancy.startedAt = now
        count.starts(label)
        if (tenancy.lives++ > 0) count.restarts(label)
        return
      }
      case "Ready": {
        const tenancy = tenancyOf(event.ref)
        if (tenancy.startedAt !== undefined) observe.ready(monotonic() - tenancy.startedAt, labelOf(event))
        tenancy.startedAt = undefined
        return
      }
      case "NotStarted":
        tenancyOf(event.ref).orderedAt = undefined
        return count.startFailures({ ...labelOf(event), reason: snakeCase(event.error.reason._tag) })
      case "SignalSent":
        return count.signals({ ...labelOf(event), signal: event.signal })
      case "Exited":
        tenancyOf(event.ref).startedAt = undefined
        return count.exits({ ...labelOf(event), verdict: snakeCase(event.verdict) })
      case "Parked":
        return count.parks(labelOf(event))
      case "Resumed":
        return count.resumes(labelOf(event))
      case "SpareStarting":
        spareSince.set(event.spare, monotonic())
        return count.sparesStarted()
      case "SpareReady": {
        const since = spareSince.get(event.spare)
        spareSince.delete(event.spare)
        return since === undefined ? undefined : observe.spare(monotonic() - since)
      }
      case "SpareLost":
        spareSince.delete(event.spare)
        return count.sparesLost({ cause: snakeCase(event.loss.cause) })
      case "SpareEnded":
        spareSince.delete(event.spare)
        return
      case "CrashDetected":
        return count.crashes(labelOf(event))
      case "KillIssued":
        return count.killsIssued()
      case "ReloadRequested":
        return count.reloads()
      case "EventsLost":
        // What has begun may have ended meanwhile, and begun again.
        spareSince.clear()
        for (const tenancy of tenancies) {
          if (tenancy !== undefined) tenancy.orderedAt = tenancy.startedAt = undefined
        }
        return count.eventsLost({}, event.count)
      case "PhaseReached":
      case "ShutdownRequested":
      case "Reinitializing":
      case "Halted":
        return
    }
  }

  const maxSeries = options?.maxSeries ?? 1_000
  const merged = MergedSeries.make(maxSeries, context)
  const reporters = new Set<string>()
  /** By life, how many series it has said that it drops. */
  const dropping = new Map<number, number>()
  const reporterOf = (name: string): string => {
    if (reporters.has(name)) return name
    const worker = reporters.size < maxTypes ? name : "other"
    if (worker === name) reporters.add(name)
    count.seriesDropped({ worker }, 0)
    return worker
  }
  const hear = (report: WorkerReport): void => {
    const worker = reporterOf(report.name)
    if (report._tag === "Ended") {
      dropping.delete(report.life)
      return merged.end(worker, report.life)
    }
    const more = report.dropped - (dropping.get(report.life) ?? 0)
    dropping.set(report.life, report.dropped)
    count.seriesDropped({ worker }, Math.max(0, more) + merged.update(worker, report.life, report.series))
  }

  // Heard first and looked at then, so that nobody is in neither.
  yield* Effect.forkScoped(
    Effect.ignoreCause(Stream.runForEach(postmaster.events, (event) => Effect.sync(() => note(event)))),
    { startImmediately: true }
  )
  if (maxSeries > 0) {
    yield* Effect.addFinalizer(() => Effect.sync(merged.clear))
    yield* Effect.forkScoped(
      Effect.ignoreCause(Stream.runForEach(postmaster.workerReports, (report) => Effect.sync(() => hear(report)))),
      { startImmediately: true }
    )
  }
  let seen = yield* postmaster.snapshot
  let vitals = yield* postmaster.vitals
  for (const worker of seen.workers) {
    labelOf(worker)
    tenancyOf(worker.ref, hasLived(worker) ? worker.restarts + 1 : 0)
  }

  /** In the process of the postmaster a look is over at once; elsewhere the next reader has what it brings. */
  let look: Fiber.Fiber<unknown> | undefined
  const run = Effect.runForkWith(context)
  const refresh = (): void => {
    if (look !== undefined && look.pollUnsafe() === undefined) return
    look = run(Effect.ignoreCause(Effect.map(Effect.all([postmaster.snapshot, postmaster.vitals]), (all) => {
      ;[seen, vitals] = all
    })))
  }
  yield* Effect.addFinalizer(() => look === undefined ? Effect.void : Fiber.interrupt(look))

  const register = <Input, State>(metric: Metric.Metric<Input, State>, read: () => State) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        Metric.registerUnsafe(metric, context, {
          get: () => {
            refresh()
            return read()
          },
          update: () => {},
          modify: () => {}
        })
      ),
      (registration) => Effect.sync(() => registration.remove())
    )
  const gauge = (id: string, description: string, labels: Labels, read: (table: PostmasterSnapshot) => number) =>
    register(Metric.gauge(id, { description, attributes: labels }), () => ({ value: read(seen) }))

  const slots = (state: string, read: (table: PostmasterSnapshot) => number) =>
    gauge("postmaster_slots", "Slots by what their workers are doing", { state }, read)
  yield* slots("free", ({ freeSlots }) => freeSlots)
  const tally = tallying()
  for (const state of WorkerState.literals) yield* slots(snakeCase(state), (table) => tally(table.workers, state))
  for (const state of SpareSnapshot.fields.state.literals) {
    yield* gauge(
      "postmaster_spares",
      "Spares by what they are doing",
      { state: snakeCase(state) },
      ({ spares }) => spares.filter((spare) => spare.state === state).length
    )
  }
  for (const phase of Phase.literals) {
    yield* gauge(
      "postmaster_phase",
      "1 for the present phase",
      { phase: snakeCase(phase) },
      (table) => table.phase === phase ? 1 : 0
    )
  }
  yield* gauge(
    "postmaster_recovering",
    "1 while attached workers recover from a crash",
    {},
    ({ recovering }) => recovering ? 1 : 0
  )

  yield* register(
    Metric.histogram("postmaster_turn_duration_seconds", {
      description: "How long turns take",
      attributes: { unit: "seconds" },
      boundaries: turnBounds.map((bound) => bound / 1000)
    }),
    () => turnState(vitals)
  )
  for (const direction of ["received", "sent"] as const) {
    yield* register(
      Metric.counter("postmaster_line_bytes_total", {
        description: "What the lines of workers have carried",
        attributes: { direction, unit: "bytes" },
        incremental: true
      }),
      () => ({ count: vitals[`${direction}Bytes`], incremental: true })
    )
  }

  if (!Duration.isFinite(lagInterval)) return
  const interval = Duration.toSeconds(lagInterval)
  yield* Effect.suspend(() => {
    const due = monotonic() + interval
    return Effect.map(clock.sleep(lagInterval), () => observe.lag(Math.max(0, monotonic() - due)))
  }).pipe(Effect.forever, Effect.forkScoped({ startImmediately: true }))
})

type Labels = Readonly<Record<string, string>>

type Count = (labels?: Labels, by?: number) => void

type Observe = (seconds: number, labels?: Labels) => void

interface Named {
  readonly name: string
  readonly type: string
}

/** What the metrics have to know of a registration. */
interface Tenancy {
  readonly generation: number
  lives: number
  /** When the launch was ordered that is under way. */
  orderedAt: number | undefined
  /** When the life began that is not yet ready. */
  startedAt: number | undefined
  from: "birth" | "spare"
}

/** Whether a first life has begun: a birth that failed was none. */
const hasLived = ({ lastExit, restarts, startedAt }: WorkerSnapshot): boolean =>
  restarts > 0 || startedAt !== undefined || (lastExit !== undefined && lastExit._tag !== "NotStarted")

const turnState = ({ turnMillis: { max, min, sum }, turns, turnsWithin }: Vitals): Metric.HistogramState => ({
  buckets: turnsWithin.map((count, index) => [turnBounds[index]! / 1000, count]),
  count: turns,
  min: min / 1000,
  max: max / 1000,
  sum: sum / 1000
})

/** From a spare, which takes a millisecond, to a program that loads for a minute. */
const boundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** One metric for each set of labels; all sets of a name have the same keys. */
const seriesOf = <M>(make: (labels: Labels) => M): (labels: Labels) => M => {
  const series = new Map<string, M>()
  return (labels) => {
    const key = JSON.stringify(Object.values(labels))
    let metric = series.get(key)
    if (metric === undefined) series.set(key, metric = make(labels))
    return metric
  }
}

/** Counts the workers of a table once, however many states are asked for. */
const tallying = (): (workers: PostmasterSnapshot["workers"], state: WorkerState) => number => {
  let counted: PostmasterSnapshot["workers"] | undefined
  const counts = new Map<WorkerState, number>()
  return (workers, state) => {
    if (workers !== counted) {
      counted = workers
      counts.clear()
      for (const { state } of workers) counts.set(state, (counts.get(state) ?? 0) + 1)
    }
    return counts.get(state) ?? 0
  }
}

/** `NeverRestarts` as `never_restarts`. */
const snakeCase = (word: string): string => word.replaceAll(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
