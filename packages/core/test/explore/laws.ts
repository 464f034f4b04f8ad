/**
 * The laws of the machine. Each looks at one turn (the world before, the fact,
 * the orders, the world after) and says in words how it was broken.
 */
import { sameRef, type SlotRef } from "@effect-postmaster/core/Identity"
import { isBefore, openStartTimes, overtakes } from "@effect-postmaster/core/Phase"
import { isAttached, type Registration } from "@effect-postmaster/core/Registration"
import { isJob } from "@effect-postmaster/core/Restart"
import { isHarsher } from "@effect-postmaster/core/WorkerSignal"
import type { WorkerStatus } from "@effect-postmaster/core/WorkerStatus"
import * as Machine from "../../src/internal/machine.ts"
import * as SlotTable from "../../src/internal/slotTable.ts"
import * as Spares from "../../src/internal/spares.ts"
import * as World from "./world.ts"

type Order<Tag extends Machine.Action["_tag"]> = Extract<Machine.Action, { readonly _tag: Tag }>

export interface Turn {
  readonly before: World.World
  readonly input: Machine.Input
  readonly actions: ReadonlyArray<Machine.Action>
  readonly after: World.World
  readonly spawns: ReadonlyArray<Order<"Spawn">>
  readonly signals: ReadonlyArray<Order<"Signal">>
  readonly replies: ReadonlyArray<Order<"Reply">>
  readonly rejections: ReadonlyArray<Order<"Reject">>
  readonly notifications: ReadonlyArray<Order<"Notify">>
  readonly halts: ReadonlyArray<Order<"Halt">>
  readonly startupStops: number
  readonly spareSpawns: ReadonlyArray<Order<"SpawnSpare">>
  readonly spareEnds: ReadonlyArray<Order<"EndSpare">>
}

export const turn = (
  before: World.World,
  { input }: World.Fact,
  actions: ReadonlyArray<Machine.Action>,
  after: World.World
): Turn => {
  const spawns: Array<Order<"Spawn">> = []
  const signals: Array<Order<"Signal">> = []
  const replies: Array<Order<"Reply">> = []
  const rejections: Array<Order<"Reject">> = []
  const notifications: Array<Order<"Notify">> = []
  const halts: Array<Order<"Halt">> = []
  let startupStops = 0
  const spareSpawns: Array<Order<"SpawnSpare">> = []
  const spareEnds: Array<Order<"EndSpare">> = []
  for (const action of actions) {
    switch (action._tag) {
      case "Spawn":
        spawns.push(action)
        break
      case "Signal":
        signals.push(action)
        break
      case "Reply":
        replies.push(action)
        break
      case "Reject":
        rejections.push(action)
        break
      case "Notify":
        notifications.push(action)
        break
      case "Halt":
        halts.push(action)
        break
      case "StopStartup":
        startupStops++
        break
      case "SpawnSpare":
        spareSpawns.push(action)
        break
      case "EndSpare":
        spareEnds.push(action)
        break
      case "AbandonBirth":
      case "Reinitialize":
      case "Publish":
        break
    }
  }
  return {
    before,
    input,
    actions,
    after,
    spawns,
    signals,
    replies,
    rejections,
    notifications,
    halts,
    startupStops,
    spareSpawns,
    spareEnds
  }
}

export type Law = (turn: Turn) => string | undefined

const statusOf = (world: World.World, ref: SlotRef): WorkerStatus["_tag"] | "Parked" => {
  const tenant = SlotTable.find(world.machine.table, ref)
  if (tenant === undefined) return "Stopped"
  if (tenant.life._tag === "Running") return tenant.life.ready ? "Ready" : "Started"
  if (tenant.life._tag === "Parked") return "Parked"
  return tenancyOf(world, ref)!.fresh ? "NotYetStarted" : "Stopped"
}

const toldOf = (status: WorkerStatus | undefined): WorkerStatus["_tag"] | "Parked" | undefined =>
  status?._tag === "Stopped" && status.parked === true ? "Parked" : status?._tag

const childOf = (world: World.World, ref: SlotRef) => world.children.find((one) => sameRef(one.ref, ref))

const tenancyOf = (world: World.World, ref: SlotRef) => world.tenancies.find((one) => sameRef(one.ref, ref))

/** The exit of this turn, if it is one. */
const exitOf = ({ before, input }: Turn) => {
  if (input._tag !== "ChildExited") return undefined
  return { child: childOf(before, input.ref)!, ref: input.ref, status: input.status }
}

/** Whether a fact is one that counts for nothing, by the world's own account. */
const isVoid = ({ before, input }: Turn): boolean => {
  switch (input._tag) {
    case "TerminateRequested": {
      const tenancy = tenancyOf(before, input.ref)!
      return tenancy.over || tenancy.terminated
    }
    case "RegisterWithdrawn": {
      if (before.waiting.some(({ request }) => request === input.request)) return false
      const tenancy = input.ref && tenancyOf(before, input.ref)
      return tenancy === undefined || tenancy.over || tenancy.terminated || tenancy.request !== input.request
    }
    case "ResumeRequested":
      return !World.mayResume(before, input.ref)
    case "ShutdownRequested":
      return !overtakes(input.mode, before.machine.shutdown)
    case "PhaseReached":
      return input.run !== before.machine.startupRun || !isBefore(before.machine.phase, input.phase)
    case "StartupFailed":
      return input.run !== before.machine.startupRun
    case "ReloadRequested":
      return before.machine.stopping
    case "ChildReady": {
      const child = childOf(before, input.ref)
      return child?.born !== true || child.ready
    }
    case "ChildAttached":
    case "ChildDetached":
    case "ChildBeat":
    case "ChildProgressed":
      return childOf(before, input.ref)?.born !== true
    case "SpareReady":
    case "SpareLost": {
      const spare = before.reserve.standing.find((one) => one.spare === input.spare)
      return spare === undefined || (input._tag === "SpareReady" && spare.ready)
    }
    default:
      return false
  }
}

const everything: World.Bounds = {
  slots: 0,
  registrations: 0,
  menu: [],
  crashes: 0,
  failedBirths: 0,
  byWorkers: [],
  waits: [],
  spares: 1,
  again: true,
  exact: true
}

const nothingOfSpares: World.Bounds = {
  slots: 0,
  registrations: 0,
  menu: [],
  crashes: 0,
  failedBirths: 0,
  byWorkers: [],
  again: true,
  exact: true
}

const signature = (actions: ReadonlyArray<Machine.Action>): string =>
  actions.map((action) => action._tag === "Publish" ? action.event._tag : action._tag).join()

const wakes = (machine: Machine.State, now: number): boolean => (Machine.nextWakeAt(machine) ?? Infinity) <= now

/** Laws of every turn. */
export const laws: { readonly [name: string]: Law } = {
  "L1 the slot table keeps its invariants": ({ after }) => SlotTable.broken(after.machine.table),

  "L2 one child per slot, and the table agrees with the world": ({ after }) => {
    for (const child of after.children) {
      const tenant = SlotTable.find(after.machine.table, child.ref)
      if (tenant === undefined) return `slot ${child.ref.slot} was freed while its child lives`
      const { life } = tenant
      const state = child.born ? "Running" : "Starting"
      if (life._tag !== state) return `slot ${child.ref.slot} says ${life._tag}, its child is ${state}`
      if (life._tag === "Starting") {
        if (child.abandoned !== (life.pending?.signal === "SIGKILL")) return `slot ${child.ref.slot}: given up or not?`
        continue
      }
      if (life._tag !== "Running") continue
      if (life.joined !== child.joined) return `slot ${child.ref.slot} is wrong about the shared state`
      if (life.ready !== child.ready) return `slot ${child.ref.slot} is wrong about being ready`
      if (life.heardAt !== child.heardAt || life.workedAt !== child.workedAt) {
        return `slot ${child.ref.slot} has given other signs of life`
      }
      if (life.told !== child.told) return `slot ${child.ref.slot} thinks it was told ${life.told}, not ${child.told}`
    }
    for (const tenancy of after.tenancies) {
      const tenant = SlotTable.find(after.machine.table, tenancy.ref)
      if ((tenant === undefined) !== tenancy.over) return `slot ${tenancy.ref.slot} is ${tenant ? "" : "not "}taken`
      if (tenant !== undefined && tenant.doomed !== tenancy.terminated) return `slot ${tenancy.ref.slot}: doomed?`
    }
    return after.children.length === after.machine.table.children
      ? undefined
      : `${after.machine.table.children} children in the table, ${after.children.length} in the world`
  },

  "L3 nothing is launched outside the open phases, while recovering or while stopping": ({ after, spawns }) => {
    const { machine } = after
    for (const { launch } of spawns) {
      if (machine.recovering) return "launched while recovering"
      if (machine.stopping) return "launched while stopping"
      if (!openStartTimes[machine.phase].includes(launch.registration.startTime)) {
        return `launched ${launch.registration.startTime} in phase ${machine.phase}`
      }
    }
    return undefined
  },

  "L4 nothing is launched that is doomed, alive, before its time, or twice if it is a job": ({
    after,
    before,
    input,
    spawns
  }) => {
    for (const { launch } of spawns) {
      const tenancy = tenancyOf(after, launch.ref)
      if (tenancy === undefined) return "launched somebody unknown"
      if (tenancy.terminated) return "launched a terminated worker"
      if (World.isGivenUp(tenancy)) return "launched a worker that was given up"
      const died = (input._tag === "ChildExited" || input._tag === "ChildNotStarted") && sameRef(input.ref, launch.ref)
      if (!died && childOf(before, launch.ref) !== undefined) return "launched a second child"
      if (after.now < tenancy.notBefore) return `launched ${tenancy.notBefore - after.now} ms too early`
      if (isJob(launch.registration.restart) && tenancy.births > 0 && !tenancy.wished && !tenancy.changed) {
        return "launched a job twice"
      }
    }
    return undefined
  },

  "L5 signals reach own children only, once born, and only get harsher": ({ after, before, signals }) => {
    for (const [index, { ref, signal }] of signals.entries()) {
      const child = childOf(after, ref)
      if (child === undefined || !child.born) return `${signal} to slot ${ref.slot}, which has no child`
      if (signal === "SIGHUP") continue
      const earlier = signals.slice(0, index).findLast((one) => sameRef(one.ref, ref))?.signal ??
        childOf(before, ref)?.told
      const again = signal === earlier && child.registration.stopLadder !== undefined
      if (earlier !== undefined && !isHarsher(signal, earlier) && !again) return `${signal} after ${earlier}`
    }
    return undefined
  },

  "L6 exactly one answer per request, in its own turn, or later to whoever waits": (turn) => {
    const { after, before, input, rejections, replies } = turn
    const answered = [...replies, ...rejections].map(({ request }) => request)
    if (new Set(answered).size < answered.length) return "somebody was answered twice"
    const isReplacing = (request: number) => input._tag === "ReplaceRequested" && input.request === request
    const changes = input._tag === "PolicyChangeRequested" ? input.request : undefined
    if (changes !== undefined && !answered.includes(changes)) return "no answer"
    const isOther = (one: number) => one === changes || isReplacing(one)
    if (answered.some((one) => !isOther(one) && World.requestOf(before, input, one) === undefined)) {
      return "an answer nobody asked for"
    }
    const asked = input._tag === "RegisterRequested" || input._tag === "ReplaceRequested" ? input : undefined
    const mayWait = asked?._tag === "RegisterRequested" && asked.waitMillis !== undefined
    if (asked !== undefined && !mayWait && !answered.includes(asked.request)) return "no answer"
    const waiting = [...after.machine.lobby.waiters.keys()]
    return String(waiting) === String(after.waiting.map(({ request }) => request)) ? undefined : `${waiting} wait`
  },

  "L7 generations never fall, and a new tenancy has a new one": ({ after, before, replies }) => {
    for (const { ref } of replies) {
      if (tenancyOf(before, ref)?.over === false) continue
      const older = before.tenancies.filter((one) => one.ref.slot === ref.slot)
      if (older.some((one) => one.ref.generation >= ref.generation)) return `slot ${ref.slot} went back in time`
    }
    const { generations } = after.machine.table
    return before.machine.table.generations.some((old, slot) => generations[slot]! < old) ? "one fell" : undefined
  },

  "L8 a stale handle, and whatever else counts for nothing, changes nothing": (turn) => {
    if (!isVoid(turn)) return undefined
    // Time may have come for others.
    const woken = World.apply(turn.before, { _tag: "Woke" }, turn.after.now)
    if (signature(woken.actions) !== signature(turn.actions)) return `it ordered ${signature(turn.actions)}`
    return World.key(woken.world, everything) === World.key(turn.after, everything) ? undefined : "the state changed"
  },

  "L9 everyone who holds a worker is told of each change": ({ after, before, notifications, replies }) => {
    for (const { over, ref } of after.tenancies) {
      const told = notifications.filter((order) => sameRef(order.ref, ref))
      const wasSeated = SlotTable.find(before.machine.table, ref) !== undefined
      const isNew = replies.some((order) => sameRef(order.ref, ref))
      if (!wasSeated && !isNew) {
        if (told.length > 0) return `slot ${ref.slot}, generation ${ref.generation} was told after its end`
        continue
      }
      const seated = SlotTable.find(after.machine.table, ref) !== undefined
      if (!seated && !told.at(-1)?.gone) return `slot ${ref.slot} vanished untold`
      if (told.filter((order) => order.gone).length !== (seated ? 0 : 1)) return `slot ${ref.slot}: gone or not?`
      if (told.some((order) => order.gone && order.status._tag !== "Stopped")) return `slot ${ref.slot} ended alive`
      if (over) continue
      const was = isNew && !wasSeated ? "NotYetStarted" : statusOf(before, ref)
      const is = statusOf(after, ref)
      if (was !== is && toldOf(told.at(-1)?.status) !== is) {
        return `slot ${ref.slot} went from ${was} to ${is}, told ${toldOf(told.at(-1)?.status)}`
      }
    }
    return undefined
  },

  "L10 exit 0 ends the tenancy, unless another life is asked for": (turn) => {
    const exit = exitOf(turn)
    if (exit === undefined || exit.status._tag !== "Exited" || exit.status.code !== 0 || exit.child.joined) {
      return undefined
    }
    // Of wishes and successors there are other laws.
    if (exit.status.outcome !== undefined || tenancyOf(turn.before, exit.ref)!.replaces !== undefined) return undefined
    const { machine } = turn.before
    const again = exit.child.registration.restart.onSuccess === "Restart" && !machine.stopping &&
      !tenancyOf(turn.before, exit.ref)!.terminated
    const seated = SlotTable.find(turn.after.machine.table, exit.ref) !== undefined
    if (seated === again || (again && turn.after.machine.stopping)) return undefined
    return seated ? "it still sits there" : "it was to start again"
  },

  "L11 nobody but the crash group is touched by a crash": (turn) => {
    const exit = exitOf(turn)
    if (exit === undefined) return undefined
    const { after, before } = turn
    const recovers = after.machine.recovering && !before.machine.recovering
    if (recovers && !World.isCrash(before, exit.child, exit.status)) return "this was no crash"
    // A shutdown, of before or for want of a recovery, reaches everyone.
    if (after.machine.shutdown !== undefined) return undefined
    const life = World.latestLife(before, exit.ref)
    const belongs = (ref: SlotRef): boolean => World.belongsTo(tenancyOf(before, ref)!, life)
    for (const { ref, signal } of turn.signals) {
      const child = childOf(before, ref)!
      const overdue = child.killBy <= after.now
      if (!overdue && !isAttached(child.registration) && !belongs(ref)) return `${signal} to an isolated worker`
    }
    for (const { gone, ref } of turn.notifications) {
      if (gone && !sameRef(ref, exit.ref) && !belongs(ref) && !isAttached(tenancyOf(before, ref)!.registration)) {
        return `slot ${ref.slot} is isolated and was thrown out`
      }
    }
    return undefined
  },

  "L12 a crash of an attached worker starts recovery": (turn) => {
    const exit = exitOf(turn)
    if (exit === undefined || !World.isCrash(turn.before, exit.child, exit.status)) return undefined
    if (!turn.actions.some((_) => _._tag === "Publish" && _.event._tag === "CrashDetected")) {
      return "it was taken for an ordinary exit"
    }
    return turn.after.machine.recovering ? undefined : "recovery was not begun"
  },

  "L13 class limits hold": ({ after }) => {
    const { classLimits } = after.machine.settings
    for (const name of Object.keys(classLimits)) {
      let count = 0
      for (const one of after.tenancies) if (!one.over && one.registration.class === name) count++
      if (count > classLimits[name]!) return `${count} of class ${name}, limit ${classLimits[name]}`
    }
    return undefined
  },

  "L14 a halt leaves nobody, and comes once, when the last is gone": ({ after, halts }) => {
    const halted = after.machine.phase === "Halted"
    if (halts.length !== (halted ? 1 : 0)) return `${halts.length} halts in phase ${after.machine.phase}`
    if (!halted) return after.machine.stopping && after.children.length === 0 ? "nobody is left" : undefined
    if (after.children.length + after.machine.table.tenants > 0) return "somebody is left"
    return halts[0]!.abnormal === (after.machine.recovering || after.machine.abnormal !== undefined)
      ? undefined
      : "it does not say whether something went wrong"
  },

  "L15 whoever waits in phase Waiting is waiting for somebody, or for a time": ({ after }) => {
    if (after.machine.phase !== "Waiting") return undefined
    return after.children.length > 0 || Machine.nextWakeAt(after.machine) !== undefined ? undefined : "for ever"
  },

  "L16 time asked for is not in the past for ever": ({ actions, after, input }) => {
    if (input._tag !== "Woke" || !wakes(after.machine, after.now)) return undefined
    return actions.length > 0 ? undefined : "woken, did nothing, wants to be woken again"
  },

  "L17 whoever is told to end is killed in time if it does not": ({ after }) => {
    for (const child of after.children) {
      if (child.killBy === Number.POSITIVE_INFINITY) continue
      if (child.killBy <= after.now) return `slot ${child.ref.slot} should have been killed`
      const wakeAt = Machine.nextWakeAt(after.machine)
      if (wakeAt === undefined || wakeAt > child.killBy) return `slot ${child.ref.slot} may hang for ever`
    }
    for (const { life, ref, registration } of SlotTable.tenants(after.machine.table)) {
      if (life._tag !== "Starting" || life.pending === undefined || life.pending.signal === "SIGKILL") continue
      const endless = life.pending.signal === "SIGTERM" && registration.stopTimeoutMillis === Number.POSITIVE_INFINITY
      const until = Math.min(life.killAt ?? Infinity, after.machine.killAt ?? Infinity)
      if (until <= after.now) return `the birth in slot ${ref.slot} should have been given up`
      if (until === Infinity && !endless) return `the birth in slot ${ref.slot} may take for ever`
    }
    return undefined
  },

  "L18 whoever may start is started, as many at once as is allowed": ({ after, spawns }) => {
    const { machine } = after
    if (spawns.length > machine.settings.maxLaunchesPerTurn) return `${spawns.length} were started at once`
    if (machine.recovering || machine.stopping || machine.phase === "Halted") return undefined
    const waiting = SlotTable.tenants(machine.table).some((_) =>
      _.life._tag === "Waiting" && _.life.heldBy === undefined &&
      openStartTimes[machine.phase].includes(_.registration.startTime)
    )
    if (!waiting) return undefined
    if (spawns.length < machine.settings.maxLaunchesPerTurn) return "there was room for more"
    return wakes(machine, after.now) ? undefined : "nobody will wake the machine for the rest"
  },

  "L19 whoever must go has been told, or is told at its birth": ({ after }) => {
    const { machine } = after
    for (const child of after.children) {
      const life = SlotTable.find(machine.table, child.ref)!.life
      const told = life._tag === "Starting" ? life.pending?.signal : child.told
      const harshly = told === "SIGQUIT" || told === "SIGKILL"
      if ((machine.stopping || tenancyOf(after, child.ref)!.terminated) && told === undefined) {
        return `slot ${child.ref.slot} does not know`
      }
      if (machine.phase !== "Waiting" || harshly) continue
      if (machine.shutdown === "Immediate") return `slot ${child.ref.slot} was only asked`
      if (machine.recovering && isAttached(child.registration)) {
        return `slot ${child.ref.slot} shares what is broken and was not stopped`
      }
    }
    return undefined
  },

  "L20 nobody is asked to end without a reason": ({ actions, after, signals }) => {
    for (const { ref, signal } of signals) {
      if (signal === "SIGKILL" && hungOf(actions).some((event) => sameRef(event.ref, ref))) continue
      if (signal === "SIGHUP" || after.machine.stopping || tenancyOf(after, ref)!.terminated) continue
      if (after.machine.recovering && isAttached(childOf(after, ref)!.registration) && signal !== "SIGTERM") continue
      return `${signal} to slot ${ref.slot}`
    }
    return undefined
  },

  "L21 woken without having asked for it, the machine does nothing": ({ actions, after, before, input }) => {
    if (input._tag !== "Woke" || wakes(before.machine, after.now)) return undefined
    if (actions.length > 0) return `it ordered ${signature(actions)}`
    return World.key(before, everything) === World.key({ ...after, now: before.now }, everything)
      ? undefined
      : "the state changed"
  },

  "L22 who registered first starts first": ({ after, spawns }) => {
    for (const { launch } of spawns) {
      for (const { over, ref, registration } of after.tenancies) {
        if (sameRef(ref, launch.ref)) break
        const life = over ? undefined : SlotTable.find(after.machine.table, ref)?.life
        const passed = life?._tag === "Waiting" && life.heldBy === undefined &&
          openStartTimes[after.machine.phase].includes(registration.startTime)
        if (passed) return `slot ${launch.ref.slot} before slot ${ref.slot}`
      }
    }
    return undefined
  },

  "L23 a request is refused for want of room or of its owner, or for a circle, and takes nothing": (
    { after, before, input, rejections, replies }
  ) => {
    if (input._tag !== "RegisterRequested") return undefined
    const rejection = rejections.find(({ request }) => request === input.request)
    if (rejection === undefined) return undefined
    const { reason } = rejection
    const { settings } = before.machine
    const seated = before.tenancies.filter((one) => !one.over)
    if (after.tenancies.some(({ request }) => request === input.request)) return "somebody was seated"
    if (replies.length > 0) return undefined
    if (after.machine.table.generations.some((one, slot) => one !== before.machine.table.generations[slot])) {
      return "a generation was spent"
    }
    const { class: name } = input.registration
    const limit = name === undefined ? undefined : settings.classLimits[name]
    const crowded = limit !== undefined && seated.filter((one) => one.registration.class === name).length >= limit
    if (reason._tag === "ClassLimitReached") return crowded ? undefined : "there is room in the class"
    if (reason._tag === "KeyTaken") return undefined
    if (reason._tag === "NotAccepting") return isBereaved(before, input) ? undefined : "its owner lives"
    if (reason._tag === "StartOrderCycle") {
      return waitsForItself(before, input.registration) ? undefined : "it does not wait for itself"
    }
    if (reason._tag !== "SlotsExhausted") return `refused for ${reason._tag}`
    return World.hasRoom(before, input.registration) ? "there is room in the table" : undefined
  },

  "L24 whoever restarts keeps its seat after a failure, and rests as long as its policy says": (turn) => {
    const exit = exitOf(turn)
    if (exit === undefined || exit.child.registration.restart._tag !== "After") return undefined
    const { after, before } = turn
    const failed = exit.status._tag !== "Exited" || exit.status.code !== 0 || exit.child.joined
    const { replaces, terminated } = tenancyOf(before, exit.ref)!
    if (!failed || after.machine.stopping || terminated || replaces !== undefined) return undefined
    const tenancy = tenancyOf(after, exit.ref)!
    if (World.isGivenUp(tenancy)) return undefined
    const tenant = SlotTable.find(after.machine.table, exit.ref)
    if (tenant === undefined) return "it was thrown out"
    if (isAttached(tenant.registration) && (after.machine.recovering || after.machine.startupRun > 0)) return undefined
    const wakeAt = Machine.nextWakeAt(after.machine) ?? Infinity
    const due = after.now + World.restAfter(exit.child.registration, tenancy.failures)
    if (due === after.now) return tenant.life._tag === "Resting" ? "it need not rest" : undefined
    return tenant.life._tag === "Resting" && tenant.life.dueAt === due && wakeAt <= due ? undefined : "for another time"
  },

  "L25 a fast or immediate shutdown stops at once, a smart one when no job is left": ({ after }) => {
    const { machine } = after
    if (machine.shutdown === undefined) return machine.stopping ? "nobody asked for it" : undefined
    const jobs = after.tenancies.some((one) => !one.over && isJob(one.registration.restart))
    const waits = machine.shutdown === "Smart" && jobs && (machine.phase === "Consistent" || machine.phase === "Run")
    if (machine.stopping && machine.phase !== "Waiting" && machine.phase !== "Halted") return "it goes on"
    return waits || machine.stopping ? undefined : "it does not stop"
  },

  "L26 of requests to shut down the harshest counts": ({ after, before, input }) => {
    if (input._tag !== "ShutdownRequested") return undefined
    const wanted = overtakes(input.mode, before.machine.shutdown) ? input.mode : before.machine.shutdown
    // For want of a recovery it may be made fast in the same turn.
    return after.machine.shutdown === wanted || overtakes(after.machine.shutdown!, wanted)
      ? undefined
      : "it was ignored"
  },

  "L27 reload reaches every worker up to a smart shutdown": ({ before, input, signals }) => {
    const reached = signals.filter((order) => order.signal === "SIGHUP")
    const open = input._tag === "ReloadRequested" && !before.machine.stopping
    if (!open) return reached.length === 0 ? undefined : "a reload nobody asked for"
    const born = before.children.filter((child) => child.born)
    return born.every((child) => reached.some((order) => sameRef(order.ref, child.ref))) &&
        reached.length === born.length
      ? undefined
      : `it reached ${reached.length} of ${born.length}`
  },

  "L28 an emptied crash group is made anew, now or at a time asked for": ({ actions, after, before }) => {
    const anew = actions.filter((action) => action._tag === "Reinitialize")
    const { machine } = after
    if (anew.length > 0) {
      if (anew.length > 1 || anew[0]!.run !== before.machine.startupRun + 1) return "not once, or as the wrong run"
      if (after.children.some((child) => isAttached(child.registration))) return "while somebody was using it"
      if (!machine.settings.restartAfterCrash) return "although nothing is restarted after a crash"
      return machine.phase === "Startup" ? undefined : `into phase ${machine.phase}`
    }
    if (!machine.recovering || machine.stopping || machine.phase !== "Waiting") return undefined
    if (after.children.some((child) => isAttached(child.registration))) return undefined
    return machine.reinitializeAt !== undefined && machine.reinitializeAt > after.now ? undefined : "it is empty"
  },

  "L29 whoever is in the crash group and restarts is forgiven by recovery, jobs are not": ({ actions, after }) => {
    if (!actions.some((action) => action._tag === "Reinitialize")) return undefined
    for (const tenant of SlotTable.tenants(after.machine.table)) {
      if (!tenant.attached || tenant.life._tag === "Parked") continue
      if (tenant.registration.restart._tag === "Never") return `slot ${tenant.ref.slot} never restarts`
      if (tenant.life._tag !== "Waiting") return `slot ${tenant.ref.slot} is ${tenant.life._tag}`
    }
    return undefined
  },

  "L30 recovery ends with the word of the startup effect, and not before": ({ after, before, input }) => {
    if (!before.machine.recovering || after.machine.recovering) return undefined
    return input._tag === "PhaseReached" && input.run === before.machine.startupRun && input.phase !== "Startup"
      ? undefined
      : `it ended with ${input._tag}`
  },

  "L31 a phase is entered when its word comes, and phases do not go back but for recovery": (turn) => {
    const { after, before, input } = turn
    const { phase } = after.machine
    const order = ["Init", "Startup", "Consistent", "Run", "Waiting", "Halted"]
    const anew = turn.actions.some((action) => action._tag === "Reinitialize")
    if (order.indexOf(phase) < order.indexOf(before.machine.phase) && !anew) return `${phase} again`
    if (input._tag !== "PhaseReached" || isVoid(turn) || after.machine.stopping || anew) return undefined
    return order.indexOf(phase) >= order.indexOf(input.phase) ? undefined : `still ${phase}`
  },

  "L32 a startup effect that fails stops the postmaster": ({ after, before, input }) => {
    if (input._tag !== "StartupFailed" || input.run !== before.machine.startupRun) return undefined
    return after.machine.stopping && after.machine.abnormal !== undefined ? undefined : "it goes on"
  },

  "L33 whoever uses a resource that is wanted back is terminated, and nobody else": ({ after, before, input }) => {
    if (input._tag !== "TerminateUsersRequested") return undefined
    for (const tenancy of before.tenancies) {
      const tenant = SlotTable.find(after.machine.table, tenancy.ref)
      const using = World.uses(tenancy, input.resource)
      if (using && tenant?.doomed === false) return `slot ${tenancy.ref.slot} goes on using it`
      if (!using && tenant?.doomed === true && !tenancy.terminated) return `slot ${tenancy.ref.slot} does not use it`
    }
    return undefined
  },

  "L34 a startup effect is stopped, once, when what it prepares is no longer wanted": (turn) => {
    const { actions, after, before, startupStops } = turn
    const preparing = ["Init", "Startup", "Consistent"].includes(before.machine.phase)
    const anew = actions.some((action) => action._tag === "Reinitialize")
    const left = after.machine.phase === "Waiting" || after.machine.phase === "Halted" || anew
    return startupStops === (preparing && left ? 1 : 0) ? undefined : `it was stopped ${startupStops} times`
  },

  "L35 spares keep their invariants, and the machine agrees with the world about them": ({ after }) => {
    const { machine: { spares }, reserve } = after
    if (spares.wanted + spares.standing.size + reserve.begun === 0) return undefined
    const broken = Spares.broken(spares)
    if (broken !== undefined) return broken
    const standing = [...spares.standing.values()]
    if (standing.length !== reserve.standing.length) return `${standing.length}, not ${reserve.standing.length}`
    for (const [index, { pid, spare }] of standing.entries()) {
      const known = reserve.standing[index]!
      if (spare !== known.spare || (pid !== undefined) !== known.ready) return `it is wrong about spare ${known.spare}`
    }
    const unborn = after.children.filter((child) => !child.born).length
    return spares.launches === unborn ? undefined : `${spares.launches} launches under way, not ${unborn}`
  },

  "L36 a spare is begun in the open phases only, alone, in its time, under a new number, of what is registered": ({
    after,
    before,
    spareSpawns
  }) => {
    if (spareSpawns.length === 0) return undefined
    const { machine, reserve } = after
    if (spareSpawns.length > 1) return `${spareSpawns.length} in one turn`
    if (machine.phase === "Init" || machine.phase === "Halted" || machine.stopping) return `in phase ${machine.phase}`
    if (after.children.some((child) => !child.born)) return "while a launch is under way"
    if (after.now < reserve.notBefore) return `${reserve.notBefore - after.now} ms too early`
    if (spareSpawns[0]!.spare !== before.reserve.begun) return `as number ${spareSpawns[0]!.spare} once more`
    const modules = after.tenancies.filter(World.usesSpares).map(({ registration }) => registration.entry.module)
    const latest = modules.filter((module, index) => !modules.includes(module, index + 1))
    return String(spareSpawns[0]!.modules) === String(latest) ? undefined : `with ${spareSpawns[0]!.modules}`
  },

  "L37 a launch takes the youngest spare that is ready, unless it may not, and none is used twice": (turn) => {
    const { before, input, spawns } = turn
    if (spawns.length === 0) return undefined
    const ready = before.reserve.standing
      .filter(({ ready, spare }) =>
        input._tag === "SpareReady" && input.spare === spare ||
        ready && !(input._tag === "SpareLost" && input.spare === spare)
      )
      .map(({ spare }) => spare)
    for (const { launch, spare } of spawns) {
      const wanted = World.usesSpares(launch) ? ready.pop() : undefined
      if (spare !== wanted) {
        return `slot ${launch.ref.slot} was launched from ${spare ?? "none"}, not ${wanted ?? "one"}`
      }
    }
    return undefined
  },

  "L38 every spare that was begun stands, or was taken, lost or ended; it is ended when the postmaster stops": ({
    after,
    before,
    spareEnds
  }) => {
    const { begun, gone, standing } = after.reserve
    if (begun - gone !== standing.length) return `${begun} begun, ${gone} gone, ${standing.length} stand`
    if (spareEnds.length > 0 && (before.machine.stopping || !after.machine.stopping)) return "ended without need"
    if (spareEnds.some(({ spare }) => !before.reserve.standing.some((one) => one.spare === spare))) {
      return "somebody unknown was ended"
    }
    return after.machine.stopping && standing.length > 0 ? `${standing.length} outlive the stop` : undefined
  },

  "L39 what a spare says, and its death, is nobody else's affair: no phase, no tenant, no recovery": (turn) => {
    const { actions, after, before, input } = turn
    if (input._tag !== "SpareReady" && input._tag !== "SpareLost") return undefined
    // Time may have come for others.
    const woken = World.apply(before, { _tag: "Woke" }, after.now)
    const others = (actions: ReadonlyArray<Machine.Action>) =>
      signature(actions.filter((action) => !isOfSpares(action)))
    if (others(woken.actions) !== others(actions)) return `it ordered ${others(actions)}`
    return World.key(woken.world, nothingOfSpares) === World.key(after, nothingOfSpares)
      ? undefined
      : "the state changed"
  },

  "L40 a spare that is missing is begun, now or at a time asked for": ({ after }) => {
    const { machine, reserve } = after
    const { spares } = machine.settings
    if (reserve.standing.length >= spares || machine.stopping || machine.phase === "Init") return undefined
    if (reserve.standing.some(({ ready }) => !ready) || after.children.some(({ born }) => !born)) return undefined
    if (reserve.notBefore <= after.now) return "it is time"
    const wakeAt = Machine.nextWakeAt(machine)
    return wakeAt !== undefined && wakeAt <= reserve.notBefore ? undefined : "nobody will wake the machine for it"
  },

  "L41 what is told of spares is what happened to them": ({ actions, after }) => {
    if (after.reserve.begun === 0) return undefined
    const done: Array<string> = []
    const told: Array<string> = []
    for (const action of actions) {
      switch (action._tag) {
        case "Spawn":
          done.push(`Starting ${action.spare}`)
          break
        case "SpawnSpare":
          done.push(`SpareStarting ${action.spare}`)
          break
        case "EndSpare":
          done.push(`SpareEnded ${action.spare}`)
          break
        case "Publish": {
          const { event } = action
          if (event._tag === "Starting" || event._tag === "SpareStarting" || event._tag === "SpareEnded") {
            told.push(`${event._tag} ${event.spare}`)
          }
        }
      }
    }
    return String(told) === String(done)
      ? undefined
      : `${told.join() || "nothing"} was told of ${done.join() || "nothing"}`
  },

  "L42 whoever belongs to a life that is over is doomed": ({ after }) => {
    for (const { over, owner, ref } of after.tenancies) {
      if (over || owner === undefined || World.isAlive(after, owner)) continue
      if (SlotTable.find(after.machine.table, ref)?.doomed === false) return `slot ${ref.slot} outlives its owner`
    }
    return undefined
  },

  "L43 with a life ends what belongs to it, and nothing else": (turn) => {
    const exit = exitOf(turn)
    if (exit === undefined) return undefined
    const { after, before } = turn
    const life = World.latestLife(before, exit.ref)
    for (const tenancy of before.tenancies) {
      const { ref } = tenancy
      if (tenancy.over) continue
      const tenant = SlotTable.find(after.machine.table, ref)
      const belongs = World.belongsTo(tenancy, life)
      if (tenant?.doomed === true && !belongs && !tenancy.terminated) return `slot ${ref.slot} does not belong to it`
      if (!belongs) continue
      if (tenant === undefined) {
        if (childOf(before, ref) !== undefined) return `slot ${ref.slot} was freed while its child lives`
      } else if (childOf(before, ref) === undefined) return `slot ${ref.slot} has no child and was not released`
    }
    return undefined
  },

  "L44 nobody is registered for a life that is over, and anybody for himself": ({ before, input, rejections }) => {
    if (input._tag !== "RegisterRequested") return undefined
    const refused = rejections.some(({ reason, request }) =>
      request === input.request && reason._tag === "NotAccepting"
    )
    if (isBereaved(before, input)) return refused ? undefined : "it has nobody to belong to"
    return refused ? "it belongs to nobody that has ended" : undefined
  },

  "L45 a life begins with nobody, and owns whoever it has registered for itself": ({ after, input, replies }) => {
    const { machine: { table } } = after
    if (input._tag === "ChildStarted") {
      return (table.owned[input.ref.slot]?.size ?? 0) === 0 ? undefined : `slot ${input.ref.slot} owns somebody`
    }
    for (const { ref } of replies) {
      const tenant = SlotTable.find(table, ref)
      if (tenant !== undefined && (tenant.owner === undefined) !== (tenancyOf(after, ref)!.owner === undefined)) {
        return `slot ${ref.slot} ${tenant.owner ? "belongs to somebody" : "belongs to nobody"}`
      }
    }
    return undefined
  },

  "L46 whoever fails too often is given up: parked, or thrown out, and nobody else is": (
    { actions, after, before }
  ) => {
    for (const tenancy of after.tenancies) {
      const { over, ref } = tenancy
      const restart = World.judgedBy(tenancy)
      const tenant = SlotTable.find(after.machine.table, ref)
      const isParked = tenant?.life._tag === "Parked"
      const quits = restart._tag === "After" && restart.giveUp?.outcome === "Unregister"
      const givenUp = World.isGivenUp(tenancy)
      if (isParked && (!givenUp || quits)) return `slot ${ref.slot} is parked`
      if (!over && givenUp && !isParked) return `slot ${ref.slot} goes on`
      const told = (tag: "Parked" | "Resumed") =>
        actions.some((one) => one._tag === "Publish" && one.event._tag === tag && sameRef(one.event.ref, ref))
      const wasParked = SlotTable.find(before.machine.table, ref)?.life._tag === "Parked"
      if (told("Parked") !== (isParked && !wasParked)) return `slot ${ref.slot} is parked, or is not, and it is untold`
      if (wasParked && tenant !== undefined && !isParked && !told("Resumed")) return `slot ${ref.slot} came back untold`
      const gaveUp = actions.some((one) =>
        one._tag === "Publish" && one.event._tag === "Unregistered" && one.event.reason === "GaveUp" &&
        sameRef(one.event.ref, ref)
      )
      if (gaveUp && !(givenUp && quits)) return `slot ${ref.slot} was given up without need`
    }
    return undefined
  },

  "L47 whoever is resumed may start at once, with a clean count": (turn) => {
    const { after, before, input } = turn
    if (input._tag !== "ResumeRequested" || isVoid(turn) || after.machine.stopping) return undefined
    const tenant = SlotTable.find(after.machine.table, input.ref)
    const earlier = SlotTable.find(before.machine.table, input.ref)
    if (tenant === undefined) return "it was thrown out"
    if (tenant.failures + tenant.failedAt.length + tenant.failedBirths > 0) return "its failures are remembered"
    if (tenant.lives !== earlier?.lives) return "its lives are forgotten"
    return tenant.life._tag === "Waiting" || tenant.life._tag === "Starting" ? undefined : `it is ${tenant.life._tag}`
  },

  "L48 whoever asks for another life gets it when it has asked for it, a second after the last began at the soonest, and is not blamed":
    (turn) => {
      const wish = wishOf(turn)
      if (wish === undefined || wish.isVain || turn.after.machine.stopping) return undefined
      const { after, before } = turn
      const tenant = SlotTable.find(after.machine.table, wish.ref)
      const failedBefore = tenancyOf(before, wish.ref)!.failedAt
      const isJudged = turn.actions.some((one) =>
        one._tag === "Publish" && one.event._tag === "Exited" && one.event.verdict === "Again"
      )
      if (!isJudged) return "nobody was told that it has asked"
      if (tenant === undefined) {
        // Recovery forgives no job, whatever it has asked for.
        const forgotten = isAttached(wish.child.registration) && turn.actions.some((one) => one._tag === "Reinitialize")
        return forgotten ? undefined : "it was thrown out"
      }
      if (tenant.failures > 0) return "its failures go on"
      const { restart } = tenant.registration
      if (restart._tag === "After" && restart.giveUp !== undefined && tenant.failedAt.length > failedBefore.length) {
        return "it is held against it"
      }
      if (isAttached(tenant.registration) && before.machine.recovering) return undefined
      const { notBefore } = tenancyOf(after, wish.ref)!
      if (notBefore === after.now) return tenant.life._tag === "Resting" ? "it need not rest" : undefined
      return tenant.life._tag === "Resting" && tenant.life.dueAt === notBefore ? undefined : "for another time"
    },

  "L49 whoever was told to end gets no other life, whatever it asks for, nor does a job in a shutdown": (turn) => {
    const { after } = turn
    const wish = wishOf(turn)
    if (wish?.isVain === true && SlotTable.find(after.machine.table, wish.ref) !== undefined) return "it stays"
    if (after.machine.shutdown === undefined) return undefined
    for (const { births, over, ref, registration: { restart } } of after.tenancies) {
      if (over || births === 0 || !isJob(restart) || childOf(after, ref) !== undefined) continue
      return `the shutdown waits for a life that slot ${ref.slot} has asked for`
    }
    return undefined
  },

  "L50 the machine agrees with the world about who is to take whose place": ({ after }) => {
    for (const { over, ref } of after.tenancies) {
      if (over) continue
      const known = World.successorOf(after, ref)?.ref
      const { successor } = SlotTable.find(after.machine.table, ref)!
      if (known === undefined ? successor === undefined : successor !== undefined && sameRef(known, successor)) continue
      return `slot ${ref.slot} is ${successor === undefined ? "not " : ""}being replaced`
    }
    return undefined
  },

  "L51 a successor is refused for want of room, or of somebody to replace, and then takes nothing": (turn) => {
    const { after, before, input, rejections, replies } = turn
    if (input._tag !== "ReplaceRequested") return undefined
    const reason = rejections[0]?.reason._tag
    const expected = World.refusal(before, input.ref)
    if (reason !== expected) return `${reason ?? "seated"}, not ${expected ?? "seated"}`
    if (expected !== undefined) {
      const woken = World.apply(before, { _tag: "Woke" }, after.now)
      return World.key(woken.world, everything) === World.key(after, everything) ? undefined : "the state changed"
    }
    const tenant = SlotTable.find(after.machine.table, replies[0]!.ref)
    const { owner, registration } = tenancyOf(before, input.ref)!
    if (tenant === undefined) return "it was thrown out"
    if (tenant.registration !== registration) return "it is something else"
    return (tenant.owner === undefined) === (owner === undefined) ? undefined : "it does not belong to the same"
  },

  "L52 when its successor is ready a worker ends, and the successor stays": (turn) => {
    const { after, before, input } = turn
    if (input._tag !== "ChildReady" || isVoid(turn)) return undefined
    const { replaces } = tenancyOf(before, input.ref)!
    if (replaces === undefined) return undefined
    const successor = SlotTable.find(after.machine.table, input.ref)
    if (successor === undefined || successor.doomed) return "none of them stays"
    const tenant = SlotTable.find(after.machine.table, replaces)
    if (childOf(before, replaces) === undefined) return tenant === undefined ? undefined : "it has no child, and stays"
    if (tenant?.doomed !== true) return "both of them stay"
    const { life } = tenant
    const cause = life._tag === "Running" ? life.stopCause : life._tag === "Starting" ? life.pending?.cause : undefined
    const isFirst = childOf(before, replaces)!.told === undefined && !before.machine.stopping &&
      !before.machine.recovering
    return isFirst && cause !== "Replaced" ? `it is told that it ends because of ${cause}` : undefined
  },

  "L53 a successor that ends before it is ready is gone, and whoever it was to replace goes on": (turn) => {
    const { after, before, input } = turn
    if (input._tag !== "ChildExited" && input._tag !== "ChildNotStarted") return undefined
    const { replaces } = tenancyOf(before, input.ref)!
    if (replaces === undefined) return undefined
    if (!tenancyOf(after, input.ref)!.over) return "it stays"
    // A shutdown, and the crash of what they share, are about both.
    if (after.machine.stopping || after.machine.recovering || before.machine.recovering) return undefined
    const { over, terminated } = tenancyOf(after, replaces)!
    if (over || terminated) return "none of them stays"
    return turn.signals.some(({ ref }) => sameRef(ref, replaces)) ? "the other one was told" : undefined
  },

  "L54 whoever was to replace one that has ended is on its own, and stays": (turn) => {
    const exit = exitOf(turn)
    const successor = exit && World.successorOf(turn.before, exit.ref)
    if (exit === undefined || successor === undefined) return undefined
    const { after } = turn
    if (!tenancyOf(after, exit.ref)!.over || after.machine.stopping || after.machine.recovering) return undefined
    const { over, terminated } = tenancyOf(after, successor.ref)!
    const isOwned = World.belongsTo(successor, World.latestLife(turn.before, exit.ref))
    return (over || terminated) && !isOwned && after.machine.startupRun === turn.before.machine.startupRun
      ? "none of them stays"
      : undefined
  },

  "L55 of all that name a key at most one is registered": ({ after }) => {
    const keys = after.tenancies.flatMap(({ over, registration: { key } }) => over || key === undefined ? [] : [key])
    return new Set(keys).size === keys.length ? undefined : `${keys.join()} are held`
  },

  "L56 whoever asks for a key that is held is answered with its holder, or refused for it; nobody else is": (
    { actions, before, input, rejections, replies }
  ) => {
    if (input._tag !== "RegisterRequested") return undefined
    const { registration } = input
    const holder = registration.key === undefined
      ? undefined
      : before.tenancies.find((one) => !one.over && one.registration.key === registration.key)
    const rejection = rejections.find(({ request }) => request === input.request)
    const refused = rejection?.reason._tag === "KeyTaken"
    const answered = replies.find(({ ref, request }) =>
      request === input.request && tenancyOf(before, ref)?.over === false
    )
    if (holder === undefined || isBereaved(before, input)) {
      return refused || answered !== undefined ? "nobody holds it, or it was not asked for" : undefined
    }
    if (actions.some((one) => one._tag === "Publish" && one.event._tag === "Registered")) return "somebody was seated"
    const isWanted = holder.registration.name === registration.name && !holder.terminated
    if (isWanted) return answered !== undefined && sameRef(answered.ref, holder.ref) ? undefined : "it was refused"
    if (refused || (holder.terminated && rejection === undefined && answered === undefined)) return undefined
    return "it was answered with another, or with one that ends"
  },

  "L57 nobody waits for whom there is room, unless nobody may start": ({ after }) => {
    if (after.machine.phase === "Waiting") return undefined
    if (after.machine.phase === "Halted") return after.waiting.length > 0 ? "after the end" : undefined
    const forgotten = after.waiting.find(({ registration }) => World.hasRoom(after, registration))
    return forgotten && `request ${forgotten.request} waits for nothing`
  },

  "L58 whoever waits is served before those of its class who came later": ({ actions, after }) => {
    for (const action of actions) {
      if (action._tag !== "Publish" || action.event._tag !== "Registered") continue
      const { ref } = action.event
      const { registration, request } = after.tenancies.find((one) => sameRef(one.ref, ref))!
      const passed = after.waiting.find((one) =>
        one.request < (request ?? 0) && one.registration.class === registration.class &&
        one.registration.key === undefined
      )
      if (passed !== undefined) return `request ${request} before request ${passed.request}`
    }
    return undefined
  },

  "L59 a wait ends in time, and not before, unless for good reason": ({ after, before, input, rejections }) => {
    for (const { request, until } of after.waiting) {
      if (until <= after.now) return `request ${request} waits too long`
      if (until < (Machine.nextWakeAt(after.machine) ?? Infinity)) return `nobody will wake the machine for ${request}`
    }
    for (const { reason, request } of rejections) {
      const waiter = before.waiting.find((one) => one.request === request)
      if (waiter === undefined || waiter.until <= after.now) continue
      if (input._tag === "RegisterWithdrawn" && input.request === request) continue
      if (after.machine.stopping && reason._tag === "NotAccepting") continue
      if (reason._tag === "KeyTaken" && !reason.isEnding) continue
      if (isBereaved(after, waiter) && reason._tag === "NotAccepting") continue
      return `request ${request} was refused for ${reason._tag}`
    }
    return after.machine.stopping && after.waiting.length > 0 ? "somebody waits for a slot in vain" : undefined
  },

  "L60 a request that is withdrawn has taken nothing, or gives back what nobody else was given": (turn) => {
    const { after, before, input } = turn
    if (input._tag !== "RegisterWithdrawn") return undefined
    const { ref, request } = input
    if (after.waiting.some((one) => one.request === request)) return "it waits on"
    if (before.waiting.some((one) => one.request === request)) {
      return after.tenancies.some((one) => one.request === request) ? "it was seated" : undefined
    }
    const tenancy = ref && tenancyOf(before, ref)
    if (tenancy === undefined) return undefined
    const tenant = SlotTable.find(after.machine.table, tenancy.ref)
    const gives = tenancy.request === request
    if (gives) return tenant?.doomed === false ? "it was kept" : undefined
    return tenant?.doomed === true && !tenancy.terminated ? "somebody else's was taken" : undefined
  },

  "L61 what is kept for a class is left for it": ({ after, before, replies }) => {
    for (const { ref } of replies) {
      if (tenancyOf(before, ref)?.over === false) continue
      const { registration } = tenancyOf(after, ref)!
      if (registration.class === "parallel") continue
      const seated = after.tenancies.filter(({ over }) => !over)
      const members = seated.filter((one) => one.registration.class === "parallel").length
      const kept = after.machine.settings.reservedSlots["parallel"] ?? 0
      if (after.machine.settings.maxWorkers - seated.length < kept - members) return `slot ${ref.slot} was kept`
    }
    return undefined
  },

  "L62 whoever is asked to end is sent the signals of its ladder, each in its time": (turn) => {
    const { after, before, input } = turn
    for (const { ref, signal } of turn.signals) {
      const { registration } = childOf(after, ref)!
      const ladder = registration.stopLadder
      if (ladder === undefined || signal === "SIGHUP") continue
      const { machine } = after
      if (machine.shutdown === "Immediate" || (machine.recovering && isAttached(registration))) continue
      const life = SlotTable.find(before.machine.table, ref)?.life
      const isBorn = input._tag === "ChildStarted" && sameRef(input.ref, ref)
      if (life?._tag === "Starting" && isBorn) continue
      const rung = life?._tag === "Running" ? life.rung : undefined
      const sent = turn.signals.flatMap((one) => sameRef(one.ref, ref) && one.signal !== "SIGHUP" ? [one.signal] : [])
      const wanted = [...ladder.map((one) => one.signal), "SIGKILL"]
      const from = rung === undefined ? 0 : rung + 1
      if (String(sent) !== String(wanted.slice(from, from + sent.length))) return `slot ${ref.slot} was sent ${sent}`
      if (rung !== undefined && life?._tag === "Running" && (life.killAt ?? Infinity) > after.now) {
        return `slot ${ref.slot} was sent ${signal} too early`
      }
    }
    return undefined
  },

  "L63 a policy is changed as a whole or refused, and nothing else of the worker is changed by it": (turn) => {
    const { actions, after, before, input } = turn
    if (input._tag !== "PolicyChangeRequested") return undefined
    const earlier = SlotTable.find(before.machine.table, input.ref)
    const tenant = SlotTable.find(after.machine.table, input.ref)
    const wanted = World.changeOf(before, input)
    const done = turn.replies.some(({ ref, request }) => request === input.request && sameRef(ref, input.ref))
    if (done !== (wanted !== undefined)) return done ? "a mistake was accepted" : "it was refused"
    const told = actions.some((one) => one._tag === "Publish" && one.event._tag === "PolicyChanged")
    if (told !== done) return "it is done, or is not, and it is untold"
    const refusal = turn.rejections.find(({ request }) => request === input.request)?.reason._tag
    if ((refusal === "NotRegistered") !== (earlier === undefined)) return `it was refused for ${refusal}`
    // The last job of a smart shutdown may be a job no more.
    if (earlier === undefined || tenant === undefined) {
      return earlier !== undefined && !after.machine.stopping ? "it was thrown out" : undefined
    }
    for (const field of ["restart", "stopTimeoutMillis", "stopLadder"] as const) {
      const should = (wanted ?? earlier.registration)[field]
      if (tenant.registration[field] !== should) return `${field} is another`
    }
    // Time may have come for others, and for itself.
    const woken = World.apply(before, { _tag: "Woke" }, after.now)
    const ordered = (one: Machine.Action) => one._tag === "Signal" || one._tag === "Spawn" || one._tag === "Notify"
    if (after.machine.stopping) return undefined
    if (signature(woken.actions.filter(ordered)) !== signature(actions.filter(ordered))) return "it ordered something"
    const life = SlotTable.find(woken.world.machine.table, input.ref)?.life
    return JSON.stringify(life) === JSON.stringify(tenant.life) ? undefined : "its life is another"
  },

  "L64 whoever is killed for hanging has given no sign, and was waited for longer than that": (turn) => {
    const { actions, after, before, signals } = turn
    for (const { afterMillis, missed, ref } of hungOf(actions)) {
      const earlier = childOf(before, ref)
      const child = childOf(after, ref)
      if (earlier?.born !== true || child === undefined) return `slot ${ref.slot} has no child`
      if (earlier.told !== undefined) return `slot ${ref.slot} was told to end before`
      const limit = World.limitOf(child)
      if (limit?.missed !== missed) return `slot ${ref.slot} has not missed its ${missed}`
      if (afterMillis !== after.now - limit.since) return `slot ${ref.slot} was not silent for ${afterMillis} ms`
      if (earlier.spared?.limit !== limit.at) return `slot ${ref.slot} was not looked at before`
      if (after.now < earlier.spared.until) return `slot ${ref.slot} was killed too early`
      if (!signals.some((one) => sameRef(one.ref, ref) && one.signal === "SIGKILL" && one.target === "Group")) {
        return `slot ${ref.slot} was not killed`
      }
    }
    return undefined
  },

  "L65 whoever hangs is killed in time": ({ after }) => {
    for (const child of after.children) {
      const until = child.born && child.told === undefined ? World.waitedFor(child) : undefined
      if (until === undefined) continue
      if (until <= after.now) return `slot ${child.ref.slot} should have been killed`
      const wakeAt = Machine.nextWakeAt(after.machine)
      if (wakeAt === undefined || wakeAt > until) return `slot ${child.ref.slot} may hang for ever`
    }
    return undefined
  },

  "L66 a beat orders nothing": ({ actions, after, before, input }) => {
    if (input._tag !== "ChildBeat" || wakes(before.machine, after.now)) return undefined
    return actions.length > 0 ? `it ordered ${signature(actions)}` : undefined
  },

  "L67 nobody starts while those are registered that it starts after, and none of them is ready": (
    { after, spawns }
  ) => {
    for (const { launch } of spawns) {
      const holder = World.holderOf(after, launch.registration)
      if (holder !== undefined) return `${launch.registration.name} was started before "${holder}" was ready`
    }
    return undefined
  },

  "L68 nobody who waits for itself is let in, by whatever way": ({ before, input, replies }) =>
    input._tag === "RegisterRequested" && replies.length > 0 && waitsForItself(before, input.registration)
      ? `${input.registration.name} waits for itself`
      : undefined
}

const hungOf = (actions: ReadonlyArray<Machine.Action>) =>
  actions.flatMap((action) => action._tag === "Publish" && action.event._tag === "Hung" ? [action.event] : [])

/** Whether a name is found again when one goes from who waits to whom it waits for, by every way. */
const waitsForItself = ({ tenancies }: World.World, { after = [], name }: Registration): boolean => {
  let reached: ReadonlyArray<string> = after
  for (const _ of tenancies) {
    reached = [
      ...reached,
      ...tenancies.filter((one) => !one.over && reached.includes(one.registration.name))
        .flatMap(({ registration }) => registration.after ?? [])
    ].filter((one, index, all) => all.indexOf(one) === index)
  }
  return reached.includes(name)
}

/** The wish of the life that ends in this turn; in vain if it was told to end or nobody starts any more. */
const wishOf = (turn: Turn) => {
  const exit = exitOf(turn)
  if (exit?.status._tag !== "Exited" || exit.status.outcome === undefined || exit.child.joined) return undefined
  const { machine: { shutdown, stopping } } = turn.before
  const { registration: { restart }, replaces, terminated } = tenancyOf(turn.before, exit.ref)!
  const isVain = stopping || terminated || replaces !== undefined || (shutdown !== undefined && isJob(restart))
  return { ...exit, isVain }
}

/** Whether somebody is to belong to a life that is over. */
const isBereaved = (
  before: World.World,
  { registrant, registration }: Pick<World.Waiter, "registrant" | "registration">
): boolean =>
  registration.ownership === "registrant" && typeof registrant === "object" && !World.isAlive(before, registrant)

const isOfSpares = (action: Machine.Action): boolean =>
  action._tag === "SpawnSpare" || action._tag === "EndSpare" ||
  (action._tag === "Publish" && action.event._tag.startsWith("Spare"))

/** Laws about where a state can lead; each state is asked once. */
export const prospects: { readonly [name: string]: Law } = {
  "P1 an immediate shutdown always comes to its end": ({ after }) => {
    if (after.machine.phase === "Halted") return undefined
    let world = World.apply(after, { _tag: "ShutdownRequested", mode: "Immediate" }, after.now).world
    for (const { born, ref } of world.children) {
      if (!born) world = World.apply(world, { _tag: "ChildStarted", ref, pid: 1 as never }, world.now).world
      world = World.apply(world, { _tag: "ChildExited", ref, status: { _tag: "Exited", code: 2 } }, world.now).world
    }
    return world.machine.phase === "Halted" ? undefined : `it is stuck in ${world.machine.phase}`
  },

  "P2 woken as often as it asks, the machine falls asleep": ({ after }) => {
    let world = after
    for (let turns = 0; turns < 4 * world.machine.settings.maxWorkers + 4; turns++) {
      if (!wakes(world.machine, world.now)) return undefined
      world = World.apply(world, { _tag: "Woke" }, world.now).world
    }
    return "it never does"
  },

  "P3 left alone by its callers and its children's faults, it comes to rest": ({ after }) => {
    let world = after
    for (let turns = 0; turns < 64; turns++) {
      const { machine } = world
      if (machine.phase === "Halted") return undefined
      const child = world.children.find((one) => !one.born || one.told !== undefined)
      const wakeAt = Machine.nextWakeAt(machine)
      // Whoever goes on giving signs of life is looked at for ever.
      const idle = wakeAt === undefined || wakeAt === SlotTable.nextWatchAt(machine.table)
      const input: Machine.Input | undefined = child === undefined
        ? !idle
          ? { _tag: "Woke" }
          : machine.phase === "Startup" || machine.phase === "Consistent"
          ? { _tag: "PhaseReached", phase: "Run", run: machine.startupRun }
          : undefined
        : !child.born
        ? { _tag: "ChildStarted", ref: child.ref, pid: 1 as never }
        : child.joined
        ? { _tag: "ChildDetached", ref: child.ref }
        : { _tag: "ChildExited", ref: child.ref, status: { _tag: "Exited", code: 1 } }
      if (input === undefined) return machine.phase === "Run" ? undefined : `it is stuck in ${machine.phase}`
      world = World.apply(world, input, input._tag === "Woke" ? Math.max(world.now, wakeAt!) : world.now).world
    }
    return "it never does"
  }
}

export const broken = (laws: { readonly [name: string]: Law }, turn: Turn): string | undefined => {
  for (const name in laws) {
    const how = laws[name]!(turn)
    if (how !== undefined) return `${name}: ${how}`
  }
  return undefined
}
