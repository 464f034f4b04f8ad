/**
 * An onlooker who believes nothing: it builds its own table from the events
 * alone and holds it against the snapshot, the children and the handles.
 */
import { type ExitStatus, type Verdict } from "@effect-postmaster/core/ExitStatus"
import { formatRef, type Pid, type SlotRef } from "@effect-postmaster/core/Identity"
import type { Outcome } from "@effect-postmaster/core/Outcome"
import { isBefore, openStartTimes, type Phase } from "@effect-postmaster/core/Phase"
import type { PostmasterEvent, UnregisterReason } from "@effect-postmaster/core/PostmasterEvent"
import { isAttached, type LifeRef, type Registration } from "@effect-postmaster/core/Registration"
import { isJob, type Restart } from "@effect-postmaster/core/Restart"
import type { PostmasterSnapshot, WorkerSnapshot } from "@effect-postmaster/core/Snapshot"
import type { WorkerStatus } from "@effect-postmaster/core/WorkerStatus"
import type { Chronicle } from "./chronicle.ts"
import type { SimulatedClock } from "./clock.ts"
import type { Ended, SimulatedSpawner } from "./spawner.ts"

/** `Idle` is what a snapshot calls Waiting or Resting: which of them is a matter of time. */
type State = "Idle" | "Starting" | "Started" | "Ready" | "Stopping" | "Parked"

interface Tenant {
  readonly ref: SlotRef
  readonly registration: Registration
  state: State
  pid: Pid | undefined
  ready: boolean
  /** How the last life ended. A birth that failed was none. */
  lastExit: ExitStatus["_tag"] | undefined
  /** It has asked for another life in its last one. */
  wished: boolean
  /** For whom it was registered as a successor, and whether it has been ready or told to end for good. */
  readonly origin: { key: string | undefined; settled: boolean }
  /** Its successor has been ready. */
  replaced: boolean
  /** It has not lived since it was registered, or resumed. */
  fresh: boolean
  /** Its failures since then, and how many of them are in a row at least and at most. */
  failedAt: Array<Moment>
  row: readonly [least: number, most: number]
  bornAt: Moment
  /** The monotonic time of the next birth; absent if recovery decides. */
  notBefore: number | undefined
  /** The time on the timers at which it has come, at the latest. */
  dueAt: number
  /** When its termination was asked for. */
  doomedAt: number | undefined
  /** What it uses was wanted at the moment it came, so that nobody can tell whether it was meant. */
  mayBeWanted: boolean
  /** The life that it ends with. */
  readonly owner: LifeRef | undefined
}

/** The monotonic time of an event lies between these: the clock may have run on while the timers stood still. */
interface Moment {
  readonly earliest: number
  readonly latest: number
}

export interface Observer {
  readonly hear: (event: PostmasterEvent) => void
  /** Takes the table as it is, before the first event. */
  readonly prime: (snapshot: PostmasterSnapshot) => void
  readonly doom: (ref: SlotRef) => void
  /** Somebody wants it to start. */
  readonly wantsStart: (ref: SlotRef) => void
  /** Nothing that is known now stands against replacing it, but for want of room. */
  readonly isReplaceable: (ref: SlotRef) => boolean
  /** Somebody was registered in its place who has not been ready, and has not stopped. */
  readonly awaitsSuccessor: (ref: SlotRef) => boolean
  /** Everybody who has this resource is to be terminated. */
  readonly doomUsers: (resource: string) => void
  readonly holds: (ref: SlotRef) => boolean
  readonly phase: () => Phase
  readonly halted: () => { readonly abnormal: boolean } | undefined
  /** Compares everything with everything, at a time when nothing is left to be done. */
  readonly check: (snapshot: PostmasterSnapshot) => void
  readonly checkHandle: (ref: SlotRef, status: WorkerStatus) => void
}

export interface World {
  readonly chronicle: Chronicle
  readonly clock: SimulatedClock
  readonly spawner: SimulatedSpawner
  readonly maxWorkers: number
  readonly classLimits: Readonly<Record<string, number>>
  readonly stopTimeout: number
  /** How many spares there can be. */
  readonly spares: number
  /** What the postmaster adds to its own time to name a time of day: fixed when it began. */
  readonly epoch: number
  /** The longest that the crash group may take to be gone. */
  readonly maxCrash: number
  /** Every registration that was asked for, by its name, which no other has. */
  readonly registrations: Map<string, Registration>
  /** The lives by which workers were registered that the application has not registered. */
  readonly registrants: Map<string, LifeRef>
}

/** What the events have told of spares. */
interface Reserve {
  /** In the order of their births; the pid is known of those that are ready. */
  readonly standing: Map<number, Pid | undefined>
  next: number
  begun: number
  taken: number
  lost: number
  ended: number
  /** The monotonic time before which none may be begun. */
  notBefore: number
  /** The time on the timers at which a missing one is begun, at the latest. */
  dueAt: number
}

type AboutTenant = Exclude<Extract<PostmasterEvent, { readonly ref: SlotRef }>, { readonly _tag: "CrashDetected" }>

const key = (ref: SlotRef): string => `${ref.slot}.${ref.generation}`

/** How a life that ended like this must be judged. */
const judge = ({ joined, status }: Ended, attached: boolean): Verdict => {
  if (status._tag === "Signaled" && status.ordered) return "Failed"
  if (attached && joined) return "Crashed"
  if (status._tag !== "Exited") return "Crashed"
  if (status.code === 0) return status.outcome === undefined ? "Done" : "Again"
  return status.code === 1 ? "Failed" : "Crashed"
}

/** The delay after so many failures in a row, without jitter. */
const restOf = (
  { delayMillis, growth, thenMillis = [] }: Extract<Restart, { readonly _tag: "After" }>,
  failures: number
): number => {
  const listed = [delayMillis, ...thenMillis]
  let rest = listed[Math.max(0, Math.min(failures, listed.length) - 1)]!
  if (growth === undefined) return rest
  for (let more = listed.length; more < failures; more++) rest = Math.min(growth.maxMillis, rest * growth.factor)
  return rest
}

/** How long a life lasts that ends a row of failures. */
const healthyMillis = (restart: Restart): number => {
  if (restart._tag === "Never") return Number.POSITIVE_INFINITY
  const { delayMillis, growth, thenMillis = [] } = restart
  return restart.healthyMillis ?? Math.max(60_000, delayMillis, ...thenMillis, growth?.maxMillis ?? 0)
}

const sameOutcome = (self: Outcome | undefined, that: Outcome | undefined): boolean =>
  self?._tag === that?._tag &&
  (self?._tag !== "RetryAfter" || self.delayMillis === (that as typeof self).delayMillis)

const sameStatus = (self: ExitStatus, that: ExitStatus): boolean =>
  self._tag === that._tag &&
  (self._tag !== "Exited" || (self.code === (that as typeof self).code &&
    sameOutcome(self.outcome, (that as typeof self).outcome))) &&
  (self._tag !== "Signaled" || (self.signal === (that as typeof self).signal &&
    self.ordered === (that as typeof self).ordered))

/** Whoever is told to end for these has failed all the same. */
const hangs: ReadonlySet<string | undefined> = new Set(["NotReady", "NoHeartbeat", "NoProgress"])

export const make = (world: World): Observer => {
  const { chronicle, classLimits, clock, maxWorkers, registrants, registrations, spawner } = world
  const { broken } = chronicle
  const tenants = new Map<string, Tenant>()
  const generations = new Map<number, number>()
  /** Whose termination was asked for before anybody told of them. */
  const doomedUnseen = new Set<string>()
  /** Whoever somebody wants to start, since the last check. */
  const wantedToStart = new Set<string>()
  let wanted: { readonly resource: string; readonly at: number } | undefined
  let phase: Phase = "Init"
  let shutdown: string | undefined
  let recovering = false
  let crashedAt = 0
  /** Whose crash must be detected in the turn of its exit. */
  let crashOf: string | undefined
  let halted: { readonly abnormal: boolean } | undefined
  const reserve: Reserve = {
    standing: new Map(),
    next: 0,
    begun: 0,
    taken: 0,
    lost: 0,
    ended: 0,
    notBefore: 0,
    dueAt: 0
  }

  const countOfClass = (name: string): number =>
    [...tenants.values()].filter((tenant) => tenant.registration.class === name).length

  const rest = (tenant: Tenant, next: number | undefined): void => {
    tenant.state = "Idle"
    tenant.pid = undefined
    tenant.notBefore = next === undefined ? undefined : clock.earliest() + next
    tenant.dueAt = next === undefined ? Number.POSITIVE_INFINITY : chronicle.now() + next
  }

  const moment = (): Moment => ({ earliest: clock.earliest(), latest: clock.monotonic() })

  /** How many failures in a row there have been is not known of whoever was there before the first event. */
  const primed = new Set<Tenant>()

  /** A failure that it was not told to: what must follow, as far as it can be known. */
  const failed = (tenant: Tenant, next: number | undefined, atLeast: number): void => {
    const { name, restart } = tenant.registration
    if (restart._tag === "Never" || (isAttached(tenant.registration) && recovering)) return
    const now = moment()
    tenant.row = [tenant.row[0] + 1, tenant.row[1] + 1]
    tenant.failedAt.push(now)
    tenant.failedAt.splice(0, tenant.failedAt.length - (restart.giveUp?.failures ?? 1))
    if (next === undefined) return
    const [least, most] = tenant.row
    const bounds = [least, primed.has(tenant) ? most + 20 : most].map((failures) => restOf(restart, failures))
    const shortest = Math.floor(Math.min(...bounds) * (1 - (restart.growth?.jitter ?? 0)))
    if (next < Math.max(shortest, atLeast) || next > Math.ceil(Math.max(...bounds, atLeast > 0 ? 10_000 : 0))) {
      broken("births", `${name} in ${next} ms after ${least} to ${most} failures in a row, ${JSON.stringify(restart)}`)
    }
    if (mustBeGivenUp(tenant)) broken("parking", `${name} starts again, and has failed too often`)
  }

  const mustBeGivenUp = ({ failedAt, registration: { restart } }: Tenant): boolean => {
    if (restart._tag === "Never" || restart.giveUp === undefined) return false
    const { failures, withinMillis } = restart.giveUp
    return failedAt.length >= failures && failedAt.at(-1)!.latest - failedAt[0]!.earliest <= withinMillis
  }

  /** Whether it may be; what was before the first event is not known. */
  const givenUp = (tenant: Tenant, outcome: "Park" | "Unregister"): void => {
    const { name, restart } = tenant.registration
    const { failedAt } = tenant
    if (restart._tag === "Never" || restart.giveUp?.outcome !== outcome) return broken("parking", `${name} is given up`)
    if (primed.has(tenant)) return
    const { failures, withinMillis } = restart.giveUp
    if (failedAt.length < failures || failedAt.at(-1)!.earliest - failedAt[0]!.latest > withinMillis) {
      broken("parking", `${name} is given up after ${failedAt.length} failures`)
    }
  }

  const isAlive = (life: LifeRef): boolean => tenants.get(key(life.ref))?.pid === life.pid

  /** Whose place it is to take for certain: both go on, as far as anybody can know. */
  const placeOf = ({ doomedAt, origin }: Tenant): Tenant | undefined => {
    if (origin.key === undefined || origin.settled || doomedAt !== undefined) return undefined
    const before = tenants.get(origin.key)
    return before?.doomedAt === undefined ? before : undefined
  }

  const replacing = (tenant: Tenant, successor: SlotRef): void => {
    const { name } = tenant.registration
    const other = tenants.get(key(successor))
    if (other === undefined || other.registration !== tenant.registration || other.origin.key !== undefined) {
      return broken("replacing", `${name} by somebody else`)
    }
    if ([...tenants.values()].some((one) => placeOf(one) === tenant)) broken("replacing", `${name} twice`)
    if (placeOf(tenant) !== undefined) broken("replacing", `${name}, which has not taken the place of another one`)
    if (phase === "Waiting" || phase === "Halted") broken("replacing", `${name} in phase ${phase}`)
    chronicle.count("replacements")
    other.origin.key = key(tenant.ref)
  }

  /** A successor is ready: from now on there is a reason for the other one to end. */
  const readied = (tenant: Tenant): void => {
    const { doomedAt, origin } = tenant
    const before = origin.key === undefined || origin.settled ? undefined : tenants.get(origin.key)
    origin.settled = true
    if (before === undefined) return
    // Whoever was told to end with others may have been terminated since, and nobody has told of it.
    if (doomedAt !== undefined) before.mayBeWanted = true
    else {
      before.doomedAt ??= chronicle.now()
      chronicle.count("replaced")
    }
    before.replaced = true
  }

  /** Nobody is terminated of the postmaster's own accord. */
  const terminated = (tenant: Tenant): void => {
    const { doomedAt, registration } = tenant
    if (doomedAt !== undefined || tenant.mayBeWanted) return
    broken("ownership", `${registration.name} was terminated, and nobody has asked for it`)
  }

  const seat = (ref: SlotRef, name: string): Tenant => {
    const registration = registrations.get(name)!
    const tenant: Tenant = {
      ref,
      registration,
      mayBeWanted: wanted?.at === chronicle.now() && registration.resources?.includes(wanted.resource) === true,
      owner: registration.ownership === "registrant" ? registrants.get(name) : undefined,
      state: "Idle",
      pid: undefined,
      ready: false,
      lastExit: undefined,
      wished: false,
      origin: { key: undefined, settled: false },
      replaced: false,
      fresh: true,
      failedAt: [],
      row: [0, 0],
      bornAt: moment(),
      notBefore: clock.monotonic(),
      dueAt: chronicle.now(),
      doomedAt: doomedUnseen.has(key(ref)) ? chronicle.now() : undefined
    }
    tenants.set(key(ref), tenant)
    return tenant
  }

  const registered = (ref: SlotRef, name: string): void => {
    for (const tenant of tenants.values()) {
      if (tenant.ref.slot === ref.slot) broken("story", `slot ${ref.slot} is taken twice`)
    }
    if (ref.generation <= (generations.get(ref.slot) ?? -1)) {
      broken("generations", `${formatRef(ref)} after ${generations.get(ref.slot)}`)
    }
    generations.set(ref.slot, ref.generation)
    const { owner, registration } = seat(ref, name)
    if (owner !== undefined && !isAlive(owner)) broken("ownership", `${name} belongs to a life that is over`)
    if (tenants.size > maxWorkers) broken("limits", `${tenants.size} of ${maxWorkers} slots taken`)
    const limit = registration.class === undefined ? undefined : classLimits[registration.class]
    if (limit !== undefined && countOfClass(registration.class!) > limit) {
      broken("limits", `more than ${limit} of class ${registration.class}`)
    }
  }

  const holdBackSpares = (millis: number): void => {
    reserve.notBefore = Math.max(reserve.notBefore, clock.earliest() + millis)
    reserve.dueAt = Math.max(reserve.dueAt, chronicle.now() + millis)
  }

  const isStopping = (): boolean => shutdown !== undefined && (phase === "Waiting" || phase === "Halted")

  /** The spare of this number, which must stand. */
  const leave = (spare: number): Pid | undefined => {
    if (!reserve.standing.has(spare)) broken("spares", `spare ${spare} does not stand`)
    const pid = reserve.standing.get(spare)
    reserve.standing.delete(spare)
    return pid
  }

  const spareStarting = (spare: number): void => {
    if (spare < reserve.next) broken("spares", `number ${spare} again`)
    if ([...reserve.standing.values()].includes(undefined)) broken("spares", `${spare} while another is being born`)
    if ([...tenants.values()].some(({ state }) => state === "Starting")) broken("spares", `${spare} during a launch`)
    if (reserve.standing.size >= world.spares) broken("spares", `${spare} beyond ${world.spares}`)
    if (clock.monotonic() < reserve.notBefore) {
      broken("spares", `${spare} ${reserve.notBefore - clock.monotonic()} ms too early`)
    }
    if (isStopping()) broken("spares", `${spare} while stopping`)
    reserve.next = spare + 1
    reserve.begun++
    reserve.standing.set(spare, undefined)
  }

  const spareLost = ({ loss, nextStartInMillis, spare }: Extract<PostmasterEvent, { readonly _tag: "SpareLost" }>) => {
    const pid = leave(spare)
    if (pid === undefined) {
      if (loss.cause !== "Died" || spawner.failedSpareBirths() === 0) broken("spares", `the birth of ${spare} was good`)
      spawner.reportedSpareBirth()
    } else {
      if (spawner.lostSpares.get(pid) !== loss.cause) {
        broken("spares", `spare ${spare}, pid ${pid}, is not ${loss.cause}`)
      }
      spawner.lostSpares.delete(pid)
    }
    reserve.lost++
    chronicle.count("spares lost")
    if (loss.cause === "Died" && nextStartInMillis < 100) broken("spares", `the next in ${nextStartInMillis} ms`)
    holdBackSpares(nextStartInMillis)
  }

  /** The youngest that is ready, or none if there is none or it must not. */
  const takes = (tenant: Tenant, spare: number | undefined): void => {
    const ready = [...reserve.standing].findLast(([, pid]) => pid !== undefined)?.[0]
    const expected = tenant.registration.spare === false ? undefined : ready
    if (spare !== expected) broken("spares", `${tenant.registration.name} takes ${spare}, not ${expected}`)
    if (spare === undefined) return
    // Of one that was lost at the same moment nobody tells that, too.
    spawner.lostSpares.delete(leave(spare)!)
    reserve.taken++
  }

  const checkSpares = ({ nextSpareAt, shutdown, spares }: PostmasterSnapshot): void => {
    const told = [...reserve.standing].map(([spare, pid]) => `${spare} ${pid}`).join()
    const shown = spares.map(({ pid, spare }) => `${spare} ${pid}`).join()
    if (told !== shown) broken("spares", `the snapshot has ${shown || "none"}, by the events ${told || "none"}`)
    const { begun, ended, lost, standing, taken } = reserve
    if (begun !== taken + lost + ended + standing.size) {
      broken("spares", `${begun} begun; ${taken} taken, ${lost} lost, ${ended} ended, ${standing.size} stand`)
    }
    const ready = spares.flatMap(({ pid }) => pid === undefined ? [] : [pid])
    if (ready.join() !== [...spawner.spares.keys()].join()) {
      broken("spares", `ready are ${ready.join()}, in truth ${[...spawner.spares.keys()].join()}`)
    }
    const births = spares.length - ready.length
    if (births !== spawner.spareBirths()) {
      broken("spares", `${births} are being born, in truth ${spawner.spareBirths()}`)
    }
    for (const pid of ready) {
      if ([...tenants.values()].some((tenant) => tenant.pid === pid)) broken("spares", `pid ${pid} is a worker`)
    }
    for (const pid of spawner.lostSpares.keys()) broken("spares", `the loss of pid ${pid} was not reported`)
    if (spawner.failedSpareBirths() > 0) broken("spares", "a failed birth was not reported")
    // Of its own accord a postmaster stops without a request; the snapshot tells it.
    const stopping = phase === "Halted" || (phase === "Waiting" && shutdown !== undefined)
    const missing = !stopping && spares.length < world.spares && births === 0 && spawner.births.size === 0
    if (missing && reserve.dueAt < chronicle.now()) broken("forgotten", "a spare is missing")
    if (missing !== (nextSpareAt !== undefined)) broken("spares", `the next at ${nextSpareAt}, missing ${missing}`)
  }

  const starting = (tenant: Tenant): void => {
    const { registration } = tenant
    const who = registration.name
    if (tenant.state !== "Idle") broken("births", `${who} is ${tenant.state}`)
    if (!openStartTimes[phase].includes(registration.startTime)) broken("births", `${who} in phase ${phase}`)
    if (recovering) broken("births", `${who} during recovery`)
    if (tenant.notBefore === undefined) broken("births", `${who} before the recovery`)
    else if (clock.monotonic() < tenant.notBefore) {
      broken("births", `${who} ${tenant.notBefore - clock.monotonic()} ms too early`)
    }
    if (tenant.doomedAt !== undefined && tenant.doomedAt < chronicle.now()) broken("births", `${who} was terminated`)
    if (isJob(registration.restart) && tenant.lastExit !== undefined && !tenant.wished) {
      broken("births", `job ${who} again`)
    }
    tenant.state = "Starting"
  }

  const exited = (tenant: Tenant, event: Extract<PostmasterEvent, { readonly _tag: "Exited" }>): void => {
    const ended = spawner.reported(event.pid)
    if (ended === undefined) return broken("exits", `pid ${event.pid} is said to have ended, or is said so twice`)
    if (!sameStatus(ended.status, event.status)) {
      broken(
        "exits",
        `pid ${event.pid} ended with ${JSON.stringify(ended.status)}, not ${JSON.stringify(event.status)}`
      )
    }
    const { registration } = tenant
    const verdict = judge(ended, isAttached(registration))
    if (verdict !== event.verdict) broken("exits", `pid ${event.pid} ${verdict}, not ${event.verdict}`)
    if (verdict === "Crashed") {
      chronicle.count("crashes")
      if (isAttached(registration) && !recovering && shutdown !== "Immediate") crashOf = registration.name
    }
    const { nextStartInMillis: next, stopCause } = event
    if ((event.told === undefined) !== (stopCause === undefined)) {
      broken("exits", `pid ${event.pid} was told ${event.told} because of ${stopCause}`)
    }
    if (stopCause === "Replaced" && !tenant.replaced) broken("replacing", `${registration.name} ends before it is time`)
    if (next !== undefined && placeOf(tenant) !== undefined) broken("replacing", `${registration.name} in ${next} ms`)
    tenant.wished = verdict === "Again"
    if (verdict === "Done") tenant.row = [0, 0]
    else if (verdict === "Again") wishes(tenant, event)
    else {
      const { restart } = registration
      if (next !== undefined && restart._tag === "Never") broken("births", `${registration.name} in ${next} ms`)
      const now = moment()
      const healthy = healthyMillis(restart)
      tenant.row = [
        now.latest - tenant.bornAt.earliest >= healthy ? 0 : tenant.row[0],
        now.earliest - tenant.bornAt.latest >= healthy ? 0 : tenant.row[1]
      ]
      if (event.told === undefined || hangs.has(event.stopCause)) failed(tenant, next, 0)
    }
    tenant.lastExit = event.status._tag
    for (const other of tenants.values()) {
      const { owner } = other
      if (owner === undefined || owner.pid !== event.pid || key(owner.ref) !== key(event.ref)) continue
      chronicle.count("ended with their owners")
      other.doomedAt ??= chronicle.now()
    }
    rest(tenant, next)
  }

  const wishes = (tenant: Tenant, event: Extract<PostmasterEvent, { readonly _tag: "Exited" }>): void => {
    const { nextStartInMillis: next, status, stopCause } = event
    const { bornAt, registration: { name, restart } } = tenant
    const wish = status._tag === "Exited" ? status.outcome : undefined
    tenant.row = [0, 0]
    if (stopCause !== undefined) {
      return next === undefined ? undefined : broken("wishes", `${name} in ${next} ms, and was told to end`)
    }
    const attached = isAttached(tenant.registration)
    if (next === undefined) {
      const excused = tenant.doomedAt !== undefined || tenant.origin.key !== undefined || (attached && recovering) ||
        phase === "Waiting" || (shutdown !== undefined && isJob(restart))
      return excused ? undefined : broken("wishes", `${name} gets no other life`)
    }
    chronicle.count("lives asked for")
    const now = moment()
    const asked = wish?._tag === "RetryAfter" ? wish.delayMillis : 0
    const least = Math.max(asked, 1_000 - (now.latest - bornAt.earliest))
    const most = Math.max(asked, 1_000 - (now.earliest - bornAt.latest))
    if (next < least || next > most) broken("wishes", `${name} in ${next} ms, not in ${least} to ${most}`)
  }

  const hearAbout = (tenant: Tenant, event: AboutTenant): void => {
    switch (event._tag) {
      case "Registered":
      case "Progressed":
        return
      case "Replacing":
        return replacing(tenant, event.successor)
      case "Unregistered":
        if (tenant.state !== "Idle" && tenant.state !== "Parked") {
          broken("story", `${event.name} is unregistered and ${tenant.state}`)
        }
        if (event.reason === "Terminated") terminated(tenant)
        if (event.reason === "GaveUp") givenUp(tenant, "Unregister")
        unseated(tenant, event.reason)
        return
      case "Starting":
        takes(tenant, event.spare)
        return starting(tenant)
      case "Started":
        if (tenant.state !== "Starting") broken("story", `${event.name} started and was ${tenant.state}`)
        holdBackSpares(100)
        tenant.state = "Started"
        tenant.fresh = false
        tenant.bornAt = moment()
        tenant.pid = event.pid
        tenant.ready = false
        return
      case "Ready":
        if (tenant.pid !== event.pid || tenant.ready) {
          broken("story", `pid ${event.pid} is ready, once more or not ours`)
        }
        tenant.ready = true
        if (tenant.state === "Started") tenant.state = "Ready"
        return readied(tenant)
      case "Hung":
        return hung(event)
      case "NotStarted":
        if (tenant.state !== "Starting") broken("story", `${event.name} was not started and is ${tenant.state}`)
        if (!spawner.failedBirths.delete(formatRef(event.ref))) {
          broken("exits", `the birth of ${event.name} did not fail`)
        }
        holdBackSpares(100)
        failed(tenant, event.nextStartInMillis, 100)
        return rest(tenant, event.nextStartInMillis)
      case "Parked":
        if (tenant.state !== "Idle" || tenant.notBefore !== undefined) broken("parking", `${event.name} is not at rest`)
        chronicle.count("parked")
        givenUp(tenant, "Park")
        tenant.state = "Parked"
        return
      case "Resumed":
        if (!wantedToStart.has(key(event.ref))) broken("parking", `nobody wants ${event.name} to start`)
        if (tenant.state === "Parked") chronicle.count("resumed")
        else if (tenant.state !== "Idle") broken("parking", `${event.name} is ${tenant.state} and resumed`)
        tenant.fresh = true
        tenant.failedAt = []
        tenant.row = [0, 0]
        primed.delete(tenant)
        return rest(tenant, 0)
      case "SignalSent":
        if (tenant.pid !== event.pid) broken("story", `${event.signal} to pid ${event.pid}, which is not ${event.name}`)
        if (event.target === "Process") {
          terminated(tenant)
          tenant.origin.settled = true
        }
        if (event.signal !== "SIGHUP") tenant.state = "Stopping"
        return
      case "Exited":
        if (tenant.pid !== event.pid) broken("exits", `pid ${event.pid} is not ${event.name}`)
        return exited(tenant, event)
    }
  }

  const unseated = (tenant: Tenant, reason: UnregisterReason): void => {
    const { name } = tenant.registration
    if (reason === "NotReplaced") {
      chronicle.count("failed successors")
      if (tenant.origin.key === undefined || tenant.origin.settled) broken("replacing", `${name} takes nobody's place`)
    } else if (placeOf(tenant) !== undefined && !["Terminated", "ShuttingDown", "Crash"].includes(reason)) {
      broken("replacing", `the successor ${name} is gone: ${reason}`)
    }
    tenants.delete(key(tenant.ref))
    if ([...tenants.values()].some((other) => other.registration === tenant.registration)) return
    registrations.delete(name)
    registrants.delete(name)
  }

  const phaseReached = (reached: Phase): void => {
    if (reached === "Startup" && recovering) {
      // The crash group has been made anew: its rests are over, and whoever is parked stays so.
      for (const tenant of tenants.values()) {
        if (isAttached(tenant.registration) && tenant.state === "Idle") rest(tenant, 0)
      }
    } else if (!isBefore(phase, reached)) broken("story", `phase ${reached} after ${phase}`)
    if (reached === "Consistent" || reached === "Run") recovering = false
    phase = reached
    // A pause in the order of phases may have held back whoever was due.
    for (const tenant of tenants.values()) {
      if (tenant.state === "Idle") tenant.dueAt = Math.max(tenant.dueAt, chronicle.now())
    }
  }

  const hear = (event: PostmasterEvent): void => {
    chronicle.count("events")
    chronicle.note(describe(event))
    switch (event._tag) {
      case "PhaseReached":
        return phaseReached(event.phase)
      case "ShutdownRequested":
        shutdown = event.mode
        return
      case "Halted":
        halted = event
        return
      case "Registered":
        return registered(event.ref, event.name)
      case "CrashDetected": {
        // Whoever was terminated and crashed on the way out is unregistered by now.
        const tenant = tenants.get(key(event.ref))
        if (tenant !== undefined && !isAttached(tenant.registration)) {
          broken("story", `${event.name} is isolated and crashed the others`)
        }
        if (event.name !== crashOf) broken("story", `the crash of ${event.name}, which has not crashed`)
        crashOf = undefined
        recovering = true
        crashedAt = chronicle.now()
        return
      }
      case "EventsLost":
        return broken("story", `${event.count} events were lost`)
      case "SpareStarting":
        return spareStarting(event.spare)
      case "SpareReady":
        if (reserve.standing.get(event.spare) !== undefined) broken("spares", `spare ${event.spare} is ready twice`)
        leave(event.spare)
        reserve.standing.set(event.spare, event.pid)
        return
      case "SpareLost":
        return spareLost(event)
      case "SpareEnded":
        leave(event.spare)
        reserve.ended++
        return
      case "ReloadRequested":
      case "KillIssued":
      case "Reinitializing":
        return
      default: {
        const tenant = tenants.get(key(event.ref))
        if (tenant === undefined) return broken("story", `${event._tag} of ${event.name}, who is not registered`)
        return hearAbout(tenant, event)
      }
    }
  }

  const prime = (snapshot: PostmasterSnapshot): void => {
    phase = snapshot.phase
    recovering = snapshot.recovering
    // Not later than now.
    if (recovering) crashedAt = chronicle.now()
    shutdown = snapshot.shutdown
    for (const worker of snapshot.workers) {
      const tenant = seat(worker.ref, worker.name)
      generations.set(worker.ref.slot, worker.ref.generation)
      tenant.state = stateOf(worker)
      tenant.pid = worker.pid
      tenant.ready = worker.pid !== undefined && spawner.lives.get(worker.ref.slot)?.saidReady === true
      tenant.lastExit = worker.lastExit?._tag
      tenant.wished = worker.lastLife?.verdict === "Again"
      tenant.fresh = worker.lastExit === undefined || worker.lastExit._tag === "NotStarted"
      primed.add(tenant)
      if (worker.startedAt !== undefined) {
        const bornAt = worker.startedAt - world.epoch
        tenant.bornAt = { earliest: bornAt, latest: bornAt }
      }
      if (worker.nextStartAt !== undefined) {
        tenant.notBefore = worker.nextStartAt - world.epoch
        tenant.dueAt = chronicle.now() + Math.max(0, tenant.notBefore - clock.monotonic())
      }
    }
    for (const tenant of tenants.values()) {
      if (tenant.owner !== undefined && !isAlive(tenant.owner)) tenant.doomedAt = chronicle.now()
    }
    for (const { pid, spare } of snapshot.spares) {
      reserve.standing.set(spare, pid)
      reserve.next = spare + 1
      reserve.begun++
    }
    const { nextSpareAt } = snapshot
    if (nextSpareAt !== undefined) reserve.notBefore = nextSpareAt - world.epoch
    // No loss holds the next one back for longer.
    reserve.dueAt = chronicle.now() + 10_000
    spawner.forget()
  }

  const checkWorker = (worker: WorkerSnapshot): void => {
    const tenant = tenants.get(key(worker.ref))
    if (tenant === undefined) return broken("story", `${worker.name} is in the snapshot and was never registered`)
    const state = stateOf(worker)
    if (state !== tenant.state) broken("story", `${worker.name} is ${worker.state}, by the events ${tenant.state}`)
    if (worker.pid !== tenant.pid) broken("story", `${worker.name} has pid ${worker.pid}, by the events ${tenant.pid}`)
    const slot = worker.ref.slot
    if ((state === "Starting") !== spawner.births.has(slot)) {
      broken("story", `${worker.name} is ${state}; its birth is not`)
    }
    if (spawner.lives.get(slot)?.pid !== worker.pid) {
      broken("story", `pid ${worker.pid} in slot ${slot}, where pid ${spawner.lives.get(slot)?.pid} lives`)
    }
    if (tenant.doomedAt !== undefined && state !== "Starting" && state !== "Stopping") {
      broken("forgotten", `${worker.name} was terminated and is ${worker.state}`)
    }
    if (tenant.owner !== undefined && tenant.doomedAt === undefined && !isAlive(tenant.owner)) {
      broken("ownership", `${worker.name} outlives pid ${tenant.owner.pid}, which it belongs to`)
    }
    if (state === "Idle" && !tenant.fresh && placeOf(tenant) !== undefined) {
      broken("replacing", `the successor ${worker.name} has failed, and stays`)
    }
    const stopping = shutdown !== undefined && phase === "Waiting"
    const open = openStartTimes[phase].includes(tenant.registration.startTime) && !recovering
    if (state === "Idle" && open && tenant.dueAt < chronicle.now()) {
      broken("forgotten", `${worker.name} is ${worker.state} and due for ${chronicle.now() - tenant.dueAt} ms`)
    }
    if (state === "Idle" && stopping) broken("forgotten", `${worker.name} waits for a life that never comes`)
  }

  const checkDeadlines = (): void => {
    for (const life of spawner.lives.values()) {
      const told = life.told.get("SIGTERM")
      if (told === undefined || life.told.has("SIGKILL") || life.over) continue
      const patience = life.registration.stopTimeoutMillis ?? world.stopTimeout
      if (chronicle.now() > told + patience) {
        broken("forgotten", `pid ${life.pid} was told to stop ${chronicle.now() - told} ms ago`)
      }
    }
  }

  /** A limit that is found late is made as long again at most, and some milliseconds. */
  const checkSigns = (): void => {
    for (const { hangs, over, pid, registration, signedAt, told } of spawner.lives.values()) {
      const { heartbeatMillis } = registration
      if (!hangs || over || told.size > 0 || heartbeatMillis === undefined) continue
      if (chronicle.now() > signedAt + 2 * heartbeatMillis + 50) {
        broken("liveness", `pid ${pid} has given no sign for ${chronicle.now() - signedAt} ms`)
      }
    }
  }

  let slept = clock.monotonic() - chronicle.now()
  let lastSleep = Number.NEGATIVE_INFINITY
  /** When the machine slept last, as far as that has been noticed. */
  const sleptAt = (): number => {
    const now = clock.monotonic() - chronicle.now()
    if (now !== slept) lastSleep = chronicle.now()
    slept = now
    return lastSleep
  }

  const hung = ({ afterMillis, missed, name, pid, ref }: Extract<PostmasterEvent, { readonly _tag: "Hung" }>): void => {
    chronicle.count("hung")
    const life = spawner.lives.get(ref.slot)
    if (life?.pid !== pid) return
    const { heartbeatMillis = 0, readyTimeoutMillis = 0 } = life.registration
    // Nobody can tell a worker that hangs from one that slept while time went on.
    const isTrue = missed === "Ready" ? !life.saidReady : life.hangs || sleptAt() >= life.signedAt
    if (!isTrue) broken("liveness", `${name} (pid ${pid}) is said to hang for want of ${missed}`)
    if (afterMillis < (missed === "Ready" ? readyTimeoutMillis : heartbeatMillis)) {
      broken("liveness", `${name} (pid ${pid}) was waited for only ${afterMillis} ms`)
    }
  }

  const checkCrashGroup = (): void => {
    if (!recovering || chronicle.now() <= crashedAt + world.maxCrash) return
    for (const { ref, registration } of tenants.values()) {
      if (!isAttached(registration) || !(spawner.births.has(ref.slot) || spawner.lives.has(ref.slot))) continue
      broken("forgotten", `${registration.name} lives ${chronicle.now() - crashedAt} ms after the crash`)
    }
  }

  return {
    hear,
    prime,
    doom: (ref) => {
      const tenant = tenants.get(key(ref))
      if (tenant === undefined) doomedUnseen.add(key(ref))
      else tenant.doomedAt ??= chronicle.now()
    },
    doomUsers: (resource) => {
      wanted = { resource, at: chronicle.now() }
      for (const tenant of tenants.values()) {
        if (tenant.registration.resources?.includes(resource)) tenant.doomedAt ??= chronicle.now()
      }
    },
    wantsStart: (ref) => {
      wantedToStart.add(key(ref))
    },
    isReplaceable: (ref) => {
      const tenant = tenants.get(key(ref))
      const closed = phase === "Waiting" || phase === "Halted" || crashedAt === chronicle.now()
      if (closed || tenant === undefined || tenant.doomedAt !== undefined || tenant.mayBeWanted) return false
      const { origin } = tenant
      if (origin.key !== undefined && !origin.settled) return false
      return ![...tenants.values()].some((other) => other.origin.key === key(ref) && !other.origin.settled)
    },
    awaitsSuccessor: (ref) =>
      [...tenants.values()].some(({ fresh, origin, pid, ready }) =>
        origin.key === key(ref) && !ready && (fresh || pid !== undefined)
      ),
    holds: (ref) => tenants.has(key(ref)),
    phase: () => phase,
    halted: () => halted,
    check: (snapshot) => {
      chronicle.count("checks")
      // Whoever was there has been told of by now; the rest were stale.
      doomedUnseen.clear()
      wantedToStart.clear()
      for (const pid of spawner.unreported.keys()) broken("exits", `the end of pid ${pid} was not reported`)
      for (const who of spawner.failedBirths) broken("exits", `the failed birth in ${who} was not reported`)
      if (snapshot.phase !== phase) broken("story", `phase ${snapshot.phase}, by the events ${phase}`)
      if (snapshot.recovering !== recovering) broken("story", `recovering ${snapshot.recovering}, by the events not so`)
      if (snapshot.workers.length !== tenants.size) {
        broken("story", `${snapshot.workers.length} workers, by the events ${tenants.size}`)
      }
      if (snapshot.freeSlots !== maxWorkers - snapshot.workers.length) broken("limits", `${snapshot.freeSlots} free`)
      snapshot.workers.forEach(checkWorker)
      checkDeadlines()
      checkSigns()
      sleptAt()
      checkCrashGroup()
      checkSpares(snapshot)
      if (crashOf !== undefined) broken("story", `the crash of ${crashOf} was not detected`)
    },
    checkHandle: (ref, status) => {
      const tenant = tenants.get(key(ref))
      const expected = tenant === undefined || tenant.state === "Parked"
        ? "Stopped"
        : tenant.pid === undefined
        ? tenant.fresh ? "NotYetStarted" : "Stopped"
        : tenant.ready
        ? "Ready"
        : "Started"
      if (status._tag !== expected) broken("handles", `${formatRef(ref)} reads ${status._tag}, and is ${expected}`)
      const isParked = status._tag === "Stopped" && status.parked === true
      if (isParked !== (tenant?.state === "Parked")) broken("handles", `${formatRef(ref)} is parked: ${isParked}`)
      if ("pid" in status && status.pid !== tenant?.pid) broken("handles", `${formatRef(ref)} reads pid ${status.pid}`)
    }
  }
}

export const stateOf = (worker: WorkerSnapshot): State =>
  worker.state === "Waiting" || worker.state === "Resting" ? "Idle" : worker.state

/** A line for the history: no text that might hold a path of this machine. */
const describe = (event: PostmasterEvent): string => {
  const about = "ref" in event ? ` ${event.name} (${formatRef(event.ref)})` : ""
  switch (event._tag) {
    case "Unregistered":
      return `${event._tag}${about} ${event.reason}`
    case "Started":
    case "Ready":
      return `${event._tag}${about} ${event.pid}`
    case "Progressed":
      return `${event._tag}${about} ${event.pid} ${event.progress.done}`
    case "Hung":
      return `${event._tag}${about} ${event.pid} ${event.missed}`
    case "PolicyChanged":
      return `${event._tag}${about} ${JSON.stringify(event.policy)}`
    case "NotStarted":
      return `${event._tag}${about} next ${event.nextStartInMillis}`
    case "SignalSent":
      return `${event._tag}${about} ${event.signal} ${event.target}`
    case "Exited": {
      const { status } = event
      const how = status._tag === "Exited" ? status.code : status._tag === "Signaled" ? status.signal : status._tag
      return `${event._tag}${about} ${event.pid} ${how} ${event.verdict} next ${event.nextStartInMillis}`
    }
    case "PhaseReached":
      return `${event._tag} ${event.phase}`
    case "ShutdownRequested":
      return `${event._tag} ${event.mode}`
    case "Reinitializing":
      return `${event._tag} ${event.delayMillis}`
    case "EventsLost":
      return `${event._tag} ${event.count}`
    case "Halted":
      return `${event._tag} abnormal ${event.abnormal}`
    case "SpareStarting":
    case "SpareEnded":
      return `${event._tag} ${event.spare}`
    case "SpareReady":
      return `${event._tag} ${event.spare} ${event.pid}`
    case "SpareLost":
      return `${event._tag} ${event.spare} ${event.loss.cause} next ${event.nextStartInMillis}`
    case "Starting":
      return `${event._tag}${about} ${event.spare}`
    case "Parked":
      return `${event._tag}${about} ${event.failures} ${event.withinMillis}`
    case "Replacing":
    case "Resumed":
    case "Registered":
    case "CrashDetected":
    case "ReloadRequested":
    case "KillIssued":
      return `${event._tag}${about}`
  }
}
