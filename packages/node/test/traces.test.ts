/** One trace from the application through a worker's life to what the worker does, the same on every spawner. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import * as PostmasterTraces from "@effect-postmaster/core/PostmasterTraces"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { Traced } from "./fixtures/traced.ts"
import { spawners } from "./support.ts"

const patience = 60_000

describe.each(spawners)("the trace of a $name", ({ layer }) => {
  const run = (sampled: boolean) =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const seen = yield* Effect.gen(function*() {
        const application = yield* Effect.currentSpan
        const worker = yield* (yield* Postmaster).register(Traced)
        const client = yield* worker.waitForClient
        const own = yield* client.Own()
        const [caller, called] = yield* Effect.all([Effect.currentSpan, client.Called()]).pipe(
          Effect.withSpan("caller")
        )
        return { application, own, caller, called }
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Postmaster.layer().pipe(
            Layer.provide(PostmasterTraces.layer),
            Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })])
          )
        ),
        Effect.withSpan("application", { sampled }),
        Effect.withTracer(tracer)
      )
      const one = (name: string): Tracer.Span => {
        const [span, ...others] = spans.filter((span) => span.name === name)
        assert.isEmpty(others)
        return span!
      }
      return { ...seen, spans, life: one("Worker.life"), launch: one("Worker.launch") }
    })

  it.live("joins application, life, launch, the worker's own spans and calls", () =>
    Effect.gen(function*() {
      const { application, called, caller, launch, life, own, spans } = yield* run(true)
      assert.strictEqual(Option.getOrThrow(life.parent).spanId, application.spanId)
      assert.strictEqual(Option.getOrThrow(launch.parent).spanId, life.spanId)
      assert.deepStrictEqual(own, { traceId: application.traceId, parent: life.spanId, sampled: true, links: [] })
      const call = spans.find(({ parent }) => Option.getOrUndefined(parent)?.spanId === caller.spanId)!
      assert.deepStrictEqual(called, {
        traceId: caller.traceId,
        parent: call.spanId,
        sampled: true,
        links: [life.spanId]
      })
      for (const span of [life, launch]) {
        assert.strictEqual(span.traceId, application.traceId)
        assert.strictEqual(span.status._tag, "Ended")
      }
    }), patience)

  it.live("that is not sampled is not sampled in the worker", () =>
    Effect.gen(function*() {
      const { called, own } = yield* run(false)
      assert.deepStrictEqual([own.sampled, called.sampled], [false, false])
    }), patience)
})
