/** What somebody knows who sees nothing but the events: the same table, put together from them. */
import { notStarted } from "@effect-postmaster/core/ExitStatus"
import type { SlotRef } from "@effect-postmaster/core/Identity"
import type { Phase, ShutdownMode } from "@effect-postmaster/core/Phase"
import type { PostmasterEvent } from "@effect-postmaster/core/PostmasterEvent"
import { isAttached, type Registration } from "@effect-postmaster/core/Registration"
import type { PostmasterSnapshot, WorkerSnapshot } from "@effect-postmaster/core/Snapshot"

type Row = { -readonly [K in keyof WorkerSnapshot]: WorkerSnapshot[K] } & { births: number }

export class Onlooker {
  private readonly rows = new Map<number, Row>()
  private phase: Phase = "Init"
  private shutdown: ShutdownMode | undefined
  private recovering = false
  private reinitializeAt: number | undefined

  private readonly maxWorkers: number
  /** Events name workers; what was registered under a name is known beforehand. */
  private readonly registrations: ReadonlyMap<string, Registration>

  constructor(maxWorkers: number, registrations: ReadonlyMap<string, Registration>) {
    this.maxWorkers = maxWorkers
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
        return this.enters(event.phase)
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
        return
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
        return
      case "Started":
        row.state = "Started"
        row.pid = event.pid
        row.startedAt = now
        row.restarts = row.births++
        return
      case "Ready":
        if (row.state === "Started") row.state = "Ready"
        return
      case "SignalSent":
        row.state = "Stopping"
        return
      case "NotStarted":
      case "Exited":
        row.lastExit = event._tag === "Exited" ? event.status : notStarted(event.error)
        row.state = "Resting"
        delete row.pid
        delete row.startedAt
        if (event.nextStartInMillis !== undefined) row.nextStartAt = now + event.nextStartInMillis
    }
  }

  snapshot(now: number): PostmasterSnapshot {
    return {
      phase: this.phase,
      ...(this.shutdown === undefined ? undefined : { shutdown: this.shutdown }),
      recovering: this.recovering,
      ...(this.reinitializeAt === undefined ? undefined : { reinitializeAt: this.reinitializeAt }),
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

  private newcomer(ref: SlotRef, name: string, now: number): Row {
    const registration = this.registrations.get(name)!
    return {
      ref,
      name,
      type: registration.type,
      ...(registration.class === undefined ? undefined : { class: registration.class }),
      attached: isAttached(registration),
      startTime: registration.startTime,
      state: "Waiting",
      restarts: 0,
      registeredAt: now,
      births: 0
    }
  }

  private enters(phase: Phase): void {
    if (phase === "Startup" && this.phase === "Waiting") {
      this.reinitializeAt = undefined
      for (const row of this.rows.values()) {
        if (!row.attached) continue
        row.state = "Waiting"
        delete row.nextStartAt
      }
    }
    if (phase === "Consistent" || phase === "Run") this.recovering = false
    this.phase = phase
  }
}
