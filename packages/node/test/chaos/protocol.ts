/** What the chaos and its application say to each other. */
import type { ExitStatus, Verdict } from "@effect-postmaster/core/ExitStatus"
import type { Missed } from "@effect-postmaster/core/Missed"
import type { SpareSnapshot } from "@effect-postmaster/core/Snapshot"
import type { SpareLoss } from "@effect-postmaster/core/SpareLoss"
import type { Kind } from "./crew.ts"

/** How the application writes its log. */
export type LogTo = "console" | "descriptor"

export interface Order {
  readonly ledger: string
  /** A module that is changed while workers and spares are made of it. */
  readonly guest: string
  readonly maxWorkers: number
  readonly logTo: LogTo
  readonly spares: number
  readonly launcher: boolean
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
  /** Timers and sockets that Node keeps an eye on. Processes are counted from outside. */
  readonly resources: number
}

/** One tenancy, in which one birth follows the other. */
export type Tenancy = string

export type Report =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Registered"; readonly name: string }
  | { readonly _tag: "Refused"; readonly reason: string }
  | { readonly _tag: "Starting"; readonly tenancy: Tenancy; readonly name: string; readonly spare?: number | undefined }
  | { readonly _tag: "Started"; readonly tenancy: Tenancy; readonly name: string; readonly pid: number }
  | { readonly _tag: "NotStarted"; readonly tenancy: Tenancy; readonly name: string; readonly detail: string }
  | {
    readonly _tag: "Exited"
    readonly pid: number
    readonly name: string
    readonly status: ExitStatus
    readonly verdict: Verdict
  }
  | { readonly _tag: "Hung"; readonly pid: number; readonly name: string; readonly missed: Missed }
  | { readonly _tag: "SpareStarting"; readonly spare: number }
  | { readonly _tag: "SpareReady"; readonly spare: number; readonly pid: number }
  | { readonly _tag: "SpareLost"; readonly spare: number; readonly loss: SpareLoss }
  | { readonly _tag: "SpareEnded"; readonly spare: number }
  | { readonly _tag: "EventsLost"; readonly count: number }
  | { readonly _tag: "Crash" }
  /** What has become of the application's own calls; all have ended. */
  | { readonly _tag: "Called"; readonly answered: number; readonly stopped: number }
  | { readonly _tag: "Wrong"; readonly detail: string }
  | { readonly _tag: "Cleared"; readonly workers: number; readonly freeSlots: number }
  | {
    readonly _tag: "Counted"
    readonly counts: Counts
    readonly spares: ReadonlyArray<SpareSnapshot>
    /** More spares than this were in no snapshot so far. */
    readonly mostSpares: number
  }
  | { readonly _tag: "Halted"; readonly abnormal: boolean }
  /** The postmaster has gone without saying how. */
  | { readonly _tag: "Died"; readonly detail: string }
