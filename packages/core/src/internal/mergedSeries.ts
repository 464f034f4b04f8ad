/**
 * Decides what the series of a worker's lives are together: counts add up over
 * all lives, present and past, so that a new life takes nothing back; gauges
 * are of the present lives alone, and go with the last of them.
 *
 * Ownership: whoever makes it registers what it hears of. It holds no more than
 * `maxSeries` series for each label, whatever lives report.
 */
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type { Series, SeriesState } from "../WorkerReport.ts"

type StateOf<Tag extends SeriesState["_tag"]> = Extract<SeriesState, { readonly _tag: Tag }>

/** One series of one label. */
interface Merged {
  /** By life, what those report that have not ended; the last to report comes last. */
  readonly lives: Map<number, SeriesState>
  /** What the ended ones had come to. */
  past: SeriesState | undefined
  readonly registration: Metric.Registration
}

interface Labelled {
  readonly series: Map<string, Merged>
  /** Words of frequencies beside the first of each. */
  words: number
}

export interface MergedSeries {
  /** Returns how many series were not taken on. */
  readonly update: (label: string, life: number, series: ReadonlyArray<Series>) => number
  readonly end: (label: string, life: number) => void
  /** Takes everything out of the registry. */
  readonly clear: () => void
}

export const make = (maxSeries: number, context: Context.Context<never>): MergedSeries => {
  const labels = new Map<string, Labelled>()

  const labelledOf = (label: string): Labelled => {
    const known = labels.get(label)
    if (known !== undefined) return known
    const labelled = { series: new Map(), words: 0 }
    labels.set(label, labelled)
    return labelled
  }

  const register = (label: string, series: Series): Merged => {
    const registration = Metric.registerUnsafe(metricOf(series, attributesOf(series, label)), context, {
      get: () => stateOf(merged),
      update: () => {},
      modify: () => {}
    })
    const merged: Merged = { lives: new Map(), past: undefined, registration }
    return merged
  }

  const put = (labelled: Labelled, label: string, life: number, series: Series): boolean => {
    const key = keyOf(series)
    const known = labelled.series.get(key)
    if (known === undefined && labelled.series.size >= maxSeries) return false
    const more = extraWords(series.state) - (known === undefined ? 0 : extraWords(known.lives.get(life)))
    if (more > 0 && labelled.series.size + labelled.words + more > maxSeries) return false
    labelled.words += more
    const merged = known ?? register(label, series)
    labelled.series.set(key, merged)
    // Whoever has reported last comes last.
    merged.lives.delete(life)
    merged.lives.set(life, series.state)
    return true
  }

  return {
    update: (label, life, series) => {
      const labelled = labelledOf(label)
      return series.filter((one) => !put(labelled, label, life, one)).length
    },
    end: (label, life) => {
      const labelled = labelledOf(label)
      for (const [key, merged] of labelled.series) {
        const state = merged.lives.get(life)
        if (state === undefined) continue
        merged.lives.delete(life)
        if (state._tag === "Gauge") {
          if (merged.lives.size > 0) continue
          merged.registration.remove()
          labelled.series.delete(key)
          continue
        }
        const before = extraWords(merged.past) + extraWords(state)
        merged.past = merged.past === undefined ? ended(state) : add(merged.past, ended(state))
        labelled.words += extraWords(merged.past) - before
      }
    },
    clear: () => {
      for (const { series } of labels.values()) for (const { registration } of series.values()) registration.remove()
      labels.clear()
    }
  }
}

/** A frequency's words are held by every life that has said them, and count so. */
const extraWords = (state: SeriesState | undefined): number =>
  state?._tag === "Frequency" ? Math.max(0, state.occurrences.length - 1) : 0

/** As Prometheus does it when a label is taken. */
const attributesOf = ({ attributes: { worker, ...rest } }: Series, label: string): Metric.Metric.AttributeSet => ({
  ...rest,
  ...(worker === undefined ? undefined : { exported_worker: worker }),
  worker: label
})

/** Tells the series of one life apart. */
export const keyOf = ({ attributes, description, id, state }: Series): string =>
  JSON.stringify([
    state._tag,
    id,
    description,
    Object.entries(attributes).toSorted(([self], [that]) => self < that ? -1 : 1)
  ])

const metricOf = (
  { description, id, state }: Series,
  attributes: Metric.Metric.AttributeSet
): Metric.Metric<never, unknown> => {
  const options = { description, attributes }
  switch (state._tag) {
    case "Counter":
      return Metric.counter(id, { ...options, incremental: state.incremental })
    case "Gauge":
      return Metric.gauge(id, options)
    case "Frequency":
      return Metric.frequency(id, options)
    // What follows is read from the state, and nothing is ever put in.
    case "Histogram":
      return Metric.histogram(id, { ...options, boundaries: [] })
    case "Summary":
      return Metric.summary(id, { ...options, maxAge: 0, maxSize: 0, quantiles: [] })
  }
}

/** What a life leaves behind: quantiles are of a time that is over. */
const ended = (state: SeriesState): SeriesState =>
  state._tag === "Summary" ? { ...state, quantiles: state.quantiles.map(([quantile]) => [quantile, null]) } : state

const stateOf = ({ lives, past }: Merged): unknown => {
  let sum = past
  for (const state of lives.values()) sum = sum === undefined ? state : add(sum, state)
  return sum === undefined ? undefined : toState(sum)
}

const plus = (self: number | bigint, that: number | bigint): number | bigint =>
  typeof self === "bigint" && typeof that === "bigint" ? self + that : Number(self) + Number(that)

type Spread = Pick<StateOf<"Histogram">, "count" | "min" | "max" | "sum">

const spread = (self: Spread, that: Spread): Spread => ({
  count: self.count + that.count,
  min: Math.min(self.min, that.min),
  max: Math.max(self.max, that.max),
  sum: self.sum + that.sum
})

/** Both are states of one series, so they are of one kind. */
const add = (self: SeriesState, that: SeriesState): SeriesState => {
  switch (that._tag) {
    case "Counter":
      return { ...that, count: plus((self as typeof that).count, that.count) }
    case "Gauge":
      return { ...that, value: plus((self as typeof that).value, that.value) }
    case "Frequency": {
      const occurrences = new Map((self as typeof that).occurrences)
      for (const [word, count] of that.occurrences) occurrences.set(word, (occurrences.get(word) ?? 0) + count)
      return { ...that, occurrences: [...occurrences] }
    }
    case "Histogram": {
      const { buckets, ...rest } = self as typeof that
      const isSame = buckets.length === that.buckets.length &&
        buckets.every(([boundary], index) => boundary === that.buckets[index]![0])
      // With other boundaries it is another histogram, and the newer program's.
      if (!isSame) return that
      return {
        ...that,
        buckets: that.buckets.map(([boundary, count], index) => [boundary, count + buckets[index]![1]]),
        ...spread(rest, that)
      }
    }
    case "Summary":
      // Quantiles cannot be added: those of whoever has reported last are shown.
      return { ...that, ...spread(self as typeof that, that) }
  }
}

/** As Effect's exporters read it. */
const toState = (state: SeriesState): unknown => {
  switch (state._tag) {
    case "Frequency":
      return { occurrences: new Map(state.occurrences) }
    case "Summary":
      return { ...state, quantiles: state.quantiles.map(([quantile, value]) => [quantile, value ?? undefined]) }
    default:
      return state
  }
}
