/**
 * The machine's state as plain data: enough to go on from it. What can be
 * counted or queued again from the tenants is left out.
 */
import * as Schema from "effect/Schema"
import { Pid, SlotRef } from "../Identity.ts"
import { LifeRecord } from "../LifeRecord.ts"
import { Phase, ShutdownMode } from "../Phase.ts"
import { ProgressSeen } from "../Progress.ts"
import { isAttached, LifeRef, Registrant, Registration } from "../Registration.ts"
import { isJob } from "../Restart.ts"
import { StopCause } from "../StopCause.ts"
import { SignalTarget, WorkerSignal } from "../WorkerSignal.ts"
import * as Lobby from "./lobby.ts"
import type * as Machine from "./machine.ts"
import * as SlotTable from "./slotTable.ts"

export const Settings = Schema.Struct({
  maxWorkers: Schema.Natural,
  classLimits: Schema.Record(Schema.String, Schema.Natural),
  reservedSlots: Schema.Record(Schema.String, Schema.Natural),
  // May be infinite.
  // @effect-diagnostics-next-line schemaNumber:off
  killAfter: Schema.Number,
  // @effect-diagnostics-next-line schemaNumber:off
  stopTimeout: Schema.Number,
  maxLaunchesPerTurn: Schema.Natural,
  restartAfterCrash: Schema.Boolean,
  spares: Schema.Natural
})

const Life = Schema.TaggedUnion({
  Waiting: { heldBy: Schema.UndefinedOr(Schema.String) },
  Starting: {
    pending: Schema.UndefinedOr(Schema.Struct({ signal: WorkerSignal, target: SignalTarget, cause: StopCause })),
    rung: Schema.UndefinedOr(Schema.Natural),
    killAt: Schema.UndefinedOr(Schema.Finite)
  },
  Running: {
    pid: Pid,
    startedAt: Schema.Finite,
    ready: Schema.Boolean,
    joined: Schema.Boolean,
    told: Schema.UndefinedOr(WorkerSignal),
    stopCause: Schema.UndefinedOr(StopCause),
    rung: Schema.UndefinedOr(Schema.Natural),
    killAt: Schema.UndefinedOr(Schema.Finite),
    heardAt: Schema.Finite,
    workedAt: Schema.Finite,
    watchAt: Schema.UndefinedOr(Schema.Finite),
    grace: Schema.UndefinedOr(Schema.Struct({ limit: Schema.Finite, until: Schema.Finite })),
    progress: Schema.UndefinedOr(ProgressSeen)
  },
  Resting: { dueAt: Schema.Finite },
  Parked: {},
  Down: {}
})

const Tenant = Schema.Struct({
  ref: SlotRef,
  registration: Registration,
  sequence: Schema.Natural,
  registeredAt: Schema.Finite,
  life: Life,
  lives: Schema.Natural,
  failedBirths: Schema.Natural,
  failures: Schema.Natural,
  failedAt: Schema.Array(Schema.Finite),
  replaces: Schema.UndefinedOr(SlotRef),
  successor: Schema.UndefinedOr(SlotRef),
  doomed: Schema.Boolean,
  history: Schema.Array(LifeRecord),
  owner: Schema.UndefinedOr(LifeRef),
  request: Schema.UndefinedOr(Schema.Natural)
})

const Waiter = Schema.Struct({
  request: Schema.Natural,
  registration: Registration,
  registrant: Registrant,
  since: Schema.Finite,
  // May be infinite.
  // @effect-diagnostics-next-line schemaNumber:off
  until: Schema.Number
})

export const Checkpoint = Schema.Struct({
  phase: Phase,
  startupRun: Schema.Natural,
  shutdown: Schema.UndefinedOr(ShutdownMode),
  stopping: Schema.Boolean,
  recovering: Schema.Boolean,
  abnormal: Schema.UndefinedOr(Schema.String),
  killAt: Schema.UndefinedOr(Schema.Finite),
  reinitializeAt: Schema.UndefinedOr(Schema.Finite),
  reinitializedAt: Schema.UndefinedOr(Schema.Finite),
  crashCycles: Schema.Natural,
  /** Per slot that was ever taken. */
  generations: Schema.Array(Schema.Natural),
  sequence: Schema.Natural,
  tenants: Schema.Array(Tenant),
  /** In the order of their coming. */
  lobby: Schema.Struct({ waiters: Schema.Array(Waiter), stirred: Schema.Boolean }),
  spares: Schema.Struct({
    standing: Schema.Array(Schema.Struct({
      spare: Schema.Natural,
      since: Schema.Finite,
      pid: Schema.UndefinedOr(Pid)
    })),
    modules: Schema.Array(Schema.String),
    next: Schema.Natural,
    losses: Schema.Natural,
    notBefore: Schema.Finite
  })
})

export interface Checkpoint extends Schema.Schema.Type<typeof Checkpoint> {}

/** Arguments decide nothing, may be large, and may be secret. */
export const withoutArguments = (registration: Registration): Registration => ({ ...registration, args: null })

export const save = (state: Machine.State): Checkpoint => ({
  phase: state.phase,
  startupRun: state.startupRun,
  shutdown: state.shutdown,
  stopping: state.stopping,
  recovering: state.recovering,
  abnormal: state.abnormal,
  killAt: state.killAt,
  reinitializeAt: state.reinitializeAt,
  reinitializedAt: state.reinitializedAt,
  crashCycles: state.crashCycles,
  generations: [...state.table.generations],
  sequence: state.table.sequence,
  tenants: SlotTable.tenants(state.table).map((tenant) => ({
    ref: tenant.ref,
    registration: withoutArguments(tenant.registration),
    sequence: tenant.sequence,
    registeredAt: tenant.registeredAt,
    life: { ...tenant.life },
    lives: tenant.lives,
    failedBirths: tenant.failedBirths,
    failures: tenant.failures,
    failedAt: tenant.failedAt,
    replaces: tenant.replaces,
    successor: tenant.successor,
    doomed: tenant.doomed,
    history: tenant.history,
    owner: tenant.owner,
    request: tenant.request
  })),
  lobby: {
    waiters: [...state.lobby.waiters.values()].map((waiter) => ({
      ...waiter,
      registration: withoutArguments(waiter.registration)
    })),
    stirred: state.lobby.stirred
  },
  spares: {
    standing: [...state.spares.standing.values()],
    modules: [...state.spares.modules],
    next: state.spares.next,
    losses: state.spares.losses,
    notBefore: state.spares.notBefore
  }
})

export const load = (settings: Machine.Settings, checkpoint: Checkpoint): Machine.State => {
  const { generations, lobby, sequence, spares, tenants, ...rest } = checkpoint
  const table = SlotTable.restore({
    size: settings.maxWorkers,
    generations,
    sequence,
    tenants: tenants.map((tenant) => ({
      ...tenant,
      attached: isAttached(tenant.registration),
      job: isJob(tenant.registration.restart)
    }))
  })
  return {
    ...rest,
    settings,
    table,
    lobby: Lobby.restore(lobby.waiters, lobby.stirred),
    spares: {
      ...spares,
      wanted: settings.spares,
      launches: tenants.filter((tenant) => tenant.life._tag === "Starting").length,
      standing: new Map(spares.standing.map((spare) => [spare.spare, spare])),
      modules: new Set(spares.modules)
    }
  }
}
