/**
 * Workers as fibers of this process: the cheapest way to bear them, and no
 * containment at all beyond what Effect gives.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import { exited, type ExitStatus, fromExit, lost, signaled } from "./ExitStatus.ts"
import * as FramePort from "./FramePort.ts"
import type { Pid } from "./Identity.ts"
import { SharesProcess } from "./internal/workerLine.ts"
import { namesOf } from "./Limits.ts"
import { type Child, type ChildReport, type Launch, type SignOfLife, Spawner } from "./Spawner.ts"
import * as WorkerLife from "./WorkerLife.ts"
import * as WorkerRuntime from "./WorkerRuntime.ts"
import type { WorkerSignal } from "./WorkerSignal.ts"

/**
 * Bears workers as fibers.
 *
 * **When to use**
 *
 * Use for workers that trust each other and need no process: they start in
 * microseconds and share the application's memory.
 *
 * **Details**
 *
 * The entry module is imported into this process. Pids are a counter. SIGTERM
 * interrupts the fiber; SIGQUIT and SIGKILL report the end at once and leave the
 * fiber to its interruption. What a worker logs goes to the application's loggers
 * at once, annotated with `worker`, `slot`, `generation` and `pid`.
 *
 * **Gotchas**
 *
 * A fiber cannot be killed: one that ignores interruption is abandoned, and one
 * that blocks the event loop blocks the postmaster with it. `process.exit` in a
 * worker ends the application.
 *
 * A fiber cannot be limited either. A worker that has `limits` lives without
 * them, so that a program runs on fibers as it is, and the first one is told of
 * in a warning.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spawner> = Layer.sync(Spawner, () => {
  let lastPid = 0
  let warned = false
  const importModule = rememberImports()
  return Spawner.of({
    spawn: Effect.fnUntraced(function*(launch, report) {
      const { limits, name } = launch.registration
      if (limits !== undefined && !warned) {
        warned = true
        const limited = `background worker "${name}": its limits (${namesOf(limits).join(", ")})`
        // A logger that throws costs its line and nothing else.
        yield* Effect.ignoreCause(Effect.logWarning(`${limited} do not hold, because it is a fiber`))
      }
      return yield* spawn(launch, report, ++lastPid as Pid, importModule)
    })
  })
})

type ImportModule = (href: string) => Promise<unknown>

/** A module that has been imported stays what it is, and asking for it again is a good part of a birth. */
const rememberImports = (): ImportModule => {
  const imported = new Map<string, unknown>()
  return (href) =>
    imported.has(href)
      ? Promise.resolve(imported.get(href))
      : import(/* @vite-ignore */ href).then((module: unknown) => {
        imported.set(href, module)
        return module
      })
}

const spawn = Effect.fnUntraced(function*(
  launch: Launch,
  report: (report: ChildReport | SignOfLife) => void,
  pid: Pid,
  importModule: ImportModule
): Effect.fn.Return<Child, never, Scope.Scope> {
  const exit = Deferred.makeUnsafe<ExitStatus>()
  const [port, theirs] = FramePort.pair()

  // The first word on the end counts; nothing is reported after it.
  const end = (status: ExitStatus): boolean => Deferred.doneUnsafe(exit, Exit.succeed(status))
  const ready = Deferred.makeUnsafe<void>()
  const said = new Set<ChildReport>()
  const say = (word: ChildReport): void => {
    if (Deferred.isDoneUnsafe(exit) || said.has(word)) return
    said.add(word)
    report(word)
    if (word === "Ready") Deferred.doneUnsafe(ready, Exit.void)
  }
  const giveSign = (sign: SignOfLife): void => {
    if (!Deferred.isDoneUnsafe(exit)) report(sign)
  }
  // Its postmaster's death is its own: nobody has to tell it.
  const surroundings = WorkerLife.surround(launch, {
    report: say,
    progress: (progress) => giveSign({ _tag: "Progress", progress }),
    port: () => theirs,
    leave: (status) => {
      end(status)
      fiber.interruptUnsafe()
    }
  })

  const fiber: Fiber.Fiber<unknown, unknown> = yield* WorkerRuntime.run(launch, { importModule, report: say }).pipe(
    // The application's own services stay, its loggers say; the worker's come on top.
    Effect.updateContext((context: Context.Context<never>) =>
      Context.merge(context, surroundings.context).pipe(
        Context.add(SharesProcess, true),
        Context.add(References.CurrentLogAnnotations, {
          ...Context.get(context, References.CurrentLogAnnotations),
          worker: launch.registration.name,
          slot: launch.ref.slot,
          generation: launch.ref.generation,
          pid
        })
      )
    ),
    // A birth is reported before anything the worker does. Nobody waits for a fiber that ignores interruption, so it
    // is not the scope's; the scope's end is its end all the same.
    Effect.forkDetach
  )
  // An observer, because a fiber that is interrupted before it has begun runs no finalizer.
  fiber.addObserver((result) => {
    surroundings.flush()
    end(fromExit(result))
  })
  const { heartbeatMillis } = launch.registration
  if (heartbeatMillis !== undefined) {
    yield* Deferred.await(ready).pipe(
      Effect.andThen(Effect.forever(
        Effect.andThen(Effect.sleep(Math.floor(heartbeatMillis / 3)), Effect.sync(() => giveSign({ _tag: "Beat" })))
      )),
      Effect.forkScoped
    )
  }
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      if (end(signaled("SIGKILL", { ordered: true }))) fiber.interruptUnsafe()
    })
  )

  const signal = (signal: WorkerSignal): void => {
    switch (signal) {
      case "SIGTERM":
        return fiber.interruptUnsafe()
      case "SIGQUIT":
        end(exited(2))
        return fiber.interruptUnsafe()
      case "SIGKILL":
        end(signaled("SIGKILL", { ordered: true }))
        return fiber.interruptUnsafe()
      case "SIGHUP":
      case "SIGUSR1":
        return surroundings.signal(signal)
    }
  }

  return {
    pid,
    signal: (name) => Effect.sync(() => signal(name)),
    exit: Deferred.await(exit),
    port,
    reject: (detail) => {
      end(lost(detail))
      fiber.interruptUnsafe()
    }
  }
})
