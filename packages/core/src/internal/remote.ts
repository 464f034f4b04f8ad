/**
 * The postmaster as a worker sees it: the same service, over the worker's line.
 *
 * Ownership: what is watched is watched for as long as the layer lives. A worker
 * does not outlive its postmaster, so nothing in here fails for want of one.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Pid, SlotRef } from "../Identity.ts"
import type { ShutdownMode } from "../Phase.ts"
import { PostmasterRpcs } from "../PostmasterRpcs.ts"
import type { Policy, Registration } from "../Registration.ts"
import type { RegistrationError } from "../RegistrationError.ts"
import * as Caller from "./caller.ts"
import type { CallLost } from "./connection.ts"
import { exchangeOf } from "./exchange.ts"
import * as SharedMemoryRpcs from "./sharedMemoryRpcs.ts"
import * as Watch from "./watch.ts"
import * as Wire from "./wire.ts"
import type { WorkerLine } from "./workerLine.ts"

export const make = Effect.fnUntraced(function*(line: WorkerLine) {
  const scope = yield* Effect.scope
  const { caller, ways } = exchangeOf(line)
  /** One for each worker that anything was asked of, until it is gone. */
  const watches = new Map<string, Watched>()
  /** The way to the life of a worker that was called last. */
  const latest = new WeakMap<Watch.Watch, Way>()

  const postmaster = yield* caller.client(PostmasterRpcs, { accuses: false, disableTracing: true })
  const id = yield* Effect.orDie(postmaster.Identity())

  const connect = Effect.fnUntraced(function*(watch: Watch.Watch): Effect.fn.Return<Caller.Caller<CallLost>, CallLost> {
    const known = latest.get(watch)
    if (known !== undefined && known.pid === Watch.pidOf(watch.status)) return known.caller
    const { pid, way } = yield* postmaster.Connect({ ref: watch.ref, name: watch.name })
    const other = latest.get(watch)
    // Somebody else has asked meanwhile, and was told of the same way.
    if (other?.number === way) return other.caller
    // A life that is not the one we know of: one of both is over, and the word of it on its way.
    if (pid !== Watch.pidOf(watch.status)) return yield* Watch.stopped(watch)
    const caller = ways.get(way) ?? Caller.make<CallLost>({ send: (frame) => line.send(Wire.relay(way, frame)) })
    ways.set(way, caller)
    latest.set(watch, { number: way, pid, caller })
    return caller
  })

  const disconnect = (watch: Watch.Watch, error: CallLost): void => {
    const way = latest.get(watch)
    if (way === undefined) return
    latest.delete(watch)
    ways.delete(way.number)
    way.caller.end(error)
  }

  const open = (name: string, ref: SlotRef): Effect.Effect<Watched> => {
    const key = `${ref.slot}/${ref.generation}`
    const known = watches.get(key)
    if (known !== undefined) return Effect.succeed(known)
    const self = Watch.make(name, ref)
    const watched = { self, seen: Deferred.makeUnsafe<void>() }
    watches.set(key, watched)
    return Effect.as(
      Effect.forkIn(
        Effect.ignoreCause(Stream.runForEach(postmaster.Watch({ ref }), ({ gone, status }) =>
          Effect.sync(() => {
            Watch.update(self, status, gone)
            if (status._tag === "Stopped" && status.lastLife !== undefined) self.history = [status.lastLife]
            if (gone) watches.delete(key)
            const way = latest.get(self)
            // Who falls far behind may have missed the end of a life, and sees the next one.
            if (way !== undefined && way.pid !== Watch.pidOf(status)) {
              disconnect(self, Watch.stopped(self, status._tag === "Stopped" ? status : undefined))
            }
            Watch.tell(self)
            Deferred.doneUnsafe(watched.seen, Effect.void)
          }))).pipe(
            // Without a sight nobody knows of such a worker any more.
            Effect.ensuring(Effect.sync(() => Deferred.doneUnsafe(watched.seen, Effect.void)))
          ),
        scope,
        { startImmediately: true }
      ),
      watched
    )
  }

  /** Returns when the first sight has been seen, so that a handle never says what is not known yet. */
  const watch = (name: string, ref: SlotRef): Effect.Effect<Watch.Watch> =>
    Effect.suspend(() => Effect.uninterruptible(open(name, ref))).pipe(
      Effect.flatMap(({ seen, self }) => Effect.as(Deferred.await(seen), self))
    )

  return {
    id,
    watch,
    connect,
    register: (registration: Registration): Effect.Effect<SlotRef, RegistrationError> =>
      Effect.catchTag(postmaster.Register({ registration }), "PostmasterDied", Effect.die),
    replace: ({ name, ref }: Watch.Watch): Effect.Effect<Watch.Watch, RegistrationError> =>
      Effect.catchTag(postmaster.Replace({ ref, name }), "PostmasterDied", Effect.die).pipe(
        Effect.flatMap((successor) => watch(name, successor))
      ),
    registerWithin: (waitMillis: number, registration: Registration): Effect.Effect<SlotRef, RegistrationError> =>
      Effect.catchTag(postmaster.RegisterWithin({ registration, waitMillis }), "PostmasterDied", Effect.die),
    resume: (ref: SlotRef) => Effect.orDie(postmaster.Resume({ ref })),
    progress: (ref: SlotRef) => Effect.map(Effect.orDie(postmaster.Progress({ ref })), Option.fromNullOr),
    // Of one that is gone, its holder knows no more than the last word.
    history: (watch: Watch.Watch) =>
      watch.gone ? Effect.succeed(watch.history) : Effect.orDie(postmaster.History({ ref: watch.ref })),
    changePolicy: (ref: SlotRef, worker: string, policy: Policy): Effect.Effect<void, RegistrationError> =>
      Effect.catchTag(postmaster.ChangePolicy({ ref, worker, policy }), "PostmasterDied", Effect.die),
    terminate: (ref: SlotRef) => Effect.orDie(postmaster.Terminate({ ref })),
    terminateUsers: (resource: string) => Effect.orDie(postmaster.TerminateUsers({ resource })),
    find: (name: string) => Effect.orDie(postmaster.Find({ name })),
    typeByPid: (pid: number) => Effect.map(Effect.orDie(postmaster.TypeByPid({ pid })), Option.fromNullOr),
    snapshot: Effect.orDie(postmaster.Snapshot()),
    snapshots: Stream.orDie(postmaster.Snapshots()),
    events: Stream.orDie(postmaster.Events()),
    recording: Effect.orDie(postmaster.Recording()),
    vitals: Effect.orDie(postmaster.Vitals()),
    reload: Effect.orDie(postmaster.Reload()),
    shutdown: (mode: ShutdownMode) => Effect.orDie(postmaster.Shutdown({ mode })),
    awaitHalt: postmaster.AwaitHalt(),
    memory: SharedMemoryRpcs.fromClient(postmaster)
  }
})

interface Watched {
  readonly self: Watch.Watch
  readonly seen: Deferred.Deferred<void>
}

interface Way {
  readonly number: number
  readonly pid: Pid
  readonly caller: Caller.Caller<CallLost>
}
