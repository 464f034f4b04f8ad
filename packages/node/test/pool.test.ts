/** Pools of real workers: one that is killed in the middle of a thousand calls leaves none of them waiting. */
import { SpawnerFiber } from "@effect-postmaster/core"
import type * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import { WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import * as WorkerPool from "@effect-postmaster/core/WorkerPool"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Callable, Mortal } from "./fixtures/callable.ts"
import { until } from "./support.ts"

const patience = 60_000

/** Ends one of them: from outside where it has a process of its own, else from inside. */
type Kill = (pool: WorkerPool.WorkerPool<Rpcs>) => Effect.Effect<unknown, unknown, Scope.Scope>
type Rpcs = typeof Callable extends BackgroundWorker.BackgroundWorker<BackgroundWorker.ArgsSchema, infer R> ? R : never

const leave: Kill = (pool) => Effect.forkScoped(pool.client.Leave({ how: "die" }))

const kill: Kill = Effect.fnUntraced(function*(pool) {
  const [worker] = yield* pool.workers
  const pid = yield* worker!.pid
  // It may have ended by itself a moment ago, which serves as well.
  if (Option.isSome(pid)) yield* Effect.ignore(Effect.try(() => process.kill(pid.value, "SIGKILL")))
})

const spawners: ReadonlyArray<{ readonly name: string; readonly layer: Layer.Layer<Spawner>; readonly end: Kill }> = [
  { name: "fiber", layer: SpawnerFiber.layer, end: leave },
  { name: "thread", layer: NodeSpawner.layerThread, end: leave },
  { name: "process", layer: NodeSpawner.layer, end: kill }
]

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

/** Five hundred calls that are never answered, and five hundred streams that never end. */
const thousand = (pool: WorkerPool.WorkerPool<Rpcs>) =>
  Effect.forEach(Array.from({ length: 500 }), () =>
    Effect.all([
      Effect.forkScoped(pool.client.Hang({ name: "pending" }), now),
      Effect.forkScoped(Stream.runForEach(pool.client.Drip(), () => Effect.sleep("20 millis")), now)
    ])).pipe(Effect.map((pairs): ReadonlyArray<Fiber.Fiber<void, unknown>> => pairs.flat()))

const now = { startImmediately: true }

const untilReady = (pool: WorkerPool.WorkerPool<Rpcs>, ready: number) =>
  until(`${ready} ready`, () => Effect.runSync(pool.stats).ready === ready)

describe.each(spawners)("a pool of workers, each a $name", ({ end, layer }) => {
  const test = (name: string, body: Effect.Effect<void, unknown, Postmaster | Scope.Scope>) =>
    it.live(name, () =>
      Effect.scoped(body).pipe(
        Effect.provide(
          Postmaster.layer().pipe(Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })]))
        )
      ), patience)

  test(
    "leaves none of a thousand calls waiting when one is killed, and none when all are",
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Mortal, { size: 4, strategy: "RoundRobin" })
      yield* untilReady(pool, 4)
      const calls = yield* thousand(pool)
      yield* end(pool)
      const over = () => calls.map((call) => call.pollUnsafe()).filter((exit) => exit !== undefined)
      yield* until("a quarter has ended", () => over().length === 250)
      const errors = over().map(errorOf)
      for (const error of errors) {
        assert.instanceOf(error, WorkerStopped)
        assert.deepStrictEqual(error.ref, (errors[0] as WorkerStopped).ref)
      }
      // The others have heard nothing of it.
      const sums = yield* Effect.forEach(Array.from({ length: 100 }), (_, n) => pool.client.Add({ a: n, b: 1 }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(sums, Array.from({ length: 100 }, (_, n) => n + 1))
      assert.isAtLeast((yield* pool.stats).calls, 750)
      const more = yield* thousand(pool)
      const workers = yield* pool.workers
      yield* Effect.forEach(workers, (worker) => worker.terminate)
      for (const call of [...calls, ...more]) assert.instanceOf(errorOf(yield* Fiber.await(call)), WorkerStopped)
      yield* Effect.forEach(workers, (worker) => worker.waitForEnd)
      // Others have been put in their place.
      assert.strictEqual(yield* pool.client.Add({ a: 1, b: 2 }), 3)
    })
  )

  test(
    "answers every call in the end, however often they die, if the calls are made again",
    Effect.gen(function*() {
      const pool = yield* WorkerPool.make(Callable, { minSize: 1, maxSize: 3, concurrency: 4 })
      let answered = 0
      const calls = Effect.forEach(
        Array.from({ length: 1_000 }),
        (_, n) =>
          pool.client.Echo({ bytes: new Uint8Array([n % 251]) }).pipe(
            Effect.retry({ while: (error) => error._tag === "WorkerStopped" }),
            Effect.tap(() => Effect.sync(() => answered++))
          ),
        { concurrency: 50 }
      )
      const killing = Effect.gen(function*() {
        for (let deaths = 1; deaths <= 5; deaths++) {
          yield* until("some are answered", () => answered >= deaths * 150)
          yield* end(pool)
        }
      })
      const [answers] = yield* Effect.all([calls, killing], { concurrency: "unbounded" })
      assert.deepStrictEqual(answers.map((bytes) => bytes[0]), Array.from({ length: 1_000 }, (_, n) => n % 251))
      assert.strictEqual((yield* pool.stats).waiting, 0)
    })
  )
})
