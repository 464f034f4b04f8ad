/**
 * The postmaster once more, written from the specification and for nothing but
 * to be believed: one list of everyone ever registered, and a look at all of it
 * for every question.
 */
import type { ExitStatus, Verdict } from "@effect-postmaster/core/ExitStatus"
import { notStarted } from "@effect-postmaster/core/ExitStatus"
import type { Pid, SlotRef } from "@effect-postmaster/core/Identity"
import { slotRef } from "@effect-postmaster/core/Identity"
import type { LifeRecord } from "@effect-postmaster/core/LifeRecord"
import type { Phase, ShutdownMode } from "@effect-postmaster/core/Phase"
import type { LifeRef, Registration } from "@effect-postmaster/core/Registration"
import { sanityCheck } from "@effect-postmaster/core/Registration"
import type { Restart } from "@effect-postmaster/core/Restart"
import type { StopCause } from "@effect-postmaster/core/StopCause"
import type { WorkerStatus } from "@effect-postmaster/core/WorkerStatus"
import type { Input, Settings } from "../src/internal/machine.ts"
import * as Restarts from "../src/internal/restarts.ts"

type Signal = "SIGTERM" | "SIGQUIT" | "SIGKILL" | "SIGHUP"
type Target = "Process" | "Group"

export interface Worker {
  readonly ref: SlotRef
  registration: Registration
  readonly dynamic: boolean
  /** With whose end it ends: that of one worker, in one of its lives. */
  readonly owner: LifeRef | undefined
  /** Whose place it was registered to take. */
  readonly replaces: Worker | undefined
  /** It has been ready once. */
  everReady: boolean
  readonly request: number | undefined
  /** Somebody else has been answered with it, too. */
  shared: boolean
  state: "Waiting" | "Unborn" | "Alive" | "Resting" | "Parked" | "Down" | "Gone"
  pid: Pid | undefined
  /** Under which it has lived so far. */
  readonly pids: Array<Pid>
  /** When it may start again, while it rests. */
  restUntil: number
  /** Since it was registered, or resumed. */
  everLived: boolean
  bornAt: number
  failedBirths: number
  /** Every failure of its own since it was registered, or resumed. */
  failedAt: Array<number>
  /** How many of them are in a row. */
  failures: number
  terminated: boolean
  ready: boolean
  /** When it last gave a sign that its loop, and its work, go on. */
  heardAt: number
  workedAt: number
  /** The limit that was found passed, and for how long it is waited beyond that. */
  spared: { readonly limit: number; readonly until: number } | undefined
  /** It has joined the shared state and has not left it. */
  joined: boolean
  /** What it has been sent to end it; while it is unborn, what it will be sent. */
  asked: { readonly signal: Signal; readonly target: Target } | undefined
  killAt: number | undefined
  /** Why it was first asked to end. */
  cause: StopCause | undefined
  /** Its last lives and failed births. */
  history: ReadonlyArray<LifeRecord>
  /** Which signal of its ladder it was sent last. */
  rung: number | undefined
  /** How its last life ended, or its last attempt at one. */
  lastExit: ExitStatus | undefined
  /** How its last life ended. */
  lastDeath: ExitStatus | undefined
}

/** What a turn comes to, as far as others can see it. */
export interface Outcome {
  readonly spawned: Array<{ readonly ref: SlotRef; readonly spare: number | undefined }>
  readonly signals: Array<{ readonly ref: SlotRef; readonly signal: string; readonly target: string }>
  readonly answers: Array<{ readonly request: number; readonly answer: SlotRef | string }>
  readonly halts: Array<boolean>
  readonly reruns: Array<number>
  /** Births that are given up. */
  readonly abandoned: Array<SlotRef>
  /** How often the startup effect is told to stop. */
  startupStops: number
  readonly sparesBegun: Array<{ readonly spare: number; readonly modules: ReadonlyArray<string> }>
  readonly sparesEnded: Array<number>
}

export interface Spare {
  readonly number: number
  readonly since: number
  pid: Pid | undefined
}

const phases: ReadonlyArray<Phase> = ["Init", "Startup", "Consistent", "Run", "Waiting", "Halted"]
const modes: ReadonlyArray<ShutdownMode> = ["Smart", "Fast", "Immediate"]
const signals: ReadonlyArray<Signal> = ["SIGTERM", "SIGQUIT", "SIGKILL"]

export const isAttached = (worker: Worker): boolean => worker.registration.flags.includes("SharedMemory")

const isJob = ({ registration: { restart } }: Worker): boolean =>
  restart._tag === "Never" && restart.onSuccess === "Unregister"

export const hasChild = (worker: Worker): boolean => worker.state === "Unborn" || worker.state === "Alive"

const isSame = (self: SlotRef, that: SlotRef): boolean => self.slot === that.slot && self.generation === that.generation

const isForWantOfRoom = (answer: SlotRef | string): boolean =>
  answer === "ClassLimitReached" || answer === "SlotsExhausted" || answer === "KeyTaken for now"

/** No pause, then 0.1 s, 0.2 s and so on up to 10 s. */
const pause = (attempt: number): number => {
  let millis = attempt === 0 ? 0 : 100
  for (let doubled = 1; doubled < attempt; doubled++) millis = Math.min(10_000, millis * 2)
  return millis
}

/** One factor after the other, for as many failures as there were beyond the list. */
const restAfter = (restart: Extract<Restart, { readonly _tag: "After" }>, failures: number, luck: number): number => {
  const { delayMillis, growth, thenMillis } = restart
  const listed = [delayMillis, ...thenMillis ?? []]
  let rest = listed[Math.min(failures, listed.length) - 1]!
  if (growth === undefined) return rest
  for (let more = listed.length; more < failures; more++) rest = Math.min(growth.maxMillis, rest * growth.factor)
  return Math.round(rest * (1 - growth.jitter * luck))
}

/** How long a life lasts that makes good what was before. */
const healthy = (restart: Restart): number => {
  if (restart._tag === "Never") return Number.POSITIVE_INFINITY
  const { delayMillis, growth, healthyMillis, thenMillis } = restart
  return healthyMillis ?? Math.max(60_000, delayMillis, ...thenMillis ?? [], growth?.maxMillis ?? 0)
}

/** By when a worker must give a sign, of those that are asked of it. */
const limitOf = ({ bornAt, heardAt, ready, registration, workedAt }: Worker) => {
  const { heartbeatMillis, progressTimeoutMillis, readyTimeoutMillis } = registration
  const beat = { cause: "NoHeartbeat" as const, whole: heartbeatMillis ?? Number.POSITIVE_INFINITY, since: heardAt }
  const work = {
    cause: "NoProgress" as const,
    whole: progressTimeoutMillis ?? Number.POSITIVE_INFINITY,
    since: workedAt
  }
  const birth = { cause: "NotReady" as const, whole: readyTimeoutMillis ?? Number.POSITIVE_INFINITY, since: bornAt }
  const first = !ready ? birth : work.since + work.whole < beat.since + beat.whole ? work : beat
  return { cause: first.cause, whole: first.whole, at: first.since + first.whole }
}

export const nothing = (): Outcome => ({
  spawned: [],
  signals: [],
  answers: [],
  halts: [],
  reruns: [],
  abandoned: [],
  startupStops: 0,
  sparesBegun: [],
  sparesEnded: []
})

export class Naive {
  readonly settings: Settings
  readonly everyone: Array<Worker> = []
  phase: Phase = "Init"
  run = 0
  shutdown: ShutdownMode | undefined
  stopping = false
  recovering = false
  abnormal = false
  killAt: number | undefined
  anewAt: number | undefined
  lastAnewAt: number | undefined
  crashesInARow = 0
  /** Those that nobody has taken yet. */
  spares: Array<Spare> = []
  sparesBegun = 0
  /** Who waits for a slot, in the order of their coming. */
  waiting: Array<Extract<Input, { readonly _tag: "RegisterRequested" }> & { readonly until: number }> = []
  private sparesDiedInARow = 0
  private noSpareBefore = 0
  /** What has been registered to be made from a spare, again and again. */
  private readonly modules: Array<string> = []
  private now = 0
  private outcome: Outcome = nothing()

  constructor(settings: Settings) {
    this.settings = settings
  }

  get seated(): ReadonlyArray<Worker> {
    return this.everyone.filter((worker) => worker.state !== "Gone").toSorted((a, b) => a.ref.slot - b.ref.slot)
  }

  hear(input: Input, now: number): Outcome {
    this.now = now
    this.outcome = nothing()
    this.listen(input)
    if (this.phase !== "Halted") this.proceed()
    this.letIn()
    this.start()
    this.replenish()
    return this.outcome
  }

  get spareSnapshots(): ReadonlyArray<unknown> {
    return this.spares.map(({ number, pid, since }) =>
      pid === undefined ? { spare: number, state: "Starting", since } : { spare: number, state: "Ready", pid, since }
    )
  }

  statusOf(worker: Worker): WorkerStatus {
    if (worker.state === "Alive") return { _tag: worker.ready ? "Ready" : "Started", pid: worker.pid! }
    if (worker.state === "Parked") return { _tag: "Stopped", lastExit: worker.lastExit!, parked: true }
    if (worker.state !== "Gone" && !worker.everLived) return { _tag: "NotYetStarted" }
    // A birth that fails between two lives is no news to whoever holds the worker.
    const lastExit = worker.state === "Gone" ? worker.lastExit : worker.lastDeath
    return lastExit === undefined ? { _tag: "Stopped" } : { _tag: "Stopped", lastExit }
  }

  /** Until when there is nothing to do. */
  sleepUntil(): number | undefined {
    if (this.phase === "Halted") return undefined
    if (this.next() !== undefined) return this.now
    const times = [this.killAt, this.anewAt, this.nextSpareAt()]
    for (const worker of this.seated) {
      times.push(worker.state === "Resting" ? worker.restUntil : undefined, worker.killAt, this.waitsFor(worker))
    }
    for (const { until } of this.waiting) if (until !== Number.POSITIVE_INFINITY) times.push(until)
    const known = times.filter((time) => time !== undefined)
    return known.length === 0 ? undefined : Math.min(...known)
  }

  /** Until when it is waited for a sign of whoever is asked for one. */
  private waitsFor(worker: Worker): number | undefined {
    if (worker.state !== "Alive" || worker.asked !== undefined) return undefined
    const { at } = limitOf(worker)
    const until = worker.spared?.limit === at ? worker.spared.until : at
    return until === Number.POSITIVE_INFINITY ? undefined : until
  }

  /** For whose sake a worker does not start: some are there that it starts after, and none of them is ready. */
  heldBy({ registration }: Worker): string | undefined {
    return registration.after?.find((name) => {
      const bearers = this.seated.filter((one) => one.registration.name === name)
      return bearers.length > 0 && !bearers.some(({ ready, state }) => ready && state === "Alive")
    })
  }

  private waitsForItself({ after = [], name }: Registration): boolean {
    const reached = new Set(after)
    for (const one of reached) {
      for (const worker of this.seated.filter(({ registration }) => registration.name === one)) {
        for (const next of worker.registration.after ?? []) reached.add(next)
      }
    }
    return reached.has(name)
  }

  private listen(input: Input): void {
    switch (input._tag) {
      case "Woke":
        return
      case "PhaseReached": {
        if (input.run !== this.run || phases.indexOf(input.phase) <= phases.indexOf(this.phase)) return
        this.phase = input.phase
        if (input.phase !== "Startup") this.recovering = false
        return
      }
      case "StartupFailed": {
        if (input.run !== this.run || phases.indexOf(this.phase) >= phases.indexOf("Run")) return
        this.abnormal = true
        if (this.shutdown !== "Immediate") this.shutdown = "Fast"
        return
      }
      case "RegisterRequested": {
        const { registrant, request, waitMillis = 0 } = input
        const answer = this.register(input)
        const waits = waitMillis > 0 && registrant !== "Preload" && !this.stopping && this.waiting.length < 1_024
        if (waits && isForWantOfRoom(answer)) this.waiting.push({ ...input, until: this.now + waitMillis })
        else this.outcome.answers.push({ request, answer })
        return
      }
      case "RegisterWithdrawn": {
        const { ref, request } = input
        for (const one of this.waiting) if (one.request === request) this.turnAway(one)
        const worker = ref && this.seated.find((one) => isSame(one.ref, ref) && one.request === request)
        if (worker !== undefined && !worker.shared) this.terminate(worker, "Terminated")
        return
      }
      case "ReplaceRequested": {
        this.outcome.answers.push({ request: input.request, answer: this.replace(input.ref) })
        return
      }
      case "PolicyChangeRequested": {
        const answer = this.changePolicy(input)
        this.outcome.answers.push({ request: input.request, answer })
        if (typeof answer !== "string" && this.shutdown === "Smart" && !this.stopping) this.forgetJobs()
        return
      }
      case "TerminateUsersRequested": {
        for (const worker of this.seated) {
          if (worker.registration.resources?.includes(input.resource) === true) this.terminate(worker, "ResourceNeeded")
        }
        return
      }
      case "ShutdownRequested": {
        const already = this.shutdown === undefined ? -1 : modes.indexOf(this.shutdown)
        if (this.phase === "Halted" || modes.indexOf(input.mode) <= already) return
        this.shutdown = input.mode
        if (input.mode === "Smart") this.forgetJobs()
        if (input.mode !== "Immediate") return
        this.losePatience()
        if (this.stopping) this.askAll("SIGQUIT", "ShuttingDown", () => true)
        return
      }
      case "ReloadRequested": {
        if (this.stopping) return
        for (const { ref, state } of this.seated) {
          if (state === "Alive") this.outcome.signals.push({ ref, signal: "SIGHUP", target: "Process" })
        }
        return
      }
      case "SpareReady": {
        const spare = this.spares.find((one) => one.number === input.spare)
        if (spare !== undefined) spare.pid ??= input.pid
        return
      }
      case "SpareLost": {
        const spare = this.spares.find((one) => one.number === input.spare)
        if (spare === undefined) return
        this.spares = this.spares.filter((one) => one !== spare)
        if (spare.pid !== undefined && spare.since + 60_000 <= this.now) this.sparesDiedInARow = 0
        if (input.loss.cause === "Died") this.noSpareFor(pause(++this.sparesDiedInARow))
        return
      }
    }
    const worker = this.seated.find((one) => isSame(one.ref, input.ref))
    if (worker === undefined) return
    if (input._tag === "TerminateRequested") return this.terminate(worker, "Terminated")
    if (input._tag === "ResumeRequested") return this.resume(worker)
    if (worker.state === "Unborn") {
      if (input._tag === "ChildStarted") this.started(worker, input.pid)
      if (input._tag === "ChildNotStarted") {
        this.noSpareFor(100)
        worker.failedBirths++
        worker.lastExit = notStarted(input.error)
        const record = this.record(worker, worker.lastExit, "Failed")
        this.failed(worker, pause(worker.failedBirths))
        this.remember(worker, record)
      }
    } else if (worker.state === "Alive") {
      if (input._tag === "ChildReady") this.readied(worker)
      if (input._tag === "ChildBeat") worker.heardAt = this.now
      if (input._tag === "ChildProgressed") worker.heardAt = worker.workedAt = this.now
      if (input._tag === "ChildAttached") worker.joined = isAttached(worker)
      if (input._tag === "ChildDetached") worker.joined = false
      if (input._tag === "ChildExited") this.exited(worker, input.status)
    }
  }

  private register(
    { registrant, registration, request }: Extract<Input, { readonly _tag: "RegisterRequested" }>
  ): SlotRef | string {
    const dynamic = registrant !== "Preload"
    if (dynamic ? this.phase === "Init" || this.phase === "Halted" : this.phase !== "Init") return "NotAccepting"
    const mistake = sanityCheck(registration)
    if (mistake !== undefined) return mistake._tag
    if (this.waitsForItself(registration)) return "StartOrderCycle"
    const owner = registration.ownership === "registrant" && typeof registrant === "object" ? registrant : undefined
    const bereaved = owner !== undefined &&
      !this.seated.some((one) => isSame(one.ref, owner.ref) && one.pid === owner.pid)
    if (bereaved) return "NotAccepting"
    const holder = this.holder(registration)
    if (holder !== undefined && !holder.terminated) {
      if (holder.registration.name !== registration.name) return "KeyTaken"
      holder.shared = true
      return holder.ref
    }
    const hindrance = this.hindrance(registration)
    if (hindrance !== undefined) return hindrance
    if (registration.spare !== false) this.modules.push(registration.entry.module)
    return this.seat(registration, dynamic, owner, undefined, request)
  }

  private replace(ref: SlotRef): SlotRef | string {
    const worker = this.seated.find((one) => isSame(one.ref, ref))
    if (worker === undefined || worker.terminated || this.stopping || this.phase === "Waiting") return "NotReplaceable"
    const pairs = this.seated.flatMap((one) => this.place(one) === undefined ? [] : [one, one.replaces])
    if (pairs.includes(worker)) return "NotReplaceable"
    // Its key is no hindrance: it goes with the place.
    const { key: _, ...registration } = worker.registration
    return this.hindrance(registration) ?? this.seat(worker.registration, true, worker.owner, worker, undefined)
  }

  /** A job that has lived and does not, or was given up, is there for want of another life only. */
  private forgetJobs(): void {
    for (const worker of this.seated) {
      const isIdle = !hasChild(worker) && (worker.pids.length > 0 || worker.state === "Parked")
      if (isJob(worker) && isIdle) worker.state = "Gone"
    }
  }

  /** Whose place it is still to take: it has not been ready, and both go on. */
  private place({ everReady, replaces, terminated }: Worker): Worker | undefined {
    if (replaces === undefined || everReady || terminated) return undefined
    return replaces.terminated || replaces.state === "Gone" ? undefined : replaces
  }

  private seat(
    registration: Registration,
    dynamic: boolean,
    owner: LifeRef | undefined,
    replaces: Worker | undefined,
    request: number | undefined
  ): SlotRef {
    let slot = 0
    while (this.seated.some((worker) => worker.ref.slot === slot)) slot++
    const earlier = this.everyone.filter((worker) => worker.dynamic && worker.ref.slot === slot)
    const ref = slotRef(slot, dynamic ? earlier.length + 1 : 0)
    this.everyone.push({
      ref,
      registration,
      dynamic,
      owner,
      replaces,
      everReady: false,
      request,
      shared: false,
      state: this.phase === "Waiting" ? "Gone" : "Waiting",
      pid: undefined,
      pids: [],
      restUntil: 0,
      everLived: false,
      bornAt: 0,
      failedBirths: 0,
      failedAt: [],
      failures: 0,
      terminated: false,
      ready: false,
      heardAt: 0,
      workedAt: 0,
      spared: undefined,
      joined: false,
      asked: undefined,
      killAt: undefined,
      cause: undefined,
      history: [],
      rung: undefined,
      lastExit: undefined,
      lastDeath: undefined
    })
    return ref
  }

  private changePolicy(
    { policy, ref }: Extract<Input, { readonly _tag: "PolicyChangeRequested" }>
  ): SlotRef | string {
    const worker = this.seated.find((one) => isSame(one.ref, ref))
    if (worker === undefined) return "NotRegistered"
    const { stopLadder, stopTimeoutMillis, ...rest } = worker.registration
    const stop = policy.stopLadder !== undefined
      ? { stopLadder: policy.stopLadder }
      : policy.stopTimeoutMillis !== undefined
      ? { stopTimeoutMillis: policy.stopTimeoutMillis }
      : {
        ...(stopLadder === undefined ? {} : { stopLadder }),
        ...(stopTimeoutMillis === undefined ? {} : { stopTimeoutMillis })
      }
    const changed: Registration = { ...rest, ...stop, restart: policy.restart ?? rest.restart }
    const mistake = sanityCheck(changed)
    if (mistake !== undefined) return mistake._tag
    worker.registration = changed
    if (policy.restart !== undefined) {
      worker.failures = 0
      worker.failedAt = []
    }
    return ref
  }

  private holder({ key }: Registration): Worker | undefined {
    const bearers = this.everyone.filter(({ registration, state }) =>
      key !== undefined && registration.key === key && state !== "Gone"
    )
    return bearers.find(({ terminated }) => !terminated) ?? bearers[0]
  }

  /** Why there is no room for it at the moment. */
  private hindrance(registration: Registration): string | undefined {
    const holder = this.holder(registration)
    if (holder !== undefined) return holder.terminated ? "KeyTaken for now" : undefined
    const limit = registration.class === undefined ? undefined : this.settings.classLimits[registration.class]
    const fellows = this.seated.filter((worker) => worker.registration.class === registration.class)
    if (limit !== undefined && fellows.length >= limit) return "ClassLimitReached"
    let free = this.settings.maxWorkers - this.seated.length
    for (const [name, kept] of Object.entries(this.settings.reservedSlots)) {
      if (name === registration.class) continue
      const members = this.seated.filter((worker) => worker.registration.class === name).length
      const most = Math.min(kept, this.settings.classLimits[name] ?? kept)
      if (members < most) free -= most - members
    }
    return free <= 0 ? "SlotsExhausted" : undefined
  }

  /** Again and again from the beginning, until there is room for nobody who waits. */
  private letIn(): void {
    while (this.phase !== "Waiting") {
      const next = this.waiting.find(({ registration }) => this.hindrance(registration) === undefined)
      if (next === undefined) break
      this.waiting = this.waiting.filter((one) => one !== next)
      this.outcome.answers.push({ request: next.request, answer: this.register(next) })
    }
    const late = this.waiting.filter(({ until }) => until <= this.now)
    for (const one of late.toSorted((a, b) => a.until - b.until)) this.turnAway(one)
  }

  private turnAway(one: Naive["waiting"][number]): void {
    this.waiting = this.waiting.filter((other) => other !== one)
    // What is free in a recovery is for nobody yet.
    this.outcome.answers.push({ request: one.request, answer: this.hindrance(one.registration) ?? "NotAccepting" })
  }

  private terminate(worker: Worker, cause: StopCause): void {
    if (worker.terminated) return
    worker.terminated = true
    if (hasChild(worker)) this.askToEnd(worker, "Process", cause)
    else worker.state = "Gone"
  }

  /** As if it had just been registered. */
  private resume(worker: Worker): void {
    if (worker.state !== "Parked" && worker.state !== "Resting") return
    worker.state = "Waiting"
    worker.everLived = false
    worker.failedBirths = 0
    worker.failedAt = []
    worker.failures = 0
  }

  private started(worker: Worker, pid: Pid): void {
    const { asked, cause, rung } = worker
    this.noSpareFor(100)
    worker.state = "Alive"
    worker.pid = pid
    worker.pids.push(pid)
    worker.everLived = true
    worker.bornAt = this.now
    worker.heardAt = worker.workedAt = this.now
    worker.spared = undefined
    worker.failedBirths = 0
    worker.asked = undefined
    worker.killAt = undefined
    worker.rung = undefined
    if (asked === undefined) return
    this.ask(worker, asked.signal, asked.target, cause!)
    if (rung !== undefined && asked.signal !== "SIGKILL") this.stayOn(worker, rung)
  }

  private readied(worker: Worker): void {
    if (!worker.ready) worker.heardAt = worker.workedAt = this.now
    worker.ready = true
    const place = this.place(worker)
    worker.everReady = true
    if (place !== undefined) this.terminate(place, "Replaced")
  }

  private record(worker: Worker, status: ExitStatus, verdict: Verdict): LifeRecord {
    const { bornAt, cause, pid, pids } = worker
    return {
      life: pid === undefined ? pids.length + 1 : pids.length,
      ...(pid === undefined ? undefined : { pid, startedAt: bornAt }),
      status,
      verdict,
      ...(cause === undefined ? undefined : { stopCause: cause }),
      endedAt: this.now,
      output: []
    }
  }

  /** Now that it is known what follows. */
  private remember(worker: Worker, record: LifeRecord): void {
    const next = worker.state === "Resting" ? worker.restUntil : worker.state === "Waiting" ? this.now : undefined
    const last = next === undefined ? record : { ...record, nextStartAt: next }
    worker.history = [...worker.history, last].slice(-8)
  }

  private exited(worker: Worker, status: ExitStatus): void {
    const ordered = status._tag === "Signaled" && status.ordered
    const orderly = status._tag === "Exited" && status.code <= 1
    const crashed = !ordered && isAttached(worker) && (worker.joined || !orderly)
    worker.lastExit = status
    worker.lastDeath = status
    const { asked, pid } = worker
    const code = status._tag === "Exited" ? status.code : 2
    const crash = !ordered && ((isAttached(worker) && worker.joined) || code > 1)
    const wish = status._tag === "Exited" ? status.outcome : undefined
    const verdict = crash ? "Crashed" : ordered || code === 1 ? "Failed" : wish === undefined ? "Done" : "Again"
    const record = this.record(worker, status, verdict)
    if (this.place(worker) === undefined) this.decease(worker, status, crashed)
    else this.childless(worker, "Gone")
    this.remember(worker, record)
    for (const other of this.everyone) {
      const { owner, state } = other
      if (state === "Gone" || owner === undefined) continue
      if (isSame(owner.ref, worker.ref) && owner.pid === pid) this.terminate(other, "OwnerEnded")
    }
    // Whoever leaves as it was told to has not crashed.
    const obeys = asked?.signal === "SIGQUIT" && status._tag === "Exited" && status.code === 2
    if (crashed && !obeys && !this.recovering && this.shutdown !== "Immediate") this.recover()
  }

  private decease(worker: Worker, status: ExitStatus, crashed: boolean): void {
    const { restart } = worker.registration
    const done = !crashed && status._tag === "Exited" && status.code === 0
    if (done || this.now - worker.bornAt >= healthy(restart)) worker.failures = 0
    if (crashed) {
      if (worker.terminated || this.stopping) return this.childless(worker, "Gone")
      // Whoever is told to leave in a recovery has not failed.
      if (restart._tag === "Never" || this.recovering || !this.givenUp(worker)) this.childless(worker, "Down")
    } else if (done && status.outcome !== undefined) {
      this.wishes(worker, status.outcome._tag === "RetryAfter" ? status.outcome.delayMillis : 0)
    } else if (done) {
      const again = worker.registration.restart.onSuccess === "Restart" && !worker.terminated && !this.stopping
      this.childless(worker, again ? "Waiting" : "Gone")
    } else this.failed(worker, 0)
  }

  /** Another life after so long, and a second after the last one began. */
  private wishes(worker: Worker, delay: number): void {
    const isLate = this.stopping || (isJob(worker) && this.shutdown !== undefined)
    if (worker.terminated || isLate) return this.childless(worker, "Gone")
    if (this.recovering && isAttached(worker)) return this.childless(worker, "Down")
    worker.restUntil = Math.max(this.now + delay, worker.bornAt + 1_000)
    this.childless(worker, worker.restUntil <= this.now ? "Waiting" : "Resting")
  }

  private failed(worker: Worker, atLeast: number): void {
    const { restart } = worker.registration
    if (this.place(worker) !== undefined) return this.childless(worker, "Gone")
    if (worker.terminated || this.stopping || restart._tag === "Never") return this.childless(worker, "Gone")
    if (this.recovering && isAttached(worker)) return this.childless(worker, "Down")
    if (this.givenUp(worker)) return
    const life = worker.pids.length + worker.failedBirths
    const rest = Math.max(atLeast, restAfter(restart, worker.failures, Restarts.luck(worker.ref, life)))
    worker.restUntil = this.now + rest
    this.childless(worker, rest === 0 ? "Waiting" : "Resting")
  }

  /** One more failure; whether it was one too many. */
  private givenUp(worker: Worker): boolean {
    const { restart } = worker.registration
    worker.failedAt.push(this.now)
    worker.failures++
    if (restart._tag === "Never" || restart.giveUp === undefined) return false
    const { failures, outcome, withinMillis } = restart.giveUp
    if (worker.failedAt.filter((at) => this.now - at <= withinMillis).length < failures) return false
    this.childless(worker, outcome === "Park" ? "Parked" : "Gone")
    return true
  }

  private childless(worker: Worker, state: "Waiting" | "Resting" | "Parked" | "Down" | "Gone"): void {
    worker.state = state
    worker.pid = undefined
    worker.ready = false
    worker.joined = false
    worker.asked = undefined
    worker.killAt = undefined
    worker.cause = undefined
    worker.rung = undefined
  }

  /** The attached workers can no longer be trusted. */
  private recover(): void {
    this.recovering = true
    this.leavePhase()
    this.losePatience()
    this.askAll("SIGQUIT", "CrashRecovery", isAttached)
  }

  private leavePhase(): void {
    if (phases.indexOf(this.phase) < phases.indexOf("Run")) this.outcome.startupStops++
    this.phase = "Waiting"
  }

  /** How long SIGQUIT may be ignored, by whoever has heard it first. */
  private losePatience(): void {
    const { killAfter } = this.settings
    if (killAfter !== Number.POSITIVE_INFINITY) this.killAt ??= this.now + killAfter
  }

  private askAll(signal: Signal, cause: StopCause, whom: (worker: Worker) => boolean): void {
    for (const worker of this.seated) {
      if (hasChild(worker) && whom(worker)) this.ask(worker, signal, "Group", cause)
    }
  }

  /** Each signal once, and never a gentler one afterwards; the unborn hear of it when they are born. */
  private ask(worker: Worker, signal: Signal, target: Target, cause: StopCause, again = false): void {
    const asked = worker.asked === undefined ? -1 : signals.indexOf(worker.asked.signal)
    if (signals.indexOf(signal) < asked || (signals.indexOf(signal) === asked && !again)) return
    worker.asked = { signal, target }
    worker.cause ??= cause
    if (worker.state === "Alive") this.outcome.signals.push({ ref: worker.ref, signal, target })
    else if (signal === "SIGKILL") this.outcome.abandoned.push(worker.ref)
  }

  private ladder({ registration }: Worker) {
    const millis = registration.stopTimeoutMillis ?? this.settings.stopTimeout
    return registration.stopLadder ?? [{ signal: "SIGTERM" as const, millis }]
  }

  private askToEnd(worker: Worker, target: Target, cause: StopCause): void {
    const asked = worker.asked === undefined ? -1 : signals.indexOf(worker.asked.signal)
    if (worker.rung === undefined && signals.indexOf(this.ladder(worker)[0]!.signal) > asked) {
      this.goTo(worker, 0, target, cause)
    }
  }

  private goTo(worker: Worker, rung: number, target: Target, cause: StopCause): void {
    const next = this.ladder(worker)[rung]
    if (next === undefined) return this.ask(worker, "SIGKILL", "Group", cause)
    this.ask(worker, next.signal, target, cause, true)
    this.stayOn(worker, rung)
  }

  private stayOn(worker: Worker, rung: number): void {
    const { millis } = this.ladder(worker)[rung]!
    worker.rung = rung
    worker.killAt = millis === Number.POSITIVE_INFINITY ? undefined : this.now + millis
  }

  private proceed(): void {
    if (this.shutdown !== undefined && !this.stopping) {
      const mayFinish = this.shutdown === "Smart" && (this.phase === "Consistent" || this.phase === "Run")
      if (!mayFinish || !this.seated.some(isJob)) this.stop()
    }
    if (this.phase === "Waiting" && !this.stopping) this.awaitGroup()
    if (this.killAt !== undefined && this.killAt <= this.now) {
      this.killAt = undefined
      const everyone = this.shutdown === "Immediate"
      const cause = everyone ? "ShuttingDown" : "CrashRecovery"
      this.askAll("SIGKILL", cause, (worker) => everyone || isAttached(worker))
    }
    // Whoever should have been gone first is killed first.
    while (true) {
      const overdue = this.everyone.filter(({ killAt }) => killAt !== undefined && killAt <= this.now)
      const [worker] = overdue.toSorted((a, b) => a.killAt! - b.killAt!)
      if (worker === undefined) break
      worker.killAt = undefined
      this.goTo(worker, worker.rung! + 1, "Group", worker.cause!)
    }
    this.killSilent()
    if (this.stopping && !this.seated.some(hasChild)) {
      this.phase = "Halted"
      this.outcome.halts.push(this.abnormal || this.recovering)
    }
  }

  /** Found silent, it is waited for once more: as long again as that was found late, a twentieth up to 50 ms at least. */
  private killSilent(): void {
    const silent = this.everyone.filter((worker) => (this.waitsFor(worker) ?? Number.POSITIVE_INFINITY) <= this.now)
    const isSpared = (worker: Worker) => worker.spared?.limit === limitOf(worker).at
    for (const worker of silent.filter(isSpared).toSorted((a, b) => a.spared!.until - b.spared!.until)) {
      this.ask(worker, "SIGKILL", "Group", limitOf(worker).cause)
    }
    for (const worker of silent.filter((one) => one.asked === undefined)) {
      const { at, whole } = limitOf(worker)
      const more = Math.max(this.now - at, Math.min(50, whole / 20))
      worker.spared = { limit: at, until: this.now + Math.min(whole, more) }
    }
  }

  private stop(): void {
    this.stopping = true
    this.leavePhase()
    this.anewAt = undefined
    for (const { request } of this.waiting) this.outcome.answers.push({ request, answer: "NotAccepting" })
    this.waiting = []
    for (const worker of this.seated) if (!hasChild(worker)) worker.state = "Gone"
    if (this.shutdown === "Immediate") this.askAll("SIGQUIT", "ShuttingDown", () => true)
    else for (const worker of this.seated.filter(hasChild)) this.askToEnd(worker, "Group", "ShuttingDown")
    this.outcome.sparesEnded.push(...this.spares.map((spare) => spare.number))
    this.spares = []
  }

  /** When the last of the crash group is gone, it is made anew, damped if that was a moment ago. */
  private awaitGroup(): void {
    if (this.seated.some((worker) => isAttached(worker) && hasChild(worker))) return
    this.killAt = undefined
    if (!this.settings.restartAfterCrash) {
      this.abnormal = true
      this.shutdown = "Fast"
      return this.stop()
    }
    if (this.anewAt === undefined) {
      const soon = this.lastAnewAt !== undefined && this.now < this.lastAnewAt + 60_000
      this.crashesInARow = soon ? this.crashesInARow + 1 : 0
      this.anewAt = this.now + pause(this.crashesInARow)
    }
    if (this.now < this.anewAt) return
    this.anewAt = undefined
    this.lastAnewAt = this.now
    this.run++
    for (const worker of this.seated.filter((one) => isAttached(one) && one.state !== "Parked")) {
      worker.state = worker.registration.restart._tag === "Never" ? "Gone" : "Waiting"
    }
    this.phase = "Startup"
    this.outcome.reruns.push(this.run)
  }

  private start(): void {
    for (const worker of this.everyone) {
      if (worker.state === "Resting" && worker.restUntil <= this.now) worker.state = "Waiting"
    }
    while (this.outcome.spawned.length < this.settings.maxLaunchesPerTurn) {
      const worker = this.next()
      if (worker === undefined) return
      worker.state = "Unborn"
      const spare = worker.registration.spare === false
        ? undefined
        : this.spares.findLast((one) => one.pid !== undefined)
      if (spare !== undefined) {
        this.spares = this.spares.filter((one) => one !== spare)
        this.sparesDiedInARow = 0
      }
      this.outcome.spawned.push({ ref: worker.ref, spare: spare?.number })
    }
  }

  private noSpareFor(millis: number): void {
    this.noSpareBefore = Math.max(this.noSpareBefore, this.now + millis)
  }

  /** Nobody else is being born, and there has been time since the last one was. */
  private nextSpareAt(): number | undefined {
    if (this.phase === "Init" || this.phase === "Halted" || this.stopping) return undefined
    if (this.spares.length >= this.settings.spares) return undefined
    if (this.spares.some((spare) => spare.pid === undefined)) return undefined
    return this.seated.some((worker) => worker.state === "Unborn") ? undefined : this.noSpareBefore
  }

  private replenish(): void {
    const at = this.nextSpareAt()
    if (at === undefined || at > this.now) return
    const number = this.sparesBegun++
    this.spares.push({ number, since: this.now, pid: undefined })
    const latest = [...new Set(this.modules.toReversed())].slice(0, 32).toReversed()
    this.outcome.sparesBegun.push({ spare: number, modules: latest })
  }

  /** Whose turn it is: of those who may start, whoever was registered first. */
  private next(): Worker | undefined {
    if (this.recovering || this.stopping) return undefined
    return this.everyone.find((worker) => {
      if (worker.state !== "Waiting" || this.heldBy(worker) !== undefined) return false
      switch (worker.registration.startTime) {
        case "PostmasterStart":
          return this.phase === "Startup" || this.phase === "Consistent" || this.phase === "Run"
        case "ConsistentState":
          return this.phase === "Consistent" || this.phase === "Run"
        case "RecoveryFinished":
          return this.phase === "Run"
      }
    })
  }
}
