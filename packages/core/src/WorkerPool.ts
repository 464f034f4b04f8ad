/**
 * Decides which worker is called when several of one definition are alike, and
 * how many of them there are.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcClient from "effect/rpc/RpcClient"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BackgroundWorker from "./BackgroundWorker.ts"
import { type PostmasterDied, WorkerStopped } from "./HandleError.ts"
import type { Pid } from "./Identity.ts"
import * as Desk from "./internal/desk.ts"
import { Postmaster } from "./Postmaster.ts"
import type { RegistrationError } from "./RegistrationError.ts"
import { toMillis } from "./Restart.ts"
import type { WorkerHandle } from "./WorkerHandle.ts"
import { isParked, type WorkerStatus } from "./WorkerStatus.ts"

/**
 * Every worker of the pool is busy, and as many calls wait as may.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolFull extends Schema.TaggedError<PoolFull>("@effect-postmaster/core/WorkerPool/PoolFull")("PoolFull", {
  name: Schema.String,
  maxWaiting: Schema.Natural
}) {
  override get message(): string {
    return `the pool of background workers "${this.name}" is full: all of them are busy, and ${this.maxWaiting} calls wait`
  }
}

/**
 * How a call can fail beside its own errors: its worker has ended, nothing is
 * known of it any more, there is no worker and none may be registered, or the
 * pool is full.
 *
 * @category errors
 * @since 0.1.0
 */
export type CallError = WorkerStopped | PostmasterDied | RegistrationError | PoolFull

/**
 * Calls the workers of a pool: a method for each of their `protocol`.
 *
 * @category models
 * @since 0.1.0
 */
export type Client<Rpcs extends Rpc.Any> = RpcClient.RpcClient<Rpcs, CallError>

/**
 * A pool at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Registered, and not on their way out. */
  readonly workers: number
  /** Of these, how many take calls. */
  readonly ready: number
  /** Made and not ended, streams among them. */
  readonly calls: number
  /** Calls that wait for a worker. */
  readonly waiting: number
}

/**
 * Several workers of one definition, called as if they were one.
 *
 * @category models
 * @since 0.1.0
 */
export interface WorkerPool<in out Rpcs extends Rpc.Any> {
  readonly client: Client<Rpcs>
  /** Those that are registered now, the oldest first. */
  readonly workers: Effect.Effect<ReadonlyArray<WorkerHandle<Rpcs>>>
  readonly stats: Effect.Effect<Stats>
}

/**
 * How many workers a pool has: always as many, or as many as there is work for.
 *
 * @category models
 * @since 0.1.0
 */
export type Size = {
  readonly size: number
} | {
  /** Defaults to 1. With 0 the first call brings the first worker. */
  readonly minSize?: number | undefined
  readonly maxSize: number
  /** How long a worker beyond `minSize` is kept without a call. Defaults to a minute. */
  readonly idleTimeout?: Duration.Input | undefined
}

/**
 * How calls are shared out among the workers of a pool.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /** The worker with the fewest calls, the oldest of them; or each in its turn. Defaults to `"LeastBusy"`. */
  readonly strategy?: "LeastBusy" | "RoundRobin" | undefined
  /** How many calls a worker has at a time; further ones wait in the pool, first come, first served. Defaults to `"unbounded"`. */
  readonly concurrency?: number | "unbounded" | undefined
  /** How many calls may wait; further ones fail with `PoolFull`. Defaults to `"unbounded"`. */
  readonly maxWaiting?: number | "unbounded" | undefined
}

/**
 * What a pool may be given: its size, how it shares out calls, and the workers'
 * arguments, unless they have none.
 *
 * @category models
 * @since 0.1.0
 */
export type Options<Args extends BackgroundWorker.ArgsSchema> =
  & Size
  & Limits
  & (Args["Type"] extends void ? { readonly args?: undefined } : { readonly args: Args["Type"] })

/** One registration. */
interface Member<in out Rpcs extends Rpc.Any> {
  readonly number: number
  readonly handle: WorkerHandle<Rpcs>
  readonly registeredAt: number
  /** Resting: its last life has ended, and the next one has not begun. Parked: it begins when somebody resumes it. */
  phase: "Coming" | "Ready" | "Resting" | "Parked"
  life: Desk.Life | undefined
  idleSince: number
}

const isIdle = ({ phase }: { readonly phase: Member<never>["phase"] }): boolean =>
  phase === "Resting" || phase === "Parked"

const phaseOf = (status: WorkerStatus): Member<never>["phase"] => {
  if (status._tag === "Ready") return "Ready"
  if (status._tag !== "Stopped") return "Coming"
  return isParked(status) ? "Parked" : "Resting"
}

const replaceAfterMillis = 1_000
const maxPauseMillis = 32_000

/**
 * Makes a pool, whose workers end with the scope.
 *
 * **When to use**
 *
 * Use when there is more work than one worker can do, and it does not matter
 * which of them does it.
 *
 * **Details**
 *
 * The workers are registered as `name 1`, `name 2`, and so on. The pool takes no
 * more slots than it is given: where a registration is refused it works with
 * the workers it has, and fails with the `RegistrationError` if it has none.
 * It grows to `maxSize` as long as there are more calls than its workers have
 * room for, each for `concurrency` calls, or for one if that is unbounded.
 *
 * Only workers that are ready are called. A call that finds none waits for the
 * next one; when that fails to get ready and no other is on its way, the call
 * fails with its `WorkerStopped`.
 *
 * A worker that ends for good is replaced, no sooner than a second after it was
 * registered; the pauses grow to half a minute while registrations are refused
 * and workers fail to get ready. How soon a worker comes back by itself, its
 * `restart` decides.
 *
 * Closing the scope interrupts all calls, and returns when the last worker is
 * gone.
 *
 * **Gotchas**
 *
 * When a worker ends, its calls fail with `WorkerStopped`, and the pool does not
 * repeat them, since they may have been carried out. Its `isRetryable` speaks of
 * that worker; the pool can be called again in either case.
 *
 * A stream occupies its worker until it has ended, a queue (`asQueue`) until its
 * scope is closed. In turn (`"RoundRobin"`) even a few calls keep all workers
 * from being idle.
 *
 * **Example** (Four workers that resize)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 * import * as WorkerPool from "@effect-postmaster/core/WorkerPool"
 * import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
 * import * as Effect from "effect/Effect"
 * import * as Rpc from "effect/rpc/Rpc"
 * import * as Schema from "effect/Schema"
 *
 * const Resize = BackgroundWorker.make("resize", {
 *   entry: { module: new URL("./resize.ts", import.meta.url) },
 *   protocol: WorkerProtocol.make(
 *     Rpc.make("Resize", { payload: { image: Schema.Uint8Array }, success: Schema.Uint8Array })
 *   ),
 *   restart: "1 second"
 * })
 *
 * export const resizeAll = Effect.fn("resizeAll")(function*(images: ReadonlyArray<Uint8Array>) {
 *   const { client } = yield* WorkerPool.make(Resize, { minSize: 1, maxSize: 4, concurrency: 2 })
 *   return yield* Effect.forEach(images, (image) => client.Resize({ image }), { concurrency: 16 })
 * }, Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("WorkerPool.make")(function*<
  Args extends BackgroundWorker.ArgsSchema,
  Rpcs extends Rpc.Any
>(
  worker: BackgroundWorker.BackgroundWorker<Args, Rpcs>,
  options: Options<Args>
): Effect.fn.Return<
  WorkerPool<Rpcs>,
  RegistrationError,
  Postmaster | Scope.Scope | Rpc.MiddlewareClient<Rpcs> | Args["EncodingServices"]
> {
  const { concurrency, idleMillis, maxSize, maxWaiting, minSize } = yield* bounds(worker.name, options)
  const postmaster = yield* Postmaster
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  // What lives as long as the pool: its fibers, and its clients.
  const scope = yield* Scope.make()

  /** The oldest first. */
  const members = new Set<Member<Rpcs>>()
  /** Those, and the ones on their way out. */
  const registered = new Set<Member<Rpcs>>()
  /** How many members there should be; `short` is open while there may be fewer. */
  let target = minSize
  const short = Latch.makeUnsafe(true)
  /** Open while there may be one that is idle and too many. */
  const spare = Latch.makeUnsafe(true)
  /** Nobody is registered earlier. */
  let notBefore = -Infinity
  /** Attempts in a row that have brought no worker to work. */
  let failures = 0
  let refusal: RegistrationError | undefined
  /** Why there will be no calls any more. */
  let over: Effect.Effect<never, PostmasterDied> | undefined

  const desk = Desk.make<CallError>({
    strategy: options.strategy ?? "LeastBusy",
    concurrency,
    refuse: (waiting) => {
      if (over !== undefined) return over
      if (refusal !== undefined && members.size === 0 && now() < notBefore) return Effect.fail(refusal)
      if (waiting < maxWaiting) return undefined
      aim(target, 1)
      return Effect.fail(new PoolFull({ name: worker.name, maxWaiting }))
    },
    onCall: () => aim(target),
    onIdle: (life) => {
      for (const member of members) if (member.life === life) member.idleSince = now()
      spare.openUnsafe()
    }
  })

  /** Wants as many members as the calls need, those among them that were refused, and no fewer than `atLeast`. */
  const aim = (atLeast: number, refused = 0): void => {
    target = Math.max(minSize, atLeast)
    const { called, waiting } = desk.count()
    const needed = Math.ceil((called + waiting + refused) / (concurrency === Infinity ? 1 : concurrency))
    if (needed > 0 && target < maxSize) {
      // Those that rest are of no help for now.
      const resting = [...members].filter(isIdle).length
      target = Math.min(maxSize, Math.max(target, needed + resting))
    }
    if (members.size < target) short.openUnsafe()
  }

  /** After a failure the next attempt waits, the longer the more there were. Several before it are one. */
  const pause = (): void => {
    const at = now()
    if (at >= notBefore) notBefore = at + Math.min(maxPauseMillis, replaceAfterMillis * 2 ** failures++)
  }

  const begin = Effect.fnUntraced(function*(member: Member<Rpcs>, pid: Pid) {
    const { handle } = member
    const lifeScope = yield* Scope.fork(scope)
    const client = yield* Effect.result(Scope.provide(handle.client, lifeScope))
    // It has just ended; the word of it is on its way.
    if (Result.isFailure(client)) return yield* Scope.close(lifeScope, Exit.void)
    failures = 0
    // It has a method for each call, which its type tells more exactly than the desk can use.
    const methods = client.success as unknown as Desk.Life["client"]
    member.life = {
      ref: handle.ref,
      isOver: Effect.map(handle.status, (status) => status._tag !== "Ready" || status.pid !== pid),
      client: methods,
      scope: lifeScope,
      calls: 0,
      lastCall: 0
    }
    member.idleSince = now()
    spare.openUnsafe()
    desk.bring(member.life)
  })

  const end = (member: Member<Rpcs>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { life } = member
      member.life = undefined
      return life === undefined ? Effect.void : desk.end(life)
    })

  const onStatus = Effect.fnUntraced(function*(member: Member<Rpcs>, status: WorkerStatus) {
    yield* end(member)
    // On its way out.
    if (!members.has(member)) return
    const { phase } = member
    member.phase = phaseOf(status)
    if (status._tag === "Ready") return yield* begin(member, status.pid)
    if (status._tag !== "Stopped") return
    if (phase === "Ready" && member.phase !== "Parked") return aim(target)
    pause()
    if ([...members].every(isIdle)) {
      const { lastExit } = status
      const { name, ref } = member.handle
      const isRetryable = [...members].some(({ phase }) => phase === "Resting")
      const error = { name, ref, ...(lastExit === undefined ? undefined : { lastExit }), isRetryable }
      // What waits is told; the pool itself goes on trying, as far as nobody has given its members up.
      desk.failWaiting(Effect.fail(new WorkerStopped(error)))
    }
  })

  const tend = (member: Member<Rpcs>) =>
    Stream.runForEach(member.handle.statuses, (status) => onStatus(member, status)).pipe(
      Effect.catch((died) =>
        Effect.sync(() => {
          over = Effect.fail(died)
          desk.failWaiting(over)
        })
      ),
      Effect.andThen(Effect.sync(() => {
        registered.delete(member)
        if (!members.delete(member)) return
        notBefore = Math.max(notBefore, member.registeredAt + replaceAfterMillis)
        aim(members.size)
      }))
    )

  const add = Effect.gen(function*() {
    let number = 1
    while ([...registered].some((member) => member.number === number)) number++
    const handle = yield* postmaster.register(
      BackgroundWorker.named(worker, `${worker.name} ${number}`),
      // They are absent only if the schema says so.
      ...[options.args] as unknown as BackgroundWorker.ArgsInput<Args>
    )
    const member: Member<Rpcs> = {
      number,
      handle,
      registeredAt: now(),
      phase: "Coming",
      life: undefined,
      idleSince: now()
    }
    refusal = undefined
    registered.add(member)
    members.add(member)
    spare.openUnsafe()
    yield* Effect.forkIn(tend(member), scope)
  }).pipe(
    Effect.tapError((error) =>
      Effect.sync(() => {
        pause()
        target = Math.max(minSize, members.size)
        refusal = error
        if (members.size === 0) desk.failWaiting(Effect.fail(error))
      })
    ),
    // A worker that is registered is known here, or nobody would end it.
    Effect.uninterruptible
  )

  const grow = Effect.gen(function*() {
    yield* short.await
    if (members.size >= target || over !== undefined) return void short.closeUnsafe()
    const early = notBefore - now()
    yield* early > 0 ? Effect.sleep(early) : Effect.ignore(add)
  })

  const shrink = Effect.gen(function*() {
    yield* spare.await
    const idlest = desk.count().waiting > 0 || members.size <= minSize ? undefined : findIdlest(members)
    if (idlest === undefined) return void spare.closeUnsafe()
    const early = idlest.idleSince + idleMillis - now()
    if (early > 0) return yield* Effect.sleep(early)
    members.delete(idlest)
    target = Math.max(minSize, members.size)
    yield* end(idlest)
    yield* idlest.handle.terminate
  })

  yield* Effect.addFinalizer(Effect.fnUntraced(function*() {
    over = Effect.interrupt
    desk.failWaiting(over)
    yield* Scope.close(scope, Exit.void)
    // All are told before one is waited for.
    for (const { handle } of registered) yield* handle.terminate
    for (const { handle } of registered) yield* Effect.ignore(handle.waitForEnd)
  }))

  while (members.size < minSize) {
    const added = yield* Effect.result(add)
    if (Result.isSuccess(added)) continue
    if (members.size === 0) return yield* added.failure
    break
  }
  yield* Effect.forkIn(Effect.forever(grow), scope)
  if (idleMillis < Infinity) yield* Effect.forkIn(Effect.forever(shrink), scope)

  const methods = (worker.protocol?.rpcs ?? []).map((rpc) =>
    [rpc._tag, desk.method(rpc as unknown as Rpc.AnyWithProps)] as const
  )
  return {
    client: Object.fromEntries(methods) as unknown as Client<Rpcs>,
    workers: Effect.sync(() => Array.from(members, ({ handle }) => handle)),
    stats: Effect.sync(() => {
      const { called, waiting } = desk.count()
      const ready = [...members].filter(({ life }) => life !== undefined).length
      return { workers: members.size, ready, calls: called + waiting, waiting }
    })
  }
})

/** The one that has been without a call the longest, and of several the newest. */
const findIdlest = <Rpcs extends Rpc.Any>(members: Iterable<Member<Rpcs>>): Member<Rpcs> | undefined => {
  let idlest: Member<Rpcs> | undefined
  for (const member of members) {
    if (member.life !== undefined && member.life.calls > 0) continue
    if (idlest === undefined || member.idleSince <= idlest.idleSince) idlest = member
  }
  return idlest
}

interface Bounds {
  readonly minSize: number
  readonly maxSize: number
  readonly idleMillis: number
  readonly concurrency: number
  readonly maxWaiting: number
}

/** What the options say, with the defaults. One out of bounds is the programmer's mistake, and a defect that names it. */
const bounds = (name: string, options: Size & Limits): Effect.Effect<Bounds> => {
  const [minSize, maxSize, idle] = "size" in options
    ? [options.size, options.size, Infinity]
    : [options.minSize ?? 1, options.maxSize, options.idleTimeout ?? "1 minute"]
  const idleMillis = toMillis(idle)
  const concurrency = toLimit(options.concurrency)
  const maxWaiting = toLimit(options.maxWaiting)
  const wrong = !isCount(maxSize, 1)
    ? `a size of ${maxSize}`
    : !isCount(minSize, 0) || minSize > maxSize
    ? `a minSize of ${minSize}`
    : !(idleMillis >= 0)
    ? `an idleTimeout of ${idleMillis} ms`
    : concurrency !== Infinity && !isCount(concurrency, 1)
    ? `a concurrency of ${concurrency}`
    : maxWaiting !== Infinity && !isCount(maxWaiting, 0)
    ? `a maxWaiting of ${maxWaiting}`
    : undefined
  return wrong === undefined
    ? Effect.succeed({ minSize, maxSize, idleMillis, concurrency, maxWaiting })
    : Effect.die(new Error(`a pool of background workers "${name}" cannot have ${wrong}`))
}

const toLimit = (limit: number | "unbounded" | undefined): number =>
  limit === undefined || limit === "unbounded" ? Infinity : limit

const isCount = (value: number, atLeast: number): boolean => Number.isInteger(value) && value >= atLeast
