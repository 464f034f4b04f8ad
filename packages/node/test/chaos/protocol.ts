/** What the chaos and its application say to each other. */
import type { ExitStatus, Verdict } from "@effect-postmaster/core/ExitStatus"
import type { Kind } from "./crew.ts"

/** How the application writes its log. */
export type LogTo = "console" | "descriptor"

export interface Order {
  readonly ledger: string
  readonly maxWorkers: number
  readonly logTo: LogTo
}

export type Request =
  | { readonly _tag: "Register"; readonly kind: Kind; readonly millis: number }
  | { readonly _tag: "Terminate"; readonly choice: number }
  | { readonly _tag: "Reload" }
  /** End every worker, and say what is left when all are gone. */
  | { readonly _tag: "Clear" }
  | { readonly _tag: "Count" }
  | { readonly _tag: "Shutdown"; readonly mode: "Smart" | "Fast" | "Immediate" }

/** What the application holds: whatever grows from round to round has leaked. */
export interface Counts {
  readonly descriptors: number
  readonly listeners: number
  /** Timers, sockets and processes that Node keeps an eye on. */
  readonly resources: number
}

export type Report =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Registered"; readonly name: string }
  | { readonly _tag: "Refused"; readonly reason: string }
  | { readonly _tag: "Started"; readonly pid: number; readonly name: string }
  | { readonly _tag: "NotStarted"; readonly name: string }
  | {
    readonly _tag: "Exited"
    readonly pid: number
    readonly name: string
    readonly status: ExitStatus
    readonly verdict: Verdict
  }
  | { readonly _tag: "Crash" }
  | { readonly _tag: "Cleared"; readonly workers: number; readonly freeSlots: number }
  | { readonly _tag: "Counted"; readonly counts: Counts }
  | { readonly _tag: "Halted"; readonly abnormal: boolean }
  /** The postmaster has gone without saying how. */
  | { readonly _tag: "Died"; readonly detail: string }
