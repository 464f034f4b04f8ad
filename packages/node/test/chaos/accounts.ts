/**
 * Decides whether what an application has said adds up: every birth has one
 * end, every spare that was begun has one, and nothing happened that nobody has
 * caused.
 */
import type { ExitStatus } from "@effect-postmaster/core/ExitStatus"
import type { Missed } from "@effect-postmaster/core/Missed"
import { wrongly } from "./callers.ts"
import type { Entry } from "./crew.ts"
import type { Report, Tenancy } from "./protocol.ts"

/** The sentence that ends the chaos. */
export class Violation extends Error {}

/** What one who was borne by a lost launcher leaves if it has said nothing itself. */
const untold = "left when nobody was there to be told how"

/** Every birth has one exit, and whoever signed the ledger was born. */
export const everyExitIsReported = (reports: ReadonlyArray<Report>, entries: ReadonlyArray<Entry>): void => {
  const begun = new Map<Tenancy, string>()
  const lives = new Map<number, { name: string; exits: number }>()
  for (const report of reports) {
    switch (report._tag) {
      case "Starting":
        begun.set(report.tenancy, report.name)
        break
      case "Started":
        begun.delete(report.tenancy)
        lives.set(report.pid, { name: report.name, exits: 0 })
        break
      case "NotStarted":
        begun.delete(report.tenancy)
        break
      case "Hung":
        if (lives.get(report.pid)?.exits !== 0) throw new Violation(`pid ${report.pid} hangs and does not live`)
        break
      case "Exited": {
        const life = lives.get(report.pid)
        if (life === undefined) throw new Violation(`pid ${report.pid} has ended and was never born`)
        if (++life.exits > 1) throw new Violation(`the exit of pid ${report.pid} is reported twice`)
      }
    }
  }
  for (const [tenancy, name] of begun) {
    throw new Violation(`what became of the birth of ${name} (${tenancy}) was not reported`)
  }
  for (const [pid, { exits, name }] of lives) {
    if (exits === 0) throw new Violation(`the exit of ${name} (pid ${pid}) was not reported`)
  }
  for (const { group, kind, pid } of entries) {
    if (!lives.has(group)) throw new Violation(`${kind} (pid ${pid}) signed and its worker was never reported`)
  }
}

/** Nobody was answered what he had not asked. */
export const nobodyWasAnsweredWrong = (reports: ReadonlyArray<Report>, entries: ReadonlyArray<Entry>): void => {
  for (const { kind } of entries) if (kind.startsWith(wrongly)) throw new Violation(kind)
  for (const report of reports) if (report._tag === "Wrong") throw new Violation(`wrong: ${report.detail}`)
}

/** A spare that was begun and has not come to an end. */
export interface Standing {
  readonly spare: number
  readonly pid: number | undefined
}

/** The spares as the events tell them. Each is begun once, ready at most once, and comes to one end. */
export const standing = (reports: ReadonlyArray<Report>): ReadonlyArray<Standing> => {
  const all = new Map<number, Standing>()
  let last = -1
  const get = (spare: number, what: string): Standing => {
    const one = all.get(spare)
    if (one === undefined) throw new Violation(`spare ${spare} ${what} and does not stand`)
    return one
  }
  for (const report of reports) {
    switch (report._tag) {
      case "SpareStarting":
        if (report.spare <= last) throw new Violation(`spare ${report.spare} was begun after spare ${last}`)
        last = report.spare
        all.set(report.spare, { spare: report.spare, pid: undefined })
        break
      case "SpareReady":
        if (get(report.spare, "is ready").pid !== undefined) throw new Violation(`spare ${report.spare} is ready twice`)
        all.set(report.spare, { spare: report.spare, pid: report.pid })
        break
      case "SpareLost":
      case "SpareEnded":
        get(report.spare, "has ended")
        all.delete(report.spare)
        break
      case "Starting":
        if (report.spare === undefined) break
        if (get(report.spare, "was taken").pid === undefined) {
          throw new Violation(`spare ${report.spare} was taken before it was ready`)
        }
        all.delete(report.spare)
    }
  }
  return [...all.values()]
}

/** What an application was put through. */
export interface Harm {
  /** Whether a launcher of it was ever killed or stopped. */
  launcherHurt: boolean
  /** Who was ever sent SIGKILL. */
  readonly killed: Set<number>
}

/** Who may be found to hang, and for want of what. */
const mayMiss: { readonly [name: string]: Missed } = {
  beats: "Heartbeat",
  attachedBeats: "Heartbeat",
  stalls: "Progress",
  blocks: "Heartbeat",
  dawdles: "Ready"
}

/** Nothing is reported for which nothing was done. */
export const nothingIsUncaused = (reports: ReadonlyArray<Report>, { killed, launcherHurt }: Harm): void => {
  for (const report of reports) {
    switch (report._tag) {
      case "NotStarted":
        if (report.detail.includes("it was not born in time")) break
        if (launcherHurt && report.detail.includes("its launcher process was lost")) break
        throw new Violation(`${report.name} was not started: ${report.detail}`)
      case "Exited": {
        const detail = report.status._tag === "Lost" ? report.status.detail : ""
        if (detail === untold && !launcherHurt) throw new Violation(`${report.name} (pid ${report.pid}) ${detail}`)
        if (!detail.includes("closed its control channel")) break
        // As it looks when a launcher was stopped for a while, and goes on.
        if (launcherHurt && killed.has(report.pid)) break
        throw new Violation(`${report.name} (pid ${report.pid}) ${detail}`)
      }
      case "Hung":
        if (mayMiss[report.name] === report.missed) break
        throw new Violation(`${report.name} (pid ${report.pid}) is said to hang for want of ${report.missed}`)
      case "SpareLost": {
        const { cause, detail } = report.loss
        if (cause === "Outdated" || detail.includes("SIGKILL") || detail.includes("had not imported")) break
        if (launcherHurt && (detail.includes("its launcher process was lost") || detail.includes(untold))) break
        throw new Violation(`spare ${report.spare} was lost: ${detail}`)
      }
      case "EventsLost":
        throw new Violation(`${report.count} events were lost`)
    }
  }
}

/** How often what was seen. A launch may be given a spare that does not fit, and is then born without it. */
export const seen = (reports: ReadonlyArray<Report>, count: (what: string, by?: number) => void): void => {
  const ready = new Map<number, number>()
  const given = new Map<Tenancy, number | undefined>()
  for (const report of reports) {
    switch (report._tag) {
      case "SpareStarting":
        count("seen: spares begun")
        break
      case "SpareReady":
        ready.set(report.spare, report.pid)
        break
      case "SpareLost":
        count(`seen: spares lost, ${report.loss.cause}`)
        break
      case "SpareEnded":
        count("seen: spares ended")
        break
      case "Starting":
        given.set(report.tenancy, report.spare)
        if (report.spare !== undefined) count("seen: spares taken")
        break
      case "Started": {
        const spare = given.get(report.tenancy)
        count("seen: births")
        if (spare !== undefined) count(`seen: births from spares${ready.get(spare) === report.pid ? "" : " unfit"}`)
        break
      }
      case "NotStarted":
        count(`seen: failed births, ${report.detail.split(": ").at(-1)}`)
        break
      case "Called":
        count("seen: calls answered", report.answered)
        count("seen: calls that ended with their worker", report.stopped)
        break
      case "Hung":
        count(`seen: hung, ${report.missed}`)
        break
      case "Crash":
        count("seen: crashes of the attached")
        break
      case "Refused":
        count(`seen: refused, ${report.reason}`)
        break
      case "Exited":
        count(`seen: exits, ${how(report.status)}`)
    }
  }
}

const how = (status: ExitStatus): string => {
  switch (status._tag) {
    case "Exited":
      return `code ${status.code}`
    case "Signaled":
      return `${status.signal}${status.ordered ? " on order" : ""}`
    case "Lost":
      return status.detail === untold ? "nobody was told how" : "protocol broken"
    case "NotStarted":
      return "never begun"
  }
}
