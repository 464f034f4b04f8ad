/**
 * What onlookers are shown of the machine's state: plain data, in the time of
 * the world outside. Nothing is decided here.
 *
 * A turn pays nothing for being looked at. Whoever looks pays for what has
 * changed since the last look, page by page; all else is what it was, down to
 * the very objects. So nothing in a snapshot is ever written to.
 */
import * as Equal from "effect/Equal"
import { shift } from "../LifeRecord.ts"
import type { Breaker, PostmasterSnapshot, SpareSnapshot, WorkerSnapshot } from "../Snapshot.ts"
import * as Machine from "./machine.ts"
import * as SlotTable from "./slotTable.ts"

/** One state, and what was seen of it at the last look. */
export interface Onlook {
  readonly state: Machine.State
  /** What to add to the machine's time to get milliseconds since the epoch. */
  readonly epoch: number
  readonly pages: Array<Page>
  /** The version of the table that the pages show. */
  version: number
  frame: Frame
  last: PostmasterSnapshot
}

interface Page {
  readonly version: number
  readonly workers: ReadonlyArray<WorkerSnapshot>
}

/** A snapshot without its workers. */
type Frame = Omit<PostmasterSnapshot, "workers">

export const make = (state: Machine.State, epoch: number): Onlook => {
  const frame = frameOf(state, epoch)
  return { state, epoch, pages: [], version: 0, frame, last: { ...frame, workers: [] } }
}

/** The table as it is now; the very snapshot of the last look, if nothing has changed. */
export const look = (self: Onlook): PostmasterSnapshot => {
  const { table } = self.state
  const frame = frameOf(self.state, self.epoch)
  if (self.version !== table.version) {
    self.version = table.version
    self.last = { ...frame, workers: workers(self) }
  } else if (!Equal.equals(frame, self.frame)) {
    self.last = { ...frame, workers: self.last.workers }
  }
  self.frame = frame
  return self.last
}

/** For whoever looks only once. */
export const snapshot = (state: Machine.State, epoch: number): PostmasterSnapshot => look(make(state, epoch))

const breakerOf = (state: Machine.State, epoch: number): Breaker => {
  const { crashCycles, reinitializeAt } = state
  const healthyAt = Machine.healthyAt(state)
  return {
    recoveries: reinitializeAt === undefined && healthyAt === undefined ? 0 : crashCycles + 1,
    ...(reinitializeAt === undefined ? undefined : { nextAt: reinitializeAt + epoch }),
    ...(healthyAt === undefined ? undefined : { healthyAt: healthyAt + epoch })
  }
}

const frameOf = (state: Machine.State, epoch: number): Frame => {
  const nextSpareAt = Machine.nextSpareAt(state)
  return {
    phase: state.phase,
    ...(state.shutdown === undefined ? undefined : { shutdown: state.shutdown }),
    recovering: state.recovering,
    breaker: breakerOf(state, epoch),
    maxWorkers: state.settings.maxWorkers,
    freeSlots: state.settings.maxWorkers - state.table.tenants,
    waiting: state.lobby.waiters.size,
    spares: [...state.spares.standing.values()].map(({ pid, since, spare }): SpareSnapshot => ({
      spare,
      state: pid === undefined ? "Starting" : "Ready",
      ...(pid === undefined ? undefined : { pid }),
      since: since + epoch
    })),
    ...(nextSpareAt === undefined ? undefined : { nextSpareAt: nextSpareAt + epoch })
  }
}

const workers = ({ epoch, pages, state: { table } }: Onlook): ReadonlyArray<WorkerSnapshot> => {
  for (const [number, version] of table.pages.entries()) {
    if (pages[number]?.version !== version) pages[number] = turn(table, number, version, epoch, pages[number])
  }
  return Array.prototype.concat(...pages.map((page) => page.workers))
}

/** Writes a page anew; whoever has not changed since the page before is taken from there. */
const turn = (
  table: SlotTable.SlotTable,
  number: number,
  version: number,
  epoch: number,
  before: Page | undefined
): Page => {
  const known = new Map(before?.workers.map((worker) => [worker.ref.slot, worker]))
  const workers: Array<WorkerSnapshot> = []
  const start = number * SlotTable.pageSize
  for (const tenant of table.seats.slice(start, start + SlotTable.pageSize)) {
    if (tenant === undefined) continue
    const worker = before !== undefined && tenant.version <= before.version ? known.get(tenant.ref.slot) : undefined
    workers.push(worker ?? workerSnapshot(tenant, epoch))
  }
  return { version, workers }
}

/** One worker as it is now. */
export const workerSnapshot = (tenant: SlotTable.Tenant, epoch: number): WorkerSnapshot => {
  const { life, registration } = tenant
  const last = tenant.history.at(-1)
  return {
    ref: tenant.ref,
    name: registration.name,
    type: registration.type,
    ...(registration.class === undefined ? undefined : { class: registration.class }),
    ...(registration.key === undefined ? undefined : { key: registration.key }),
    attached: tenant.attached,
    startTime: registration.startTime,
    restart: registration.restart,
    ...(registration.stopTimeoutMillis === undefined
      ? undefined
      : { stopTimeoutMillis: registration.stopTimeoutMillis }),
    ...(registration.stopLadder === undefined ? undefined : { stopLadder: registration.stopLadder }),
    state: SlotTable.stateOf(tenant),
    restarts: Math.max(0, tenant.lives - 1),
    registeredAt: tenant.registeredAt + epoch,
    ...(life._tag === "Running" ? { pid: life.pid, startedAt: life.startedAt + epoch } : undefined),
    ...(life._tag !== "Waiting" || life.heldBy === undefined ? undefined : { waitingFor: life.heldBy }),
    ...(life._tag !== "Running" || life.progress === undefined
      ? undefined
      : { progress: { ...life.progress, at: life.progress.at + epoch } }),
    ...(life._tag === "Resting" ? { nextStartAt: life.dueAt + epoch } : undefined),
    ...(last === undefined ? undefined : { lastExit: last.status, lastLife: shift(last, epoch) })
  }
}
