/**
 * The application under chaos: a postmaster that registers whom it is told to,
 * and says what happens on its IPC channel. Its output is a log, which may go
 * to a full disk.
 */
import type { SlotRef } from "@effect-postmaster/core/Identity"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import type { RegistrationError } from "@effect-postmaster/core/RegistrationError"
import type { WorkerHandle } from "@effect-postmaster/core/WorkerHandle"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import { pathToFileURL } from "node:url"
import { call, callers, type Ledger } from "./callers.ts"
import { type Called, crew, type Kind, visits } from "./crew.ts"
import type { Counts, Order, Report, Request, Tenancy } from "./protocol.ts"

// A log that cannot be written is no reason to end. Without a listener it would be: Node throws what a stream emits.
process.stdout.on("error", () => {})

const order: Order = JSON.parse(process.argv[2]!)

const say = (report: Report): void => {
  process.send?.(report)
}

const count = (): Counts => {
  const listeners = [process, process.stdout, process.stderr].map((emitter) =>
    emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)
  )
  return {
    descriptors: Fs.readdirSync("/proc/self/fd").length,
    listeners: listeners.reduce((sum, one) => sum + one, 0),
    resources: process.getActiveResourcesInfo().filter((resource) => resource !== "ProcessWrap").length
  }
}

const tenancyOf = ({ ref }: { readonly ref: SlotRef }): Tenancy => `${ref.slot}/${ref.generation}`

const onEvent = (event: PostmasterEvent): void => {
  switch (event._tag) {
    case "Starting":
      return say({ _tag: "Starting", tenancy: tenancyOf(event), name: event.name, spare: event.spare })
    case "Started":
      return say({ _tag: "Started", tenancy: tenancyOf(event), name: event.name, pid: event.pid })
    case "NotStarted":
      return say({ _tag: "NotStarted", tenancy: tenancyOf(event), name: event.name, detail: event.error.message })
    case "Exited": {
      const { name, pid, status, verdict } = event
      return say({ _tag: "Exited", pid, name, status, verdict })
    }
    case "Hung":
      return say({ _tag: "Hung", pid: event.pid, name: event.name, missed: event.missed })
    case "SpareStarting":
    case "SpareEnded":
    case "SpareReady":
      return say(event)
    case "SpareLost":
      return say({ _tag: "SpareLost", spare: event.spare, loss: event.loss })
    case "EventsLost":
      return say({ _tag: "EventsLost", count: event.count })
    case "CrashDetected":
      return say({ _tag: "Crash" })
    case "Halted":
      return say({ _tag: "Halted", abnormal: event.abnormal })
  }
}

/** Writes as a logger of files does, and fails as it does when the disk is full. */
const toDescriptor = Logger.make<unknown, void>(({ logLevel, message }) => {
  Fs.writeSync(1, `${logLevel} ${String(message)}\n`)
})

/** Of a worker that may be called in some way or other. */
type Handle = Omit<WorkerHandle, "client" | "waitForClient" | "replace">

const application = Effect.gen(function*() {
  const scope = yield* Effect.scope
  const postmaster = yield* Postmaster
  const all = { ...crew, visits: visits(pathToFileURL(order.guest)) }
  let handles: Array<Handle> = []
  /** Those who call a worker until it has none of its lives left. */
  let customers: Array<Fiber.Fiber<void>> = []
  const ledger: Ledger = {
    begun: 0,
    answered: 0,
    stopped: 0,
    wrong: (detail) => Effect.sync(() => say({ _tag: "Wrong", detail }))
  }

  const isCalled = (kind: Kind): kind is Called => kind in callers

  const register = (kind: Kind, millis: number): Effect.Effect<Handle, RegistrationError> => {
    const args = { ledger: order.ledger, millis }
    if (!isCalled(kind)) return postmaster.register(all[kind], args)
    return Effect.tap(
      postmaster.register(callers[kind], args),
      (worker) => Effect.map(Effect.forkIn(call(worker, ledger), scope), (customer) => void customers.push(customer))
    )
  }

  /** Waits for the end of every call, which must come when all who were called have ended. */
  const allCalled = Effect.gen(function*() {
    yield* Fiber.awaitAll(customers)
    customers = []
    const { answered, begun, stopped } = ledger
    if (begun !== answered + stopped) yield* ledger.wrong(`${begun} calls, ${answered} answers and ${stopped} ends`)
    say({ _tag: "Called", answered, stopped })
    Object.assign(ledger, { begun: 0, answered: 0, stopped: 0 })
  })
  let mostSpares = 0
  // One after the other: who is dismissed must have been hired.
  const requests = yield* Queue.unbounded<Request>()

  const answer = (request: Request): Effect.Effect<void> => {
    switch (request._tag) {
      case "Register":
        return register(request.kind, request.millis).pipe(
          Effect.match({
            onFailure: ({ reason }) => say({ _tag: "Refused", reason: reason._tag }),
            onSuccess: (handle) => {
              handles.push(handle)
              say({ _tag: "Registered", name: handle.name })
            }
          })
        )
      case "Terminate": {
        const handle = handles[request.choice % handles.length]
        return handle === undefined ? Effect.void : handle.terminate
      }
      case "Reload":
        return postmaster.reload
      case "Clear":
        return Effect.gen(function*() {
          yield* Effect.forEach(handles, (handle) => handle.terminate)
          yield* Effect.forEach(handles, (handle) => handle.waitForEnd)
          handles = []
          // What was owned ends with its owners, and needs nobody's word; what was not is still there.
          yield* Effect.forEach(yield* postmaster.find(callers.owned), (handle) => handle.waitForEnd)
          yield* Effect.forEach(
            yield* postmaster.find(callers.answers),
            (handle) => Effect.andThen(handle.terminate, handle.waitForEnd)
          )
          yield* allCalled
          const { freeSlots, workers } = yield* postmaster.snapshot
          say({ _tag: "Cleared", workers: workers.length, freeSlots })
        }).pipe(Effect.catch((died) => Effect.sync(() => say({ _tag: "Died", detail: died.message }))))
      case "Count":
        return Effect.map(
          postmaster.snapshot,
          ({ spares }) => say({ _tag: "Counted", counts: count(), spares, mostSpares })
        )
      case "Shutdown":
        return postmaster.shutdown(request.mode)
    }
  }

  // Nobody could hear of those that were begun with the postmaster.
  for (const { pid, spare } of (yield* postmaster.snapshot).spares) {
    say({ _tag: "SpareStarting", spare })
    if (pid !== undefined) say({ _tag: "SpareReady", spare, pid })
  }
  const events = yield* Effect.forkChild(
    Stream.runForEach(postmaster.events, (event) => Effect.sync(() => onEvent(event))),
    { startImmediately: true }
  )
  yield* Effect.forkChild(
    Stream.runForEach(postmaster.snapshots, ({ spares }) =>
      Effect.sync(() => {
        mostSpares = Math.max(mostSpares, spares.length)
      })),
    { startImmediately: true }
  )
  process.on("message", (request) => void Queue.offerUnsafe(requests, request as Request))
  yield* Effect.forkChild(Effect.forever(Effect.flatMap(Queue.take(requests), answer)))
  say({ _tag: "Ready" })
  const end = yield* Effect.exit(postmaster.awaitHalt)
  yield* allCalled
  yield* Fiber.await(events)
  return end
})

// Without the chaos there is nothing to live for.
process.on("disconnect", () => process.exit(0))

const logger = order.logTo === "console" ? Logger.layer([Logger.defaultLogger]) : Logger.layer([toDescriptor])

const end = await Effect.runPromise(
  Effect.exit(Effect.scoped(application)).pipe(
    Effect.provide(Postmaster.layer()),
    Effect.provide([
      NodeSpawner.layerWith({ execArgv: ["--max-old-space-size=48"], launcher: order.launcher }),
      PostmasterConfig.layer({
        maxWorkers: order.maxWorkers,
        spares: order.spares,
        stopTimeout: "1 second",
        killAfter: "1 second"
      })
    ]),
    Effect.provide(logger),
    Effect.provideService(References.MinimumLogLevel, "Debug")
  )
)
const died = Exit.isFailure(end) ? Cause.pretty(end.cause) : undefined
if (died !== undefined) say({ _tag: "Died", detail: died })
else if (Exit.isSuccess(end) && Exit.isFailure(end.value)) say({ _tag: "Died", detail: Cause.pretty(end.value.cause) })
// From here on nothing may keep the process alive.
process.removeAllListeners("message")
process.removeAllListeners("disconnect")
process.disconnect()
