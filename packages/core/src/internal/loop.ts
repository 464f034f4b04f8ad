/**
 * The only fiber that acts on the machine's orders, and the only code that
 * knows children.
 *
 *     mailbox --> step --> perform --> children, callers, holders, onlookers
 *        ^                                 |
 *        +---------------------------------+
 *
 * One turn per fact, to its end. Nothing in a turn waits for a worker: a birth
 * is begun in a fiber of its own that reports and decides nothing, a signal is
 * delivered and returns, a notification is a function call. A failed order
 * comes back as a fact.
 *
 * Ownership: children live in `childScope`. It closes after the machine has
 * halted; if the loop itself dies, it closes at once, so that no process
 * outlives its postmaster.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberHandle from "effect/FiberHandle"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { lost } from "../ExitStatus.ts"
import { PostmasterDied } from "../HandleError.ts"
import type { SlotRef } from "../Identity.ts"
import { type LifeRecord, shift } from "../LifeRecord.ts"
import { overtakes } from "../Phase.ts"
import { PostmasterConfig, type Settings } from "../PostmasterConfig.ts"
import { logLine, type PostmasterEvent } from "../PostmasterEvent.ts"
import type { Progress } from "../Progress.ts"
import type { ProgressSeen } from "../Progress.ts"
import type { Recording } from "../Recording.ts"
import type { Policy, Registrant, Registration } from "../Registration.ts"
import { NotAccepting, RegistrationError } from "../RegistrationError.ts"
import type { SharedMemory } from "../SharedMemory.ts"
import type { PostmasterSnapshot } from "../Snapshot.ts"
import type { SpareLoss } from "../SpareLoss.ts"
import { type Child, type ChildReport, type Launch, type SignOfLife, type Spare, Spawner } from "../Spawner.ts"
import { ProcessNotStarted, SpawnError } from "../SpawnError.ts"
import type { Vitals } from "../Vitals.ts"
import * as Connection from "./connection.ts"
import * as Hub from "./hub.ts"
import * as Machine from "./machine.ts"
import * as Meter from "./meter.ts"
import * as Onlook from "./onlook.ts"
import * as Recorder from "./recorder.ts"
import * as Shared from "./sharedMemory.ts"
import * as SlotTable from "./slotTable.ts"
import * as Watch from "./watch.ts"

export interface Loop {
  /** Registers a worker. */
  readonly register: (
    registration: Registration,
    registrant: Registrant
  ) => Effect.Effect<Watch.Watch, RegistrationError>
  /** Registers another worker in the place of this one, which ends when that is ready. */
  readonly replace: (watch: Watch.Watch) => Effect.Effect<Watch.Watch, RegistrationError>
  /** The same, but waits for a slot for so many milliseconds. Interrupted, it takes nothing. */
  readonly registerWithin: (
    waitMillis: number,
    registration: Registration,
    registrant: Registrant
  ) => Effect.Effect<Watch.Watch, RegistrationError>
  /** Changes the policy of a worker; the answer comes within a turn, interruption or not. */
  readonly changePolicy: (ref: SlotRef, worker: string, policy: Policy) => Effect.Effect<void, RegistrationError>
  /** Fails when there is nobody left to register with. */
  readonly ensureOpen: (worker: string) => Effect.Effect<void, RegistrationError>
  /** Puts a fact into the mailbox. */
  readonly tell: (input: Machine.Input) => Effect.Effect<void>
  readonly snapshot: Effect.Effect<PostmasterSnapshot>
  readonly snapshots: Stream.Stream<PostmasterSnapshot>
  readonly events: Stream.Stream<PostmasterEvent>
  /** Who is registered under a name, in the order of registration. */
  readonly find: (name: string) => Effect.Effect<ReadonlyArray<Watch.Watch>>
  /** Who is registered under a reference that is not stale. */
  readonly watch: (ref: SlotRef) => Watch.Watch | undefined
  /** How far the life that runs now has come. */
  readonly progress: (ref: SlotRef) => Effect.Effect<Option.Option<ProgressSeen>>
  /** The last lives of a worker, and its births that failed. */
  readonly history: (watch: Watch.Watch) => Effect.Effect<ReadonlyArray<LifeRecord>>
  readonly typeByPid: (pid: number) => Effect.Effect<Option.Option<string>>
  readonly recording: Effect.Effect<Recording>
  readonly vitals: Effect.Effect<Vitals>
  readonly memory: SharedMemory["Service"]
  /** What a worker may use of it. */
  readonly memoryOf: (ref: SlotRef) => SharedMemory["Service"]
  /** Opens the table, runs the startup effect, and returns when phase Run is reached or the postmaster has halted. */
  readonly open: Effect.Effect<void, unknown>
  readonly awaitHalt: Effect.Effect<void, PostmasterDied>
}

/** The startup process: given a way to say that things are consistent. */
export type Startup = (phase: { readonly consistent: Effect.Effect<void> }) => Effect.Effect<void, unknown>

const maxUnreadEvents = 1024

export const make: (
  startup: Startup,
  door: Connection.Door
) => Effect.Effect<Loop, never, Spawner | PostmasterConfig | Scope.Scope> = Effect
  .fnUntraced(function*(startup: Startup, door: Connection.Door) {
    const spawner = yield* Spawner
    const settings = yield* PostmasterConfig
    const scope = yield* Effect.scope
    const clock = yield* Clock.Clock
    const minimumLogLevel = yield* References.MinimumLogLevel

    const state = Machine.make(toMachineSettings(settings, spawner.spare !== undefined))
    const recorder = Recorder.make(state.settings)
    const meter = Meter.make()
    const shared = Shared.make({ maxBytes: settings.maxSharedBytes, maxCells: settings.maxSharedCells })
    const mailbox = yield* Queue.unbounded<Machine.Input>()
    const events = Hub.make<PostmasterEvent>(maxUnreadEvents)
    const opened = Deferred.makeUnsafe<void, unknown>()
    const halted = Deferred.makeUnsafe<void, PostmasterDied>()

    // Both readings at once, so that the same moment is always written the same way.
    const epoch = Math.round(clock.currentTimeMillisUnsafe() - Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000)

    const requests = new Map<number, Request>()
    // By slot. Arrays, because a Map in which one key comes and goes is walked from end to end.
    const watches: Array<Watch.Watch | undefined> = []
    const births: Array<Birth | undefined> = []
    const children: Array<Child | undefined> = []
    /** Lines to lives whose holders have not been told of them. */
    const connections: Array<Connection.Connection | undefined> = []
    const spares = new Map<number, Kept>()
    let lastRequest = 0
    let closed = false
    let dead = false
    /** The present or last run of the startup effect, and the last one that was stopped on order. */
    let startupFiber: Fiber.Fiber<void> | undefined
    let stoppedRun = -1

    // Released in the reverse order: the loop, then the children, then the alarm.
    const alarm = yield* FiberHandle.make<void>()
    const childScope = yield* Scope.fork(scope)

    /** Lives, in the time of the world outside. */
    const told = (history: ReadonlyArray<LifeRecord>): ReadonlyArray<LifeRecord> =>
      history.map((record) => shift(record, epoch))

    const monotonic = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000
    const tell = (input: Machine.Input): void => {
      if (!closed) Queue.offerUnsafe(mailbox, input)
    }
    /** Whatever a life says again and again, the mailbox holds at most one beat of it, and its newest progress. */
    const tellSign = (birth: Birth, sign: SignOfLife): void => {
      const { ref } = birth.launch
      if (sign._tag === "Progress" && birth.progress !== undefined) birth.progress.progress = sign.progress
      else if (sign._tag === "Progress") {
        tell(birth.progress = { _tag: "ChildProgressed", ref, progress: sign.progress })
      } else if (birth.beat === undefined) tell(birth.beat = { _tag: "ChildBeat", ref })
    }
    /** From here on the fact does not change any more. */
    const takeSign = (input: Machine.Input): void => {
      if (input._tag !== "ChildBeat" && input._tag !== "ChildProgressed") return
      const birth = births[input.ref.slot]
      if (birth?.beat === input) birth.beat = undefined
      if (birth?.progress === input) birth.progress = undefined
    }
    const onlook = Onlook.make(state, epoch)
    let obituary: PostmasterSnapshot | undefined
    const snapshot = (): PostmasterSnapshot => {
      const seen = Onlook.look(onlook)
      if (!dead) return seen
      // A loop that has died has taken everybody along.
      const { nextSpareAt: _, ...rest } = seen
      return obituary ??= { ...rest, phase: "Halted", freeSlots: rest.maxWorkers, workers: [], spares: [] }
    }

    /** Onlookers who have seen the newest snapshot. They look again after a turn, which knows nothing of what they see. */
    const waiting = new Set<() => void>()
    const changed = Effect.callback<void>((resume) => {
      const wake = (): void => {
        waiting.delete(wake)
        // Facts that have come together are all heard before.
        resume(Effect.yieldNow)
      }
      waiting.add(wake)
      return Effect.sync(() => waiting.delete(wake))
    })
    const wakeOnlookers = (): void => {
      for (const wake of [...waiting]) wake()
    }
    /** The newest snapshot, as soon as it is another than the one `seen`; nothing if there will be no other. */
    const nextSnapshot = (
      seen: PostmasterSnapshot | undefined
    ): Effect.Effect<readonly [PostmasterSnapshot, PostmasterSnapshot] | undefined> =>
      Effect.suspend(() => {
        const now = snapshot()
        if (now !== seen) return Effect.succeed([now, now] as const)
        return closed ? Effect.undefined : Effect.flatMap(changed, () => nextSnapshot(seen))
      })

    /** One life: reports its birth, what it says and its death, in this order, and decides nothing. */
    const live = Effect.fnUntraced(function*(launch: Launch, birth: Birth, kept: Kept | undefined) {
      const { ref } = launch
      let stage: "Unborn" | "Alive" | "Over" = "Unborn"
      const early: Array<ChildReport | SignOfLife> = []
      const hear = (report: ChildReport | SignOfLife): void =>
        typeof report === "string" ? tell(fromReport(ref, report)) : tellSign(birth, report)
      // A word too late would be credited to the next life.
      const report = (report: ChildReport | SignOfLife): void => {
        if (stage === "Alive") hear(report)
        else if (stage === "Unborn") early.push(report)
      }
      const exit = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        const child = yield* Effect.ensuring(
          Effect.suspend(() => spawner.spawn(launch, report, kept?.spare)),
          // Whoever was taken is the child's from here on; whoever did not fit goes.
          Effect.sync(() => kept?.keeper?.interruptUnsafe())
        )
        if (birth.abandoned) return yield* Effect.interrupt
        children[ref.slot] = child
        connections[ref.slot] = Connection.make(
          { port: Meter.metered(meter, child.port), reject: child.reject },
          { ref, pid: child.pid },
          door
        )
        tell({ _tag: "ChildStarted", ref, pid: child.pid })
        stage = "Alive"
        early.forEach(hear)
        const status = yield* child.exit
        stage = "Over"
        const output = child.output?.() ?? []
        return { status, ...(output.length === 0 ? undefined : { output }) }
      })))
      if (birth.abandoned) return
      // The scope has closed: whatever the child had started is gone, too.
      const born = children[ref.slot] !== undefined
      children[ref.slot] = births[ref.slot] = undefined
      if (Exit.isSuccess(exit)) return tell({ _tag: "ChildExited", ref, ...exit.value })
      const detail = Cause.pretty(exit.cause)
      if (born) return tell({ _tag: "ChildExited", ref, status: lost(`its spawner failed: ${detail}`) })
      const failure = exit.cause.reasons.find(Cause.isFailReason)
      tell({ _tag: "ChildNotStarted", ref, error: failure?.error ?? notBorn(launch, detail) })
    })

    /** One spare: reports that it is ready and that it is lost. Interrupting its keeper ends it, unless it was taken. */
    const keep = Effect.fnUntraced(function*(number: number, modules: ReadonlyArray<string>, kept: Kept) {
      const lose = (loss: SpareLoss): void => {
        // Whoever was handed over is no spare any more, and is lost once.
        if (spares.delete(number)) tell({ _tag: "SpareLost", spare: number, loss })
      }
      const exit = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
        const spare = yield* Effect.suspend(() => spawner.spare!(modules))
        kept.spare = spare
        tell({ _tag: "SpareReady", spare: number, pid: spare.pid })
        // Told before it is swept up, so that no launch is given one that is gone; of one whose keeper is at fault, too.
        lose(yield* Effect.catchCause(spare.lost, (cause) => Effect.succeed(died(cause))))
      })))
      if (Exit.isFailure(exit)) lose(died(exit.cause))
    })

    const bearSpare = (number: number, modules: ReadonlyArray<string>): Effect.Effect<unknown> => {
      const kept: Kept = { spare: undefined, keeper: undefined }
      spares.set(number, kept)
      return Effect.map(Effect.forkIn(keep(number, modules, kept), childScope, { startImmediately: true }), (fiber) => {
        kept.keeper = fiber
      })
    }

    const handOver = (number: number): Kept | undefined => {
      const kept = spares.get(number)
      spares.delete(number)
      return kept
    }

    const bear = (launch: Launch, kept: Kept | undefined): Effect.Effect<unknown> => {
      const birth: Birth = { launch, abandoned: false, fiber: undefined, beat: undefined, progress: undefined }
      births[launch.ref.slot] = birth
      return Effect.map(Effect.forkIn(live(launch, birth, kept), childScope, { startImmediately: true }), (fiber) => {
        birth.fiber = fiber
      })
    }

    /** Nobody waits for a birth that does not end. Should it succeed one day, its scope closes at once. */
    const abandon = (ref: SlotRef): void => {
      const birth = births[ref.slot]
      if (birth === undefined || children[ref.slot] !== undefined) return
      birth.abandoned = true
      births[ref.slot] = undefined
      birth.fiber?.interruptUnsafe()
      tell({ _tag: "ChildNotStarted", ref, error: notBorn(birth.launch, "it was not born in time") })
    }

    const runStartup = Effect.fnUntraced(function*(run: number, previous: Fiber.Fiber<void> | undefined) {
      // Two runs never overlap: the clean-up of the one must not meet what the other has made.
      if (previous !== undefined) yield* Fiber.interrupt(previous)
      const exit = yield* Effect.exit(
        Effect.suspend(() =>
          startup({ consistent: Effect.sync(() => tell({ _tag: "PhaseReached", phase: "Consistent", run })) })
        )
      )
      if (Exit.isSuccess(exit)) return tell({ _tag: "PhaseReached", phase: "Run", run })
      if (stoppedRun >= run) return
      tell({ _tag: "StartupFailed", run, detail: Cause.pretty(exit.cause) })
      Deferred.doneUnsafe(opened, exit)
    })

    const startStartup = (run: number): Effect.Effect<unknown> =>
      Effect.map(Effect.forkIn(runStartup(run, startupFiber), scope), (fiber) => {
        startupFiber = fiber
      })

    const withdraw = (number: number, { given }: Request): void =>
      tell({ _tag: "RegisterWithdrawn", request: number, ...(given === undefined ? undefined : { ref: given }) })

    /** Asks for something that the machine answers under this request's number. */
    const request = (
      name: string,
      toInput: (request: number) => Machine.Input
    ): Effect.Effect<Watch.Watch, RegistrationError> =>
      Effect.callback<Watch.Watch, RegistrationError>((resume) => {
        if (closed) return resume(Effect.fail(refusal(name)))
        const number = lastRequest++
        const request: Request = { name, resume, given: undefined, isGone: false }
        requests.set(number, request)
        tell(toInput(number))
        // It stays known until it is answered, as every request is.
        return Effect.sync(() => {
          request.isGone = true
          withdraw(number, request)
        })
      })

    /** Callers and holders to be resumed. They are other people's code, so none of it runs inside a turn. */
    const answers: Array<() => void> = []

    const perform = (action: Machine.Action): Effect.Effect<unknown> | void => {
      switch (action._tag) {
        case "Spawn":
          return bear(action.launch, action.spare === undefined ? undefined : handOver(action.spare))
        case "SpawnSpare":
          return bearSpare(action.spare, action.modules)
        case "EndSpare":
          return handOver(action.spare)?.keeper?.interruptUnsafe()
        case "Signal": {
          const child = children[action.ref.slot]
          // Delivered before the turn goes on, as the contract has it; a spawner that breaks the contract harms nobody.
          return child && Effect.forkIn(
            Effect.ignoreCause(Effect.suspend(() => child.signal(action.signal, action.target)), { log: true }),
            childScope,
            { startImmediately: true }
          )
        }
        case "Reply": {
          const request = requests.get(action.request)!
          requests.delete(action.request)
          // Whoever holds a key already is watched already.
          const watch = watches[action.ref.slot] ??= Watch.make(request.name, action.ref)
          request.given = action.ref
          answers.push(() => request.resume(Effect.succeed(watch)))
          if (request.isGone) withdraw(action.request, request)
          return
        }
        case "Reject": {
          const request = requests.get(action.request)!
          requests.delete(action.request)
          answers.push(() => request.resume(Effect.fail(new RegistrationError({ reason: action.reason }))))
          return
        }
        case "Notify": {
          const watch = watches[action.ref.slot]!
          const { gone } = action
          if (gone) watches[action.ref.slot] = undefined
          watch.history = told(action.history)
          const last = watch.history.at(-1)
          const status = action.status._tag === "Stopped" && last !== undefined
            ? { ...action.status, lastLife: last }
            : action.status
          Watch.update(watch, status, gone)
          watch.connection ??= connections[action.ref.slot]
          connections[action.ref.slot] = undefined
          answers.push(() => {
            if (status._tag === "Stopped") Watch.disconnect(watch, Watch.stopped(watch, status))
            Watch.tell(watch)
          })
          return
        }
        case "AbandonBirth":
          return abandon(action.ref)
        case "StopStartup":
          stoppedRun = state.startupRun
          return startupFiber?.interruptUnsafe()
        case "Reinitialize":
          // No attached worker is left, and the startup effect finds the memory empty.
          shared.clear()
          return startStartup(action.run)
        case "Publish":
          if (action.event._tag === "PhaseReached" && action.event.phase === "Run") {
            answers.push(() => Deferred.doneUnsafe(opened, Exit.void))
          }
          Hub.publish(events, action.event)
          return log(action.event, minimumLogLevel)
        case "Halt":
          answers.push(() => conclude(action.abnormal ? new PostmasterDied({ detail: action.detail }) : undefined))
          return
      }
    }

    const turn = Effect.fnUntraced(function*(input: Machine.Input) {
      const now = monotonic()
      takeSign(input)
      Recorder.note(recorder, input, now)
      const actions = Machine.step(state, input, now)
      for (const action of actions) {
        const effect = perform(action)
        if (effect !== undefined) yield* effect
      }
      if (waiting.size > 0) answers.push(wakeOnlookers)
      for (const answer of answers.splice(0)) answer()
      Meter.turned(meter, monotonic() - now)
    })

    let alarmAt: number | undefined
    const wake = (): void => {
      alarmAt = undefined
      tell({ _tag: "Woke" })
    }
    /** There are no timers in the core: after each batch the state is asked when it wants to be woken. */
    const setAlarm = Effect.fnUntraced(function*() {
      const at = Machine.nextWakeAt(state)
      if (at === alarmAt) return
      alarmAt = at
      if (at === undefined) return yield* FiberHandle.clear(alarm)
      const wait = at - monotonic()
      // At once means after what is already in the mailbox.
      if (wait <= 0) return tell({ _tag: "Woke" })
      yield* FiberHandle.run(alarm, Effect.andThen(Effect.sleep(wait), Effect.sync(wake)))
    })

    const main = Effect.gen(function*() {
      while (state.phase !== "Halted") {
        const batch = yield* Queue.takeAll(mailbox)
        // An alarm that has rung is in this batch or was never set.
        if (batch.some((input) => input._tag === "Woke")) alarmAt = undefined
        for (const input of inOrder(batch)) {
          if (!closed) yield* turn(input)
        }
        yield* setAlarm()
      }
    })

    /** Ends every wait that is left. Whoever asks from now on is answered at the door. */
    const conclude = (died: PostmasterDied | undefined): void => {
      closed = true
      for (const request of requests.values()) request.resume(Effect.fail(refusal(request.name)))
      requests.clear()
      const end = died ?? new PostmasterDied({ detail: "it has shut down" })
      for (const watch of watches.splice(0)) {
        if (watch !== undefined) Watch.die(watch, end)
      }
      shared.end(end)
      Hub.end(events)
      wakeOnlookers()
      Deferred.doneUnsafe(opened, Exit.void)
      Deferred.doneUnsafe(halted, died === undefined ? Exit.void : Exit.fail(died))
    }

    const refusal = (worker: string): RegistrationError =>
      new RegistrationError({
        reason: new NotAccepting({ worker, phase: "Halted", detail: "the postmaster has halted" })
      })

    // A defect in the loop must not leave anybody waiting, nor any child alive.
    const guarded = Effect.onExit(main, (exit) => {
      if (Exit.isSuccess(exit)) return Effect.void
      dead = true
      conclude(new PostmasterDied({ detail: Cause.pretty(exit.cause) }))
      return Effect.andThen(
        Scope.close(childScope, Exit.void),
        Cause.hasInterruptsOnly(exit.cause) ? Effect.void : Effect.logFatal("the postmaster died", exit.cause)
      )
    })
    yield* Effect.forkIn(Effect.ignoreCause(guarded), scope, { startImmediately: true })

    return {
      register: (registration, registrant) =>
        Effect.uninterruptible(
          request(registration.name, (request) => ({ _tag: "RegisterRequested", request, registration, registrant }))
        ),
      registerWithin: (waitMillis, registration, registrant) =>
        request(
          registration.name,
          (request) => ({ _tag: "RegisterRequested", request, registration, registrant, waitMillis })
        ),
      replace: ({ name, ref }) =>
        Effect.uninterruptible(request(name, (request) => ({ _tag: "ReplaceRequested", request, ref, name }))),
      changePolicy: (ref, worker, policy) =>
        Effect.uninterruptible(Effect.asVoid(
          request(worker, (request) => ({ _tag: "PolicyChangeRequested", request, ref, worker, policy }))
        )),
      ensureOpen: (worker) => Effect.suspend(() => closed ? Effect.fail(refusal(worker)) : Effect.void),
      tell: (input) => Effect.sync(() => tell(input)),
      snapshot: Effect.sync(snapshot),
      snapshots: Stream.unfold(undefined, nextSnapshot),
      events: Hub.stream(events, eventsLost),
      find: (name) =>
        Effect.sync(() => SlotTable.namesakes(state.table, name).flatMap(({ ref }) => watches[ref.slot] ?? [])),
      watch: (ref) => SlotTable.find(state.table, ref) && watches[ref.slot],
      progress: (ref) =>
        Effect.sync(() => {
          const life = SlotTable.find(state.table, ref)?.life
          const progress = !closed && life?._tag === "Running" ? life.progress : undefined
          return Option.fromUndefinedOr(progress && { ...progress, at: progress.at + epoch })
        }),
      history: (watch) =>
        Effect.sync(() => {
          const tenant = SlotTable.find(state.table, watch.ref)
          return tenant === undefined ? watch.history : told(tenant.history)
        }),
      typeByPid: (pid) =>
        Effect.sync(() =>
          Option.fromUndefinedOr(closed ? undefined : SlotTable.findPid(state.table, pid)?.registration.type)
        ),
      recording: Effect.sync(() => Recorder.recording(recorder)),
      vitals: Effect.sync(() => Meter.vitals(meter)),
      memory: shared.memory,
      memoryOf: (ref) => {
        const tenant = SlotTable.find(state.table, ref)
        return tenant?.attached === true ? shared.memory : Shared.notAttached(tenant?.registration.name ?? "")
      },
      open: Effect.gen(function*() {
        tell({ _tag: "PhaseReached", phase: "Startup", run: state.startupRun })
        yield* startStartup(state.startupRun)
        yield* Deferred.await(opened)
      }),
      awaitHalt: Deferred.await(halted)
    } satisfies Loop
  })

const eventsLost = (count: number): PostmasterEvent => ({ _tag: "EventsLost", count })

/** A life that may not have begun. */
interface Birth {
  readonly launch: Launch
  abandoned: boolean
  fiber: Fiber.Fiber<void> | undefined
  /** Its signs that the machine has not heard yet. */
  beat: Machine.Input | undefined
  progress: { readonly _tag: "ChildProgressed"; readonly ref: SlotRef; progress: Progress } | undefined
}

/** Nobody has asked for a spare by a name, so its loss is told without one. */
const died = (cause: Cause.Cause<SpawnError>): SpareLoss => {
  const failure = cause.reasons.find(Cause.isFailReason)
  return { cause: "Died", detail: failure === undefined ? Cause.pretty(cause) : failure.error.reason.detail }
}

/** A spare and the fiber that keeps it. */
interface Kept {
  spare: Spare | undefined
  keeper: Fiber.Fiber<void> | undefined
}

const notBorn = (launch: Launch, detail: string): SpawnError =>
  new SpawnError({ reason: new ProcessNotStarted({ worker: launch.registration.name, detail }) })

interface Request {
  readonly name: string
  readonly resume: (effect: Effect.Effect<Watch.Watch, RegistrationError>) => void
  /** What it was answered with. */
  given: SlotRef | undefined
  /** Nobody waits for the answer any more. */
  isGone: boolean
}

const toMachineSettings = (settings: Settings, canSpare: boolean): Machine.Settings => ({
  maxWorkers: settings.maxWorkers,
  classLimits: settings.classLimits,
  reservedSlots: settings.reservedSlots,
  killAfter: Duration.toMillis(settings.killAfter),
  stopTimeout: Duration.toMillis(settings.stopTimeout),
  maxLaunchesPerTurn: settings.maxLaunchesPerTurn,
  restartAfterCrash: settings.restartAfterCrash,
  spares: canSpare ? settings.spares : 0
})

const fromReport = (ref: SlotRef, report: ChildReport): Machine.Input => {
  switch (report) {
    case "Ready":
      return { _tag: "ChildReady", ref }
    case "Attached":
      return { _tag: "ChildAttached", ref }
    case "Detached":
      return { _tag: "ChildDetached", ref }
  }
}

/**
 * Of what has come in together, shutdown requests are heard first, the harshest
 * before the others, then reloads (`ServerLoop`'s fixed order); the rest in the
 * order of its coming.
 */
const inOrder = (batch: ReadonlyArray<Machine.Input>): ReadonlyArray<Machine.Input> => {
  if (!batch.some((input) => urgency(input) > 0)) return batch
  return batch.toSorted((self, that) => {
    if (self._tag === "ShutdownRequested" && that._tag === "ShutdownRequested") {
      return overtakes(self.mode, that.mode) ? -1 : overtakes(that.mode, self.mode) ? 1 : 0
    }
    return urgency(that) - urgency(self)
  })
}

const urgency = (input: Machine.Input): number =>
  input._tag === "ShutdownRequested" ? 2 : input._tag === "ReloadRequested" ? 1 : 0

const log = (event: PostmasterEvent, minimum: LogLevel.LogLevel): Effect.Effect<void> | undefined => {
  const { level, message } = logLine(event)
  if (LogLevel.isGreaterThan(minimum, level)) return
  const logged = Effect.logWithLevel(level)(message)
  // A logger that throws costs its line and nothing else.
  return Effect.ignoreCause(
    "ref" in event
      ? Effect.annotateLogs(logged, { worker: event.name, slot: event.ref.slot, generation: event.ref.generation })
      : logged
  )
}
