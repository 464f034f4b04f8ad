/** The machine with its table, driven by hand: no clock, no fiber and no child, as the machine itself has none. */
import type { Pid, SlotRef } from "../packages/core/src/Identity.ts"
import * as Machine from "../packages/core/src/internal/machine.ts"
import type { Registration } from "../packages/core/src/Registration.ts"

export interface Table {
  readonly state: Machine.State
  now: number
  requests: number
}

const restMillis = 10

const registration: Registration = {
  name: "bench",
  type: "bench",
  entry: { module: "file:///bench.js", export: "main" },
  args: null,
  flags: [],
  startTime: "RecoveryFinished",
  restart: { _tag: "After", delayMillis: restMillis, onSuccess: "Unregister" }
}

const pid = 1 as Pid

export const make = (slots: number): Table => {
  const state = Machine.make({
    maxWorkers: slots,
    classLimits: {},
    reservedSlots: {},
    killAfter: 5_000,
    stopTimeout: 30_000,
    maxLaunchesPerTurn: 100,
    restartAfterCrash: true,
    spares: 0
  })
  Machine.step(state, { _tag: "PhaseReached", phase: "Startup", run: 0 }, 0)
  Machine.step(state, { _tag: "PhaseReached", phase: "Run", run: 0 }, 0)
  return { state, now: 0, requests: 0 }
}

const started = ({ now, state }: Table, ref: SlotRef) => Machine.step(state, { _tag: "ChildStarted", ref, pid }, now)

const exited = ({ now, state }: Table, ref: SlotRef, code: number) =>
  Machine.step(state, { _tag: "ChildExited", ref, status: { _tag: "Exited", code } }, now)

/** Two turns: one more is registered, and runs. */
const begin = (table: Table): SlotRef => {
  const input = {
    _tag: "RegisterRequested",
    request: ++table.requests,
    registration,
    registrant: "Application"
  } as const
  const reply = Machine.step(table.state, input, table.now).find((action) => action._tag === "Reply")
  if (reply === undefined) throw new Error("the machine has refused a registration")
  started(table, reply.ref)
  return reply.ref
}

/** Filling a table takes seconds at most, unless every turn walks through it: then it would never end. */
const patienceMillis = 20_000

/** So many more run. */
export const fill = (table: Table, tenants: number): void => {
  const begun = performance.now()
  for (let index = 0; index < tenants; index++) {
    begin(table)
    if (performance.now() - begun > patienceMillis) {
      throw new Error(`${index + 1} of ${tenants} registrations have taken ${patienceMillis / 1000} s`)
    }
  }
}

/** Everybody's work is done. */
export const empty = (table: Table): void => {
  for (const tenant of table.state.table.seats) {
    if (tenant !== undefined) exited(table, tenant.ref, 0)
  }
  if (table.state.table.tenants > 0) throw new Error("somebody is left")
}

export const turnsPerCycle = 6

/** Register, start, exit 1, wake, start, exit 0: afterwards the slot is as free as before. */
export const cycle = (table: Table): void => {
  const before = table.state.table.tenants
  const ref = begin(table)
  exited(table, ref, 1)
  table.now += restMillis
  Machine.step(table.state, { _tag: "Woke" }, table.now)
  started(table, ref)
  exited(table, ref, 0)
  if (table.state.table.tenants !== before) throw new Error("the cycle has not come to its end")
  table.now += restMillis
}
