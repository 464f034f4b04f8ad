/**
 * A small world for the machine to live in: what children, callers and time can
 * do next, and nothing else. The world remembers only what it needs to offer
 * the next facts and to judge the orders.
 */
import { exited, type ExitStatus, signaled } from "@effect-postmaster/core/ExitStatus"
import type { Pid, SlotRef } from "@effect-postmaster/core/Identity"
import { formatRef, sameRef } from "@effect-postmaster/core/Identity"
import type { Registration } from "@effect-postmaster/core/Registration"
import * as Restart from "@effect-postmaster/core/Restart"
import { ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import type { WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as Machine from "../../src/internal/machine.ts"

export interface Child {
  readonly ref: SlotRef
  readonly registration: Registration
  readonly born: boolean
  readonly ready: boolean
  readonly attached: boolean
  readonly detached: boolean
  readonly told: ReadonlyArray<WorkerSignal>
}

/** What the world knows of one tenancy, beside the machine's own word. */
export interface Tenancy {
  readonly ref: SlotRef
  readonly registration: Registration
  readonly over: boolean
  readonly terminated: boolean
  readonly births: number
  /** When it may start again, by the world's own reckoning. */
  readonly notBefore: number
}

export interface World {
  readonly machine: Machine.State
  readonly now: number
  readonly children: ReadonlyArray<Child>
  readonly tenancies: ReadonlyArray<Tenancy>
  readonly crashesLeft: number
  readonly failedBirthsLeft: number
  readonly requests: number
}

export interface Bounds {
  readonly slots: number
  readonly registrations: number
  readonly menu: ReadonlyArray<Registration>
  readonly preload?: ReadonlyArray<Registration>
  readonly crashes: number
  readonly failedBirths: number
  readonly restartAfterCrash: boolean
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

export const settings = (bounds: Pick<Bounds, "restartAfterCrash" | "slots">): Machine.Settings => ({
  maxWorkers: bounds.slots,
  classLimits: { parallel: 1 },
  killAfter: 5_000,
  stopTimeout: 30_000,
  maxLaunchesPerTurn: 1,
  restartAfterCrash: bounds.restartAfterCrash
})

const preloaded = (world: World, one: Registration): World =>
  apply(world, { _tag: "RegisterRequested", request: world.requests, registration: one, registrant: "Preload" }).world

export const initial = (bounds: Bounds): World => {
  const empty: World = {
    machine: Machine.make(settings(bounds)),
    now: 0,
    children: [],
    tenancies: [],
    crashesLeft: bounds.crashes,
    failedBirthsLeft: bounds.failedBirths,
    requests: 0
  }
  const seated = (bounds.preload ?? []).reduce(preloaded, empty)
  return apply(seated, { _tag: "PhaseReached", phase: "Startup", run: 0 }).world
}

const spawnError = new SpawnError({ reason: new ProcessNotStarted({ worker: "w", detail: "no more processes" }) })

/** Everything that can happen next. `at` is when it is heard; only waking moves time. */
export const facts = (
  world: World,
  bounds: Bounds
): ReadonlyArray<{ readonly input: Machine.Input; readonly at: number }> => {
  const { machine, now } = world
  if (machine.phase === "Halted") return []
  const inputs: Array<Machine.Input> = []
  if (world.tenancies.length < bounds.registrations + (bounds.preload?.length ?? 0)) {
    for (const one of bounds.menu) {
      inputs.push({
        _tag: "RegisterRequested",
        request: world.requests,
        registration: one,
        registrant: "Application"
      })
    }
  }
  for (const { ref } of world.tenancies) inputs.push({ _tag: "TerminateRequested", ref })
  if (machine.phase === "Startup") {
    inputs.push({ _tag: "PhaseReached", phase: "Consistent", run: machine.startupRun })
    inputs.push({ _tag: "StartupFailed", run: machine.startupRun, detail: "no" })
  }
  if (machine.phase === "Startup" || machine.phase === "Consistent") {
    inputs.push({ _tag: "PhaseReached", phase: "Run", run: machine.startupRun })
  }
  // The word of a run of before a crash.
  if (machine.startupRun > 0) inputs.push({ _tag: "PhaseReached", phase: "Run", run: machine.startupRun - 1 })
  inputs.push({ _tag: "ReloadRequested" })
  for (const mode of ["Smart", "Fast", "Immediate"] as const) inputs.push({ _tag: "ShutdownRequested", mode })
  for (const child of world.children) inputs.push(...childFacts(world, child))
  const heard = inputs.map((input) => ({ input, at: now }))
  const wakeAt = Machine.nextWakeAt(machine)
  if (wakeAt === undefined) return heard
  // Woken in time, and too early.
  return [...heard, { input: { _tag: "Woke" }, at: Math.max(now, wakeAt) }, { input: { _tag: "Woke" }, at: now }]
}

const childFacts = (world: World, child: Child): ReadonlyArray<Machine.Input> => {
  const { ref } = child
  if (!child.born) {
    const started: Machine.Input = { _tag: "ChildStarted", ref, pid: (ref.slot + 1) as Pid }
    return world.failedBirthsLeft > 0 ? [started, { _tag: "ChildNotStarted", ref, error: spawnError }] : [started]
  }
  const inputs: Array<Machine.Input> = []
  if (!child.ready) inputs.push({ _tag: "ChildReady", ref })
  if (child.registration.flags.includes("SharedMemory")) {
    if (!child.attached) inputs.push({ _tag: "ChildAttached", ref })
    else if (!child.detached) inputs.push({ _tag: "ChildDetached", ref })
  }
  const ends: Array<ExitStatus> = [exited(0), exited(1)]
  if (child.told.includes("SIGKILL")) ends.push(signaled("SIGKILL", { ordered: true }))
  if (child.told.includes("SIGQUIT") || world.crashesLeft > 0) ends.push(exited(2))
  if (world.crashesLeft > 0) ends.push(signaled("SIGSEGV"))
  for (const status of ends) inputs.push({ _tag: "ChildExited", ref, status })
  return inputs
}

const isCrash = (status: ExitStatus): boolean =>
  (status._tag === "Exited" && status.code > 1) || (status._tag === "Signaled" && !status.ordered)

/** One turn: the machine on a copy of its state, and the world's own account of the same facts and orders. */
export const apply = (
  before: World,
  input: Machine.Input,
  at = before.now
): { readonly world: World; readonly actions: ReadonlyArray<Machine.Action> } => {
  const machine = Machine.copy(before.machine)
  const actions = Machine.step(machine, input, at)
  let { children, crashesLeft, failedBirthsLeft, requests, tenancies } = before
  const amend = (ref: SlotRef, change: Partial<Tenancy>) => {
    tenancies = tenancies.map((one) => sameRef(one.ref, ref) ? { ...one, ...change } : one)
  }
  const change = (ref: SlotRef, change: Partial<Child>) => {
    children = children.map((one) => sameRef(one.ref, ref) ? { ...one, ...change } : one)
  }
  switch (input._tag) {
    case "ChildStarted":
      change(input.ref, { born: true })
      amend(input.ref, { births: tenancies.find((one) => sameRef(one.ref, input.ref))!.births + 1 })
      break
    case "ChildReady":
      change(input.ref, { ready: true })
      break
    case "ChildAttached":
      change(input.ref, { attached: true })
      break
    case "ChildDetached":
      change(input.ref, { detached: true })
      break
    case "TerminateRequested":
      amend(input.ref, { terminated: true })
      break
    case "ChildNotStarted":
    case "ChildExited": {
      const child = children.find((one) => sameRef(one.ref, input.ref))!
      children = children.filter((one) => one !== child)
      if (input._tag === "ChildNotStarted") failedBirthsLeft--
      if (input._tag === "ChildExited" && isCrash(input.status) && !child.told.includes("SIGQUIT")) crashesLeft--
      const { restart } = child.registration
      const done = input._tag === "ChildExited" && input.status._tag === "Exited" && input.status.code === 0
      amend(input.ref, { notBefore: restart._tag === "After" && !done ? at + restart.delayMillis : at })
      break
    }
    case "RegisterRequested":
      requests++
      break
  }
  for (const action of actions) {
    switch (action._tag) {
      case "Reply":
        if (input._tag !== "RegisterRequested") break
        tenancies = [...tenancies, {
          ref: action.ref,
          registration: input.registration,
          over: false,
          terminated: false,
          births: 0,
          notBefore: at
        }]
        break
      case "Spawn":
        children = [...children, {
          ref: action.launch.ref,
          registration: action.launch.registration,
          born: false,
          ready: false,
          attached: false,
          detached: false,
          told: []
        }]
        break
      case "Signal": {
        const child = children.find((one) => sameRef(one.ref, action.ref))
        if (child !== undefined) change(action.ref, { told: [...child.told, action.signal] })
        break
      }
      case "Notify":
        if (action.gone) amend(action.ref, { over: true })
        break
      case "Reinitialize":
        // Recovery forgives: everyone may start at once.
        tenancies = tenancies.map((one) =>
          one.registration.flags.includes("SharedMemory") ? { ...one, notBefore: at } : one
        )
        break
    }
  }
  return { world: { machine, now: at, children, tenancies, crashesLeft, failedBirthsLeft, requests }, actions }
}

const healthyMillis = 60_000

/** What makes two worlds the same: everything but the absolute time and the counters that decide nothing. */
export const key = (world: World): string => {
  const { machine, now } = world
  const since = (at: number | undefined) => at === undefined ? "" : at - now
  const table = machine.table
  const order = table.seats.filter((_) => _ !== undefined).toSorted((a, b) => a.sequence - b.sequence).map((_) =>
    _.ref.slot
  )
  const seats = table.seats.map((tenant) => {
    if (tenant === undefined) return "-"
    const { life } = tenant
    const own = life._tag === "Starting"
      ? life.pending?.signal ?? ""
      : life._tag === "Running"
      ? `${life.ready}${life.joined}${life.told}${since(life.killAt)}`
      : life._tag === "Resting"
      ? since(life.dueAt)
      : ""
    return `${tenant.registration.name}/${tenant.ref.generation}/${life._tag}/${own}/${tenant.doomed}/${
      tenant.lives > 0
    }/${tenant.failedBirths}`
  })
  const recovered = machine.reinitializedAt === undefined
    ? ""
    : now - machine.reinitializedAt < healthyMillis
    ? now - machine.reinitializedAt
    : "old"
  return [
    machine.phase,
    machine.startupRun,
    machine.shutdown,
    machine.stopping,
    machine.recovering,
    machine.abnormal,
    since(machine.killAt),
    since(machine.reinitializeAt),
    recovered,
    machine.crashCycles,
    table.generations.join(),
    seats.join(),
    order.join(),
    world.crashesLeft,
    world.failedBirthsLeft,
    world.children.map((_) => `${_.ref.slot}${_.born}${_.ready}${_.attached}${_.detached}${_.told}`).join(),
    world.tenancies.map((_) => `${_.ref.slot}.${_.ref.generation}${_.over}${_.terminated}${Math.min(_.births, 2)}`)
      .join()
  ].join("|")
}

export const describe = (input: Machine.Input, at: number): string => {
  const about = "ref" in input ? ` (${formatRef(input.ref)})` : ""
  const detail = input._tag === "RegisterRequested"
    ? ` ${input.registration.name}`
    : input._tag === "ShutdownRequested"
    ? ` ${input.mode}`
    : input._tag === "PhaseReached"
    ? ` ${input.phase}, run ${input.run}`
    : input._tag === "ChildExited"
    ? ` ${JSON.stringify(input.status)}`
    : ""
  return `${at} ms: ${input._tag}${detail}${about}`
}
