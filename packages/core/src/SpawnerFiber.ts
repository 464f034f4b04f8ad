/**
 * Workers as fibers of this process: the cheapest way to bear them, and no
 * containment at all beyond what Effect gives.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { exited, type ExitStatus, fromExit, signaled } from "./ExitStatus.ts"
import type { Pid, WorkerName } from "./Identity.ts"
import { type Child, type ChildReport, type Launch, Spawner } from "./Spawner.ts"
import { WorkerContext } from "./WorkerContext.ts"
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
 * fiber to its interruption.
 *
 * **Gotchas**
 *
 * A fiber cannot be killed: one that ignores interruption is abandoned, and one
 * that blocks the event loop blocks the postmaster with it. `process.exit` in a
 * worker ends the application.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Spawner> = Layer.sync(Spawner, () => {
  let lastPid = 0
  const importModule = rememberImports()
  return Spawner.of({ spawn: (launch, report) => spawn(launch, report, ++lastPid as Pid, importModule) })
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
  report: (report: ChildReport) => void,
  pid: Pid,
  importModule: ImportModule
): Effect.fn.Return<Child, never, Scope.Scope> {
  const reloads = yield* Queue.sliding<void>(1)
  const latch = Latch.makeUnsafe()
  const exit = Deferred.makeUnsafe<ExitStatus>()

  // The first word on the end counts; nothing is reported after it.
  const end = (status: ExitStatus): boolean => Deferred.doneUnsafe(exit, Exit.succeed(status))
  const said = new Set<ChildReport>()
  const say = (word: ChildReport): void => {
    if (Deferred.isDoneUnsafe(exit) || said.has(word)) return
    said.add(word)
    report(word)
  }
  const context = WorkerContext.of({
    // Whoever is launched has passed the sanity check.
    name: launch.registration.name as WorkerName,
    ref: launch.ref,
    ready: Effect.sync(() => say("Ready")),
    latch: { wait: latch.await, set: latch.open, reset: latch.close },
    reloads: Stream.fromQueue(reloads),
    // This fiber does not outlive its postmaster.
    postmasterDeath: Effect.never
  })

  const fiber = yield* WorkerRuntime.run(launch, { importModule, report: say }).pipe(
    Effect.provideService(WorkerContext, context),
    // A birth is reported before anything the worker does. Nobody waits for a fiber that ignores interruption, so it
    // is not the scope's; the scope's end is its end all the same.
    Effect.forkDetach
  )
  // An observer, because a fiber that is interrupted before it has begun runs no finalizer.
  fiber.addObserver((result) => end(fromExit(result)))
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
        Queue.offerUnsafe(reloads, undefined)
        return
      case "SIGUSR1":
        latch.openUnsafe()
        return
    }
  }

  return {
    pid,
    signal: (name) => Effect.sync(() => signal(name)),
    exit: Deferred.await(exit)
  }
})
