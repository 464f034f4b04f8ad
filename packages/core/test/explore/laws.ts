/**
 * The laws of the machine. Each looks at one turn (the world before, the fact,
 * the orders, the world after) and says in words how it was broken.
 */
import { sameRef, type SlotRef } from "@effect-postmaster/core/Identity"
import { openStartTimes } from "@effect-postmaster/core/Phase"
import { isAttached } from "@effect-postmaster/core/Registration"
import { isJob } from "@effect-postmaster/core/Restart"
import { isHarsher } from "@effect-postmaster/core/WorkerSignal"
import type { WorkerStatus } from "@effect-postmaster/core/WorkerStatus"
import * as Machine from "../../src/internal/machine.ts"
import * as SlotTable from "../../src/internal/slotTable.ts"
import * as World from "./world.ts"

export interface Turn {
  readonly before: World.World
  readonly input: Machine.Input
  readonly actions: ReadonlyArray<Machine.Action>
  readonly after: World.World
}

export type Law = (turn: Turn) => string | undefined

const ordersOf = <Tag extends Machine.Action["_tag"]>(turn: Turn, tag: Tag) =>
  turn.actions.filter((action): action is Extract<Machine.Action, { readonly _tag: Tag }> => action._tag === tag)

const statusOf = (state: Machine.State, ref: SlotRef): WorkerStatus["_tag"] => {
  const tenant = SlotTable.find(state.table, ref)
  if (tenant === undefined) return "Stopped"
  if (tenant.life._tag === "Running") return tenant.life.ready ? "Ready" : "Started"
  return tenant.lives > 0 ? "Stopped" : "NotYetStarted"
}

export const laws: { readonly [name: string]: Law } = {
  "L1 the slot table keeps its invariants": ({ after }) => SlotTable.broken(after.machine.table),

  "L2 one child per slot, and the table agrees with the world": ({ after }) => {
    for (const child of after.children) {
      const tenant = SlotTable.find(after.machine.table, child.ref)
      if (tenant === undefined) return `slot ${child.ref.slot} was freed while its child lives`
      const state = child.born ? "Running" : "Starting"
      if (tenant.life._tag !== state) return `slot ${child.ref.slot} says ${tenant.life._tag}, its child is ${state}`
    }
    return after.children.length === after.machine.table.children
      ? undefined
      : `${after.machine.table.children} children in the table, ${after.children.length} in the world`
  },

  "L3 nothing is launched outside the open phases or while recovering": (turn) => {
    const { machine } = turn.after
    for (const { launch } of ordersOf(turn, "Spawn")) {
      if (machine.recovering) return "launched while recovering"
      if (!openStartTimes[machine.phase].includes(launch.registration.startTime)) {
        return `launched ${launch.registration.startTime} in phase ${machine.phase}`
      }
    }
    return undefined
  },

  "L4 nothing is launched that is doomed, before its time, or twice if it is a job": (turn) => {
    for (const { launch } of ordersOf(turn, "Spawn")) {
      const tenancy = turn.after.tenancies.find((one) => sameRef(one.ref, launch.ref))
      if (tenancy === undefined) return "launched somebody unknown"
      if (tenancy.terminated) return "launched a terminated worker"
      if (turn.after.now < tenancy.notBefore) return `launched ${tenancy.notBefore - turn.after.now} ms too early`
      if (isJob(launch.registration.restart) && tenancy.births > 0) return "launched a job twice"
    }
    return undefined
  },

  "L5 signals reach own children only, once born, and only get harsher": (turn) => {
    for (const { ref, signal } of ordersOf(turn, "Signal")) {
      const child = turn.after.children.find((one) => sameRef(one.ref, ref))
      if (child === undefined || !child.born) return `${signal} to slot ${ref.slot}, which has no child`
      if (signal === "SIGHUP") continue
      const told = turn.before.children.find((one) => sameRef(one.ref, ref))?.told.filter((_) => _ !== "SIGHUP") ?? []
      if (told.some((earlier) => !isHarsher(signal, earlier))) return `${signal} after ${told.join()}`
    }
    return undefined
  },

  "L6 exactly one answer per request, in its own turn": (turn) => {
    const answers = ordersOf(turn, "Reply").length + ordersOf(turn, "Reject").length
    const asked = turn.input._tag === "RegisterRequested" ? 1 : 0
    return answers === asked ? undefined : `${asked} asked, ${answers} answered`
  },

  "L7 generations never fall, and a new tenancy has a new one": (turn) => {
    for (const { ref } of ordersOf(turn, "Reply")) {
      const older = turn.before.tenancies.filter((one) => one.ref.slot === ref.slot)
      if (older.some((one) => one.ref.generation >= ref.generation)) return `slot ${ref.slot} went back in time`
    }
    const { generations } = turn.after.machine.table
    return turn.before.machine.table.generations.some((old, slot) => generations[slot]! < old) ? "one fell" : undefined
  },

  "L8 a stale handle changes nothing": (turn) => {
    if (turn.input._tag !== "TerminateRequested") return undefined
    if (SlotTable.find(turn.before.machine.table, turn.input.ref) !== undefined) return undefined
    // Time may have come for others.
    return turn.actions.some((action) => "ref" in action && sameRef(action.ref, (turn.input as { ref: SlotRef }).ref))
      ? "a stale reference was acted on"
      : undefined
  },

  "L9 everyone who holds a worker is told of each change": (turn) => {
    for (const { ref } of turn.after.tenancies) {
      const was = statusOf(turn.before.machine, ref)
      const is = statusOf(turn.after.machine, ref)
      const told = ordersOf(turn, "Notify").filter((order) => sameRef(order.ref, ref))
      const seated = SlotTable.find(turn.after.machine.table, ref) !== undefined
      const wasSeated = SlotTable.find(turn.before.machine.table, ref) !== undefined
      const isNew = ordersOf(turn, "Reply").some((order) => sameRef(order.ref, ref))
      if ((wasSeated || isNew) && !seated && !told.some((order) => order.gone)) {
        return `slot ${ref.slot} vanished untold`
      }
      if (seated && told.some((order) => order.gone)) return `slot ${ref.slot} is said to be gone and sits there`
      if (wasSeated && seated && was !== is && told.at(-1)?.status._tag !== is) {
        return `slot ${ref.slot} went from ${was} to ${is}, told ${told.at(-1)?.status._tag}`
      }
    }
    return undefined
  },

  "L10 exit 0 ends the tenancy": (turn) => {
    const { input } = turn
    if (input._tag !== "ChildExited" || input.status._tag !== "Exited" || input.status.code !== 0) return undefined
    const child = turn.before.children.find((one) => sameRef(one.ref, input.ref))!
    const clean = !isAttached(child.registration) || !child.attached || child.detached
    if (!clean || child.registration.restart.onSuccess === "Restart") return undefined
    return SlotTable.find(turn.after.machine.table, input.ref) === undefined ? undefined : "it still sits there"
  },

  "L11 nobody but the crash group is touched by a crash": (turn) => {
    const { input } = turn
    if (input._tag !== "ChildExited" || turn.before.machine.shutdown !== undefined) return undefined
    if (!turn.after.machine.settings.restartAfterCrash) return undefined
    for (const { ref, signal } of ordersOf(turn, "Signal")) {
      const child = turn.before.children.find((one) => sameRef(one.ref, ref))!
      if (!isAttached(child.registration)) return `${signal} to an isolated worker`
    }
    const dead = turn.before.children.find((one) => sameRef(one.ref, input.ref))!
    const crashed = turn.after.machine.recovering && !turn.before.machine.recovering
    return crashed && !isAttached(dead.registration) ? "an isolated worker caused recovery" : undefined
  },

  "L12 a crash of an attached worker starts recovery": (turn) => {
    const { input } = turn
    if (input._tag !== "ChildExited" || turn.before.machine.shutdown === "Immediate") return undefined
    const child = turn.before.children.find((one) => sameRef(one.ref, input.ref))!
    if (!isAttached(child.registration) || child.told.includes("SIGKILL") && input.status._tag === "Signaled") {
      return undefined
    }
    const unclean = child.attached && !child.detached
    const bad = input.status._tag !== "Exited" || input.status.code > 1
    if (!unclean && !bad) return undefined
    const crash = turn.actions.some((_) => _._tag === "Publish" && _.event._tag === "CrashDetected")
    return crash || turn.before.machine.recovering ? undefined : "it was taken for an ordinary exit"
  },

  "L13 class limits hold": ({ after }) => {
    for (const [name, limit] of Object.entries(after.machine.settings.classLimits)) {
      const count = SlotTable.tenants(after.machine.table).filter((_) => _.registration.class === name).length
      if (count > limit) return `${count} of class ${name}, limit ${limit}`
    }
    return undefined
  },

  "L14 a halt leaves nobody, and comes once": (turn) => {
    const halts = ordersOf(turn, "Halt").length
    const halted = turn.after.machine.phase === "Halted"
    if (halts !== (halted ? 1 : 0)) return `${halts} halts in phase ${turn.after.machine.phase}`
    if (!halted) return undefined
    return turn.after.children.length + turn.after.machine.table.tenants === 0 ? undefined : "somebody is left"
  },

  "L15 whoever waits in phase Waiting is waiting for somebody, or for a time": ({ after }) => {
    if (after.machine.phase !== "Waiting") return undefined
    return after.children.length > 0 || Machine.nextWakeAt(after.machine) !== undefined ? undefined : "for ever"
  },

  "L16 time asked for is not in the past for ever": (turn) => {
    if (turn.input._tag !== "Woke") return undefined
    const next = Machine.nextWakeAt(turn.after.machine)
    if (next === undefined || next > turn.after.now) return undefined
    return turn.actions.length > 0 ? undefined : "woken, did nothing, wants to be woken again"
  },

  "L17 whoever is told to end will be killed if it does not": ({ after }) => {
    const { machine } = after
    for (const child of after.children) {
      const told = child.told.filter((_) => _ !== "SIGHUP")
      if (told.length === 0 || told.includes("SIGKILL")) continue
      const tenant = SlotTable.find(machine.table, child.ref)!
      const deadline = tenant.life._tag === "Running" ? tenant.life.killAt : undefined
      if (deadline === undefined && machine.killAt === undefined) return `slot ${child.ref.slot} may hang for ever`
    }
    return undefined
  },

  "L18 whoever may start will be started": ({ after }) => {
    const { machine } = after
    if (machine.recovering || machine.stopping || machine.phase === "Halted") return undefined
    const waiting = SlotTable.tenants(machine.table).some((_) =>
      _.life._tag === "Waiting" && openStartTimes[machine.phase].includes(_.registration.startTime)
    )
    return waiting && Machine.nextWakeAt(machine) === undefined ? "nobody will wake the machine for it" : undefined
  },

  "L19 whoever must go has been told, or is told at its birth": ({ after }) => {
    const { machine } = after
    for (const child of after.children) {
      if (!child.born) continue
      const told = child.told.filter((_) => _ !== "SIGHUP")
      const harshly = told.some((_) => _ !== "SIGTERM")
      const terminated = after.tenancies.some((one) => sameRef(one.ref, child.ref) && one.terminated)
      if ((terminated || machine.stopping) && told.length === 0) return `slot ${child.ref.slot} does not know`
      if (machine.phase === "Waiting" && machine.shutdown === "Immediate" && !harshly) {
        return `slot ${child.ref.slot} was only asked`
      }
      if (machine.phase === "Waiting" && machine.recovering && isAttached(child.registration) && !harshly) {
        return `slot ${child.ref.slot} shares what is broken and was not stopped`
      }
    }
    return undefined
  },

  "L20 the word of an earlier run of startup counts for nothing": ({ after, before, input }) =>
    input._tag === "PhaseReached" && input.run !== before.machine.startupRun &&
      after.machine.recovering !== before.machine.recovering
      ? "it ended the recovery"
      : undefined,

  "L21 an immediate shutdown always comes to its end": ({ after }) => {
    if (after.machine.phase === "Halted") return undefined
    let world = World.apply(after, { _tag: "ShutdownRequested", mode: "Immediate" }).world
    for (const { born, ref } of world.children) {
      if (!born) world = World.apply(world, { _tag: "ChildStarted", ref, pid: 1 as never }).world
      world = World.apply(world, { _tag: "ChildExited", ref, status: { _tag: "Exited", code: 2 } }).world
    }
    return world.machine.phase === "Halted" ? undefined : `it is stuck in ${world.machine.phase}`
  }
}

export const broken = (turn: Turn): string | undefined => {
  for (const [name, law] of Object.entries(laws)) {
    const how = law(turn)
    if (how !== undefined) return `${name}: ${how}`
  }
  return undefined
}
