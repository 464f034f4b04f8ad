/**
 * What the postmaster decides. `step` takes a fact and answers with orders; it
 * has no clock, no fiber and no child, and reads nothing but its arguments.
 *
 *     facts  (past tense)   --> receive --> advance --> admit --> launch -->  orders (imperatives)
 *     a caller asked            PostgreSQL: BackgroundWorkerStateChange, the reaper      spawn, signal
 *     a child lived or died     PostmasterStateMachine                                   reply, notify
 *     time has passed           maybe_start_bgworkers                                    publish, halt
 *
 * Every consequence of an order comes back as another fact. The state is
 * advanced in place, because the cost of a turn must not grow with the table;
 * `copy` branches it for whoever wants to go back.
 *
 * Invariants beyond those of the slot table:
 *
 * - M1  Whoever is told anything (signalled) has a child; whoever is spawned has none.
 * - M2  Nothing is spawned outside the open phases, while recovering, or when doomed.
 * - M3  A crash touches attached tenants only.
 * - M4  Every registration request gets exactly one answer: in the turn it is received, or, if it waits for a slot, as
 *   soon as there is one, or when its time is over. Whenever a turn of an open phase ends, nobody waits for whom there
 *   is room; so nobody overtakes whoever waits.
 * - M5  A seat is free before its holder is notified that the tenancy is gone.
 * - M6  Exit code 0 ends the tenancy, unless the policy restarts after success.
 * - M7  `Halted` is reached with an empty table.
 * - M8  In phase Waiting somebody is being waited for, or a wake-up is asked for.
 * - M9  A doomed tenant has a child that has been told, or will be told at its birth.
 * - M10 Whoever belongs to a life ends with it, and with no other.
 * - M11 Whoever is parked has failed as often as its policy allows, and starts no more until it is resumed.
 * - M12 Whoever is being replaced is not told to end for it before its successor is ready; of both one stays.
 * - M13 No life is begun because it was asked for by the one before when its worker was told to end, or if it is a job
 *   whose postmaster shuts down.
 * - M14 Whoever is killed for hanging has been given time beyond its limit, as much of it as the limit was found late.
 * - M15 Of all that name a key, one is seated at most, beside the one that takes its place; whoever asks for it once more
 *   is answered with that one.
 */
import { type ExitStatus, notStarted, type Verdict, verdict } from "../ExitStatus.ts"
import { type Pid, sameRef, type SlotRef } from "../Identity.ts"
import type { LifeRecord } from "../LifeRecord.ts"
import type { Missed } from "../Missed.ts"
import { isBefore, openStartTimes, overtakes, type Phase, type ShutdownMode } from "../Phase.ts"
import type { PostmasterEvent, UnregisterReason } from "../PostmasterEvent.ts"
import type { Progress } from "../Progress.ts"
import {
  isSameDefinition,
  type LifeRef,
  type Registrant,
  type Registration,
  type Rung,
  sanityCheck,
  withPolicy
} from "../Registration.ts"
import {
  ClassLimitReached,
  KeyTaken,
  NotAccepting,
  NotRegistered,
  NotReplaceable,
  type Occupant,
  type RegistrationErrorReason,
  SlotsExhausted,
  StartOrderCycle
} from "../RegistrationError.ts"
import type { SpareLoss } from "../SpareLoss.ts"
import type { Launch } from "../Spawner.ts"
import type { SpawnError } from "../SpawnError.ts"
import type { StopCause } from "../StopCause.ts"
import { isHarsher, type SignalTarget, type WorkerSignal } from "../WorkerSignal.ts"
import * as WorkerStatus from "../WorkerStatus.ts"
import type { Input } from "./input.ts"
import * as Liveness from "./liveness.ts"
import * as Lobby from "./lobby.ts"
import * as Restarts from "./restarts.ts"
import * as SlotTable from "./slotTable.ts"
import * as Spares from "./spares.ts"

export type { Input } from "./input.ts"

/** What is to be done, in this order. */
export type Action =
  /** With the number of the spare it may be made from, if one stands ready. */
  | { readonly _tag: "Spawn"; readonly launch: Launch; readonly spare?: number }
  /** Bear a spare that imports these entry modules ahead. */
  | { readonly _tag: "SpawnSpare"; readonly spare: number; readonly modules: ReadonlyArray<string> }
  /** End a spare; whether it was ready or not, nothing more is heard of it. */
  | { readonly _tag: "EndSpare"; readonly spare: number }
  | {
    readonly _tag: "Signal"
    readonly ref: SlotRef
    readonly signal: WorkerSignal
    readonly target: SignalTarget
  }
  | { readonly _tag: "Reply"; readonly request: number; readonly ref: SlotRef }
  | { readonly _tag: "Reject"; readonly request: number; readonly reason: RegistrationErrorReason }
  /** Tell whoever holds or awaits this worker. After `gone` the reference is stale. */
  | {
    readonly _tag: "Notify"
    readonly ref: SlotRef
    readonly status: WorkerStatus.WorkerStatus
    readonly gone: boolean
    readonly history: ReadonlyArray<LifeRecord>
  }
  /** Give up a birth that takes too long; that it has failed is then a fact. */
  | { readonly _tag: "AbandonBirth"; readonly ref: SlotRef }
  /** End the present run of the startup effect: what it prepares is no longer wanted. */
  | { readonly _tag: "StopStartup" }
  /** Make the shared state anew and run the startup effect again, as run number `run`. */
  | { readonly _tag: "Reinitialize"; readonly run: number }
  | { readonly _tag: "Publish"; readonly event: PostmasterEvent }
  | { readonly _tag: "Halt"; readonly abnormal: boolean; readonly detail: string }

/** The settings in the machine's own units: counts and milliseconds. */
export interface Settings {
  readonly maxWorkers: number
  readonly classLimits: { readonly [name: string]: number }
  readonly reservedSlots: { readonly [name: string]: number }
  readonly killAfter: number
  readonly stopTimeout: number
  readonly maxLaunchesPerTurn: number
  readonly restartAfterCrash: boolean
  readonly spares: number
}

export interface State {
  readonly settings: Settings
  readonly table: SlotTable.SlotTable
  readonly lobby: Lobby.Lobby
  readonly spares: Spares.Spares
  phase: Phase
  /** The run of the startup effect whose word counts. */
  startupRun: number
  shutdown: ShutdownMode | undefined
  /** The children concerned by `shutdown` have been told to stop. */
  stopping: boolean
  /** An attached worker has crashed and the startup effect has not yet made things good (`FatalError`). */
  recovering: boolean
  /** Why the halt will be abnormal, if it is not the crash alone. */
  abnormal: string | undefined
  /** When whoever has not obeyed SIGQUIT is killed (`AbortStartTime` + 5 s). */
  killAt: number | undefined
  /** When the emptied crash group is made anew. */
  reinitializeAt: number | undefined
  /** When it was last made anew, and how many crashes have followed each other closely since. */
  reinitializedAt: number | undefined
  crashCycles: number
}

/** A crash sooner than this after the last recovery counts as the same trouble. */
const healthyMillis = 60_000

const dampFirstMillis = 100
const dampMaxMillis = 10_000

/** How long to hold back the n-th attempt in a row, counted from 0: never a spin (house decision 9). */
const damping = (attempt: number): number =>
  attempt === 0 ? 0 : Math.min(dampMaxMillis, dampFirstMillis * 2 ** Math.min(attempt - 1, 10))

/** From when on a crash is not the same trouble any more. */
export const healthyAt = ({ reinitializedAt }: State): number | undefined =>
  reinitializedAt === undefined ? undefined : reinitializedAt + healthyMillis

export const make = (settings: Settings): State => ({
  settings,
  table: SlotTable.make(settings.maxWorkers),
  lobby: Lobby.make(),
  spares: Spares.make(settings.spares),
  phase: "Init",
  startupRun: 0,
  shutdown: undefined,
  stopping: false,
  recovering: false,
  abnormal: undefined,
  killAt: undefined,
  reinitializeAt: undefined,
  reinitializedAt: undefined,
  crashCycles: 0
})

/** An independent state that can be advanced on its own. */
export const copy = (self: State): State => ({
  ...self,
  table: SlotTable.copy(self.table),
  lobby: Lobby.copy(self.lobby),
  spares: Spares.copy(self.spares)
})

interface Turn {
  readonly state: State
  readonly now: number
  readonly actions: Array<Action>
}

/** Advances the state by one fact heard at `now` (milliseconds that never fall) and answers with orders. */
export const step = (state: State, input: Input, now: number): ReadonlyArray<Action> => {
  const turn: Turn = { state, now, actions: [] }
  receive(turn, input)
  advance(turn)
  admit(turn)
  launch(turn)
  replenish(turn)
  return turn.actions
}

/**
 * When the machine wants to be woken, if nothing else happens before. A time in
 * the past means at once (PostgreSQL: `DetermineSleepTime`).
 */
export const nextWakeAt = (state: State): number | undefined => {
  if (state.phase === "Halted") return undefined
  if (mayLaunch(state) && SlotTable.nextWaiting(state.table, openStartTimes[state.phase]) !== undefined) {
    return Number.NEGATIVE_INFINITY
  }
  return earliest(
    earliest(
      earliest(SlotTable.nextDueAt(state.table), SlotTable.nextDeadlineAt(state.table)),
      SlotTable.nextWatchAt(state.table)
    ),
    earliest(
      earliest(state.killAt, state.reinitializeAt),
      earliest(
        earliest(nextSpareAt(state), SlotTable.nextWatchAt(state.table)),
        Lobby.nextDeadlineAt(state.lobby)
      )
    )
  )
}

/** When the next spare may be begun, if one is missing. Spares share nothing, so a recovery does not keep them away. */
export const nextSpareAt = (state: State): number | undefined =>
  state.phase === "Init" || state.phase === "Halted" || state.stopping ? undefined : Spares.nextBirthAt(state.spares)

const earliest = (self: number | undefined, that: number | undefined): number | undefined =>
  self === undefined ? that : that === undefined ? self : Math.min(self, that)

// ---------------------------------------------------------------------------
// receive
// ---------------------------------------------------------------------------

const receive = (turn: Turn, input: Input): void => {
  switch (input._tag) {
    case "Woke":
      return
    case "PhaseReached":
      return phaseReached(turn, input.phase, input.run)
    case "StartupFailed":
      return startupFailed(turn, input.run, input.detail)
    case "RegisterRequested":
      return registerRequested(turn, input)
    case "RegisterWithdrawn":
      return registerWithdrawn(turn, input.request, input.ref)
    case "ReplaceRequested":
      return replaceRequested(turn, input.request, input.ref, input.name)
    case "PolicyChangeRequested":
      return policyChangeRequested(turn, input)
    case "TerminateUsersRequested":
      return terminateUsersRequested(turn, input.resource)
    case "ShutdownRequested":
      return shutdownRequested(turn, input.mode)
    case "ReloadRequested":
      return reloadRequested(turn)
    case "SpareReady":
      return spareReady(turn, input.spare, input.pid)
    case "SpareLost":
      return spareLost(turn, input.spare, input.loss)
  }
  // The rest is about one tenant; a stale reference changes nothing.
  const tenant = SlotTable.find(turn.state.table, input.ref)
  if (tenant === undefined) return
  switch (input._tag) {
    case "TerminateRequested":
      return terminateRequested(turn, tenant, "Terminated")
    case "ResumeRequested":
      return resumeRequested(turn, tenant)
    case "ChildStarted":
      return childStarted(turn, tenant, input.pid)
    case "ChildNotStarted":
      return childNotStarted(turn, tenant, input.error)
    case "ChildReady":
      return childReady(turn, tenant)
    case "ChildBeat":
      return childBeat(turn, tenant)
    case "ChildProgressed":
      return childProgressed(turn, tenant, input.progress)
    case "ChildAttached":
      return childJoined(tenant, true)
    case "ChildDetached":
      return childJoined(tenant, false)
    case "ChildExited":
      return childExited(turn, tenant, input.status, input.output ?? [])
  }
}

const phaseReached = (turn: Turn, phase: "Startup" | "Consistent" | "Run", run: number): void => {
  const { state } = turn
  if (run !== state.startupRun || !isBefore(state.phase, phase)) return
  if (phase !== "Startup") state.recovering = false
  enter(turn, phase)
}

/** PostgreSQL: "shutting down due to startup process failure". */
const startupFailed = (turn: Turn, run: number, detail: string): void => {
  const { state } = turn
  if (run !== state.startupRun || !isBefore(state.phase, "Run")) return
  state.abnormal ??= `the startup effect failed: ${detail}`
  if (overtakes("Fast", state.shutdown)) state.shutdown = "Fast"
}

/** Refused for want of room, it may wait. */
const registerRequested = (turn: Turn, input: Extract<Input, { readonly _tag: "RegisterRequested" }>): void => {
  const { now, state } = turn
  const { registrant, registration, request, waitMillis = 0 } = input
  const waiter: Lobby.Waiter = { request, registration, registrant, since: now, until: now + waitMillis }
  const reason = answer(turn, waiter)
  if (reason === undefined) return
  const mayWait = waitMillis > 0 && registrant !== "Preload" && !state.stopping
  if (!mayWait || !Lobby.enter(state.lobby, waiter)) reject(turn, request, reason)
}

/** Its time is over; or it was given what nobody holds now, unless somebody else was given the same. */
const registerWithdrawn = (turn: Turn, request: number, ref: SlotRef | undefined): void => {
  const { lobby, table } = turn.state
  const waiter = lobby.waiters.get(request)
  if (waiter !== undefined) return dismiss(turn, waiter)
  const tenant = ref === undefined ? undefined : SlotTable.find(table, ref)
  if (tenant?.request === request) terminateRequested(turn, tenant, "Terminated")
}

/**
 * Answers a request, or says why there is no room for it.
 * `RegisterDynamicBackgroundWorker`, `RegisterBackgroundWorker`: first failing check wins.
 */
const answer = (turn: Turn, asker: Lobby.Waiter): RegistrationErrorReason | undefined => {
  const { state, now } = turn
  const { registrant, registration, request } = asker
  const owner = typeof registrant === "object" && registration.ownership === "registrant" ? registrant : undefined
  const holder = holderOf(state, registration)
  const refusal = closed(state, registration, registrant) ?? sanityCheck(registration) ??
    bereaved(state, registration, owner) ?? circular(state, registration) ?? (holder && taken(turn, asker, holder))
  if (refusal !== undefined) {
    reject(turn, request, refusal)
    return undefined
  }
  const reason = noRoom(turn, asker)
  if (reason !== undefined) return reason
  if (holder !== undefined) {
    holder.request = undefined
    turn.actions.push({ _tag: "Reply", request, ref: holder.ref })
    return undefined
  }
  const tenant = SlotTable.seat(state.table, registration, { dynamic: registrant !== "Preload", now, owner, request })
  // Whoever waits for the key can be answered now.
  if (registration.key !== undefined) state.lobby.stirred = true
  turn.actions.push({ _tag: "Reply", request, ref: tenant.ref })
  if (usesSpares(registration)) Spares.remember(state.spares, registration.entry.module)
  publish(turn, { _tag: "Registered", ...who(tenant) })
  // Too late to start: taken and thrown out, so that the handle reads Stopped.
  if (state.phase === "Waiting") release(turn, tenant, state.recovering ? "Crash" : "ShuttingDown")
  else SlotTable.toWaiting(state.table, tenant)
  return undefined
}

const reject = (turn: Turn, request: number, reason: RegistrationErrorReason): void => {
  turn.actions.push({ _tag: "Reject", request, reason })
}

/** Refuses whoever has waited in vain. */
const dismiss = (turn: Turn, waiter: Lobby.Waiter): void => {
  const { lobby, phase } = turn.state
  Lobby.leave(lobby, waiter)
  const worker = waiter.registration.name
  // In a recovery there may be room that was not given away.
  const detail = "it recovers from a crash"
  reject(turn, waiter.request, noRoom(turn, waiter) ?? new NotAccepting({ worker, phase, detail }))
}

/** A successor is seated beside it, by the same registration. It ends when that is ready, and stays if that fails. */
const replaceRequested = (turn: Turn, request: number, ref: SlotRef, name: string): void => {
  const { state, now } = turn
  const before = SlotTable.find(state.table, ref)
  const reason = before === undefined
    ? new NotReplaceable({ worker: name, ref, detail: "it is gone" })
    : notReplaceable(state, before) ?? noRoom(turn, { registration: withoutKey(before.registration), since: now })
  if (before === undefined || reason !== undefined) {
    turn.actions.push({ _tag: "Reject", request, reason: reason! })
    return
  }
  const { owner, registration } = before
  const tenant = SlotTable.seat(state.table, registration, { dynamic: true, now, owner, replaces: ref })
  before.successor = tenant.ref
  turn.actions.push({ _tag: "Reply", request, ref: tenant.ref })
  publish(turn, { _tag: "Registered", ...who(tenant) })
  publish(turn, { _tag: "Replacing", ...who(before), successor: tenant.ref })
  SlotTable.toWaiting(state.table, tenant)
}

/** Whoever takes a worker's place takes its key as well. */
const withoutKey = (registration: Registration): Registration => {
  const { key: _key, ...rest } = registration
  return rest
}

const notReplaceable = (state: State, tenant: SlotTable.Tenant) => {
  const { doomed, ref, registration, successor } = tenant
  const refuse = (detail: string) => new NotReplaceable({ worker: registration.name, ref, detail })
  if (state.stopping || state.phase === "Waiting") return refuse("the postmaster is stopping workers")
  if (doomed) return refuse("it has been told to end for good")
  if (predecessor(state, tenant) !== undefined) return refuse("it has not yet taken the place of another one")
  return successor === undefined ? undefined : refuse("it is being replaced already")
}

/** The one whose place this tenant is to take, if that is still there. */
const predecessor = (state: State, { ref, replaces }: SlotTable.Tenant): SlotTable.Tenant | undefined => {
  const before = replaces === undefined ? undefined : SlotTable.find(state.table, replaces)
  return before?.successor !== undefined && sameRef(before.successor, ref) ? before : undefined
}

/** Whoever ends for good takes nobody's place; whoever was to take its place is on its own. */
const standDown = (state: State, tenant: SlotTable.Tenant): void => {
  const before = predecessor(state, tenant)
  if (before !== undefined) before.successor = undefined
  tenant.successor = undefined
}

const closed = (
  state: State,
  registration: Registration,
  registrant: Registrant
): RegistrationErrorReason | undefined => {
  const refuse = (detail: string) => new NotAccepting({ worker: registration.name, phase: state.phase, detail })
  if (state.phase === "Halted") return refuse("the postmaster has halted")
  if (registrant === "Preload" && state.phase !== "Init") {
    return refuse("preloads are registered before the table opens")
  }
  if (registrant !== "Preload" && state.phase === "Init") return refuse("the table is not open yet")
  return undefined
}

/** A worker that belongs to a life cannot be registered when that is over. */
const bereaved = (
  state: State,
  registration: Registration,
  owner: LifeRef | undefined
): RegistrationErrorReason | undefined =>
  owner === undefined || SlotTable.findLife(state.table, owner) !== undefined
    ? undefined
    : new NotAccepting({ worker: registration.name, phase: state.phase, detail: "whoever registered it has ended" })

/** Whoever must be ready first must not wait for the worker itself. */
const circular = (state: State, { after, name }: Registration): RegistrationErrorReason | undefined => {
  const road = after === undefined ? undefined : SlotTable.roadBack(state.table, name, after)
  return road && new StartOrderCycle({ worker: name, road })
}
const holderOf = ({ table }: State, { key }: Registration): SlotTable.Tenant | undefined =>
  key === undefined ? undefined : SlotTable.findKey(table, key)

/** Whoever holds the key and goes on is the worker that is wanted, or is in the way. */
const taken = (
  turn: Turn,
  { registration }: Lobby.Waiter,
  holder: SlotTable.Tenant
): RegistrationErrorReason | undefined =>
  holder.doomed || isSameDefinition(registration, holder.registration)
    ? undefined
    : new KeyTaken({
      worker: registration.name,
      key: registration.key!,
      occupant: occupant(turn, holder),
      isEnding: false
    })

const maxOccupants = 64

const occupant = ({ now }: Turn, tenant: SlotTable.Tenant): Occupant => ({
  ref: tenant.ref,
  name: tenant.registration.name,
  state: SlotTable.stateOf(tenant).toLowerCase(),
  ageMillis: now - tenant.registeredAt
})

/** Whether a request can be answered without waiting for anybody's end. */
const hasRoom = (state: State, registration: Registration): boolean => {
  const holder = holderOf(state, registration)
  if (holder !== undefined) return !holder.doomed
  return !isClassFull(state, registration) && !isTableFull(state, registration)
}

/** Nobody takes a slot that is kept for another class; one's own reserve is as good as any slot. */
const isTableFull = (state: State, { class: name }: Registration): boolean =>
  state.table.tenants + reservedForOthers(state, name) >= state.settings.maxWorkers

/** How many of the slots that other classes may lay claim to have not been taken by them. */
const reservedForOthers = ({ settings: { classLimits, reservedSlots }, table }: State, own?: string): number => {
  let reserved = 0
  for (const name in reservedSlots) {
    if (name === own) continue
    // Beyond its limit a class has no use for slots.
    const claim = Math.min(reservedSlots[name]!, classLimits[name] ?? Number.POSITIVE_INFINITY)
    reserved += Math.max(0, claim - SlotTable.countOfClass(table, name))
  }
  return reserved
}

const isClassFull = ({ settings, table }: State, { class: name }: Registration): boolean => {
  const limit = name === undefined ? undefined : settings.classLimits[name]
  return limit !== undefined && SlotTable.countOfClass(table, name!) >= limit
}

/** The same in words. */
const noRoom = (
  turn: Turn,
  { registration, since }: Pick<Lobby.Waiter, "registration" | "since">
): RegistrationErrorReason | undefined => {
  const { now, state } = turn
  if (hasRoom(state, registration)) return undefined
  const { settings, table } = state
  const worker = registration.name
  const waited = now > since ? { waitedMillis: now - since } : undefined
  const holder = holderOf(state, registration)
  if (holder !== undefined) {
    const key = registration.key!
    return new KeyTaken({ worker, key, occupant: occupant(turn, holder), isEnding: true, ...waited })
  }
  if (isClassFull(state, registration)) {
    const name = registration.class!
    return new ClassLimitReached({ worker, class: name, limit: settings.classLimits[name]!, ...waited })
  }
  const occupants = table.seats.slice(0, maxOccupants).flatMap((tenant) =>
    tenant === undefined ? [] : [occupant(turn, tenant)]
  )
  const reserved = settings.maxWorkers - table.tenants
  return new SlotsExhausted({
    worker,
    maxWorkers: settings.maxWorkers,
    occupants,
    ...(reserved === 0 ? undefined : { reserved }),
    ...waited
  })
}

/** `TerminateBackgroundWorker`. Asked once, however often it is asked for; the process only, not its group. */
const terminateRequested = (turn: Turn, tenant: SlotTable.Tenant, cause: StopCause): void => {
  if (tenant.doomed) return
  SlotTable.doom(turn.state.table, tenant)
  standDown(turn.state, tenant)
  if (SlotTable.hasChild(tenant)) ask(turn, tenant, "Process", cause)
  else release(turn, tenant, "Terminated")
}

/** Changes nothing that is under way: a rest, a wait for a hand, a rung of the ladder. */
const policyChangeRequested = (
  turn: Turn,
  { policy, ref, request, worker }: Extract<Input, { readonly _tag: "PolicyChangeRequested" }>
): void => {
  const { table } = turn.state
  const tenant = SlotTable.find(table, ref)
  if (tenant === undefined) return reject(turn, request, new NotRegistered({ worker, ref }))
  const registration = withPolicy(tenant.registration, policy)
  const reason = sanityCheck(registration)
  if (reason !== undefined) return reject(turn, request, reason)
  SlotTable.amend(table, tenant, registration)
  // What was before is not held against it by rules that it was not under.
  if (policy.restart !== undefined) {
    tenant.failures = 0
    tenant.failedAt = []
  }
  turn.actions.push({ _tag: "Reply", request, ref })
  publish(turn, { _tag: "PolicyChanged", ...who(tenant), policy })
  // Whoever has become a job is waited for as one.
  if (turn.state.shutdown === "Smart" && !turn.state.stopping) forgetWishes(turn)
}

/** A start by hand: what was before counts for nothing, and is not held against it. */
const resumeRequested = (turn: Turn, tenant: SlotTable.Tenant): void => {
  if (tenant.life._tag !== "Parked" && tenant.life._tag !== "Resting") return
  tenant.failedBirths = 0
  tenant.failures = 0
  tenant.failedAt = []
  publish(turn, { _tag: "Resumed", ...who(tenant) })
  SlotTable.toWaiting(turn.state.table, tenant)
  // Whoever waits for its start waits for this one.
  notify(turn, tenant, WorkerStatus.notYetStarted)
}

/** `TerminateBackgroundWorkersForDatabase`, for any resource by its name; nobody else is touched. */
const terminateUsersRequested = (turn: Turn, resource: string): void => {
  for (const tenant of SlotTable.tenants(turn.state.table)) {
    if (tenant.registration.resources?.includes(resource)) terminateRequested(turn, tenant, "ResourceNeeded")
  }
}

/** A request no harsher than the present one is ignored. */
const shutdownRequested = (turn: Turn, mode: ShutdownMode): void => {
  const { state } = turn
  if (state.phase === "Halted" || !overtakes(mode, state.shutdown)) return
  state.shutdown = mode
  publish(turn, { _tag: "ShutdownRequested", mode })
  if (mode === "Smart") forgetWishes(turn)
  if (mode !== "Immediate") return
  startPatience(turn)
  // Whoever was only asked before is now told to leave at once.
  if (state.stopping) tellAll(turn, SlotTable.hasChild, "SIGQUIT", "ShuttingDown")
}

/** A job that is between two lives is there for no other reason than that it has asked for another. */
const forgetWishes = (turn: Turn): void => {
  for (const tenant of SlotTable.tenants(turn.state.table)) {
    if (tenant.job && hasHadItsChance(tenant)) release(turn, tenant, "ShuttingDown")
  }
}

const hasHadItsChance = (tenant: SlotTable.Tenant): boolean =>
  !SlotTable.hasChild(tenant) && (tenant.lives > 0 || tenant.life._tag === "Parked")

/** How long SIGQUIT may be ignored; it counts from the first one. */
const startPatience = (turn: Turn): void => {
  const { now, state } = turn
  if (Number.isFinite(state.settings.killAfter)) state.killAt ??= now + state.settings.killAfter
}

/** SIGHUP reaches the workers up to a smart shutdown, in every phase. */
const reloadRequested = (turn: Turn): void => {
  const { state } = turn
  if (state.stopping || state.phase === "Halted") return
  publish(turn, { _tag: "ReloadRequested" })
  for (const tenant of SlotTable.tenants(state.table)) {
    if (tenant.life._tag === "Running") {
      turn.actions.push({ _tag: "Signal", ref: tenant.ref, signal: "SIGHUP", target: "Process" })
    }
  }
}

const childStarted = (turn: Turn, tenant: SlotTable.Tenant, pid: Pid): void => {
  const before = tenant.life
  if (before._tag !== "Starting") return
  Spares.launchOver(turn.state.spares, turn.now)
  const life = SlotTable.toRunning(turn.state.table, tenant, pid, turn.now)
  const { recycleAfterMillis } = tenant.registration
  if (recycleAfterMillis !== undefined) {
    SlotTable.setDeadline(turn.state.table, tenant, life, turn.now + recycleAfterMillis)
  }
  watch(turn, tenant)
  publish(turn, { _tag: "Started", ...who(tenant), pid })
  notify(turn, tenant, WorkerStatus.started(pid))
  // What was decided while it was being born reaches it now, and its time to obey begins.
  if (before.pending === undefined) return
  tell(turn, tenant, before.pending)
  if (before.rung !== undefined && life.told !== "SIGKILL") stand(turn, tenant, life, before.rung)
}

/** A failed birth counts as a failure of the worker (`StartBackgroundWorker`), damped so that it never spins. */
const childNotStarted = (turn: Turn, tenant: SlotTable.Tenant, error: SpawnError): void => {
  const life = tenant.life
  if (life._tag !== "Starting") return
  Spares.launchOver(turn.state.spares, turn.now)
  tenant.failedBirths++
  const next = afterFailure(turn, tenant, damping(tenant.failedBirths))
  SlotTable.remember(tenant, {
    life: tenant.lives + 1,
    status: notStarted(error),
    verdict: "Failed",
    ...causeOf(life.pending?.cause),
    endedAt: turn.now,
    ...nextStartAt(turn, next),
    output: []
  })
  publish(turn, { _tag: "NotStarted", ...who(tenant), error, ...causeOf(life.pending?.cause), ...nextStart(next) })
  settle(turn, tenant, next)
}

const childReady = (turn: Turn, tenant: SlotTable.Tenant): void => {
  const life = tenant.life
  if (life._tag !== "Running" || life.ready) return
  life.ready = true
  SlotTable.touch(turn.state.table, tenant)
  SlotTable.letFollow(turn.state.table, tenant)
  life.heardAt = life.workedAt = turn.now
  watch(turn, tenant)
  publish(turn, { _tag: "Ready", ...who(tenant), pid: life.pid })
  notify(turn, tenant, WorkerStatus.ready(life.pid))
  const before = predecessor(turn.state, tenant)
  if (before !== undefined) terminateRequested(turn, before, "Replaced")
}

/** Nothing else than a note: its watch finds it when it is due, and onlookers are not woken. */
const childBeat = (turn: Turn, tenant: SlotTable.Tenant): void => {
  const life = tenant.life
  if (life._tag !== "Running") return
  life.heardAt = turn.now
  if (life.grace !== undefined) watch(turn, tenant)
}

const childProgressed = (turn: Turn, tenant: SlotTable.Tenant, progress: Progress): void => {
  const life = tenant.life
  if (life._tag !== "Running") return
  life.heardAt = life.workedAt = turn.now
  if (life.grace !== undefined) watch(turn, tenant)
  life.progress = { ...progress, at: turn.now }
  SlotTable.touch(turn.state.table, tenant)
  publish(turn, { _tag: "Progressed", ...who(tenant), pid: life.pid, progress })
}

/**
 * Has a life looked at when the next sign of it is due, if any is asked for. Whoever is heard at last, beyond one limit,
 * may have another sign to give before that time is over.
 */
const watch = ({ state }: Turn, tenant: SlotTable.Tenant): void => {
  const { life } = tenant
  if (life._tag !== "Running") return
  const limit = Liveness.nextLimit(tenant.registration, life)
  // Time beyond a limit is for that limit alone.
  if (life.grace?.limit !== limit?.at) life.grace = undefined
  SlotTable.setWatch(state.table, tenant, life, life.grace?.until ?? limit?.at)
}

/** The dead-man switch. An isolated worker has nothing to join. */
const childJoined = (tenant: SlotTable.Tenant, joined: boolean): void => {
  if (tenant.life._tag === "Running" && tenant.attached) tenant.life.joined = joined
}

const spareReady = (turn: Turn, spare: number, pid: Pid): void => {
  if (Spares.ready(turn.state.spares, spare, pid)) publish(turn, { _tag: "SpareReady", spare, pid })
}

/** No crash, whatever it died of: nobody had given it anything. One whose modules have changed was right to leave. */
const spareLost = (turn: Turn, spare: number, loss: SpareLoss): void => {
  const { now, state: { spares } } = turn
  if (!Spares.lose(spares, spare, now)) return
  if (loss.cause === "Died") Spares.damp(spares, now, damping)
  const nextStartInMillis = Math.max(0, spares.notBefore - now)
  publish(turn, { _tag: "SpareLost", spare, loss, nextStartInMillis })
}

/** `CleanupBackend`. */
const childExited = (
  turn: Turn,
  tenant: SlotTable.Tenant,
  status: ExitStatus,
  output: ReadonlyArray<string>
): void => {
  const life = tenant.life
  if (life._tag !== "Running") return
  const judged = judge(tenant, life, status)
  const next = afterLife(turn, tenant, judged, status)
  const firstCrash = isCrash(tenant, judged) && !obeys(life, status) && !turn.state.recovering &&
    turn.state.shutdown !== "Immediate"
  SlotTable.remember(tenant, {
    life: tenant.lives,
    pid: life.pid,
    status,
    verdict: judged,
    ...causeOf(life.stopCause),
    startedAt: life.startedAt,
    endedAt: turn.now,
    ...nextStartAt(turn, next),
    output
  })
  publish(turn, {
    _tag: "Exited",
    ...who(tenant),
    pid: life.pid,
    status,
    verdict: judged,
    ...(life.told === undefined ? undefined : { told: life.told }),
    ...causeOf(life.stopCause),
    ...nextStart(next)
  })
  const owned = SlotTable.disown(turn.state.table, tenant)
  settle(turn, tenant, next)
  if (isPause(next) && next !== "Parked") notify(turn, tenant, WorkerStatus.stopped(status))
  for (const other of owned) terminateRequested(turn, other, "OwnerEnded")
  if (firstCrash) crashDetected(turn, tenant)
}

/** Whoever leaves without leaving the shared state in good order has crashed, whatever it says; unless it was killed on order. */
const judge = (tenant: SlotTable.Tenant, life: SlotTable.Running, status: ExitStatus): Verdict => {
  const killed = status._tag === "Signaled" && status.ordered
  if (tenant.attached && life.joined && !killed) return "Crashed"
  const judged = verdict(status)
  // Whoever ends because it has grown old has not failed.
  return judged === "Failed" && life.stopCause === "Recycled" ? "Again" : judged
}

const isCrash = (tenant: SlotTable.Tenant, judged: Verdict): boolean => judged === "Crashed" && tenant.attached

/** Whoever is told to leave at once, by its ladder, and does so has not crashed; no more than whoever is killed. */
const obeys = ({ told }: SlotTable.Running, status: ExitStatus): boolean =>
  told === "SIGQUIT" && status._tag === "Exited" && status.code === 2

/** What follows a life: a rest of so many milliseconds, waiting for recovery or for a hand, or the end of the tenancy. */
type Next = number | "Recovery" | "Parked" | UnregisterReason

const isPause = (next: Next): next is number | "Recovery" | "Parked" =>
  typeof next === "number" || next === "Recovery" || next === "Parked"

const nextStart = (next: Next) => typeof next === "number" ? { nextStartInMillis: next } : undefined

const nextStartAt = ({ now }: Turn, next: Next) => typeof next === "number" ? { nextStartAt: now + next } : undefined

const causeOf = (stopCause: StopCause | undefined) => stopCause === undefined ? undefined : { stopCause }

const afterLife = (turn: Turn, tenant: SlotTable.Tenant, judged: Verdict, status: ExitStatus): Next => {
  const { state } = turn
  // Whoever was to take another's place gets one chance.
  if (predecessor(state, tenant) !== undefined) return state.stopping ? "ShuttingDown" : "NotReplaced"
  if (tenant.life._tag === "Running") endRow(turn, tenant, tenant.life)
  if (isCrash(tenant, judged)) {
    if (tenant.doomed) return "Terminated"
    if (state.stopping) return "ShuttingDown"
    // Whoever crashes during recovery was told to leave.
    return (state.recovering ? undefined : fail(turn, tenant)) ?? "Recovery"
  }
  if (judged === "Failed" || judged === "Crashed") return afterFailure(turn, tenant, 0)
  tenant.failures = 0
  if (judged === "Again") return afterWish(turn, tenant, status)
  const again = tenant.registration.restart.onSuccess === "Restart" && !tenant.doomed && !state.stopping
  return again ? 0 : "Done"
}

/** Whoever asks for another life gets it, unpunished, and never so soon that it spins. */
const afterWish = ({ now, state }: Turn, tenant: SlotTable.Tenant, status: ExitStatus): Next => {
  const { life } = tenant
  if (tenant.doomed) return "Terminated"
  // A smart shutdown waits for the life of a job, and not for as many as it may ask for.
  if (state.stopping || (tenant.job && state.shutdown !== undefined)) return "ShuttingDown"
  if (state.recovering && tenant.attached) return "Recovery"
  const wish = status._tag === "Exited" ? status.outcome : undefined
  const lived = life._tag === "Running" ? now - life.startedAt : 0
  return Math.max(wish?._tag === "RetryAfter" ? wish.delayMillis : 0, leastCycleMillis - lived, 0)
}

/** How soon after each other two lives may begin of a worker that asks for another. */
const leastCycleMillis = 1_000

const afterFailure = (turn: Turn, tenant: SlotTable.Tenant, atLeast: number): Next => {
  const { restart } = tenant.registration
  if (tenant.doomed) return "Terminated"
  if (predecessor(turn.state, tenant) !== undefined) return turn.state.stopping ? "ShuttingDown" : "NotReplaced"
  if (restart._tag === "Never") return "NeverRestarts"
  if (turn.state.stopping) return "ShuttingDown"
  if (turn.state.recovering && tenant.attached) return "Recovery"
  const gaveUp = fail(turn, tenant)
  if (gaveUp !== undefined) return gaveUp
  const luck = Restarts.luck(tenant.ref, tenant.lives + tenant.failedBirths)
  return Math.max(Restarts.delay(restart, tenant.failures, luck), atLeast)
}

/** A healthy life ends the row of failures before it. */
const endRow = (turn: Turn, tenant: SlotTable.Tenant, life: SlotTable.Running): void => {
  const { restart } = tenant.registration
  if (restart._tag === "Never") return
  if (turn.now - life.startedAt >= Restarts.healthyMillis(restart)) tenant.failures = 0
}

/** Counts a failure of its own; says what becomes of it if that was one too many. */
const fail = (turn: Turn, tenant: SlotTable.Tenant): "Parked" | "GaveUp" | undefined => {
  const { now } = turn
  const { restart } = tenant.registration
  if (restart._tag === "Never") return undefined
  tenant.failures++
  tenant.failedAt = Restarts.remember(restart, tenant.failedAt, now)
  if (!Restarts.areTooMany(restart, tenant.failedAt, now)) return undefined
  return restart.giveUp!.outcome === "Park" ? "Parked" : "GaveUp"
}

const settle = (turn: Turn, tenant: SlotTable.Tenant, next: Next): void => {
  const { table } = turn.state
  if (next === 0) SlotTable.toWaiting(table, tenant)
  else if (typeof next === "number") SlotTable.toResting(table, tenant, turn.now + next)
  else if (next === "Parked") park(turn, tenant)
  else SlotTable.toDown(table, tenant)
  if (!isPause(next)) release(turn, tenant, next)
}

/** It keeps its seat, and nobody waits for it any more. */
const park = (turn: Turn, tenant: SlotTable.Tenant): void => {
  const { restart } = tenant.registration
  SlotTable.toParked(turn.state.table, tenant)
  if (restart._tag === "After" && restart.giveUp !== undefined) {
    const { failures, withinMillis } = restart.giveUp
    publish(turn, { _tag: "Parked", ...who(tenant), failures, withinMillis })
  }
  notify(turn, tenant, WorkerStatus.parked(SlotTable.lastExit(tenant)))
}

/** `HandleChildCrash`: what the attached workers share can no longer be trusted, so all of them go. */
const crashDetected = (turn: Turn, tenant: SlotTable.Tenant): void => {
  const { state } = turn
  publish(turn, { _tag: "CrashDetected", ...who(tenant) })
  state.recovering = true
  startPatience(turn)
  stopStartup(turn)
  if (state.phase !== "Waiting") enter(turn, "Waiting")
  tellAll(turn, (other) => other.attached && SlotTable.hasChild(other), "SIGQUIT", "CrashRecovery")
}

// ---------------------------------------------------------------------------
// advance
// ---------------------------------------------------------------------------

/** `PostmasterStateMachine`. */
const advance = (turn: Turn): void => {
  const { state } = turn
  if (state.phase === "Halted") return
  if (state.shutdown !== undefined && !state.stopping && mustStop(state)) beginStopping(turn)
  if (state.phase === "Waiting" && !state.stopping) advanceRecovery(turn)
  killOverdue(turn)
  killHung(turn)
  if (state.stopping && state.table.children === 0) halt(turn)
}

/**
 * A smart shutdown lets jobs finish, once the startup effect has come far enough
 * for them to run. A crash meanwhile ends it for everybody, as there is no
 * recovery any more.
 */
const mustStop = (state: State): boolean =>
  state.shutdown !== "Smart" || state.phase === "Waiting" || isBefore(state.phase, "Consistent") ||
  state.table.jobs === 0

const beginStopping = (turn: Turn): void => {
  const { state } = turn
  state.stopping = true
  state.reinitializeAt = undefined
  stopStartup(turn)
  if (state.phase !== "Waiting") enter(turn, "Waiting")
  for (const { registration, request } of Lobby.clear(state.lobby)) {
    const detail = "it shuts down"
    reject(turn, request, new NotAccepting({ worker: registration.name, phase: state.phase, detail }))
  }
  // Whoever has no child would never start again; its holder must not wait for it (ForgetUnstartedBackgroundWorkers).
  for (const tenant of SlotTable.tenants(state.table)) {
    if (!SlotTable.hasChild(tenant)) release(turn, tenant, "ShuttingDown")
  }
  if (state.shutdown === "Immediate") tellAll(turn, SlotTable.hasChild, "SIGQUIT", "ShuttingDown")
  else for (const tenant of SlotTable.tenants(state.table)) ask(turn, tenant, "Group", "ShuttingDown")
  for (const spare of Spares.clear(state.spares)) {
    turn.actions.push({ _tag: "EndSpare", spare })
    publish(turn, { _tag: "SpareEnded", spare })
  }
}

const advanceRecovery = (turn: Turn): void => {
  const { now, state } = turn
  if (state.table.attachedChildren > 0) return
  state.killAt = undefined
  if (!state.settings.restartAfterCrash) {
    state.abnormal = "shutting down because \"restartAfterCrash\" is off"
    state.shutdown = "Fast"
    beginStopping(turn)
    return
  }
  if (state.reinitializeAt === undefined) {
    const until = healthyAt(state)
    state.crashCycles = until !== undefined && now < until ? state.crashCycles + 1 : 0
    const delayMillis = damping(state.crashCycles)
    state.reinitializeAt = now + delayMillis
    publish(turn, { _tag: "Reinitializing", delayMillis })
  }
  if (now >= state.reinitializeAt) reinitialize(turn)
}

/** `ResetBackgroundWorkerCrashTimes`, then a new start. Isolated workers are none of its business. */
const reinitialize = (turn: Turn): void => {
  const { now, state } = turn
  state.reinitializeAt = undefined
  state.reinitializedAt = now
  state.startupRun++
  for (const tenant of SlotTable.tenants(state.table)) {
    if (!tenant.attached || tenant.life._tag === "Parked") continue
    if (tenant.registration.restart._tag === "Never") release(turn, tenant, "Crash")
    else SlotTable.toWaiting(state.table, tenant)
  }
  enter(turn, "Startup")
  turn.actions.push({ _tag: "Reinitialize", run: state.startupRun })
}

const killOverdue = (turn: Turn): void => {
  const { now, state } = turn
  if (state.killAt !== undefined && now >= state.killAt) {
    state.killAt = undefined
    const everyone = state.shutdown === "Immediate"
    const left = everyone ? state.table.children : state.table.attachedChildren
    if (left > 0) publish(turn, { _tag: "KillIssued" })
    const cause = everyone ? "ShuttingDown" : "CrashRecovery"
    tellAll(turn, (tenant) => SlotTable.hasChild(tenant) && (everyone || tenant.attached), "SIGKILL", cause)
  }
  while (true) {
    const tenant = SlotTable.nextOverdue(state.table, now)
    if (tenant === undefined) return
    const { life } = tenant
    // Whoever stands on its ladder has been told before, and that is why it ends.
    const cause = stopCauseOf(tenant) ?? "Terminated"
    if ("rung" in life && life.rung !== undefined) climb(turn, tenant, life, life.rung + 1, "Group", cause)
    // The deadline of a life that nobody has asked to end is its age.
    else if (life._tag === "Running" && life.told === undefined) ask(turn, tenant, "Process", "Recycled")
  }
}

/** Whoever was told to end is not watched any more: it has its deadline. */
const killHung = (turn: Turn): void => {
  const { now, state } = turn
  while (true) {
    const vigil = SlotTable.nextWatched(state.table, now)
    if (vigil === undefined) return
    const { life, tenant } = vigil
    const limit = Liveness.nextLimit(tenant.registration, life)!
    if (life.grace?.limit === limit.at) {
      if (life.grace.until <= now) hung(turn, tenant, life, limit)
      else watch(turn, tenant)
      continue
    }
    if (limit.at <= now) life.grace = { limit: limit.at, until: now + Liveness.grace(limit, now) }
    watch(turn, tenant)
  }
}

/** A worker that hangs would not hear of anything gentler. Killed on order, it has failed, and has not crashed. */
const hung = (
  turn: Turn,
  tenant: SlotTable.Tenant,
  life: SlotTable.Running,
  { missed, since }: Liveness.Limit
): void => {
  publish(turn, { _tag: "Hung", ...who(tenant), pid: life.pid, missed, afterMillis: Math.round(turn.now - since) })
  tell(turn, tenant, { signal: "SIGKILL", target: "Group", cause: hangCauses[missed] })
}

const hangCauses: { readonly [K in Missed]: StopCause } = {
  Ready: "NotReady",
  Heartbeat: "NoHeartbeat",
  Progress: "NoProgress"
}

const halt = (turn: Turn): void => {
  const { state } = turn
  const abnormal = state.recovering || state.abnormal !== undefined
  const detail = state.abnormal ??
    (state.recovering ? "a worker crashed, and there was no recovery before the end" : "")
  enter(turn, "Halted")
  publish(turn, { _tag: "Halted", abnormal, ...(detail === "" ? undefined : { detail }) })
  turn.actions.push({ _tag: "Halt", abnormal, detail })
}

// ---------------------------------------------------------------------------
// admit
// ---------------------------------------------------------------------------

/** Looks at who waits for a slot if anything has changed for them; then at whose time is over. */
const admit = (turn: Turn): void => {
  const { now, state } = turn
  const { lobby } = state
  // A slot that nobody may start in is kept for those who wait.
  while (lobby.stirred && state.phase !== "Waiting") {
    lobby.stirred = false
    for (const waiter of lobby.waiters.values()) {
      if (!hasRoom(state, waiter.registration)) continue
      Lobby.leave(lobby, waiter)
      answer(turn, waiter)
    }
  }
  while (true) {
    const waiter = Lobby.nextOverdue(lobby, now)
    if (waiter === undefined) return
    dismiss(turn, waiter)
  }
}

// ---------------------------------------------------------------------------
// launch
// ---------------------------------------------------------------------------

const mayLaunch = (state: State): boolean => !state.recovering && !state.stopping

/** `maybe_start_bgworkers`: a bounded number, then the mailbox is heard first. */
const launch = (turn: Turn): void => {
  const { now, state } = turn
  SlotTable.wakeRested(state.table, now)
  if (!mayLaunch(state)) return
  for (let launched = 0;; launched++) {
    // Also behind the last one: whoever is held up is no reason to be woken.
    const tenant = nextLaunch(state)
    if (tenant === undefined || launched === state.settings.maxLaunchesPerTurn) return
    SlotTable.toStarting(state.table, tenant)
    Spares.launchBegun(state.spares)
    const spare = usesSpares(tenant.registration) ? Spares.take(state.spares) : undefined
    const made = spare === undefined ? undefined : { spare: spare.spare }
    publish(turn, { _tag: "Starting", ...who(tenant), ...made })
    turn.actions.push({ _tag: "Spawn", launch: { ref: tenant.ref, registration: tenant.registration }, ...made })
  }
}

/** Whoever is held up steps aside, so that nobody behind it waits for what it waits for. */
const nextLaunch = ({ phase, table }: State): SlotTable.Tenant | undefined => {
  while (true) {
    const tenant = SlotTable.nextWaiting(table, openStartTimes[phase])
    const holder = tenant === undefined ? undefined : SlotTable.holderOf(table, tenant)
    if (holder === undefined) return tenant
    SlotTable.hold(table, tenant!, holder)
  }
}

const usesSpares = (registration: Registration): boolean => registration.spare !== false

/** One at a time, and only when nothing else is being born: what is asked for comes first. */
const replenish = (turn: Turn): void => {
  const { now, state: { spares } } = turn
  const at = nextSpareAt(turn.state)
  if (at === undefined || at > now) return
  const { spare } = Spares.begin(spares, now)
  publish(turn, { _tag: "SpareStarting", spare })
  turn.actions.push({ _tag: "SpawnSpare", spare, modules: [...spares.modules] })
}

// ---------------------------------------------------------------------------
// orders
// ---------------------------------------------------------------------------

const who = (tenant: SlotTable.Tenant) => ({
  ref: tenant.ref,
  name: tenant.registration.name,
  type: tenant.registration.type
})

const publish = (turn: Turn, event: PostmasterEvent): void => {
  turn.actions.push({ _tag: "Publish", event })
}

const enter = (turn: Turn, phase: Phase): void => {
  turn.state.phase = phase
  publish(turn, { _tag: "PhaseReached", phase })
}

const notify = (turn: Turn, tenant: SlotTable.Tenant, status: WorkerStatus.WorkerStatus): void => {
  turn.actions.push({ _tag: "Notify", ref: tenant.ref, status, gone: false, history: tenant.history })
}

/** Ends a tenancy. The seat is free before anybody is told, so that whoever is told can take it (M5). */
const release = (turn: Turn, tenant: SlotTable.Tenant, reason: UnregisterReason): void => {
  standDown(turn.state, tenant)
  SlotTable.unseat(turn.state.table, tenant)
  turn.state.lobby.stirred = true
  publish(turn, { _tag: "Unregistered", ...who(tenant), reason })
  const status = WorkerStatus.stopped(SlotTable.lastExit(tenant))
  turn.actions.push({ _tag: "Notify", ref: tenant.ref, status, gone: true, history: tenant.history })
}

/** Tells a tenant's child to end, unless it has been told as harshly before. One that is not born yet is told later. */
const tell = (
  turn: Turn,
  tenant: SlotTable.Tenant,
  order: SlotTable.Order,
  /** Or as harshly, if its ladder says so. */
  again = false
): void => {
  const { state } = turn
  const { cause, signal, target } = order
  const life = tenant.life
  if (life._tag === "Starting") {
    if (life.pending !== undefined && !isHarsher(signal, life.pending.signal)) return
    life.pending = life.pending === undefined ? order : { ...order, cause: life.pending.cause }
    if (signal === "SIGKILL") turn.actions.push({ _tag: "AbandonBirth", ref: tenant.ref })
  } else if (life._tag === "Running") {
    if (life.told !== undefined && !isHarsher(signal, life.told) && !(again && signal === life.told)) return
    life.told = signal
    life.stopCause ??= cause
    SlotTable.touch(state.table, tenant)
    turn.actions.push({ _tag: "Signal", ref: tenant.ref, signal, target })
    publish(turn, { _tag: "SignalSent", ...who(tenant), pid: life.pid, signal, target, ...causeOf(life.stopCause) })
  }
}

const ladderOf = ({ settings }: State, { stopLadder, stopTimeoutMillis }: Registration): ReadonlyArray<Rung> =>
  stopLadder ?? [{ signal: "SIGTERM", millis: stopTimeoutMillis ?? settings.stopTimeout }]

/** Asks a tenant's child to end, by its ladder; unless it has been asked, or told as harshly, before. */
const ask = (turn: Turn, tenant: SlotTable.Tenant, target: SignalTarget, cause: StopCause): void => {
  const { life, registration } = tenant
  if ((life._tag !== "Starting" && life._tag !== "Running") || life.rung !== undefined) return
  const told = life._tag === "Running" ? life.told : life.pending?.signal
  const { signal } = ladderOf(turn.state, registration)[0]!
  if (told === undefined || isHarsher(signal, told)) climb(turn, tenant, life, 0, target, cause)
}

/** Goes on to this rung, or to SIGKILL after the last. */
const climb = (
  turn: Turn,
  tenant: SlotTable.Tenant,
  life: SlotTable.Starting | SlotTable.Running,
  rung: number,
  target: SignalTarget,
  cause: StopCause
): void => {
  const next = ladderOf(turn.state, tenant.registration)[rung]
  if (next === undefined) return tell(turn, tenant, { signal: "SIGKILL", target: "Group", cause })
  tell(turn, tenant, { signal: next.signal, target, cause }, true)
  stand(turn, tenant, life, rung)
}

const stand = (
  { now, state }: Turn,
  tenant: SlotTable.Tenant,
  life: SlotTable.Starting | SlotTable.Running,
  rung: number
): void => {
  life.rung = rung
  const millis = ladderOf(state, tenant.registration)[rung]?.millis ?? 0
  life.killAt = undefined
  if (Number.isFinite(millis)) SlotTable.setDeadline(state.table, tenant, life, now + millis)
}

const stopCauseOf = ({ life }: SlotTable.Tenant): StopCause | undefined =>
  life._tag === "Running" ? life.stopCause : life._tag === "Starting" ? life.pending?.cause : undefined

const stopStartup = (turn: Turn): void => {
  if (isBefore(turn.state.phase, "Run")) turn.actions.push({ _tag: "StopStartup" })
}

const tellAll = (
  turn: Turn,
  concerned: (tenant: SlotTable.Tenant) => boolean,
  signal: WorkerSignal,
  cause: StopCause
): void => {
  for (const tenant of SlotTable.tenants(turn.state.table)) {
    if (concerned(tenant)) tell(turn, tenant, { signal, target: "Group", cause })
  }
}
