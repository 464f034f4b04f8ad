/**
 * Who sits where: the fixed table of slots, its tenants, and the queues that
 * make every question about them cheap.
 *
 * Ownership: the machine alone reads and writes this table, inside a turn.
 * Nobody else ever sees it; onlookers get a `Snapshot`, holders a status.
 *
 * Invariants (each is checked by `broken`, and by a test named after it):
 *
 * - T1  A seat has at most one tenant, and the tenant's reference names that seat.
 * - T2  A tenant's generation is the seat's generation; a seat's generation never falls.
 * - T3  A tenant with a child (Starting or Running) keeps its seat until the child is gone.
 * - T4  The counts (tenants, children, attached children, jobs, classes, names waited for) agree with the seats.
 * - T5  Every Waiting tenant stands in the queue of its start time, once; or, if it is held up, among those that are
 *   held up by that name, as long as somebody bears it and nobody of them is ready.
 * - T6  Every Resting tenant stands in the due queue, once.
 * - T7  Every tenant with a kill deadline stands in the deadline queue.
 * - T8  The lowest free slot is the next one taken.
 * - T9  Every tenant is found by its name, after its elder namesakes; nobody else is.
 * - T10 Every Running tenant is found by its pid; nobody else is. (Of two that report the same one the later born: the
 *   system has given the pid out again, so its first bearer is no more.)
 * - T11 A tenant's version is no later than its page's, and a page's no later than the table's. Whatever onlookers can
 *   see of a tenant changes together with its version; what comes or goes changes its page's.
 * - T12 A tenant that belongs to a worker is known at that worker's seat as long as the life runs that registered it;
 *   when that life is over, the tenant is doomed. Nobody else is known there.
 * - T13 Whoever is being replaced has one successor, which names it; both are seated, neither is doomed, and the
 *   successor is not ready yet, nor being replaced itself.
 * - T14 Every Running tenant of whom a sign is asked, and who has not been told to end, stands in the queue of watches,
 *   at a time no later than the sign is waited for; nobody else does.
 * - T15 A key finds the eldest tenant that names it and goes on, or the eldest if none goes on; nobody else is found.
 */
import type { ExitStatus } from "../ExitStatus.ts"
import { type Pid, type SlotRef, slotRef } from "../Identity.ts"
import { type LifeRecord, maxRemembered } from "../LifeRecord.ts"
import type { StartTime } from "../Phase.ts"
import type { ProgressSeen } from "../Progress.ts"
import { isAttached, type LifeRef, type Registration } from "../Registration.ts"
import { isJob } from "../Restart.ts"
import type { WorkerState } from "../Snapshot.ts"
import type { StopCause } from "../StopCause.ts"
import type { SignalTarget, WorkerSignal } from "../WorkerSignal.ts"
import * as Heap from "./heap.ts"
import * as Liveness from "./liveness.ts"

/** A signal that has been decided on. */
export interface Order {
  readonly signal: WorkerSignal
  readonly target: SignalTarget
  readonly cause: StopCause
}

/**
 * Where a tenant stands in its cycle of lives. Each is a fresh object: a queue
 * entry is valid as long as the tenant still has the very life it was made for.
 */
export type Life = Waiting | Starting | Running | Resting | Parked | Down

/** May start, waits for its phase or its turn. */
export interface Waiting {
  readonly _tag: "Waiting"
  /** The name of those of whom one must be ready first. */
  readonly heldBy: string | undefined
}

/** Being born. `pending` is sent the moment the birth is reported. */
export interface Starting {
  readonly _tag: "Starting"
  pending: Order | undefined
  /** Where it stands on its stop ladder. */
  rung: number | undefined
  /** When the next rung follows; after the last one the birth is given up. */
  killAt: number | undefined
}

export interface Running {
  readonly _tag: "Running"
  readonly pid: Pid
  readonly startedAt: number
  ready: boolean
  /** The dead-man switch: joined the shared state and has not left it in good order. */
  joined: boolean
  /** The harshest signal sent to end it. */
  told: WorkerSignal | undefined
  /** Why it was first told to end. */
  stopCause: StopCause | undefined
  /** Where it stands on its stop ladder. */
  rung: number | undefined
  /** When the next rung follows, or SIGKILL after the last. */
  killAt: number | undefined
  /** When its main loop, and its work, were last known to go on. Its watch learns of it when it is due. */
  heardAt: number
  workedAt: number
  /** When it is looked at next. */
  watchAt: number | undefined
  /** The limit that was found passed, and until when it is waited for all the same. */
  grace: { readonly limit: number; readonly until: number } | undefined
  progress: ProgressSeen | undefined
}

/** Between two lives, until `dueAt`. */
export interface Resting {
  readonly _tag: "Resting"
  readonly dueAt: number
}

/** Given up until it is resumed. */
export interface Parked {
  readonly _tag: "Parked"
}

/** Between two lives, until the crash group is reinitialized. */
export interface Down {
  readonly _tag: "Down"
}

export interface Tenant {
  readonly ref: SlotRef
  /** Its policy may change, and nothing else of it. */
  registration: Registration
  readonly attached: boolean
  job: boolean
  /** Order of registration; who registered first starts first. */
  readonly sequence: number
  readonly registeredAt: number
  life: Life
  /** Lives begun and heard of. */
  lives: number
  /** Births that failed since the last one that succeeded. */
  failedBirths: number
  /** Failures since the last success or healthy life. */
  failures: number
  /** When it failed, as far back as its policy looks. Never written to, since copies share it. */
  failedAt: ReadonlyArray<number>
  /** Whose place it takes when it is ready. */
  readonly replaces: SlotRef | undefined
  /** Who takes its place when that one is ready. */
  successor: SlotRef | undefined
  /** Terminated by its holder: it ends with its present life. */
  doomed: boolean
  /** Its last lives and births that failed, in the machine's time. Never written to, since copies share it. */
  history: ReadonlyArray<LifeRecord>
  /** The life that it ends with. */
  readonly owner: LifeRef | undefined
  /** The request that it was seated for, as long as nobody else was answered with it. */
  request: number | undefined
  /** The version of the table in which onlookers last saw it change. */
  version: number
  /** The namesakes registered before it and after it. */
  elder: Tenant | undefined
  younger: Tenant | undefined
}

/** A tenant without its place in this table. */
export type Lodger = Omit<Tenant, "version" | "elder" | "younger">

/** Who bears a name, in the order of registration; nobody at the moment, perhaps. */
interface Namesakes {
  first: Tenant | undefined
  last: Tenant | undefined
  /** How many of them are ready. */
  ready: number
  /** Who waits for one of them to be ready, once somebody does. */
  held: Heap.Heap<Turn> | undefined
}

interface Turn {
  readonly tenant: Tenant
  readonly life: Waiting
}

interface Due {
  readonly tenant: Tenant
  readonly life: Resting
}

interface Deadline {
  readonly tenant: Tenant
  readonly life: Starting | Running
  readonly at: number
}

interface Vigil {
  readonly tenant: Tenant
  readonly life: Running
  readonly at: number
}

export interface SlotTable {
  readonly size: number
  readonly seats: Array<Tenant | undefined>
  readonly generations: Array<number>
  /** Slots from here on have never been taken. */
  untouched: number
  /** Slots below `untouched` that are free. */
  readonly freed: Heap.Heap<number>
  sequence: number
  tenants: number
  children: number
  attachedChildren: number
  jobs: number
  readonly classes: Map<string, number>
  readonly names: Map<string, Namesakes>
  /** By name, how many tenants start after it. */
  readonly awaited: Map<string, number>
  /** Size at which the names that nobody waits for any more are swept out of `awaited`. */
  sweepAwaitedAt: number
  /** A key that nobody holds at the moment has no tenant. */
  readonly keys: Map<string, Tenant | undefined>
  readonly pids: Map<Pid, Tenant>
  /** By the slot of the owner, the slots of those who end with its present life. */
  readonly owned: Array<Set<number> | undefined>
  /** Grows with every change that an onlooker can see. */
  version: number
  /** Per page of slots, the version that changed it last. */
  readonly pages: Array<number>
  readonly waiting: { readonly [K in StartTime]: Heap.Heap<Turn> }
  readonly due: Heap.Heap<Due>
  readonly deadlines: Heap.Heap<Deadline>
  readonly watches: Heap.Heap<Vigil>
}

/** So many slots make a page, the unit in which onlookers look for what is new. */
export const pageSize = 256

const waitingQueue = (): Heap.Heap<Turn> =>
  Heap.make(
    (self, that) => self.tenant.sequence < that.tenant.sequence,
    (entry) => entry.tenant.life === entry.life
  )

export const make = (size: number): SlotTable => ({
  size,
  seats: [],
  generations: [],
  untouched: 0,
  freed: Heap.make((self, that) => self < that, () => true),
  sequence: 0,
  tenants: 0,
  children: 0,
  attachedChildren: 0,
  jobs: 0,
  classes: new Map(),
  names: new Map(),
  awaited: new Map(),
  sweepAwaitedAt: minSweep,
  keys: new Map(),
  pids: new Map(),
  owned: [],
  version: 0,
  pages: [],
  waiting: {
    PostmasterStart: waitingQueue(),
    ConsistentState: waitingQueue(),
    RecoveryFinished: waitingQueue()
  },
  // A tie goes to who registered first.
  due: Heap.make(
    (self, that) =>
      self.life.dueAt < that.life.dueAt ||
      (self.life.dueAt === that.life.dueAt && self.tenant.sequence < that.tenant.sequence),
    (entry) => entry.tenant.life === entry.life
  ),
  deadlines: Heap.make(
    (self, that) => self.at < that.at || (self.at === that.at && self.tenant.sequence < that.tenant.sequence),
    (entry) => entry.tenant.life === entry.life && entry.life.killAt === entry.at
  ),
  watches: Heap.make(
    (self, that) => self.at < that.at || (self.at === that.at && self.tenant.sequence < that.tenant.sequence),
    ({ at, life, tenant }) => tenant.life === life && life.watchAt === at && life.told === undefined
  )
})

export const hasChild = (tenant: Tenant): boolean => tenant.life._tag === "Starting" || tenant.life._tag === "Running"

const isReady = ({ life }: Tenant): boolean => life._tag === "Running" && life.ready

/** The tenant a reference names, unless the reference is stale. */
export const find = (self: SlotTable, ref: SlotRef): Tenant | undefined => {
  const tenant = self.seats[ref.slot]
  return tenant !== undefined && tenant.ref.generation === ref.generation ? tenant : undefined
}

/** The tenants of this name, in the order of their registration. */
export const namesakes = (self: SlotTable, name: string): ReadonlyArray<Tenant> => {
  const found: Array<Tenant> = []
  for (let tenant = self.names.get(name)?.first; tenant !== undefined; tenant = tenant.younger) found.push(tenant)
  return found
}

/** The tenant that holds this key. */
export const findKey = (self: SlotTable, key: string): Tenant | undefined => self.keys.get(key)

/** The tenant that runs under this pid. */
export const findPid = (self: SlotTable, pid: number): Tenant | undefined => self.pids.get(pid as Pid)

/** The tenant whose present life this is, unless that is over. */
export const findLife = (self: SlotTable, { pid, ref }: LifeRef): Tenant | undefined => {
  const tenant = find(self, ref)
  return tenant?.life._tag === "Running" && tenant.life.pid === pid ? tenant : undefined
}

/** Those who end with the life of this tenant that is just over; they are asked for once. */
export const disown = (self: SlotTable, tenant: Tenant): ReadonlyArray<Tenant> => {
  const slots = self.owned[tenant.ref.slot]
  if (slots === undefined) return []
  self.owned[tenant.ref.slot] = undefined
  return [...slots].flatMap((slot) => self.seats[slot] ?? [])
}

/** Every tenant, in the order of the slots. Costs the whole table: for rare turns only. */
export const tenants = (self: SlotTable): ReadonlyArray<Tenant> =>
  self.seats.filter((tenant): tenant is Tenant => tenant !== undefined)

export const countOfClass = (self: SlotTable, name: string): number => self.classes.get(name) ?? 0

/**
 * Seats a new tenant in the lowest free slot. A preload starts the slot's
 * generations at 0, a dynamic registration adds one.
 */
export const seat = (
  self: SlotTable,
  registration: Registration,
  options: {
    readonly dynamic: boolean
    readonly now: number
    readonly owner?: LifeRef | undefined
    readonly replaces?: SlotRef
    readonly request?: number | undefined
  }
): Tenant => {
  const slot = Heap.pop(self.freed) ?? self.untouched++
  const generation = (self.generations[slot] ?? 0) + (options.dynamic ? 1 : 0)
  self.generations[slot] = generation
  const tenant: Tenant = {
    ref: slotRef(slot, generation),
    registration,
    attached: isAttached(registration),
    job: isJob(registration.restart),
    sequence: self.sequence++,
    registeredAt: options.now,
    life: { _tag: "Down" },
    lives: 0,
    failedBirths: 0,
    failures: 0,
    failedAt: [],
    replaces: options.replaces,
    successor: undefined,
    doomed: false,
    history: [],
    owner: options.owner,
    request: options.request,
    version: 0,
    elder: undefined,
    younger: undefined
  }
  admit(self, tenant)
  return tenant
}

/** Gives a tenant another policy. */
export const amend = (self: SlotTable, tenant: Tenant, registration: Registration): void => {
  if (tenant.job) self.jobs--
  tenant.registration = registration
  tenant.job = isJob(registration.restart)
  if (tenant.job) self.jobs++
  touch(self, tenant)
}

const admit = (self: SlotTable, tenant: Tenant): void => {
  self.seats[tenant.ref.slot] = tenant
  if (tenant.owner !== undefined && !tenant.doomed) {
    ;(self.owned[tenant.owner.ref.slot] ??= new Set()).add(tenant.ref.slot)
  }
  count(self, tenant, 1)
  join(self, tenant)
  passKey(self, tenant)
  touch(self, tenant)
}

/** Frees a tenant's seat. The tenant has no child any more (T3). */
export const unseat = (self: SlotTable, tenant: Tenant): void => {
  tenant.life = { _tag: "Down" }
  self.seats[tenant.ref.slot] = undefined
  Heap.push(self.freed, tenant.ref.slot)
  if (tenant.owner !== undefined) self.owned[tenant.owner.ref.slot]?.delete(tenant.ref.slot)
  count(self, tenant, -1)
  leave(self, tenant)
  passKey(self, tenant)
  touch(self, tenant)
}

/** Who holds a key: the eldest that names it and goes on; if nobody goes on, the eldest. */
const keyHolder = (self: SlotTable, { key, name }: Registration): Tenant | undefined => {
  const bearers = namesakes(self, name).filter(({ registration }) => registration.key === key)
  return bearers.find(({ doomed }) => !doomed) ?? bearers[0]
}

/** Gives the key of a tenant that comes, goes or is told to end to whoever holds it now. */
const passKey = (self: SlotTable, { registration }: Tenant): void => {
  if (registration.key === undefined) return
  self.keys.set(registration.key, keyHolder(self, registration))
  sweep(self, self.keys, (held) => held === undefined)
}

/** Told to end for good, a tenant ends with its present life. */
export const doom = (self: SlotTable, tenant: Tenant): void => {
  tenant.doomed = true
  passKey(self, tenant)
}

/** Puts a tenant at the end of its namesakes. */
const join = ({ names }: SlotTable, tenant: Tenant): void => {
  const { name } = tenant.registration
  const namesakes = names.get(name)
  if (namesakes === undefined) {
    names.set(name, { first: tenant, last: tenant, ready: 0, held: undefined })
    return
  }
  tenant.elder = namesakes.last
  if (namesakes.last === undefined) namesakes.first = tenant
  else namesakes.last.younger = tenant
  namesakes.last = tenant
}

const leave = (self: SlotTable, tenant: Tenant): void => {
  const { elder, younger } = tenant
  const namesakes = self.names.get(tenant.registration.name)!
  if (elder === undefined) namesakes.first = younger
  else elder.younger = younger
  if (younger === undefined) namesakes.last = elder
  else younger.elder = elder
  tenant.elder = tenant.younger = undefined
  // A name that nobody bears holds up nobody.
  if (namesakes.first === undefined) letGo(self, namesakes)
  sweep(self, self.names, ({ first }) => first === undefined)
}

/**
 * A `Map` forgets deleted keys only when it is built anew, and every look-up in
 * between may have to walk past them: a single name that comes and goes would
 * make its turns as long as the table. So what is void stays where it is, and
 * goes all at once when it outnumbers the tenants.
 */
const sweep = <A>({ tenants }: SlotTable, map: Map<string, A>, isVoid: (value: A) => boolean): void => {
  if (map.size <= maxVoid(tenants)) return
  for (const [key, value] of map) {
    if (isVoid(value)) map.delete(key)
  }
}

const maxVoid = (tenants: number): number => 2 * tenants + 64

/** Says that an onlooker sees something else of this tenant now. */
export const touch = (self: SlotTable, tenant: Tenant): void => {
  tenant.version = ++self.version
  self.pages[Math.floor(tenant.ref.slot / pageSize)] = self.version
}

const count = (self: SlotTable, tenant: Tenant, change: 1 | -1): void => {
  self.tenants += change
  if (tenant.job) self.jobs += change
  if (tenant.registration.after !== undefined) countAwaited(self, tenant.registration.after, change)
  const name = tenant.registration.class
  if (name === undefined) return
  self.classes.set(name, countOfClass(self, name) + change)
  sweep(self, self.classes, (counted) => counted === 0)
}

const minSweep = 64

/** A tenant may wait for many names, so it is by their own number that they are swept, twice as many at the latest. */
const countAwaited = (self: SlotTable, names: ReadonlyArray<string>, change: 1 | -1): void => {
  const { awaited } = self
  for (const name of names) awaited.set(name, (awaited.get(name) ?? 0) + change)
  if (awaited.size < self.sweepAwaitedAt) return
  for (const [name, counted] of awaited) {
    if (counted === 0) awaited.delete(name)
  }
  self.sweepAwaitedAt = Math.max(minSweep, 2 * awaited.size)
}

const childGone = (self: SlotTable, tenant: Tenant): void => {
  if (!hasChild(tenant)) return
  self.children--
  if (tenant.attached) self.attachedChildren--
  if (tenant.life._tag === "Running" && findPid(self, tenant.life.pid) === tenant) self.pids.delete(tenant.life.pid)
  if (isReady(tenant)) self.names.get(tenant.registration.name)!.ready--
}

const enter = (self: SlotTable, tenant: Tenant, life: Life): void => {
  tenant.life = life
  touch(self, tenant)
}

export const toWaiting = (self: SlotTable, tenant: Tenant): void => {
  childGone(self, tenant)
  const life: Waiting = { _tag: "Waiting", heldBy: undefined }
  enter(self, tenant, life)
  Heap.push(self.waiting[tenant.registration.startTime], { tenant, life })
}

/** The first name that holds this tenant up: somebody bears it, and none of them is ready. */
export const holderOf = ({ names }: SlotTable, { registration: { after = [] } }: Tenant): string | undefined =>
  after.find((name) => {
    const namesakes = names.get(name)
    return namesakes?.first !== undefined && namesakes.ready === 0
  })

/** Takes a waiting tenant out of its queue until one of this name is ready, or nobody bears it any more. */
export const hold = (self: SlotTable, tenant: Tenant, name: string): void => {
  const life: Waiting = { _tag: "Waiting", heldBy: name }
  enter(self, tenant, life)
  Heap.push(self.names.get(name)!.held ??= waitingQueue(), { tenant, life })
}

/** Who was held up waits for its turn again, and for its other names then. */
const letGo = (self: SlotTable, namesakes: Namesakes): void => {
  const { held } = namesakes
  if (held === undefined) return
  namesakes.held = undefined
  for (let turn = Heap.pop(held); turn !== undefined; turn = Heap.pop(held)) toWaiting(self, turn.tenant)
}

/** Counts a tenant that has become ready, and lets those go that have waited for one of its name. */
export const letFollow = (self: SlotTable, tenant: Tenant): void => {
  const namesakes = self.names.get(tenant.registration.name)!
  namesakes.ready++
  letGo(self, namesakes)
}

/** How a name waits for itself, by way of those that are registered and of whoever starts after these. */
export const roadBack = (
  self: SlotTable,
  name: string,
  after: ReadonlyArray<string>
): ReadonlyArray<string> | undefined => {
  // Mostly nobody waits for whoever is new, and there is nothing to search.
  if (!after.includes(name) && (self.awaited.get(name) ?? 0) === 0) return undefined
  /** By a name that somebody waits for, the name of whoever does. */
  const waiters = new Map(after.map((next) => [next, name]))
  for (const next of waiters.keys()) {
    if (next === name) break
    for (const { registration } of namesakes(self, next)) {
      for (const other of registration.after ?? []) if (!waiters.has(other)) waiters.set(other, next)
    }
  }
  if (!waiters.has(name)) return undefined
  const road = [name]
  for (let waiter = waiters.get(name)!; waiter !== name; waiter = waiters.get(waiter)!) road.unshift(waiter)
  return [name, ...road]
}

export const toStarting = (self: SlotTable, tenant: Tenant): void => {
  enter(self, tenant, { _tag: "Starting", pending: undefined, rung: undefined, killAt: undefined })
  self.children++
  if (tenant.attached) self.attachedChildren++
}

export const toRunning = (self: SlotTable, tenant: Tenant, pid: Pid, now: number): Running => {
  const life: Running = {
    _tag: "Running",
    pid,
    startedAt: now,
    ready: false,
    joined: false,
    told: undefined,
    stopCause: undefined,
    rung: undefined,
    killAt: undefined,
    heardAt: now,
    workedAt: now,
    watchAt: undefined,
    grace: undefined,
    progress: undefined
  }
  enter(self, tenant, life)
  self.pids.set(pid, tenant)
  tenant.lives++
  tenant.failedBirths = 0
  return life
}

export const toResting = (self: SlotTable, tenant: Tenant, dueAt: number): void => {
  childGone(self, tenant)
  const life: Resting = { _tag: "Resting", dueAt }
  enter(self, tenant, life)
  Heap.push(self.due, { tenant, life })
}

export const toParked = (self: SlotTable, tenant: Tenant): void => {
  childGone(self, tenant)
  enter(self, tenant, { _tag: "Parked" })
}

export const toDown = (self: SlotTable, tenant: Tenant): void => {
  childGone(self, tenant)
  enter(self, tenant, { _tag: "Down" })
}

/** Adds the last word on a life. The oldest is forgotten. */
export const remember = (tenant: Tenant, record: LifeRecord): void => {
  tenant.history = [...tenant.history.slice(1 - maxRemembered), record]
}

export const lastExit = (tenant: Tenant): ExitStatus | undefined => tenant.history.at(-1)?.status

/** Sets when a tenant's child is told more harshly if it has not ended by then. */
export const setDeadline = (self: SlotTable, tenant: Tenant, life: Starting | Running, at: number): void => {
  life.killAt = at
  Heap.push(self.deadlines, { tenant, life, at })
}

/** Whose turn it is among the start times given: who registered first. */
export const nextWaiting = (self: SlotTable, open: ReadonlyArray<StartTime>): Tenant | undefined => {
  let next: Turn | undefined
  for (const startTime of open) {
    const turn = Heap.peek(self.waiting[startTime])
    if (turn !== undefined && (next === undefined || turn.tenant.sequence < next.tenant.sequence)) next = turn
  }
  return next?.tenant
}

/** Moves everyone whose rest is over (equality is over) to the waiting queues. */
export const wakeRested = (self: SlotTable, now: number): void => {
  while (true) {
    const due = Heap.peek(self.due)
    if (due === undefined || due.life.dueAt > now) return
    toWaiting(self, due.tenant)
  }
}

/** Takes the next tenant whose deadline has passed. */
export const nextOverdue = (self: SlotTable, now: number): Tenant | undefined => {
  const deadline = Heap.peek(self.deadlines)
  if (deadline === undefined || deadline.at > now) return undefined
  deadline.life.killAt = undefined
  return deadline.tenant
}

/** Sets when a life is looked at for a sign. */
export const setWatch = (self: SlotTable, tenant: Tenant, life: Running, at: number | undefined): void => {
  life.watchAt = at
  if (at === undefined) return
  Heap.push(self.watches, { tenant, life, at })
}

/** Takes the next tenant that is to be looked at, with its life. */
export const nextWatched = (self: SlotTable, now: number): Vigil | undefined => {
  const vigil = Heap.peek(self.watches)
  if (vigil === undefined || vigil.at > now) return undefined
  vigil.life.watchAt = undefined
  return vigil
}

export const nextWatchAt = (self: SlotTable): number | undefined => Heap.peek(self.watches)?.at

export const nextDueAt = (self: SlotTable): number | undefined => Heap.peek(self.due)?.life.dueAt

export const nextDeadlineAt = (self: SlotTable): number | undefined => Heap.peek(self.deadlines)?.at

export const stateOf = (tenant: Tenant): WorkerState => {
  switch (tenant.life._tag) {
    case "Waiting":
    case "Starting":
      return tenant.life._tag
    case "Running":
      return tenant.life.told !== undefined ? "Stopping" : tenant.life.ready ? "Ready" : "Started"
    case "Parked":
      return "Parked"
    case "Resting":
    case "Down":
      return "Resting"
  }
}

/** A table with these tenants, seated as they say; counts and queues are made anew. */
export const restore = (options: {
  readonly size: number
  readonly generations: ReadonlyArray<number>
  readonly sequence: number
  readonly tenants: ReadonlyArray<Lodger>
}): SlotTable => {
  const self = make(options.size)
  self.generations.push(...options.generations)
  self.untouched = options.generations.length
  self.sequence = options.sequence
  // Namesakes are listed in the order in which they came.
  for (const lodger of options.tenants.toSorted((self, that) => self.sequence - that.sequence)) {
    const tenant: Tenant = { ...lodger, life: { ...lodger.life }, version: 0, elder: undefined, younger: undefined }
    const life = tenant.life
    admit(self, tenant)
    if (life._tag === "Running") self.pids.set(life.pid, tenant)
    if (isReady(tenant)) self.names.get(tenant.registration.name)!.ready++
    if (hasChild(tenant)) {
      self.children++
      if (tenant.attached) self.attachedChildren++
    }
    if (life._tag === "Waiting" && life.heldBy === undefined) {
      Heap.push(self.waiting[tenant.registration.startTime], { tenant, life })
    }
    if (life._tag === "Resting") Heap.push(self.due, { tenant, life })
    if ("killAt" in life && life.killAt !== undefined) {
      Heap.push(self.deadlines, { tenant, life, at: life.killAt })
    }
    if (life._tag === "Running") setWatch(self, tenant, life, life.watchAt)
  }
  for (let slot = 0; slot < self.untouched; slot++) {
    if (self.seats[slot] === undefined) Heap.push(self.freed, slot)
  }
  // When everybody is there whom they wait for.
  for (const tenant of tenants(self)) {
    const { life } = tenant
    if (life._tag !== "Waiting" || life.heldBy === undefined) continue
    Heap.push(self.names.get(life.heldBy)!.held ??= waitingQueue(), { tenant, life })
  }
  return self
}

/** An independent table in the same state; the search branches with it. */
export const copy = (self: SlotTable): SlotTable =>
  restore({
    size: self.size,
    generations: self.generations,
    sequence: self.sequence,
    tenants: tenants(self)
  })

/** The first invariant that does not hold, in words, or `undefined`. For tests and the search. */
export const broken = (self: SlotTable): string | undefined => {
  const seated = tenants(self)
  const number = (predicate: (tenant: Tenant) => boolean): number => seated.filter(predicate).length
  const standing = <A extends { readonly tenant: Tenant }>(heap: Heap.Heap<A>, tenant: Tenant): number =>
    heap.items.filter((entry) => entry.tenant === tenant && heap.isValid(entry)).length
  for (const [slot, tenant] of self.seats.entries()) {
    if (tenant === undefined) continue
    if (tenant.ref.slot !== slot) return `T1: slot ${slot} holds a tenant of slot ${tenant.ref.slot}`
    if (tenant.ref.generation !== self.generations[slot]) return `T2: slot ${slot} has a tenant of another generation`
    const life = tenant.life
    if (life._tag === "Waiting") {
      const { heldBy } = life
      const queued = standing(self.waiting[tenant.registration.startTime], tenant)
      const holders = heldBy === undefined ? undefined : self.names.get(heldBy)
      const held = holders?.held === undefined ? 0 : standing(holders.held, tenant)
      if (queued + held !== 1 || (held === 1) !== (heldBy !== undefined)) {
        return `T5: the tenant of slot ${slot} waits in no queue, or in two`
      }
      if (heldBy !== undefined && (holders!.first === undefined || holders!.ready > 0)) {
        return `T5: the tenant of slot ${slot} is held up by "${heldBy}" without need`
      }
    }
    if (life._tag === "Resting" && standing(self.due, tenant) !== 1) {
      return `T6: the tenant of slot ${slot} rests without being due, or twice`
    }
    if ("killAt" in life && life.killAt !== undefined && standing(self.deadlines, tenant) === 0) {
      return `T7: the deadline of slot ${slot} is forgotten`
    }
    if (life._tag === "Running" && life.told === undefined) {
      const limit = Liveness.nextLimit(tenant.registration, life)
      const until = limit === undefined || life.grace?.limit !== limit.at ? limit?.at : life.grace.until
      if ((standing(self.watches, tenant) > 0) !== (limit !== undefined)) return `T14: who watches slot ${slot}?`
      if (until !== undefined && life.watchAt! > until) return `T14: slot ${slot} is looked at too late`
    }
    const { owner } = tenant
    if (owner !== undefined && !tenant.doomed) {
      if (findLife(self, owner) === undefined) return `T12: slot ${slot} has outlived its owner`
      if (self.owned[owner.ref.slot]?.has(slot) !== true) return `T12: slot ${slot} is not known to its owner`
    }
    if (tenant.successor !== undefined) {
      const successor = find(self, tenant.successor)
      if (successor?.replaces === undefined || find(self, successor.replaces) !== tenant) {
        return `T13: the successor of slot ${slot} knows nothing of it`
      }
      if (tenant.doomed || successor.doomed) return `T13: slot ${slot} or its successor is doomed`
      if (successor.successor !== undefined) return `T13: the successor of slot ${slot} is being replaced`
      if (successor.life._tag === "Running" && successor.life.ready) {
        return `T13: slot ${slot} has a successor that is ready`
      }
    }
    if (!namesakes(self, tenant.registration.name).includes(tenant)) return `T9: slot ${slot} is not found by its name`
    const { key } = tenant.registration
    if (key !== undefined && findKey(self, key) !== keyHolder(self, tenant.registration)) {
      return `T15: slot ${slot} or its successor is not found by its key`
    }
    const bearer = life._tag === "Running" ? findPid(self, life.pid) : tenant
    if (bearer === undefined) return `T10: slot ${slot} is not found by its pid`
    const page = self.pages[Math.floor(slot / pageSize)]!
    if (!(tenant.version <= page && page <= self.version)) return `T11: slot ${slot} has changed, and its page has not`
  }
  for (const [slot, slots] of self.owned.entries()) {
    for (const owned of slots ?? []) {
      const owner = self.seats[owned]?.owner
      if (owner?.ref.slot !== slot) return `T12: slot ${slot} owns slot ${owned}, which knows nothing of it`
      if (findLife(self, owner) === undefined) return `T12: slot ${slot} owns slot ${owned} beyond its life`
    }
  }
  if (seated.length !== self.tenants) return `T4: ${self.tenants} tenants counted, ${seated.length} seated`
  if (number(hasChild) !== self.children) return `T4: ${self.children} children counted, ${number(hasChild)} alive`
  if (number((_) => _.attached && hasChild(_)) !== self.attachedChildren) return "T4: attached children miscounted"
  if (number((_) => _.job) !== self.jobs) return "T4: jobs miscounted"
  for (const [name, counted] of self.awaited) {
    const waiters = seated.flatMap(({ registration }) => registration.after ?? []).filter((one) => one === name)
    if (waiters.length !== counted) return `T4: those who start after "${name}" miscounted`
  }
  for (const [name, counted] of self.classes) {
    if (number((_) => _.registration.class === name) !== counted) return `T4: class "${name}" miscounted`
  }
  for (let slot = 0; slot < self.untouched; slot++) {
    const free = self.seats[slot] === undefined
    if (free !== self.freed.items.includes(slot)) {
      return `T8: slot ${slot} is ${free ? "free but lost" : "taken but free"}`
    }
  }
  for (const [name, { last, ready }] of self.names) {
    const found = namesakes(self, name)
    if (found.filter(isReady).length !== ready) {
      return `T5: "${name}" counts ${ready} that are ready`
    }
    const fits = found.every((tenant, index) =>
      self.seats[tenant.ref.slot] === tenant && tenant.registration.name === name &&
      tenant.elder === found[index - 1] && (index === 0 || found[index - 1]!.sequence < tenant.sequence)
    )
    if (!fits || found.at(-1) !== last) return `T9: "${name}" finds somebody else, or in the wrong order`
  }
  if (self.names.size > maxVoid(self.tenants)) return "T9: names that nobody bears pile up"
  for (const [key, holder] of self.keys) {
    if (holder !== undefined && (self.seats[holder.ref.slot] !== holder || holder.registration.key !== key)) {
      return `T15: key "${key}" finds somebody else`
    }
  }
  if (self.keys.size > maxVoid(self.tenants)) return "T15: keys that nobody holds pile up"
  for (const [pid, { life, ref }] of self.pids) {
    const bears = life._tag === "Running" && life.pid === pid
    if (!bears || self.seats[ref.slot]?.life !== life) return `T10: pid ${pid} finds somebody else`
  }
  return undefined
}
