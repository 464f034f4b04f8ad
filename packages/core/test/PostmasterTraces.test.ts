/** The spans of lives, scripted in the test's own time. */
import {
  BackgroundWorker,
  Identity,
  Postmaster,
  PostmasterConfig,
  PostmasterTraces,
  Spawner
} from "@effect-postmaster/core"
import { Script, TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"

const entry = { module: new URL("file:///worker.js") }
const Mail = BackgroundWorker.make("mail 1", { entry, type: "mail", restart: "10 seconds" })

/** A tracer that remembers. */
const remember = (spans: Array<Tracer.NativeSpan>): Tracer.Tracer =>
  Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })

/** Runs the body in a span, with a postmaster whose spans are remembered. */
const test = (
  name: string,
  body: (spans: ReadonlyArray<Tracer.NativeSpan>) => Effect.Effect<void, unknown, Postmaster | TestSpawner>
) =>
  it.effect(name, () => {
    const spans: Array<Tracer.NativeSpan> = []
    return body(spans).pipe(
      Effect.provide(
        Postmaster.layer().pipe(
          Layer.provide(PostmasterTraces.layer),
          Layer.provide(PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })),
          Layer.provideMerge(TestSpawner.layer)
        )
      ),
      Effect.withSpan("application"),
      Effect.withTracer(remember(spans))
    )
  })

const named = (spans: ReadonlyArray<Tracer.NativeSpan>, name: string) => spans.filter((span) => span.name === name)

const millis = (span: Tracer.NativeSpan): ReadonlyArray<number | undefined> => [
  Number(span.startTime / 1_000_000n),
  span.status._tag === "Ended" ? Number(span.status.endTime / 1_000_000n) : undefined
]

const exitOf = (span: Tracer.NativeSpan): string => {
  if (span.status._tag === "Started") return "none"
  const { exit } = span.status
  if (Exit.isSuccess(exit)) return "success"
  const [reason] = exit.cause.reasons
  return Cause.hasInterruptsOnly(exit.cause)
    ? "interrupt"
    : `${reason!._tag}: ${Cause.pretty(exit.cause).split("\n")[0]}`
}

const eventsOf = (span: Tracer.NativeSpan) => span.events.map(([name, at]) => [name, Number(at / 1_000_000n)])

describe("spans of a life", () => {
  test("its launch ends when it is ready, and itself with its failure; the next one is another", (spans) =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script(
        "mail 1",
        Script.exits(1, { birth: "1 second", ready: "2 seconds", after: "5 seconds" }),
        Script.exits(3, { after: "1 second" }),
        Script.exits(0)
      )
      const worker = yield* (yield* Postmaster).register(Mail)
      yield* TestClock.adjust("1 minute")
      const [application] = named(spans, "application")
      const lives = named(spans, "Worker.life")
      const launches = named(spans, "Worker.launch")
      assert.deepStrictEqual(lives.map(millis), [[0, 6_000], [16_000, 17_000], [27_000, 27_000]])
      assert.deepStrictEqual(launches.map(millis), [[0, 3_000], [16_000, 16_000], [27_000, 27_000]])
      assert.deepStrictEqual(lives.map(exitOf), [
        "Fail: Error: exited with exit code 1",
        "Die: Error: exited with exit code 3",
        "success"
      ])
      assert.deepStrictEqual(launches.map(exitOf), ["success", "success", "success"])
      assert.deepStrictEqual(eventsOf(lives[0]!), [["started", 1_000], ["ready", 3_000]])
      assert.deepStrictEqual(Object.fromEntries(lives[0]!.attributes), {
        "worker.name": "mail 1",
        "worker.type": "mail",
        "worker.slot": worker.ref.slot,
        "worker.generation": worker.ref.generation,
        "worker.spare": false,
        "worker.pid": 1,
        "worker.exit": "exited with exit code 1",
        "worker.verdict": "Failed"
      })
      for (const [index, life] of lives.entries()) {
        assert.strictEqual(Option.getOrThrow(life.parent).spanId, application!.spanId)
        assert.strictEqual(Option.getOrThrow(launches[index]!.parent).spanId, life.spanId)
        assert.strictEqual(launches[index]!.traceId, application!.traceId)
      }
    }))

  test("a birth that fails ends both", (spans) =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script("mail 1", Script.notBorn("no memory", { birth: "1 second" }))
      yield* (yield* Postmaster).register(Mail)
      yield* TestClock.adjust("5 seconds")
      const both = [...named(spans, "Worker.life"), ...named(spans, "Worker.launch")]
      assert.deepStrictEqual(both.map(millis), [[0, 1_000], [0, 1_000]])
      for (const span of both) assert.match(exitOf(span), /^Fail: .*no memory/)
    }))

  test("whoever was told to end is interrupted, in good order or killed", (spans) =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      yield* script("obedient", Script.serves())
      yield* script("deaf", Script.hangs({ ready: "never" }))
      const postmaster = yield* Postmaster
      const define = (name: string) => BackgroundWorker.make(name, { entry, stopTimeout: "2 seconds" })
      for (const name of ["obedient", "deaf"]) yield* (yield* postmaster.register(define(name))).terminate
      yield* TestClock.adjust("5 seconds")
      const [obedient, deaf] = named(spans, "Worker.life")
      assert.include(["interrupt", "success"], exitOf(obedient!))
      assert.strictEqual(exitOf(deaf!), "interrupt")
      assert.deepStrictEqual(deaf!.events.map((event) => [event[0], event[2]["signal"]]), [
        ["started", undefined],
        ["signal", "SIGTERM"],
        ["signal", "SIGKILL"]
      ])
      assert.strictEqual(exitOf(named(spans, "Worker.launch")[1]!), "interrupt")
      assert.deepStrictEqual(millis(deaf!), [0, 2_000])
    }))

  it.effect("the end of the postmaster leaves none open", () => {
    const spans: Array<Tracer.NativeSpan> = []
    return Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(
          Postmaster.layer().pipe(
            Layer.provide(PostmasterTraces.layer),
            Layer.provide(PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })),
            Layer.provideMerge(TestSpawner.layer)
          )
        )
        const postmaster = yield* Effect.provideContext(Postmaster, context)
        yield* (yield* postmaster.register(Mail)).waitForReady
      }))
      assert.deepStrictEqual(spans.filter(({ name }) => name.startsWith("Worker.")).map(exitOf), [
        "interrupt",
        "success"
      ])
      // Nobody's children: there was no span in which the layer was built.
      assert.isTrue(spans.filter(({ name }) => name === "Worker.life").every(({ parent }) => Option.isNone(parent)))
    }).pipe(Effect.withTracer(remember(spans)))
  })

  it.effect("whoever gives a life up leaves none open", () => {
    const spans: Array<Tracer.NativeSpan> = []
    return Effect.gen(function*() {
      const spawner = yield* Spawner
      const registration = yield* BackgroundWorker.toRegistration(Mail, undefined)
      yield* Effect.scoped(spawner.spawn({ ref: Identity.slotRef(0, 1), registration }, () => {}))
      assert.deepStrictEqual(spans.map(({ name }) => name), ["Worker.life", "Worker.launch"])
      assert.strictEqual(exitOf(spans[0]!), "interrupt")
    }).pipe(
      Effect.provide(Layer.provide(PostmasterTraces.layer, TestSpawner.layer)),
      Effect.withTracer(remember(spans))
    )
  })
})
