/**
 * Decides which spans a worker's life makes in the application's tracer, and
 * that what the worker traces itself belongs to them.
 *
 * It stands between the postmaster and its spawner, where a life is begun and
 * its end is heard. So the loop knows nothing of spans, and a postmaster without
 * this layer pays nothing for them; and the life's span is there before the
 * worker is, which is told of it with its launch.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Tracer from "effect/Tracer"
import { type ExitStatus, format, verdict } from "./ExitStatus.ts"
import { type Child, type ChildReport, type Launch, Spawner } from "./Spawner.ts"
import type { WorkerSignal } from "./WorkerSignal.ts"

/**
 * Makes spans of the lives of workers.
 *
 * **When to use**
 *
 * Use between `Postmaster.layer` and a spawner, with a tracer that exports
 * (`OtlpTracer`). Calls to workers are spans without it.
 *
 * **Details**
 *
 * | span | from | to |
 * | --- | --- | --- |
 * | `Worker.life` | the launch is ordered | the worker has exited, or was not born |
 * | `Worker.launch`, its child | the same | the worker is ready, or will never be |
 *
 * Attributes of both: `worker.name`, `worker.type`, `worker.slot`,
 * `worker.generation`, `worker.spare` (whether one was offered) and, once it has
 * started, `worker.pid`. The life has `worker.exit` and `worker.verdict` at its
 * end, and the events `started`, `ready`, `attached`, `detached` and `signal`
 * with the signal's name. Failed and crashed lives end with a failure, those
 * that were told to end are interrupted.
 *
 * A launch is the first part of its life rather than before it, because the
 * worker has to be told of the life's span when it is launched; so every span
 * lies within its parent.
 *
 * The life is the parent of what the worker traces itself and nobody called it
 * for; spans of calls belong to their callers and have a link to the life. For
 * them to be seen the worker needs a tracer of its own in the `layer` of its
 * `main`. A fiber has the application's.
 *
 * Lives are children of the span in which the layer was built; without one each
 * is a trace of its own.
 *
 * **Gotchas**
 *
 * A life that never ends is exported never, and what the worker traces meanwhile
 * is in one trace with it. Begin work that is a trace of its own with
 * `root: true`.
 *
 * **Example** (A postmaster that is traced)
 *
 * ```ts
 * import { Postmaster, PostmasterTraces, SpawnerFiber } from "@effect-postmaster/core"
 * import * as Layer from "effect/Layer"
 *
 * export const WorkersLive = Postmaster.layer().pipe(
 *   Layer.provide(PostmasterTraces.layer),
 *   Layer.provide(SpawnerFiber.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spawner, never, Spawner> = Layer.effect(
  Spawner,
  Effect.gen(function*() {
    const spawner = yield* Spawner
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    const begin = (name: string, options: Tracer.SpanOptionsNoTrace): Effect.Effect<Tracer.Span> =>
      Effect.provideContext(Effect.makeSpan(name, options), context)

    return Spawner.of({
      ...spawner,
      spawn: Effect.fnUntraced(function*(launch, report, spare) {
        const attributes = attributesOf(launch, spare !== undefined)
        const span = yield* begin("Worker.life", { attributes })
        const spans = makeSpans(span, yield* begin("Worker.launch", { attributes, parent: span }), clock)
        // Added first, so that it runs when the child is gone, whether anybody has heard how or not.
        yield* Effect.addFinalizer(() => Effect.sync(() => spans.end(Exit.interrupt())))
        const trace = { traceId: span.traceId, spanId: span.spanId, sampled: span.sampled }
        const child = yield* Effect.onExit(
          spawner.spawn({ ...launch, trace }, (word) => {
            // Signs of life are no news.
            if (typeof word === "string") spans.said(word)
            report(word)
          }, spare),
          (exit) => Effect.sync(() => Exit.isFailure(exit) ? spans.end(exit) : spans.started(exit.value))
        )
        return {
          ...child,
          signal: (signal, target) =>
            Effect.andThen(Effect.sync(() => spans.signaled(signal)), child.signal(signal, target)),
          exit: Effect.tap(child.exit, (status) => Effect.sync(() => spans.exited(status)))
        }
      })
    })
  })
)

const attributesOf = ({ ref, registration }: Launch, spare: boolean): Record<string, unknown> => ({
  "worker.name": registration.name,
  "worker.type": registration.type,
  "worker.slot": ref.slot,
  "worker.generation": ref.generation,
  "worker.spare": spare
})

/** The two spans of one life. What comes after their end changes nothing. */
const makeSpans = (life: Tracer.Span, launch: Tracer.Span, clock: Clock.Clock) => {
  let told: WorkerSignal | undefined

  const endOf = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>): void => {
    if (span.status._tag === "Started") span.end(clock.currentTimeNanosUnsafe(), exit)
  }
  const note = (event: string, attributes?: Record<string, unknown>): void => {
    if (life.status._tag === "Started") life.event(event, clock.currentTimeNanosUnsafe(), attributes)
  }
  const end = (exit: Exit.Exit<unknown, unknown>): void => {
    endOf(launch, exit)
    endOf(life, exit)
  }

  return {
    end,
    started: ({ pid }: Child): void => {
      for (const span of [life, launch]) span.attribute("worker.pid", pid)
      note("started")
    },
    said: (word: ChildReport): void => {
      note(word.toLowerCase())
      if (word === "Ready") endOf(launch, Exit.void)
    },
    signaled: (signal: WorkerSignal): void => {
      if (signal !== "SIGHUP" && signal !== "SIGUSR1") told = signal
      note("signal", { signal })
    },
    exited: (status: ExitStatus): void => {
      life.attribute("worker.exit", format(status))
      life.attribute("worker.verdict", verdict(status))
      end(exitOf(status, told))
    }
  }
}

/** Those who leave as they were told to have not failed; SIGQUIT and SIGKILL leave no choice of how. */
const exitOf = (status: ExitStatus, told: WorkerSignal | undefined): Exit.Exit<void, Error> => {
  const meant = verdict(status)
  if (meant === "Done") return Exit.void
  if (told === "SIGQUIT" || told === "SIGKILL" || (told === "SIGTERM" && meant === "Failed")) return Exit.interrupt()
  const error = new Error(format(status))
  return meant === "Failed" ? Exit.fail(error) : Exit.die(error)
}
