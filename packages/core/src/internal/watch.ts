/**
 * What a handle watches: the status of one tenancy, kept up to date by the loop
 * and still readable when the tenancy is long over.
 *
 * Ownership: the loop writes, inside a turn; holders read and listen. A
 * listener hears every change, so that no wait can miss one.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { NotReadyInTime, type PostmasterDied, WorkerStopped } from "../HandleError.ts"
import type { Pid, SlotRef } from "../Identity.ts"
import type { LifeRecord } from "../LifeRecord.ts"
import type { ProgressSeen } from "../Progress.ts"
import { Policy, toPolicy } from "../Registration.ts"
import { InvalidDefinition, RegistrationError } from "../RegistrationError.ts"
import type { WorkerHandle } from "../WorkerHandle.ts"
import type { Calls } from "../WorkerProtocol.ts"
import * as WorkerStatus from "../WorkerStatus.ts"
import type { Caller } from "./caller.ts"
import type { CallLost, Connection } from "./connection.ts"
import { oneLine } from "./oneLine.ts"

export interface Watch {
  readonly name: string
  readonly ref: SlotRef
  status: WorkerStatus.WorkerStatus
  /** The tenancy is over; the status is its last. */
  gone: boolean
  /** Its last lives, as they were known when it was told of last. */
  history: ReadonlyArray<LifeRecord>
  died: PostmasterDied | undefined
  /** Its end was not seen, because the postmaster died before. */
  lost: boolean
  readonly listeners: Set<() => void>
  /** The line to the life that runs now. */
  connection: Connection | undefined
}

export const make = (name: string, ref: SlotRef): Watch => ({
  name,
  ref,
  status: WorkerStatus.notYetStarted,
  gone: false,
  history: [],
  died: undefined,
  lost: false,
  listeners: new Set(),
  connection: undefined
})

/** A watch on a tenancy that is long over, of which nothing else is known. */
export const stale = (name: string, ref: SlotRef): Watch => ({
  ...make(name, ref),
  status: WorkerStatus.stopped(),
  gone: true
})

export const update = (self: Watch, status: WorkerStatus.WorkerStatus, gone: boolean): void => {
  self.status = status
  self.gone = gone
}

/** Ends the calls to the life that has ended. Their callers are other people's code. */
export const disconnect = (self: Watch, error: CallLost): void => {
  const connection = self.connection
  // First, since a caller may ask for a client as soon as it is told.
  self.connection = undefined
  connection?.end(error)
}

/** Given up until it is resumed. */
export const isParked = (self: Watch): boolean => WorkerStatus.isParked(self.status)

type Stopped = Extract<WorkerStatus.WorkerStatus, { readonly _tag: "Stopped" }>

/** What is told of a worker that does not run, or has just ended as is not known yet. */
export const stopped = (self: Watch, { lastExit, lastLife }: Partial<Stopped> = {}): WorkerStopped =>
  new WorkerStopped({
    name: self.name,
    ref: self.ref,
    ...(lastExit === undefined ? undefined : { lastExit }),
    ...(lastLife === undefined ? undefined : { lastLife }),
    isRetryable: !self.gone && !isParked(self)
  })

/** What is told of a worker that was waited for too long. */
const notReady = (
  { name, ref, status }: Watch,
  timeout: Duration.Input,
  lastLife: LifeRecord | undefined
): NotReadyInTime =>
  new NotReadyInTime({
    name,
    ref,
    timeoutMillis: Duration.toMillis(Duration.fromInputUnsafe(timeout)),
    status,
    ...(lastLife === undefined ? undefined : { lastLife })
  })

/** Lets every listener look at the status. A listener may leave while it is being told. */
export const tell = (self: Watch): void => {
  for (const listener of [...self.listeners]) listener()
}

/** Ends every wait: nothing more can be known. */
export const die = (self: Watch, died: PostmasterDied): void => {
  self.died = died
  self.lost = self.status._tag !== "Stopped"
  // No process outlives its postmaster.
  if (self.lost) self.status = WorkerStatus.stopped()
  disconnect(self, died)
  tell(self)
}

/** Waits until `answer` has one, looking now and at every change. */
const until = <A, E>(
  self: Watch,
  answer: (status: WorkerStatus.WorkerStatus) => Effect.Effect<A, E> | undefined
): Effect.Effect<A, E | PostmasterDied> =>
  Effect.callback<A, E | PostmasterDied>((resume) => {
    const look = (): boolean => {
      // What was true before the postmaster died stays true; of who was running then, nothing is known.
      const known = self.lost ? undefined : answer(self.status)
      const found = known ?? (self.died === undefined ? undefined : Effect.fail(self.died))
      if (found === undefined) return false
      self.listeners.delete(look)
      resume(found)
      return true
    }
    if (look()) return
    self.listeners.add(look)
    return Effect.sync(() => {
      self.listeners.delete(look)
    })
  })

export const pidOf = (status: WorkerStatus.WorkerStatus): Pid | undefined =>
  status._tag === "Started" || status._tag === "Ready" ? status.pid : undefined

const maxUnread = 256

/** What a watch shows at one moment. */
export interface Sight {
  readonly status: WorkerStatus.WorkerStatus
  readonly gone: boolean
}

/** What it shows now, then every change, to the end of the tenancy. Who falls far behind loses the oldest. */
export const sights = (self: Watch): Stream.Stream<Sight, PostmasterDied> =>
  Stream.callback<Sight, PostmasterDied>((queue) => {
    const listen = (): void => {
      Queue.offerUnsafe(queue, { status: self.status, gone: self.gone })
      if (self.died !== undefined) Queue.failCauseUnsafe(queue, Cause.fail(self.died))
      else if (self.gone) Queue.endUnsafe(queue)
    }
    return Effect.acquireRelease(
      Effect.sync(() => {
        self.listeners.add(listen)
        listen()
      }),
      () => Effect.sync(() => self.listeners.delete(listen))
    )
  }, { bufferSize: maxUnread, strategy: "sliding" })

/** What a handle asks of whoever keeps the watch. */
export interface Keeper {
  /** The postmaster's identity. */
  readonly id: string
  readonly terminate: (ref: SlotRef) => Effect.Effect<void>
  readonly resume: (ref: SlotRef) => Effect.Effect<void>
  readonly replace: (watch: Watch) => Effect.Effect<Watch, RegistrationError>
  readonly progress: (ref: SlotRef) => Effect.Effect<Option.Option<ProgressSeen>>
  readonly history: (watch: Watch) => Effect.Effect<ReadonlyArray<LifeRecord>>
  readonly changePolicy: (ref: SlotRef, worker: string, policy: Policy) => Effect.Effect<void, RegistrationError>
  /** The line to the life that runs now. */
  readonly connect: (watch: Watch) => Effect.Effect<Caller<CallLost>, CallLost>
}

/** Returns when a parked worker is heard not to be parked any more, even if it is parked again by then. */
const resume = (self: Watch, keeper: Keeper): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!isParked(self) || self.died !== undefined) return keeper.resume(self.ref)
    const changed = Deferred.makeUnsafe<void>()
    const listen = () => Deferred.doneUnsafe(changed, Effect.void)
    // First, since the change may be told before the request is answered.
    self.listeners.add(listen)
    return keeper.resume(self.ref).pipe(
      Effect.andThen(Deferred.await(changed)),
      Effect.ensuring(Effect.sync(() => self.listeners.delete(listen)))
    )
  })

const decodePolicy = Schema.decodeUnknownEffect(Policy)

/** The handle of the watched tenancy. */
export const toHandle = <Rpcs extends Rpc.Any = never>(
  self: Watch,
  protocol: Calls<Rpcs> | undefined,
  keeper: Keeper,
  /** Whether the worker was registered by this very definition, so that what it answers must fit. */
  accuses = false
): WorkerHandle<Rpcs> => {
  const whenStopped = (status: Stopped) => Effect.fail(stopped(self, status))
  const client = (between: (status: Stopped) => Effect.Effect<never, WorkerStopped> | undefined) => {
    const caller = (tried: Pid | undefined): Effect.Effect<Caller<CallLost>, CallLost> =>
      Effect.flatMap(
        until(self, (status) => {
          const pid = pidOf(status)
          if (pid !== undefined && pid !== tried) return Effect.succeed(pid)
          return status._tag === "Stopped" ? between(status) : undefined
        }),
        (pid) =>
          Effect.catchIf(
            keeper.connect(self),
            // It has just ended, and the word of it is on its way.
            (error) => error._tag === "WorkerStopped",
            () => caller(pid)
          )
      )
    return Effect.flatMap(
      caller(undefined),
      (caller) =>
        caller.client(RpcGroup.make(...protocol?.rpcs ?? []), { accuses, spanAttributes: { worker: self.name } })
    )
  }
  const waitForReady = until(
    self,
    (status) =>
      status._tag === "Ready" ? Effect.succeed(status.pid) : status._tag === "Stopped" ? whenStopped(status) : undefined
  )
  return {
    name: self.name,
    ref: self.ref,
    address: { postmaster: keeper.id, ref: self.ref, name: self.name },
    status: Effect.sync(() => self.status),
    pid: Effect.sync(() => Option.fromUndefinedOr(pidOf(self.status))),
    statuses: sights(self).pipe(
      Stream.map(({ status }) => status),
      // A tenancy that ends between two lives is stopped already.
      Stream.changesWith((self, that) =>
        self._tag === that._tag && pidOf(self) === pidOf(that) &&
        WorkerStatus.isParked(self) === WorkerStatus.isParked(that)
      )
    ),
    waitForStartup: until(self, (status) => {
      const pid = pidOf(status)
      return pid !== undefined ? Effect.succeed(pid) : status._tag === "Stopped" ? whenStopped(status) : undefined
    }),
    waitForReady,
    waitForReadyWithin: (timeout) =>
      Effect.timeoutOrElse(waitForReady, {
        duration: timeout,
        orElse: () =>
          Effect.flatMap(keeper.history(self), (history) => Effect.fail(notReady(self, timeout, history.at(-1))))
      }),
    waitForEnd: until(
      self,
      (status) =>
        self.gone && status._tag === "Stopped" ? Effect.succeed(Option.fromUndefinedOr(status.lastExit)) : undefined
    ),
    waitForShutdown: until(self, (status) => status._tag === "Stopped" ? Effect.void : undefined),
    progress: keeper.progress(self.ref),
    history: Effect.suspend(() => keeper.history(self)),
    terminate: keeper.terminate(self.ref),
    resume: resume(self, keeper),
    replace: Effect.flatMap(keeper.replace(self), (successor) => {
      const handle = toHandle(successor, protocol, keeper, accuses)
      return Effect.as(handle.waitForReady, handle)
    }),
    changePolicy: (options) =>
      decodePolicy(toPolicy(options)).pipe(
        Effect.mapError((error) =>
          new RegistrationError({ reason: new InvalidDefinition({ worker: self.name, detail: oneLine(error) }) })
        ),
        Effect.flatMap((policy) => keeper.changePolicy(self.ref, self.name, policy))
      ),
    client: client(whenStopped),
    waitForClient: client((status) => self.gone || isParked(self) ? whenStopped(status) : undefined)
  }
}
