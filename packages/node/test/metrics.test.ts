/** What workers measure, in a scrape of the application, the same on every spawner. */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as PostmasterMetrics from "@effect-postmaster/core/PostmasterMetrics"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Babbler, Boundless, calls, Measured } from "./fixtures/measured.ts"
import { spawners, until } from "./support.ts"

const patience = 60_000

/** Waits until the scrape has these lines of the fixture's, and no others. */
const scraped = Effect.fnUntraced(function*(...lines: ReadonlyArray<string>) {
  const context = yield* Effect.context<never>()
  const expected = lines.toSorted().join("\n")
  let seen = ""
  yield* until("a scrape", () => {
    const all = PrometheusMetrics.formatUnsafe(context).split("\n").filter((line) => line.startsWith("test_"))
    seen = all.toSorted().join("\n")
    return seen === expected
  }).pipe(Effect.catchDefect(() => Effect.sync(() => assert.strictEqual(seen, expected))))
})

describe.each(spawners)("what a $name measures", ({ layer }) => {
  const test = (name: string, body: () => Effect.Effect<void, unknown, Postmaster | Scope.Scope>) =>
    it.live(name, () =>
      body().pipe(
        Effect.scoped,
        Effect.provide(
          PostmasterMetrics.layer.pipe(
            Layer.provideMerge(Postmaster.layer()),
            Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Fast" })])
          )
        ),
        Effect.provideService(Metric.MetricRegistry, new Map())
      ), patience)

  test("is the application's, adds up over restarts, and is told to the end", () =>
    Effect.gen(function*() {
      const worker = yield* (yield* Postmaster).register(Measured)
      // A series of the same name that is the application's own stays its own.
      yield* Metric.update(calls, 100)
      /** As so many lives have it together, of which so many have ended. */
      const lines = (lives: number, ended: number) => [
        "test_calls_total 100",
        `test_calls_total{worker="measured"} ${2 * lives}`,
        `test_bytes{worker="measured"} ${2n ** 61n * BigInt(lives)}`,
        `test_answers{worker="measured",key="ok"} ${2 * lives}`,
        "test_took_bucket{worker=\"measured\",le=\"1\"} 0",
        `test_took_bucket{worker="measured",le="10"} ${2 * lives}`,
        `test_took_bucket{worker="measured",le="+Inf"} ${2 * lives}`,
        `test_took_sum{worker="measured"} ${10 * lives}`,
        `test_took_count{worker="measured"} ${2 * lives}`,
        `test_sizes_sum{worker="measured"} ${8 * lives}`,
        `test_sizes_count{worker="measured"} ${2 * lives}`,
        ...(ended === 0 ? [] : [`test_ends_total{worker="measured"} ${ended}`])
      ]
      const present = [
        "test_queue{priority=\"high\",worker=\"measured\"} 7",
        "test_sizes{worker=\"measured\",quantile=\"0.5\"} 4"
      ]
      for (const life of [1, 2, 3]) {
        const client = yield* worker.waitForClient
        yield* client.Measure()
        yield* client.Measure()
        yield* scraped(...lines(life, life - 1), ...present)
        yield* Effect.ignore(client.Leave())
        yield* scraped(...lines(life, life))
      }
    }))

  test("is a thousand series at most, and the others are counted", () =>
    Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      const registry = yield* Metric.MetricRegistry
      yield* (yield* (yield* Postmaster).register(Boundless)).waitForReady
      const lines = () => PrometheusMetrics.formatUnsafe(context).split("\n")
      yield* until("all of them", () =>
        lines().includes("postmaster_worker_series_dropped_total{worker=\"boundless\"} 99000"))
      assert.lengthOf(
        lines().filter((line) =>
          line.startsWith("test_many{")
        ),
        1_000
      )
      assert.isBelow(registry.size, 1_100)
    }))

  test("ends it if it is nonsense, and nobody else", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const other = yield* postmaster.register(Measured)
      yield* other.waitForReady
      const babbler = yield* postmaster.register(Babbler)
      assert.deepStrictEqual(
        yield* babbler.waitForEnd,
        Option.some(ExitStatus.lost("sent metrics that do not decode"))
      )
      assert.strictEqual((yield* other.status)._tag, "Ready")
    }))
})
