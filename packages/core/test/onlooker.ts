/** What somebody knows who sees nothing but the events: the same table, put together from them. */
import { notStarted } from "@effect-postmaster/core/ExitStatus"
import type { SlotRef } from "@effect-postmaster/core/Identity"
import type { Phase, ShutdownMode } from "@effect-postmaster/core/Phase"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import { isAttached, type Registration } from "@effect-postmaster/core/Registration"
import type { PostmasterSnapshot, SpareSnapshot, WorkerSnapshot } from "@effect-postmaster/core/Snapshot"

type Row = { -readonly [K in keyof WorkerSnapshot]: WorkerSnapshot[K] } & { births: number }

export class Onlooker {
  private readonly rows = new Map<number, Row>()
  private phase: Phase = "Init"
  private shutdown: ShutdownMode | undefined
  private recovering = false
  private reinitializeAt: number | undefined
  private healthyAt: number | undefined
  private recoveries = 0
  private readonly spares = new Map<number, SpareSnapshot>()
  private noSpareBefore = 0

  private readonly maxWorkers: number
  private readonly wantedSpares: number
  /** Events name workers; what was registered under a name is known beforehand. */
  private readonly registrations: ReadonlyMap<string, Registration>

  constructor(maxWorkers: number, spares: number, registrations: ReadonlyMap<string, Registration>) {
    this.maxWorkers = maxWorkers
    this.wantedSpares = spares
    this.registrations = registrations
  }

  sees(event: PostmasterEvent, now: number): void {
    switch (event._tag) {
      case "Registered":
        this.rows.set(event.ref.slot, this.newcomer(event.ref, event.name, now))
        return
      case "Unregistered":
        this.rows.delete(event.ref.slot)
        return
      case "PhaseReached":
        return this.enters(event.phase, now)
      case "ShutdownRequested":
        this.shutdown = event.mode
        // Whoever is shutting down makes nothing anew.
        if (this.phase === "Waiting") this.reinitializeAt = undefined
        return
      case "CrashDetected":
        this.recovering = true
        return
      case "Reinitializing":
        this.reinitializeAt = now + event.delayMillis
        this.recoveries = this.healthyAt !== undefined && now < this.healthyAt ? this.recoveries + 1 : 1
        return
      case "SpareStarting":
        this.spares.set(event.spare, { spare: event.spare, state: "Starting", since: now })
        return
      case "SpareReady":
        this.spares.set(event.spare, { ...this.spares.get(event.spare)!, state: "Ready", pid: event.pid })
        return
      case "SpareLost":
        this.spares.delete(event.spare)
        this.noSpareBefore = now + event.nextStartInMillis
        return
      case "SpareEnded":
        this.spares.delete(event.spare)
        return
      case "EventsLost":
        throw new Error("the machine itself loses nothing")
      case "ReloadRequested":
      case "KillIssued":
      case "Halted":
        return
    }
    const row = this.rows.get(event.ref.slot)!
    switch (event._tag) {
      case "Starting":
        row.state = "Starting"
        delete row.nextStartAt
        if (event.spare !== undefined) this.spares.delete(event.spare)
        return
      case "Started":
        this.launchOver(now)
        row.state = "Started"
        row.pid = event.pid
        row.startedAt = now
        row.restarts = row.births++
        return
      case "Ready":
        if (row.state === "Started") row.state = "Ready"
        return
      case "Progressed":
        row.progress = { ...event.progress, at: now }
        return
      case "Hung":
        return
      case "SignalSent":
        row.state = "Stopping"
        return
      case "Parked":
        row.state = "Parked"
        return
      case "Replacing": {
        // Whoever is to take its place has its present policy.
        const successor = this.rows.get(event.successor.slot)!
        successor.restart = row.restart
        delete successor.stopLadder
        delete successor.stopTimeoutMillis
        if (row.stopLadder !== undefined) successor.stopLadder = row.stopLadder
        if (row.stopTimeoutMillis !== undefined) successor.stopTimeoutMillis = row.stopTimeoutMillis
        return
      }
      case "PolicyChanged": {
        const { restart, ...stop } = event.policy
        row.restart = restart ?? row.restart
        if (stop.stopLadder === undefined && stop.stopTimeoutMillis === undefined) return
        delete row.stopLadder
        delete row.stopTimeoutMillis
        if (stop.stopLadder === undefined) row.stopTimeoutMillis = stop.stopTimeoutMillis!
        else row.stopLadder = stop.stopLadder
        return
      }
      case "Resumed":
        row.state = "Waiting"
        delete row.nextStartAt
        return
      case "NotStarted":
      case "Exited":
        if (event._tag === "NotStarted") this.launchOver(now)
        row.lastLife = {
          life: event._tag === "Exited" ? row.births : row.births + 1,
          ...(row.pid === undefined ? undefined : { pid: row.pid }),
          status: event._tag === "Exited" ? event.status : notStarted(event.error),
          verdict: event._tag === "Exited" ? event.verdict : "Failed",
          ...(event.stopCause === undefined ? undefined : { stopCause: event.stopCause }),
          ...(row.startedAt === undefined ? undefined : { startedAt: row.startedAt }),
          endedAt: now,
          ...(event.nextStartInMillis === undefined ? undefined : { nextStartAt: now + event.nextStartInMillis }),
          output: []
        }
        row.lastExit = row.lastLife.status
        row.state = "Resting"
        delete row.pid
        delete row.startedAt
        delete row.progress
        if (event.nextStartInMillis !== undefined) row.nextStartAt = now + event.nextStartInMillis
    }
  }

  /** All but who waits for a slot, of whom no event tells. */
  snapshot(now: number): Omit<PostmasterSnapshot, "waiting"> {
    const nextSpareAt = this.nextSpareAt()
    return {
      spares: [...this.spares.values()],
      ...(nextSpareAt === undefined ? undefined : { nextSpareAt }),
      phase: this.phase,
      ...(this.shutdown === undefined ? undefined : { shutdown: this.shutdown }),
      recovering: this.recovering,
      breaker: {
        recoveries: this.healthyAt === undefined && this.reinitializeAt === undefined ? 0 : this.recoveries,
        ...(this.reinitializeAt === undefined ? undefined : { nextAt: this.reinitializeAt }),
        ...(this.healthyAt === undefined ? undefined : { healthyAt: this.healthyAt })
      },
      maxWorkers: this.maxWorkers,
      freeSlots: this.maxWorkers - this.rows.size,
      workers: [...this.rows.values()].toSorted((self, that) => self.ref.slot - that.ref.slot).map((row) => {
        const { births: _, nextStartAt, ...seen } = row
        if (nextStartAt === undefined) return seen
        // A rest that is over is no rest.
        return nextStartAt <= now ? { ...seen, state: "Waiting" } : { ...seen, nextStartAt }
      })
    }
  }

  private launchOver(now: number): void {
    this.noSpareBefore = Math.max(this.noSpareBefore, now + 100)
  }

  private nextSpareAt(): number | undefined {
    const stopping = this.phase === "Waiting" && (!this.recovering || this.shutdown !== undefined)
    if (this.phase === "Init" || this.phase === "Halted" || stopping) return undefined
    const births = [...this.rows.values(), ...this.spares.values()].some(({ state }) => state === "Starting")
    return births || this.spares.size >= this.wantedSpares ? undefined : this.noSpareBefore
  }

  private newcomer(ref: SlotRef, name: string, now: number): Row {
    const registration = this.registrations.get(name)!
    return {
      ref,
      name,
      type: registration.type,
      ...(registration.class === undefined ? undefined : { class: registration.class }),
      ...(registration.key === undefined ? undefined : { key: registration.key }),
      attached: isAttached(registration),
      startTime: registration.startTime,
      restart: registration.restart,
      ...policyOf(registration),
      state: "Waiting",
      restarts: 0,
      registeredAt: now,
      births: 0
    }
  }

  private enters(phase: Phase, now: number): void {
    if (phase === "Startup" && this.phase === "Waiting") {
      this.reinitializeAt = undefined
      this.healthyAt = now + 60_000
      for (const row of this.rows.values()) {
        if (!row.attached || row.state === "Parked") continue
        row.state = "Waiting"
        delete row.nextStartAt
      }
    }
    if (phase === "Consistent" || phase === "Run") this.recovering = false
    this.phase = phase
  }
}

const policyOf = ({ stopLadder, stopTimeoutMillis }: Registration) => ({
  ...(stopTimeoutMillis === undefined ? undefined : { stopTimeoutMillis }),
  ...(stopLadder === undefined ? undefined : { stopLadder })
})
