/**
 * A small world for the machine to live in: what children, callers and time can
 * do next, and nothing else. The world remembers only what it needs to offer
 * the next facts and to judge the orders.
 */
import { again, exited, type ExitStatus, signaled } from "@effect-postmaster/core/ExitStatus"
import type { Pid, SlotRef } from "@effect-postmaster/core/Identity"
import { formatRef, sameRef } from "@effect-postmaster/core/Identity"
import * as Outcome from "@effect-postmaster/core/Outcome"
import {
  isAttached,
  type LifeRef,
  type Policy,
  type Registrant,
  type Registration,
  sanityCheck
} from "@effect-postmaster/core/Registration"
import type { RegistrationErrorReason } from "@effect-postmaster/core/RegistrationError"
import * as Restart from "@effect-postmaster/core/Restart"
import { ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import { isHarsher, type WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as Machine from "../../src/internal/machine.ts"
import type * as SlotTable from "../../src/internal/slotTable.ts"

export interface Child {
  readonly ref: SlotRef
  readonly registration: Registration
  readonly born: boolean
  /** Nobody waits for its birth any more. */
  readonly abandoned: boolean
  readonly ready: boolean
  /** It uses the shared state at the moment. */
  readonly joined: boolean
  /** The harshest signal that has asked it to end. */
  readonly told: WorkerSignal | undefined
  /** By when it must have been sent SIGKILL. */
  readonly killBy: number
  readonly bornAt: number
  /** When its loop, and its work, were last known to go on. */
  readonly heardAt: number
  readonly workedAt: number
  /** The limit that has passed, and until when it is waited for all the same, by the world's own reckoning. */
  readonly spared: { readonly limit: number; readonly until: number } | undefined
}

/** What the world knows of one tenancy, beside the machine's own word. */
export interface Tenancy {
  readonly ref: SlotRef
  readonly registration: Registration
  readonly over: boolean
  readonly terminated: boolean
  readonly births: number
  /** With whose end it ends: that of one worker, in one of its lives. */
  readonly owner: LifeRef | undefined
  /** Whose place it is to take when it is ready, as long as both go on. */
  readonly replaces: SlotRef | undefined
  /** Its last life has asked for another one. */
  readonly wished: boolean
  /** The request that it was the answer to, unless somebody else was answered with it, too. */
  readonly request: number | undefined
  /** When it may start again, by the world's own reckoning. */
  readonly notBefore: number
  /** It has not lived since it was registered, or resumed. */
  readonly fresh: boolean
  /** The policy by which it was given up, if it has been given another since. */
  readonly givenUpBy: Registration["restart"] | undefined
  /** Its policy was changed. */
  readonly changed: boolean
  /** Its own failures since then, and how many of them are in a row. */
  readonly failedAt: ReadonlyArray<number>
  readonly failures: number
}

/** A request that has no answer yet. */
export interface Waiter {
  readonly request: number
  readonly registration: Registration
  readonly registrant: Registrant
  /** When its time is over. */
  readonly until: number
}

export interface Spare {
  readonly spare: number
  readonly since: number
  readonly ready: boolean
}

/** What the world knows of spares, beside the machine's own word. */
export interface Reserve {
  /** In the order of their births. */
  readonly standing: ReadonlyArray<Spare>
  /** How many were ever begun, and how many of those were taken, lost or ended. */
  readonly begun: number
  readonly gone: number
  /** The last of them. */
  readonly lastGone: number | undefined
  /** When the next may be begun, by the world's own reckoning. */
  readonly notBefore: number
  readonly deathsInARow: number
  readonly lossesLeft: number
}

export interface World {
  readonly machine: Machine.State
  readonly now: number
  readonly children: ReadonlyArray<Child>
  /** In the order of registration. */
  readonly tenancies: ReadonlyArray<Tenancy>
  /** In the order of their coming. */
  readonly waiting: ReadonlyArray<Waiter>
  readonly crashesLeft: number
  readonly failedBirthsLeft: number
  readonly requests: number
  readonly reserve: Reserve
}

export interface Bounds {
  readonly slots: number
  /** How many registrations may be accepted, beside the preloads. */
  readonly registrations: number
  readonly menu: ReadonlyArray<Registration>
  /** What workers may register, in their present life, or when that is over. */
  readonly byWorkers?: ReadonlyArray<Registration>
  readonly preload?: ReadonlyArray<Registration>
  /** How many crashes may start a recovery. */
  readonly crashes: number
  readonly failedBirths: number
  readonly restartAfterCrash?: boolean
  readonly maxLaunchesPerTurn?: number
  /** As long as the stop timeout, unless it is said. */
  readonly killAfter?: number
  /** Children say that they are ready, too late even; elsewhere being ready decides nothing and is left out. */
  readonly ready?: boolean
  /** Children give signs of life, too late even, as long as they like. */
  readonly signs?: boolean
  /** How much later than it has asked for the machine may be woken. */
  readonly lateness?: number
  /** Facts may be heard after the time at which the machine wanted to be woken. */
  readonly late?: boolean
  /** Somebody may want workers to start at once, and those that are parked to start again. */
  readonly resume?: boolean
  /** Lives may end by asking for another. */
  readonly again?: boolean
  /** Somebody may want workers to be replaced; successors count as registrations. */
  readonly replace?: boolean
  /** Somebody may want whoever uses this to go. */
  readonly resource?: string
  /** For how long registrations may wait for a slot; at most one waits so long, or two if there is a second time. */
  readonly waits?: ReadonlyArray<number>
  /** Slots that are kept for the parallel class. */
  readonly reserved?: number
  /** What policies somebody may want workers to have. */
  readonly policies?: ReadonlyArray<Policy>
  readonly spares?: number
  /** How many spares may be lost. */
  readonly spareLosses?: number
  /** Slots are told apart; elsewhere two tables with the same tenants in the same order are the same. */
  readonly exact?: boolean
}

export const registration = (name: string, options: Partial<Registration> = {}): Registration => ({
  name,
  type: name,
  entry: { module: "file:///w.js", export: "main" },
  args: null,
  flags: [],
  startTime: "RecoveryFinished",
  restart: Restart.never(),
  ...options
})

const stopTimeout = 20_000

/** All intervals have a large common divisor, so that few differences of time are possible. */
export const settings = (bounds: Bounds): Machine.Settings => ({
  maxWorkers: bounds.slots,
  classLimits: { parallel: 1 },
  reservedSlots: bounds.reserved === undefined ? {} : { parallel: bounds.reserved },
  killAfter: bounds.killAfter ?? stopTimeout,
  stopTimeout,
  maxLaunchesPerTurn: bounds.maxLaunchesPerTurn ?? 1,
  restartAfterCrash: bounds.restartAfterCrash ?? true,
  spares: bounds.spares ?? 0
})

export const initial = (bounds: Bounds): World => {
  const empty: World = {
    machine: Machine.make(settings(bounds)),
    now: 0,
    children: [],
    tenancies: [],
    waiting: [],
    crashesLeft: bounds.crashes,
    failedBirthsLeft: bounds.failedBirths,
    requests: 0,
    reserve: {
      standing: [],
      begun: 0,
      gone: 0,
      lastGone: undefined,
      notBefore: 0,
      deathsInARow: 0,
      lossesLeft: bounds.spareLosses ?? 0
    }
  }
  const seated = (bounds.preload ?? []).reduce((world, registration) =>
    apply(world, {
      _tag: "RegisterRequested",
      request: world.requests,
      registration,
      registrant: "Preload"
    }, 0).world, empty)
  return apply(seated, { _tag: "PhaseReached", phase: "Startup", run: 0 }, 0).world
}

const spawnError = new SpawnError({ reason: new ProcessNotStarted({ worker: "w", detail: "no more processes" }) })

export interface Fact {
  readonly input: Machine.Input
  /** When it is heard. */
  readonly at: number
}

const woke: Machine.Input = { _tag: "Woke" }

/** Everything that can happen next. Time moves when the machine is woken; in a late world with every fact. */
export const facts = (world: World, bounds: Bounds): ReadonlyArray<Fact> => {
  const { machine, now } = world
  if (machine.phase === "Halted") return []
  const inputs: Array<Machine.Input> = []
  const left = bounds.registrations + (bounds.preload?.length ?? 0) - world.tenancies.length
  // Where it will be refused it may be asked for without end.
  if (left > 0 || machine.table.tenants >= bounds.slots) {
    for (const one of bounds.menu) {
      inputs.push(registers(world, one, "Application"))
    }
    for (const one of bounds.byWorkers ?? []) {
      for (const life of livesOf(world)) inputs.push(registers(world, one, life))
    }
  }
  for (const waitMillis of left > world.waiting.length ? bounds.waits?.slice(world.waiting.length) ?? [] : []) {
    for (const one of bounds.menu) inputs.push({ ...registers(world, one, "Application"), waitMillis })
    for (const one of bounds.byWorkers ?? []) {
      for (const life of livesOf(world)) inputs.push({ ...registers(world, one, life), waitMillis })
    }
  }
  for (const { request } of world.waiting) inputs.push({ _tag: "RegisterWithdrawn", request })
  for (const { ref, request } of bounds.waits === undefined ? [] : world.tenancies) {
    if (request !== undefined) inputs.push({ _tag: "RegisterWithdrawn", request, ref })
  }
  for (const { ref } of world.tenancies) {
    inputs.push({ _tag: "TerminateRequested", ref })
    if (bounds.resume === true) inputs.push({ _tag: "ResumeRequested", ref })
    for (const policy of bounds.policies ?? []) {
      inputs.push({ _tag: "PolicyChangeRequested", request: world.requests, ref, worker: "w", policy })
    }
  }
  if (bounds.replace === true) {
    for (const { ref, registration: { name } } of world.tenancies) {
      if (left <= 0 && refusal(world, ref) === undefined) continue
      inputs.push({ _tag: "ReplaceRequested", request: world.requests, ref, name })
    }
  }
  if (bounds.resource !== undefined) inputs.push({ _tag: "TerminateUsersRequested", resource: bounds.resource })
  const run = machine.startupRun
  // The consistent point may be reported again, and too late.
  inputs.push({ _tag: "PhaseReached", phase: "Consistent", run })
  if (machine.phase === "Startup" || machine.phase === "Consistent") {
    inputs.push({ _tag: "PhaseReached", phase: "Run", run }, { _tag: "StartupFailed", run, detail: "no" })
  }
  // The word of a run of before a crash.
  if (run > 0) {
    inputs.push({ _tag: "PhaseReached", phase: "Run", run: run - 1 })
    inputs.push({ _tag: "StartupFailed", run: run - 1, detail: "no" })
  }
  inputs.push({ _tag: "ReloadRequested" })
  for (const mode of ["Smart", "Fast", "Immediate"] as const) inputs.push({ _tag: "ShutdownRequested", mode })
  for (const child of world.children) childFacts(world, bounds, child, inputs)
  if (bounds.ready === true) lateReports(world, bounds, inputs)
  spareFacts(world.reserve, inputs)
  const heard = inputs.map((input): Fact => ({ input, at: now }))
  const wakeAt = Machine.nextWakeAt(machine)
  // Woken without having asked for it, or too early.
  heard.push({ input: woke, at: now })
  if (wakeAt !== undefined && wakeAt > now) {
    heard.push({ input: woke, at: wakeAt })
    if (bounds.lateness !== undefined) heard.push({ input: woke, at: wakeAt + bounds.lateness })
    if (bounds.late === true) { for (const input of inputs) heard.push({ input, at: wakeAt }) }
  }
  return heard
}

const registers = (
  { requests }: World,
  registration: Registration,
  registrant: Registrant
): Extract<Machine.Input, { readonly _tag: "RegisterRequested" }> => ({
  _tag: "RegisterRequested",
  request: requests,
  registration,
  registrant
})

/** Why nobody can take this worker's place, by the world's own account. */
export const refusal = (world: World, ref: SlotRef): RegistrationErrorReason["_tag"] | undefined => {
  const { machine: { phase, settings, stopping }, tenancies } = world
  const tenancy = tenancies.find((one) => sameRef(one.ref, ref))!
  const involved = tenancy.replaces !== undefined || successorOf(world, ref) !== undefined
  if (tenancy.over || tenancy.terminated || involved || stopping || phase === "Waiting") return "NotReplaceable"
  const { class: name } = tenancy.registration
  const seated = tenancies.filter((one) => !one.over)
  const limit = name === undefined ? undefined : settings.classLimits[name]
  if (limit !== undefined && seated.filter((one) => one.registration.class === name).length >= limit) {
    return "ClassLimitReached"
  }
  return seated.length >= settings.maxWorkers ? "SlotsExhausted" : undefined
}

/** Who is to take this worker's place. */
export const successorOf = ({ tenancies }: World, ref: SlotRef): Tenancy | undefined =>
  tenancies.find(({ replaces }) => replaces !== undefined && sameRef(replaces, ref))

/** Names a tenancy's life by how many there were up to it. */
const lifeOf = ({ ref }: { readonly ref: SlotRef }, births: number): LifeRef => ({
  ref,
  pid: (100 * births + ref.slot) as Pid
})

/** The lives that go on, and of each tenancy the last that is over. */
const livesOf = ({ children, tenancies }: World): ReadonlyArray<LifeRef> =>
  tenancies.flatMap((tenancy) => {
    const lives = children.some((child) => child.born && sameRef(child.ref, tenancy.ref))
      ? [tenancy.births, tenancy.births - 1]
      : [tenancy.births]
    return lives.filter((births) => births > 0).map((births) => lifeOf(tenancy, births))
  })

/** Whether this life goes on, by the world's own account. */
export const isAlive = ({ children, tenancies }: World, life: LifeRef): boolean =>
  children.some((child) => child.born && sameRef(child.ref, life.ref)) &&
  tenancies.some((one) => sameRef(one.ref, life.ref) && lifeOf(one, one.births).pid === life.pid)

/** Whether it ends with this life. */
export const belongsTo = ({ owner }: Tenancy, life: LifeRef): boolean =>
  owner !== undefined && sameRef(owner.ref, life.ref) && owner.pid === life.pid

/** The life of this worker that goes on or was the last. */
export const latestLife = ({ tenancies }: World, ref: SlotRef): LifeRef => {
  const tenancy = tenancies.find((one) => sameRef(one.ref, ref))!
  return lifeOf(tenancy, tenancy.births)
}

const childFacts = (world: World, bounds: Bounds, child: Child, inputs: Array<Machine.Input>): void => {
  const { ref } = child
  if (!child.born) {
    const { births } = world.tenancies.find((one) => sameRef(one.ref, ref))!
    inputs.push({ _tag: "ChildStarted", ...lifeOf(child, births + 1) })
    if (world.failedBirthsLeft > 0 || child.abandoned) inputs.push({ _tag: "ChildNotStarted", ref, error: spawnError })
    return
  }
  if (bounds.ready === true) inputs.push({ _tag: "ChildReady", ref })
  if (bounds.signs === true) signsOf(ref, inputs)
  if (isAttached(child.registration)) {
    inputs.push(child.joined ? { _tag: "ChildDetached", ref } : { _tag: "ChildAttached", ref })
  }
  const ends: Array<ExitStatus> = [exited(0), exited(1), exited(2), signaled("SIGSEGV")]
  if (bounds.again === true) ends.push(again(Outcome.recycle), again(Outcome.retryAfter(2_000)))
  if (child.told === "SIGKILL") ends.push(signaled("SIGKILL", { ordered: true }))
  for (const status of ends) {
    if (world.crashesLeft > 0 || !isCrash(world, child, status)) inputs.push({ _tag: "ChildExited", ref, status })
  }
}

const signsOf = (ref: SlotRef, inputs: Array<Machine.Input>): void => {
  inputs.push({ _tag: "ChildBeat", ref }, { _tag: "ChildProgressed", ref, progress: { done: 1 } })
}

/** Which sign of a child is due first, since when and by when. */
export const limitOf = (
  { bornAt, heardAt, ready, registration, workedAt }: Child
): { readonly missed: string; readonly since: number; readonly whole: number; readonly at: number } | undefined => {
  const { heartbeatMillis, progressTimeoutMillis, readyTimeoutMillis } = registration
  const asked: ReadonlyArray<readonly [string, number, number | undefined]> = ready
    ? [["Heartbeat", heardAt, heartbeatMillis], ["Progress", workedAt, progressTimeoutMillis]]
    : [["Ready", bornAt, readyTimeoutMillis]]
  const limits = asked.flatMap(([missed, since, whole]) =>
    whole === undefined ? [] : [{ missed, since, whole, at: since + whole }]
  )
  return limits.toSorted((self, that) => self.at - that.at)[0]
}

/** Until when a child is waited for. */
export const waitedFor = (child: Child): number | undefined => {
  const limit = limitOf(child)
  return limit !== undefined && child.spared?.limit === limit.at ? child.spared.until : limit?.at
}

/** Whoever is found silent is waited for a twentieth longer, 50 ms at most, or as long again as it was found late. */
const spare = (child: Child, at: number): Child => {
  const limit = child.born && child.told === undefined ? limitOf(child) : undefined
  if (limit === undefined || limit.at > at || child.spared?.limit === limit.at) return child
  const more = Math.min(limit.whole, Math.max(at - limit.at, Math.min(50, limit.whole / 20)))
  return { ...child, spared: { limit: limit.at, until: at + more } }
}

/** What a child has said may arrive when its next life has been begun, or when it rests. */
const lateReports = (world: World, bounds: Bounds, inputs: Array<Machine.Input>): void => {
  for (const { over, ref } of world.tenancies) {
    if (over || world.children.some((child) => child.born && sameRef(child.ref, ref))) continue
    inputs.push({ _tag: "ChildReady", ref }, { _tag: "ChildAttached", ref }, { _tag: "ChildDetached", ref })
    if (bounds.signs === true) signsOf(ref, inputs)
  }
}

const lost = (spare: number, cause: "Died" | "Outdated"): Machine.Input => ({
  _tag: "SpareLost",
  spare,
  loss: { cause, detail: "gone" }
})

const spareFacts = ({ lastGone, lossesLeft, standing }: Reserve, inputs: Array<Machine.Input>): void => {
  for (const { ready, spare } of standing) {
    // That it is ready may be said again.
    inputs.push({ _tag: "SpareReady", spare, pid: (spare + 1) as Pid })
    if (lossesLeft > 0) inputs.push(lost(spare, "Died"))
    if (lossesLeft > 0 && ready) inputs.push(lost(spare, "Outdated"))
  }
  // The word of one that is not a spare any more.
  if (lastGone === undefined) return
  inputs.push({ _tag: "SpareReady", spare: lastGone, pid: (lastGone + 1) as Pid }, lost(lastGone, "Died"))
}

/** Whether an exit calls for a recovery that is not yet under way. */
export const isCrash = (world: World, child: Child, status: ExitStatus): boolean => {
  if (!isAttached(child.registration) || world.machine.recovering || world.machine.shutdown === "Immediate") {
    return false
  }
  if (status._tag === "Signaled") return !status.ordered
  // It leaves as its ladder has told it to.
  if (child.told === "SIGQUIT" && status._tag === "Exited" && status.code === 2) return false
  return child.joined || status._tag !== "Exited" || status.code > 1
}

export const usesSpares = ({ registration }: { readonly registration: Registration }): boolean =>
  registration.spare !== false

const quietMillis = 100

const healthyMillis = 60_000

/** What is heard, before the orders. */
const reserveHears = (self: Reserve, world: World, input: Machine.Input, at: number): Reserve => {
  switch (input._tag) {
    case "ChildStarted":
    case "ChildNotStarted": {
      const over = world.children.some((child) => !child.born && sameRef(child.ref, input.ref))
      return over ? { ...self, notBefore: Math.max(self.notBefore, at + quietMillis) } : self
    }
    case "SpareReady":
      return {
        ...self,
        standing: self.standing.map((one) => one.spare === input.spare ? { ...one, ready: true } : one)
      }
    case "SpareLost": {
      const spare = self.standing.find((one) => one.spare === input.spare)
      if (spare === undefined) return self
      const lossesLeft = self.lossesLeft - 1
      const deathsBefore = spare.ready && at - spare.since >= healthyMillis ? 0 : self.deathsInARow
      const without = { ...leave(self, spare.spare), lossesLeft, deathsInARow: deathsBefore }
      if (input.loss.cause === "Outdated") return without
      const wait = Math.min(10_000, 100 * 2 ** deathsBefore)
      return { ...without, deathsInARow: deathsBefore + 1, notBefore: Math.max(self.notBefore, at + wait) }
    }
    default:
      return self
  }
}

const leave = (self: Reserve, spare: number): Reserve =>
  self.standing.some((one) => one.spare === spare)
    ? {
      ...self,
      standing: self.standing.filter((one) => one.spare !== spare),
      gone: self.gone + 1,
      lastGone: spare
    }
    : self

const reserveAfter = (self: Reserve, action: Machine.Action, at: number): Reserve => {
  switch (action._tag) {
    case "Spawn":
      return action.spare === undefined ? self : { ...leave(self, action.spare), deathsInARow: 0 }
    case "SpawnSpare":
      return {
        ...self,
        standing: [...self.standing, { spare: action.spare, since: at, ready: false }],
        begun: self.begun + 1
      }
    case "EndSpare":
      return leave(self, action.spare)
    default:
      return self
  }
}

export const uses = (tenancy: Tenancy, resource: string): boolean =>
  tenancy.registration.resources?.includes(resource) === true

export const judgedBy = ({ givenUpBy, registration: { restart } }: Tenancy) => givenUpBy ?? restart

/** The registration with another policy. */
const changed = ({ stopLadder, stopTimeoutMillis, ...rest }: Registration, policy: Policy): Registration => ({
  ...rest,
  ...(policy.stopLadder === undefined && policy.stopTimeoutMillis === undefined
    ? {
      ...(stopLadder === undefined ? {} : { stopLadder }),
      ...(stopTimeoutMillis === undefined ? {} : { stopTimeoutMillis })
    }
    : {}),
  ...policy
})

/** What comes of a change, unless nobody is there any more, or it is a mistake. */
export const changeOf = (
  { tenancies }: World,
  { policy, ref }: Extract<Machine.Input, { readonly _tag: "PolicyChangeRequested" }>
): Registration | undefined => {
  const tenancy = tenancies.find((one) => !one.over && sameRef(one.ref, ref))
  const wanted = tenancy && changed(tenancy.registration, policy)
  return wanted === undefined || sanityCheck(wanted) !== undefined ? undefined : wanted
}
/** A name that somebody bears and nobody of these is ready, of those that a worker starts after. */
export const holderOf = ({ children, tenancies }: World, { after = [] }: Registration): string | undefined =>
  after.find((name) => {
    const bearers = tenancies.filter((one) => !one.over && one.registration.name === name)
    const isReady = ({ ref }: Tenancy) => children.some((child) => child.ready && sameRef(child.ref, ref))
    return bearers.length > 0 && !bearers.some(isReady)
  })

/** Whether its failures are too many, by the world's own reckoning. */
export const isGivenUp = (tenancy: Tenancy): boolean => {
  const { failedAt } = tenancy
  const restart = judgedBy(tenancy)
  if (restart._tag === "Never" || restart.giveUp === undefined) return false
  const { failures, withinMillis } = restart.giveUp
  const last = failedAt.at(-1)
  return last !== undefined && failedAt.filter((time) => last - time <= withinMillis).length >= failures
}

/** Whether somebody who wants this worker to start now finds it at rest or parked. */
export const mayResume = ({ machine, tenancies }: World, ref: SlotRef): boolean => {
  const tenancy = tenancies.find((one) => sameRef(one.ref, ref))
  if (tenancy === undefined || tenancy.over) return false
  const state = machine.table.seats[ref.slot]?.life._tag
  return state === "Parked" || state === "Resting"
}

/** The delay after so many failures in a row. */
export const restAfter = ({ restart }: Registration, failures: number): number => {
  if (restart._tag === "Never") return 0
  const { delayMillis, growth, thenMillis = [] } = restart
  const listed = [delayMillis, ...thenMillis]
  let rest = listed[Math.max(0, Math.min(failures, listed.length) - 1)]!
  if (growth === undefined) return rest
  for (let more = listed.length; more < failures; more++) rest = Math.min(growth.maxMillis, rest * growth.factor)
  return rest
}

/** A failure that nobody has told it to is counted; success and health end a row of them. */
const afterLife = (
  { machine }: World,
  tenancy: Tenancy,
  child: Child,
  input: Extract<Machine.Input, { readonly _tag: "ChildNotStarted" | "ChildExited" }>,
  at: number
): Partial<Tenancy> => {
  const { restart } = child.registration
  const done = input._tag === "ChildExited" && input.status._tag === "Exited" && input.status.code === 0 &&
    !child.joined
  const wish = done ? input.status.outcome : undefined
  if (wish !== undefined) {
    const asked = wish._tag === "RetryAfter" ? at + wish.delayMillis : at
    return { notBefore: Math.max(asked, child.bornAt + 1_000), failures: 0, wished: true }
  }
  if (done || restart._tag === "Never") return { notBefore: at, failures: 0, wished: false }
  const healthyMillis = restart.healthyMillis ??
    Math.max(60_000, restart.delayMillis, ...restart.thenMillis ?? [], restart.growth?.maxMillis ?? 0)
  const before = input._tag === "ChildExited" && at - child.bornAt >= healthyMillis ? 0 : tenancy.failures
  const ownFault = !tenancy.terminated && !machine.stopping && !(isAttached(child.registration) && machine.recovering)
  const failures = before + (ownFault ? 1 : 0)
  return {
    notBefore: at + restAfter(child.registration, failures),
    wished: false,
    failures,
    failedAt: ownFault ? [...tenancy.failedAt, at] : tenancy.failedAt
  }
}

/** What was asked, in this turn or before. */
export const requestOf = (before: World, input: Machine.Input, request: number) =>
  input._tag === "RegisterRequested" && input.request === request
    ? input
    : before.waiting.find((one) => one.request === request)

/** Whether a request can be answered, by the world's own reckoning. */
export const hasRoom = ({ machine: { settings }, tenancies }: World, { class: name, key }: Registration): boolean => {
  const seated = tenancies.filter(({ over }) => !over)
  const holder = seated.find(({ registration }) => key !== undefined && registration.key === key)
  if (holder !== undefined) return !holder.terminated
  const classmates = seated.filter(({ registration }) => registration.class === name)
  const limit = name === undefined ? undefined : settings.classLimits[name]
  // One class only keeps slots in the worlds, and no more of them than it may take.
  const parallel = seated.filter(({ registration }) => registration.class === "parallel").length
  const kept = name === "parallel" ? 0 : Math.max(0, (settings.reservedSlots["parallel"] ?? 0) - parallel)
  return seated.length + kept < settings.maxWorkers && (limit === undefined || classmates.length < limit)
}

/** One turn: the machine on a copy of its state, and the world's own account of the same facts and orders. */
export const apply = (
  before: World,
  input: Machine.Input,
  at: number
): { readonly world: World; readonly actions: ReadonlyArray<Machine.Action> } => {
  const machine = Machine.copy(before.machine)
  const actions = Machine.step(machine, input, at)
  let { children, crashesLeft, failedBirthsLeft, requests, reserve, tenancies, waiting } = before
  reserve = reserveHears(reserve, before, input, at)
  const amend = (ref: SlotRef, change: (one: Tenancy) => Partial<Tenancy>) => {
    tenancies = tenancies.map((one) => sameRef(one.ref, ref) ? { ...one, ...change(one) } : one)
  }
  const change = (ref: SlotRef, change: Partial<Child>) => {
    children = children.map((one) => sameRef(one.ref, ref) ? { ...one, ...change } : one)
  }
  switch (input._tag) {
    case "ChildStarted":
      change(input.ref, { born: true, bornAt: at, heardAt: at, workedAt: at })
      amend(input.ref, (one) => ({ births: one.births + 1, fresh: false }))
      break
    case "ChildReady":
      if (children.some((one) => one.born && !one.ready && sameRef(one.ref, input.ref))) {
        change(input.ref, { ready: true, heardAt: at, workedAt: at })
        const { replaces } = tenancies.find((one) => sameRef(one.ref, input.ref))!
        if (replaces !== undefined) amend(replaces, () => ({ terminated: true }))
      }
      break
    case "ChildBeat":
      change(input.ref, { heardAt: at })
      break
    case "ChildProgressed":
      change(input.ref, { heardAt: at, workedAt: at })
      break
    case "ChildAttached":
    case "ChildDetached":
      if (children.some((one) => one.born && sameRef(one.ref, input.ref))) {
        change(input.ref, { joined: input._tag === "ChildAttached" })
      }
      break
    case "TerminateRequested":
      amend(input.ref, () => ({ terminated: true }))
      break
    case "ResumeRequested":
      if (mayResume(before, input.ref)) {
        amend(input.ref, () => ({
          fresh: true,
          givenUpBy: undefined,
          failedAt: [],
          failures: 0,
          notBefore: at
        }))
      }
      break
    case "PolicyChangeRequested": {
      const registration = changeOf(before, input)
      if (registration === undefined) break
      const isParked = before.machine.table.seats[input.ref.slot]?.life._tag === "Parked"
      change(input.ref, { registration })
      amend(input.ref, (one) => ({
        registration,
        changed: true,
        ...(isParked
          ? { givenUpBy: judgedBy(one) }
          : input.policy.restart === undefined
          ? {}
          : { failures: 0, failedAt: [] })
      }))
      break
    }
    case "TerminateUsersRequested": {
      const { resource } = input
      tenancies = tenancies.map((one) => !one.over && uses(one, resource) ? { ...one, terminated: true } : one)
      break
    }
    case "ChildNotStarted":
    case "ChildExited": {
      const child = children.find((one) => sameRef(one.ref, input.ref))!
      children = children.filter((one) => one !== child)
      if (input._tag === "ChildNotStarted") failedBirthsLeft -= child.abandoned ? 0 : 1
      else if (isCrash(before, child, input.status)) crashesLeft--
      amend(input.ref, (one) => afterLife(before, one, child, input, at))
      if (input._tag === "ChildExited") {
        const life = latestLife(before, input.ref)
        tenancies = tenancies.map((one) => !one.over && belongsTo(one, life) ? { ...one, terminated: true } : one)
      }
      break
    }
    case "ReplaceRequested":
      requests++
      break
    case "RegisterRequested": {
      requests++
      const { registrant, registration, request, waitMillis } = input
      if (waitMillis !== undefined) {
        waiting = [...waiting, { request, registration, registrant, until: at + waitMillis }]
      }
      break
    }
    case "RegisterWithdrawn": {
      const { ref, request } = input
      if (ref !== undefined) amend(ref, (one) => one.request === request && !one.over ? { terminated: true } : {})
      break
    }
  }
  for (const action of actions) {
    reserve = reserveAfter(reserve, action, at)
    switch (action._tag) {
      case "Reply": {
        const asked = requestOf(before, input, action.request)
        waiting = waiting.filter(({ request }) => request !== action.request)
        if (input._tag === "ReplaceRequested" && input.request === action.request) {
          const { owner, registration } = tenancies.find((one) => sameRef(one.ref, input.ref))!
          tenancies = [...tenancies, {
            ...newcomer(action.ref, registration, at, owner),
            replaces: input.ref
          }]
          break
        }
        if (asked === undefined) break
        // Whoever asks for a key that is held is answered with its holder.
        if (tenancies.some((one) => sameRef(one.ref, action.ref))) {
          amend(action.ref, () => ({ request: undefined }))
          break
        }
        const { registrant, registration } = asked
        const owned = typeof registrant === "object" && registration.ownership === "registrant"
        tenancies = [...tenancies, {
          ...newcomer(action.ref, registration, at, owned ? registrant : undefined),
          request: action.request
        }]
        break
      }
      case "Reject":
        waiting = waiting.filter(({ request }) => request !== action.request)
        break
      case "Spawn":
        children = [...children, {
          ref: action.launch.ref,
          registration: action.launch.registration,
          born: false,
          abandoned: false,
          ready: false,
          joined: false,
          told: undefined,
          killBy: Number.POSITIVE_INFINITY,
          bornAt: at,
          heardAt: at,
          workedAt: at,
          spared: undefined
        }]
        break
      case "Signal": {
        const { ref, signal } = action
        const child = children.find((one) => sameRef(one.ref, ref))
        if (child === undefined || signal === "SIGHUP") break
        if (child.told !== undefined && !isHarsher(signal, child.told)) break
        const { killAfter, stopTimeout } = machine.settings
        const ladder = child.registration.stopLadder ??
          [{ millis: child.registration.stopTimeoutMillis ?? stopTimeout }]
        const isOrdered = machine.shutdown === "Immediate" || (machine.recovering && isAttached(child.registration))
        const patience = signal === "SIGQUIT" && isOrdered
          ? killAfter
          : child.told === undefined
          ? ladder.reduce((sum, { millis }) => sum + millis, 0)
          : Number.POSITIVE_INFINITY
        change(ref, {
          told: signal,
          killBy: signal === "SIGKILL" ? Number.POSITIVE_INFINITY : Math.min(child.killBy, at + patience)
        })
        break
      }
      case "AbandonBirth":
        change(action.ref, { abandoned: true })
        break
      case "Notify":
        if (action.gone) amend(action.ref, () => ({ over: true }))
        break
      case "Reinitialize":
        // Recovery forgives: everyone may start at once.
        tenancies = tenancies.map((one) => isAttached(one.registration) ? { ...one, notBefore: at } : one)
        break
    }
  }
  children = children.map((child) => spare(child, at))
  tenancies = settled(tenancies, children)
  return {
    world: { machine, now: at, children, tenancies, waiting, crashesLeft, failedBirthsLeft, requests, reserve },
    actions
  }
}

const newcomer = (
  ref: SlotRef,
  registration: Registration,
  at: number,
  owner: LifeRef | undefined
): Tenancy => ({
  ref,
  registration,
  over: false,
  terminated: false,
  births: 0,
  owner,
  request: undefined,
  replaces: undefined,
  wished: false,
  givenUpBy: undefined,
  changed: false,
  notBefore: at,
  fresh: true,
  failedAt: [],
  failures: 0
})

/** Whoever is ready has taken the place; whoever ends for good takes none, and leaves none to be taken. */
const settled = (
  tenancies: ReadonlyArray<Tenancy>,
  children: ReadonlyArray<Child>
): ReadonlyArray<Tenancy> => {
  if (tenancies.every(({ replaces }) => replaces === undefined)) return tenancies
  const ends = ({ over, terminated }: Tenancy) => over || terminated
  return tenancies.map((one) => {
    const { ref, replaces } = one
    if (replaces === undefined) return one
    const isReady = children.some((child) => child.ready && sameRef(child.ref, ref))
    const goesOn = !isReady && !ends(one) && !tenancies.some((other) => sameRef(other.ref, replaces) && ends(other))
    return goesOn ? one : { ...one, replaces: undefined }
  })
}

/**
 * What makes two worlds the same. Left out is what decides nothing: the absolute
 * time, how often something has happened, numbers that are only compared with
 * each other (generations, runs, sequence), what the children themselves know
 * (the table agrees with it, see L2 and L19), and past troubles when there can
 * be no others.
 */
export const key = (world: World, bounds: Bounds): string => {
  const { machine, now } = world
  const { table } = machine
  const since = (at: number | undefined) => at === undefined ? "" : at - now
  let text = `${machine.phase}${machine.startupRun > 0 ? 1 : 0}${machine.shutdown}${machine.stopping ? 1 : 0}${
    machine.recovering ? 1 : 0
  }${machine.abnormal === undefined ? 0 : 1},${since(machine.killAt)},${
    since(machine.reinitializeAt)
  },${world.tenancies.length},${world.crashesLeft},${world.failedBirthsLeft}`
  if (world.crashesLeft > 0 && machine.reinitializedAt !== undefined) {
    const ago = now - machine.reinitializedAt
    if (ago < healthyMillis) text += `,${ago}/${machine.crashCycles}`
  }
  const seated = inOrder(table)
  for (const tenant of seated) {
    const { life, ref } = tenant
    const stale = world.tenancies.some((one) => one.over && one.ref.slot === ref.slot)
    text += `|${bounds.exact === true ? ref.slot : ""}${tenant.registration.name}${stale ? 1 : 0}${
      tenant.doomed ? 1 : 0
    }${tenant.lives > 0 ? 1 : 0}${world.failedBirthsLeft > 0 ? tenant.failedBirths : ""}${life._tag}`
    if (bounds.policies !== undefined) {
      const tenancy = world.tenancies.find((one) => sameRef(one.ref, ref))
      text += JSON.stringify([policyOf(tenant.registration), tenancy?.givenUpBy])
    }
    text += failuresKey(tenant, now)
    const { successor } = tenant
    if (successor !== undefined) text += `>${seated.findIndex(({ ref }) => sameRef(ref, successor))}`
    // How old a life is decides when another one may follow it.
    if (bounds.again === true && life._tag === "Running") text += `~${Math.min(1_000, now - life.startedAt)}`
    if ("rung" in life && tenant.registration.stopLadder !== undefined) text += `/${life.rung ?? ""}`
    if (life._tag === "Starting") text += `${life.pending?.signal ?? ""}${since(life.killAt)}`
    else if (life._tag === "Resting") text += life.dueAt - now
    else if (life._tag === "Running") {
      text += `${life.ready ? 1 : 0}${life.joined ? 1 : 0}${life.told ?? ""}${since(life.killAt)}`
      if (life.watchAt !== undefined && life.told === undefined) text += signsKey(life, tenant.registration, now)
    } else if (life._tag === "Waiting") text += life.heldBy ?? ""
  }
  if (bounds.byWorkers !== undefined) text += ownersKey(world, seated)
  if (bounds.waits !== undefined) text += lobbyKey(world, seated)
  return bounds.spares === undefined ? text : text + spareKey(world)
}

const policyOf = ({ restart, stopLadder, stopTimeoutMillis }: Registration) => [restart, stopLadder, stopTimeoutMillis]

/** When who is watched gave its last signs, as far as somebody asks for them. */
const signsKey = (
  { grace, heardAt, ready, startedAt, watchAt, workedAt }: SlotTable.Running,
  { heartbeatMillis, progressTimeoutMillis }: Registration,
  now: number
): string =>
  `~${watchAt! - now},${
    ready
      ? `${heartbeatMillis === undefined ? "" : now - heardAt}/${
        progressTimeoutMillis === undefined ? "" : now - workedAt
      }`
      : now - startedAt
  },${grace === undefined ? "" : `${grace.limit - now}/${grace.until - now}`}`

/** No policy of the worlds grows after more failures than these. */
const maxRow = 4

/** What has been counts only for whoever's policy asks for it, and as long as it may decide something. */
const failuresKey = (
  { failedAt, failures, life, registration: { restart } }: SlotTable.Tenant,
  now: number
): string => {
  if (restart._tag === "Never") return ""
  let text = ""
  if (restart.growth !== undefined || restart.thenMillis !== undefined) {
    text += `^${Math.min(maxRow, failures)}`
    if (life._tag === "Running" && failures > 0) {
      text += `:${Math.min(restart.healthyMillis ?? healthyMillis, now - life.startedAt)}`
    }
  }
  if (restart.giveUp === undefined) return text
  const { withinMillis } = restart.giveUp
  return `${text}!${failedAt.map((at) => now - at).filter((ago) => ago <= withinMillis)}`
}

/** Who waits, who may still be withdrawn, and whether the next look finds anything. */
const lobbyKey = (
  { machine: { lobby }, now, tenancies }: World,
  seated: ReadonlyArray<SlotTable.Tenant>
): string => {
  const waiters = [...lobby.waiters.values()].map(({ registrant, registration, until }) => {
    const registrar = typeof registrant === "object" ? registrant : undefined
    const owner = seated.findIndex(({ life, ref }) =>
      registrar !== undefined && sameRef(ref, registrar.ref) && life._tag === "Running" && life.pid === registrar.pid
    )
    return `${registration.name}${until - now}${registrar === undefined ? "" : owner}`
  })
  const shared = seated.map(({ request }) => request === undefined ? 1 : 0)
  const stale = tenancies.some(({ over, request }) => over && request !== undefined)
  return `%${waiters}${lobby.stirred ? "!" : ""}${shared}${stale ? 1 : 0}`
}

/** Who belongs to whom; to which life, decides nothing. Who has had a life that is over can be said to register. */
const ownersKey = ({ tenancies }: World, seated: ReadonlyArray<SlotTable.Tenant>): string => {
  const owners = seated.map(({ doomed, lives, owner }) =>
    `${doomed || owner === undefined ? "" : seated.findIndex(({ ref }) => sameRef(ref, owner.ref))}${
      lives > 1 ? "+" : ""
    }`
  )
  return `@${owners}${tenancies.some(({ births, over }) => over && births > 0) ? "+" : ""}`
}

/** How old a spare is, and how many have died before it, decides nothing if there is no other death to come. */
const spareKey = ({ machine: { spares }, now, reserve: { lastGone, lossesLeft } }: World): string => {
  const deaths = lossesLeft > 0 ? spares.losses : 0
  let text = `#${lossesLeft}${lastGone === undefined ? 0 : 1}${deaths},${Math.max(0, spares.notBefore - now)},${[
    ...spares.modules
  ]}`
  for (const { pid, since } of spares.standing.values()) {
    text += `,${pid === undefined ? 0 : 1}${deaths > 0 ? Math.min(healthyMillis, now - since) : ""}`
  }
  return text
}

const inOrder = (table: SlotTable.SlotTable): ReadonlyArray<SlotTable.Tenant> => {
  const seated = table.seats.filter((tenant) => tenant !== undefined)
  return seated.length < 2 ? seated : seated.toSorted((self, that) => self.sequence - that.sequence)
}

const by = (registrant: Registrant): string =>
  typeof registrant === "object" ? ` by pid ${registrant.pid} (${formatRef(registrant.ref)})` : ""

export const describe = ({ at, input }: Fact): string => {
  const about = "ref" in input && input.ref !== undefined ? ` (${formatRef(input.ref)})` : ""
  const detail = input._tag === "RegisterRequested"
    ? ` ${input.request} ${input.registration.name}${by(input.registrant)}${
      input.waitMillis === undefined ? "" : ` within ${input.waitMillis} ms`
    }`
    : input._tag === "RegisterWithdrawn"
    ? ` ${input.request}`
    : input._tag === "ShutdownRequested"
    ? ` ${input.mode}`
    : input._tag === "PhaseReached"
    ? ` ${input.phase}, run ${input.run}`
    : input._tag === "SpareReady"
    ? ` ${input.spare}`
    : input._tag === "SpareLost"
    ? ` ${input.spare}, ${input.loss.cause}`
    : input._tag === "ChildExited"
    ? ` ${JSON.stringify(input.status)}`
    : ""
  return `${at} ms: ${input._tag}${detail}${about}`
}
