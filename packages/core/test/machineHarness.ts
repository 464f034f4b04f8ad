/** Drives the machine by hand: a clock that a test sets, names instead of references, and the orders of each turn. */
import { exited, type ExitStatus, notStarted } from "@effect-postmaster/core/ExitStatus"
import type { Pid, SlotRef } from "@effect-postmaster/core/Identity"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import type { Progress, ProgressSeen } from "@effect-postmaster/core/Progress"
import type { LifeRef, Policy, Registrant, Registration } from "@effect-postmaster/core/Registration"
import * as Restart from "@effect-postmaster/core/Restart"
import type { SpareLoss } from "@effect-postmaster/core/SpareLoss"
import { ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import { assert } from "@effect/vitest"
import * as Lobby from "../src/internal/lobby.ts"
import * as Machine from "../src/internal/machine.ts"
import * as Onlook from "../src/internal/onlook.ts"
import * as SlotTable from "../src/internal/slotTable.ts"
import * as Spares from "../src/internal/spares.ts"

export const define = (name: string, options: Partial<Registration> = {}): Registration => ({
  name,
  type: name,
  entry: { module: "file:///worker.js", export: "main" },
  args: null,
  flags: [],
  startTime: "RecoveryFinished",
  restart: Restart.never(),
  ...options
})

export const attached = (name: string, options: Partial<Registration> = {}): Registration =>
  define(name, { flags: ["SharedMemory"], ...options })

/** Belongs to whoever registers it. */
export const owned = (name: string, options: Partial<Registration> = {}): Registration =>
  define(name, { ownership: "registrant", ...options })

export const every = (millis: number): Restart.Restart => Restart.after(millis)

export const failedBirth = notStarted(
  new SpawnError({ reason: new ProcessNotStarted({ worker: "w", detail: "no more processes" }) })
)

export class Harness {
  readonly state: Machine.State
  now = 0
  orders: ReadonlyArray<Machine.Action> = []
  private requests = 0
  private pids = 100
  private readonly asked = new Map<number, string>()
  private readonly refs = new Map<string, SlotRef>()
  private readonly lives = new Map<string, LifeRef>()

  constructor(settings: Partial<Machine.Settings> = {}) {
    this.state = Machine.make({
      maxWorkers: 8,
      classLimits: { parallel: 2 },
      reservedSlots: {},
      killAfter: 5_000,
      stopTimeout: 30_000,
      maxLaunchesPerTurn: 100,
      restartAfterCrash: true,
      spares: 0,
      ...settings
    })
  }

  hear(input: Machine.Input): this {
    this.orders = Machine.step(this.state, input, this.now)
    assert.isUndefined(SlotTable.broken(this.state.table))
    assert.isUndefined(Spares.broken(this.state.spares))
    assert.isUndefined(Lobby.broken(this.state.lobby))
    for (const { ref, request } of this.all("Reply")) this.refs.set(this.asked.get(request)!, ref)
    return this
  }

  /** Opens the table and goes straight to phase Run. */
  run(): this {
    this.phase("Startup")
    return this.phase("Run")
  }

  phase(phase: "Startup" | "Consistent" | "Run"): this {
    return this.hear({ _tag: "PhaseReached", phase, run: this.state.startupRun })
  }

  /** Registers; remembers the reference under the worker's name. */
  register(registration: Registration, registrant: Registrant = "Application"): this {
    this.asked.set(this.requests, registration.name)
    return this.hear({ _tag: "RegisterRequested", request: this.requests++, registration, registrant })
  }

  /** Registers, and waits for a slot for so long; the reference is remembered when it comes. */
  registerWithin(waitMillis: number, registration: Registration, registrant: Registrant = "Application"): this {
    this.asked.set(this.requests, registration.name)
    return this.hear({ _tag: "RegisterRequested", request: this.requests++, registration, registrant, waitMillis })
  }

  /** Whoever has asked for this worker last goes away; `answered`: with the answer unheard. */
  withdraw(name: string, answered = false): this {
    const request = [...this.asked].findLast(([, asked]) => asked === name)![0]
    return this.hear({ _tag: "RegisterWithdrawn", request, ...(answered ? { ref: this.ref(name) } : undefined) })
  }

  /** Who waits for a slot. */
  get lobby(): ReadonlyArray<string> {
    return [...this.state.lobby.waiters.values()].map(({ registration }) => registration.name)
  }

  /** Who has been answered in this turn, and how. */
  get answered(): ReadonlyArray<string> {
    return this.orders.flatMap((order) =>
      order._tag === "Reply"
        ? [`${this.asked.get(order.request)} slot ${order.ref.slot}`]
        : order._tag === "Reject"
        ? [`${this.asked.get(order.request)} ${order.reason._tag}`]
        : []
    )
  }

  /** A worker registers another one. `life`: not in its latest life. */
  registerBy(registrant: string, registration: Registration, life = this.latestLife(registrant)): this {
    return this.register(registration, life)
  }

  /** The present life of whoever bears this name, or its last one. */
  latestLife(name: string): LifeRef {
    return this.lives.get(name)!
  }

  ref(name: string): SlotRef {
    return this.refs.get(name)!
  }

  born(...names: ReadonlyArray<string>): this {
    for (const name of names) {
      const life = { ref: this.ref(name), pid: this.pids++ as Pid }
      this.lives.set(name, life)
      this.hear({ _tag: "ChildStarted", ...life })
    }
    return this
  }

  joins(...names: ReadonlyArray<string>): this {
    for (const name of names) this.hear({ _tag: "ChildAttached", ref: this.ref(name) })
    return this
  }

  leaves(name: string): this {
    return this.hear({ _tag: "ChildDetached", ref: this.ref(name) })
  }

  ready(name: string): this {
    return this.hear({ _tag: "ChildReady", ref: this.ref(name) })
  }

  beat(name: string): this {
    return this.hear({ _tag: "ChildBeat", ref: this.ref(name) })
  }

  progress(name: string, progress: Progress): this {
    return this.hear({ _tag: "ChildProgressed", ref: this.ref(name), progress })
  }

  /** For whom a worker waits, by what onlookers see. */
  waitingFor(name: string): string | undefined {
    return Onlook.snapshot(this.state, 0).workers.find((worker) => worker.name === name)?.waitingFor
  }

  /** What onlookers see of a worker's progress. */
  progressOf(name: string): ProgressSeen | undefined {
    return Onlook.snapshot(this.state, 0).workers.find((worker) => worker.name === name)?.progress
  }

  exits(name: string, status: ExitStatus | number): this {
    return this.hear({
      _tag: "ChildExited",
      ref: this.ref(name),
      status: typeof status === "number" ? exited(status) : status
    })
  }

  notBorn(name: string): this {
    assert(failedBirth._tag === "NotStarted")
    return this.hear({ _tag: "ChildNotStarted", ref: this.ref(name), error: failedBirth.error })
  }

  /** The spare of this number stands ready; its pid is 1,000 more. */
  spareReady(spare: number): this {
    return this.hear({ _tag: "SpareReady", spare, pid: (1_000 + spare) as Pid })
  }

  spareLost(spare: number, cause: SpareLoss["cause"] = "Died"): this {
    return this.hear({ _tag: "SpareLost", spare, loss: { cause, detail: "gone" } })
  }

  terminate(name: string): this {
    return this.hear({ _tag: "TerminateRequested", ref: this.ref(name) })
  }

  change(name: string, policy: Policy): this {
    this.asked.set(this.requests, name)
    const ref = this.ref(name)
    return this.hear({ _tag: "PolicyChangeRequested", request: this.requests++, ref, worker: name, policy })
  }

  resume(name: string): this {
    return this.hear({ _tag: "ResumeRequested", ref: this.ref(name) })
  }

  shutdown(mode: "Smart" | "Fast" | "Immediate"): this {
    return this.hear({ _tag: "ShutdownRequested", mode })
  }

  /** Lets time pass without waking the machine. */
  later(millis: number): this {
    this.now += millis
    return this
  }

  /** Wakes the machine after so much time. */
  wake(millis = 0): this {
    this.now += millis
    return this.hear({ _tag: "Woke" })
  }

  wakeIn(): number | undefined {
    const at = Machine.nextWakeAt(this.state)
    return at === undefined ? undefined : at - this.now
  }

  order<Tag extends Machine.Action["_tag"]>(tag: Tag): Extract<Machine.Action, { readonly _tag: Tag }> | undefined {
    return this.all(tag)[0]
  }

  all<Tag extends Machine.Action["_tag"]>(tag: Tag): ReadonlyArray<Extract<Machine.Action, { readonly _tag: Tag }>> {
    return this.orders.filter((one): one is Extract<Machine.Action, { readonly _tag: Tag }> => one._tag === tag)
  }

  get launched(): ReadonlyArray<string> {
    return this.all("Spawn").map((order) => order.launch.registration.name)
  }

  /** What was launched from which spare, or cold. */
  get launchedFrom(): ReadonlyArray<string> {
    return this.all("Spawn").map(({ launch, spare }) => `${launch.registration.name} ${spare ?? "cold"}`)
  }

  get sparesBegun(): ReadonlyArray<number> {
    return this.all("SpawnSpare").map((order) => order.spare)
  }

  get sparesEnded(): ReadonlyArray<number> {
    return this.all("EndSpare").map((order) => order.spare)
  }

  get signals(): ReadonlyArray<string> {
    return this.all("Signal").map((order) => `${this.nameOf(order.ref)} ${order.signal} ${order.target}`)
  }

  get told(): ReadonlyArray<string> {
    return this.all("Notify").map((order) =>
      `${this.nameOf(order.ref)} ${order.status._tag}${order.gone ? " gone" : ""}`
    )
  }

  get events(): ReadonlyArray<PostmasterEvent["_tag"]> {
    return this.all("Publish").map((order) => order.event._tag)
  }

  life(name: string): SlotTable.Life["_tag"] | undefined {
    return SlotTable.find(this.state.table, this.ref(name))?.life._tag
  }

  private nameOf(ref: SlotRef): string {
    for (const [name, known] of this.refs) {
      if (known.slot === ref.slot && known.generation === ref.generation) return name
    }
    return "?"
  }
}
