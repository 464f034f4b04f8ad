/**
 * Bears scripted workers: no process, no thread, no waiting. The fake has a
 * second face, by which a test writes the scripts and reads what was asked.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { exited, type ExitStatus, lost, signaled } from "../ExitStatus.ts"
import * as FramePort from "../FramePort.ts"
import { type Pid, sameRef, type SlotRef } from "../Identity.ts"
import * as WorkerLine from "../internal/workerLine.ts"
import { isAttached, type Registration } from "../Registration.ts"
import type { SpareLoss } from "../SpareLoss.ts"
import { type Child, type ChildReport, type Launch, type SignOfLife, type Spare, Spawner } from "../Spawner.ts"
import { ProcessNotStarted, SpawnError } from "../SpawnError.ts"
import type { SignalTarget, WorkerSignal } from "../WorkerSignal.ts"
import * as Script from "./Script.ts"

/**
 * One line of the journal; `at` is the clock's time in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export type JournalEntry =
  | {
    readonly _tag: "Spawned"
    readonly at: number
    readonly name: string
    readonly ref: SlotRef
    readonly args: Schema.Json
    /** Whether it was made from a spare. */
    readonly spare: boolean
  }
  | { readonly _tag: "SpareMade"; readonly at: number; readonly pid: Pid; readonly modules: ReadonlyArray<string> }
  | {
    readonly _tag: "Signaled"
    readonly at: number
    readonly name: string
    readonly ref: SlotRef
    readonly signal: WorkerSignal
    readonly target: SignalTarget
  }
  | {
    readonly _tag: "Ended"
    readonly at: number
    readonly name: string
    readonly ref: SlotRef
    readonly status: ExitStatus
  }

/**
 * The test's side of the scripted spawner.
 *
 * @category services
 * @since 0.1.0
 */
export class TestSpawner extends Context.Service<TestSpawner, {
  /**
   * Writes the coming lives of the workers of this name, or else of this type,
   * one script each, in place of what was written before. The last one is
   * played again and again; with none at all a worker `serves`.
   */
  readonly script: (name: string, ...scripts: ReadonlyArray<Script.Script>) => Effect.Effect<void>
  /** Loses the spare with this pid, and returns whether there was one. What follows is given time as with `end`. */
  readonly loseSpare: (pid: Pid, loss: SpareLoss) => Effect.Effect<boolean>
  /** The spares that stand ready now, in the order of their births. */
  readonly spares: Effect.Effect<ReadonlyArray<Pid>>
  /** What was asked of the spawner and what came of it, in order. */
  readonly journal: Effect.Effect<ReadonlyArray<JournalEntry>>
  /** The workers alive now, in the order of their births. */
  readonly alive: Effect.Effect<ReadonlyArray<SlotRef>>
  /**
   * Ends a life from outside, as `kill` in another terminal would, and returns
   * whether there was one. What follows at once is given 32 turns of the
   * scheduler to happen; wait for a handle if it may take more.
   */
  readonly end: (ref: SlotRef, status: ExitStatus) => Effect.Effect<boolean>
  /**
   * Kills whoever lives or is being born, now and from now on. A layer that is
   * released under a clock nobody advances would wait for the deaf for ever.
   */
  readonly killAll: Effect.Effect<void>
}>()("@effect-postmaster/core/testing/TestSpawner") {
  /** Scripted workers in place of real ones. */
  static readonly layer: Layer.Layer<TestSpawner | Spawner> = Layer.effectContext(Effect.suspend(() => make))
}

/** Now, if there is nothing to wait for; a test would have to wait for a fiber otherwise. */
const later = (delay: Duration.Duration, f: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Duration.isZero(delay)
    ? Effect.sync(f)
    : Effect.asVoid(Effect.forkScoped(Effect.andThen(Effect.sleep(delay), Effect.sync(f)), { startImmediately: true }))

/** Gets ready and goes on, until the loop stands still: beats if it is asked to, and does one after the other. */
const live = (
  { registration: { heartbeatMillis } }: Launch,
  { hangs, progress, ready }: Script.Script,
  report: (report: ChildReport | SignOfLife) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    if (ready === undefined) return
    if (!Duration.isZero(ready)) yield* Effect.sleep(ready)
    report("Ready")
    const signs: Array<Effect.Effect<void>> = []
    if (heartbeatMillis !== undefined) {
      signs.push(repeat(Math.floor(heartbeatMillis / 3), Number.POSITIVE_INFINITY, () => report({ _tag: "Beat" })))
    }
    if (progress !== undefined) {
      const { every, times } = progress
      const total = Number.isFinite(times) ? { total: times } : undefined
      signs.push(
        repeat(Duration.toMillis(every), times, (done) => report({ _tag: "Progress", progress: { done, ...total } }))
      )
    }
    if (signs.length === 0 || Duration.isZero(hangs)) return
    const work = Effect.all(signs, { concurrency: "unbounded", discard: true })
    yield* Duration.isFinite(hangs) ? Effect.timeoutOrElse(work, { duration: hangs, orElse: () => Effect.void }) : work
  })

const repeat = (millis: number, times: number, f: (time: number) => void): Effect.Effect<void> => {
  const after = (time: number): Effect.Effect<void> =>
    time > times
      ? Effect.void
      : Effect.andThen(
        Effect.sleep(millis),
        Effect.suspend(() => {
          f(time)
          return after(time + 1)
        })
      )
  return after(1)
}

/** More turns of the scheduler than anything that follows at once from one death takes. */
const settlingTicks = 32

interface Life {
  readonly ref: SlotRef
  readonly over: Deferred.Deferred<ExitStatus>
}

const make = Effect.gen(function*() {
  const clock = yield* Clock.Clock
  const scripts = new Map<string, Array<Script.Script>>()
  const journal: Array<JournalEntry> = []
  const alive = new Set<Life>()
  const spares = new Map<Pid, Deferred.Deferred<SpareLoss>>()
  const closing = Deferred.makeUnsafe<void>()
  let lastPid = 0

  const next = ({ name, type }: Registration): Script.Script => {
    const coming = scripts.get(name) ?? scripts.get(type)
    if (coming === undefined) return Script.serves()
    return coming.length > 1 ? coming.shift()! : coming[0] ?? Script.serves()
  }

  const spawn = Effect.fnUntraced(function*(
    launch: Launch,
    report: (report: ChildReport | SignOfLife) => void,
    spare?: Spare
  ): Effect.fn.Return<Child, SpawnError, Scope.Scope> {
    const { ref, registration: { args, name } } = launch
    const attached = isAttached(launch.registration)
    const now = () => clock.currentTimeMillisUnsafe()
    const script = next(launch.registration)
    const taken = spare !== undefined && spares.delete(spare.pid) ? spare : undefined
    journal.push({ _tag: "Spawned", at: now(), name, ref, args, spare: taken !== undefined })
    const early = { worker: name, detail: "the test is over" }
    if (Deferred.isDoneUnsafe(closing)) return yield* new SpawnError({ reason: new ProcessNotStarted(early) })
    // What is made from a spare has been born already.
    if (taken === undefined && !Duration.isZero(script.birth)) {
      yield* Effect.raceFirst(
        Effect.sleep(script.birth),
        Effect.andThen(
          Deferred.await(closing),
          Effect.fail(new SpawnError({ reason: new ProcessNotStarted(early) }))
        )
      )
    }
    if (script.notBorn !== undefined) {
      return yield* new SpawnError({ reason: new ProcessNotStarted({ worker: name, detail: script.notBorn }) })
    }
    const pid = taken?.pid ?? (++lastPid as Pid)
    const exit = Deferred.makeUnsafe<ExitStatus>()
    /** Decided when the end is decided on, and by whom: script, signal or test. */
    const life: Life = { ref, over: Deferred.makeUnsafe() }
    const decide = (status: ExitStatus): boolean => Deferred.doneUnsafe(life.over, Exit.succeed(status))
    alive.add(life)
    const reject = (detail: string): void => void decide(lost(detail))
    const [port, theirs] = FramePort.pair()

    const leave = (status: ExitStatus, clean: boolean): void => {
      if (!alive.delete(life)) return
      journal.push({ _tag: "Ended", at: now(), name, ref, status })
      if (attached && clean) report("Detached")
      Deferred.doneUnsafe(exit, Exit.succeed(status))
    }

    yield* Effect.gen(function*() {
      // Even the shortest life is seen to have begun, by whoever asked for it.
      yield* Effect.yieldNow
      if (attached) report("Attached")
      if (script.calls !== undefined) {
        yield* Effect.provideService(script.calls, WorkerLine.CurrentLine, () => WorkerLine.make(theirs, reject))
      }
      if (script.ready !== undefined) yield* Effect.forkScoped(live(launch, script, report), { startImmediately: true })
      if (Duration.isFinite(script.lasts)) yield* later(script.lasts, () => decide(script.end))
      const status = yield* Deferred.await(life.over)
      leave(status, script.clean && status._tag === "Exited" && status.code < 2)
    }).pipe(Effect.scoped, Effect.forkScoped({ startImmediately: true }))
    // Closing the scope ends the child, as it does for a process.
    yield* Effect.addFinalizer(() => Effect.sync(() => leave(signaled("SIGKILL", { ordered: true }), false)))

    const scope = yield* Effect.scope
    const obey = (status: ExitStatus): Effect.Effect<void> =>
      Duration.isFinite(script.obeys)
        ? Scope.provide(later(script.obeys, () => decide(status)), scope)
        : Effect.void

    return {
      pid,
      signal: (signal, target) =>
        Effect.suspend(() => {
          if (!alive.has(life)) return Effect.void
          journal.push({ _tag: "Signaled", at: now(), name, ref, signal, target })
          switch (signal) {
            case "SIGTERM":
              return obey(exited(1, { kind: "Interrupted", message: "the worker was asked to stop" }))
            case "SIGQUIT":
              return obey(exited(2))
            case "SIGKILL":
              return Effect.sync(() => decide(signaled("SIGKILL", { ordered: true })))
            case "SIGHUP":
            case "SIGUSR1":
              return Effect.void
          }
        }),
      exit: Deferred.await(exit),
      output: () => script.output,
      port,
      reject
    }
  })

  const spare = (modules: ReadonlyArray<string>): Effect.Effect<Spare, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const pid = ++lastPid as Pid
        const lost = Deferred.makeUnsafe<SpareLoss>()
        spares.set(pid, lost)
        journal.push({ _tag: "SpareMade", at: clock.currentTimeMillisUnsafe(), pid, modules })
        return { pid, lost: Deferred.await(lost) }
      }),
      ({ pid }) => Effect.sync(() => void spares.delete(pid))
    )

  return Context.make(Spawner, Spawner.of({ spawn, spare })).pipe(
    Context.add(
      TestSpawner,
      TestSpawner.of({
        script: (name, ...lives) =>
          Effect.sync(() => {
            scripts.set(name, [...lives])
          }),
        spares: Effect.sync(() => [...spares.keys()]),
        journal: Effect.sync(() => [...journal]),
        loseSpare: Effect.fnUntraced(function*(pid, loss) {
          const lost = spares.get(pid)
          if (lost === undefined || !Deferred.doneUnsafe(lost, Exit.succeed(loss))) return false
          for (let tick = 0; tick < settlingTicks; tick++) yield* Effect.yieldNow
          return true
        }),
        alive: Effect.sync(() => [...alive].map((life) => life.ref)),
        killAll: Effect.sync(() => {
          Deferred.doneUnsafe(closing, Exit.void)
          const killed = Exit.succeed(signaled("SIGKILL", { ordered: true }))
          for (const life of alive) Deferred.doneUnsafe(life.over, killed)
        }),
        end: Effect.fnUntraced(function*(ref, status) {
          const life = [...alive].find((one) => sameRef(one.ref, ref))
          if (life === undefined || !Deferred.doneUnsafe(life.over, Exit.succeed(status))) return false
          for (let tick = 0; tick < settlingTicks; tick++) yield* Effect.yieldNow
          return true
        })
      })
    )
  )
})
