/** Who gets a slot: keys and waits, asked for by the application and by workers, on every spawner. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { RegistrationError } from "@effect-postmaster/core/RegistrationError"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Callable } from "./fixtures/callable.ts"
import { Lingerer, Only, Other, Seeker } from "./fixtures/seekers.ts"
import { spawners } from "./support.ts"

const patience = 60_000

const postmaster = (layer: Layer.Layer<Spawner>) =>
  Postmaster.layer().pipe(
    Layer.provide([layer, PostmasterConfig.layer({ maxWorkers: 3, shutdownOnRelease: "Immediate" })])
  )

/** Returns when so many wait for a slot. */
const waiting = (number: number) =>
  Effect.flatMap(Postmaster, ({ snapshots }) => Stream.runHead(Stream.filter(snapshots, (_) => _.waiting === number)))

describe.each(spawners)("who gets a slot, as a $name", ({ layer }) => {
  const test = (name: string, body: Effect.Effect<void, unknown, Postmaster | Scope.Scope>) =>
    it.live(name, () => Effect.provide(body, postmaster(layer)).pipe(Effect.scoped), patience)

  test(
    "a key has one worker, whoever asks: the application and a worker call the same",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const seeker = yield* (yield* service.register(Seeker)).client
      const [mine, theirs, again] = yield* Effect.all([
        service.register(Only),
        seeker.Register({ kind: "only" }),
        seeker.Register({ kind: "only" })
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([theirs, again], [mine.address, mine.address])
      assert.strictEqual(yield* (yield* mine.client).Add({ a: 2, b: 3 }), 5)
      const refused = yield* Effect.flip(seeker.Register({ kind: "other" }))
      assert(refused instanceof RegistrationError && refused.reason._tag === "KeyTaken")
      assert.strictEqual(refused.reason.occupant.name, "only")
      assert.strictEqual((yield* Effect.flip(service.register(Other))).reason._tag, "KeyTaken")
      assert.strictEqual((yield* service.snapshot).workers.length, 2)
    })
  )

  test(
    "a worker waits for a slot, and gets it when one is free; the application, too",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const seeker = yield* (yield* service.register(Seeker)).client
      const first = yield* service.register(Callable)
      const second = yield* service.register(Callable)
      const late = yield* Effect.flip(seeker.RegisterWithin({ kind: "callable", millis: 20 }))
      assert(late instanceof RegistrationError && late.reason._tag === "SlotsExhausted")
      assert.isAtLeast(late.reason.waitedMillis!, 20)
      const theirs = yield* Effect.forkChild(seeker.RegisterWithin({ kind: "callable", millis: patience }))
      yield* waiting(1)
      const mine = yield* Effect.forkChild(service.registerWithin(patience, Callable))
      yield* waiting(2)
      yield* second.terminate
      assert.strictEqual((yield* Fiber.join(theirs)).ref.slot, second.ref.slot)
      yield* first.terminate
      assert.strictEqual((yield* Fiber.join(mine)).ref.slot, first.ref.slot)
    })
  )

  test(
    "whoever does not heed SIGTERM is told to leave by the next rung of its ladder, and that is no crash",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const worker = yield* service.register(Lingerer)
      yield* worker.waitForReady
      const story: Array<string> = []
      const telling = yield* service.events.pipe(
        Stream.takeUntil((event) => event._tag === "Unregistered"),
        Stream.runForEach((event) =>
          Effect.sync(() => story.push(event._tag === "SignalSent" ? event.signal : event._tag))
        ),
        Effect.forkChild({ startImmediately: true })
      )
      yield* worker.terminate
      const end = Option.getOrThrow(yield* worker.waitForEnd)
      assert.deepStrictEqual([end._tag, end._tag === "Exited" && end.code], ["Exited", 2])
      yield* Fiber.join(telling)
      assert.deepStrictEqual(story, ["SIGTERM", "SIGQUIT", "Exited", "Unregistered"])
      assert.isFalse((yield* service.snapshot).recovering)
    })
  )

  test(
    "another policy decides what follows the next failure, whoever has asked for it",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const seeker = yield* (yield* service.register(Seeker)).client
      const only = yield* service.register(Only)
      yield* seeker.Demote({ name: "only" })
      const { workers } = yield* service.snapshot
      assert.strictEqual(workers.find(({ name }) => name === "only")?.restart._tag, "Never")
      yield* Effect.ignore((yield* only.client).Leave({ how: "fail" }))
      yield* only.waitForEnd
      assert.strictEqual((yield* Effect.flip(only.changePolicy({ restart: "never" }))).reason._tag, "NotRegistered")
    })
  )

  test(
    "a worker that goes away, or gives up waiting, waits no more",
    Effect.gen(function*() {
      const service = yield* Postmaster
      const worker = yield* service.register(Seeker)
      const seeker = yield* worker.client
      yield* service.register(Callable)
      yield* service.register(Callable)
      const asking = () =>
        Effect.forkChild(Effect.ignore(seeker.RegisterWithin({ kind: "callable", millis: patience })))
      const givesUp = yield* asking()
      yield* asking()
      yield* waiting(2)
      yield* Fiber.interrupt(givesUp)
      yield* waiting(1)
      yield* worker.terminate
      yield* worker.waitForEnd
      yield* waiting(0)
    })
  )
})
