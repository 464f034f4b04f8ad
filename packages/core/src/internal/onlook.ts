/**
 * What onlookers are shown of the machine's state: plain data, in the time of
 * the world outside. Nothing is decided here.
 */
import type { PostmasterSnapshot, WorkerSnapshot } from "../Snapshot.ts"
import type * as Machine from "./machine.ts"
import * as SlotTable from "./slotTable.ts"

/** The table for onlookers; `epoch` is what to add to the machine's time to get milliseconds since the epoch. */
export const snapshot = (state: Machine.State, epoch: number): PostmasterSnapshot => ({
  phase: state.phase,
  ...(state.shutdown === undefined ? undefined : { shutdown: state.shutdown }),
  recovering: state.recovering,
  ...(state.reinitializeAt === undefined ? undefined : { reinitializeAt: state.reinitializeAt + epoch }),
  maxWorkers: state.settings.maxWorkers,
  freeSlots: state.settings.maxWorkers - state.table.tenants,
  workers: SlotTable.tenants(state.table).map((tenant) => workerSnapshot(tenant, epoch))
})

const workerSnapshot = (tenant: SlotTable.Tenant, epoch: number): WorkerSnapshot => {
  const { life, registration } = tenant
  return {
    ref: tenant.ref,
    name: registration.name,
    type: registration.type,
    ...(registration.class === undefined ? undefined : { class: registration.class }),
    attached: tenant.attached,
    startTime: registration.startTime,
    state: SlotTable.stateOf(tenant),
    restarts: Math.max(0, tenant.lives - 1),
    registeredAt: tenant.registeredAt + epoch,
    ...(life._tag === "Running" ? { pid: life.pid, startedAt: life.startedAt + epoch } : undefined),
    ...(life._tag === "Resting" ? { nextStartAt: life.dueAt + epoch } : undefined),
    ...(tenant.lastExit === undefined ? undefined : { lastExit: tenant.lastExit })
  }
}
