/**
 * Decides what the application and its launcher say to each other. Both are
 * ours and of one version, and no worker can reach their channel.
 *
 * @since 0.1.0
 */
import type { SignalTarget } from "@effect-postmaster/core/WorkerSignal"
import type { LimitOrder, LimitProblem } from "./limits.ts"
import type { ForkOrder } from "./startGroup.ts"

/** Names one birth and the life that follows. */
export type Ticket = number

/** How many pipes come with a birth. */
export const pipesPerBirth = 4

export type ToLauncher =
  | { readonly _tag: "Fork"; readonly ticket: Ticket; readonly order: ForkOrder }
  /** The application has all pipes of this process. */
  | { readonly _tag: "Taken"; readonly ticket: Ticket }
  | {
    readonly _tag: "Kill"
    readonly ticket: Ticket
    readonly signal: NodeJS.Signals
    readonly target: SignalTarget
  }
  /** Once for each life. */
  | { readonly _tag: "Limit"; readonly ticket: Ticket; readonly order: LimitOrder }
  /** A living group that somebody else has borne shall end with the application, too. */
  | { readonly _tag: "Guard"; readonly pid: number }
  | { readonly _tag: "Forget"; readonly pid: number }

export type FromLauncher =
  /** Comes once with each pipe: standard output, standard error, the channel, the data line. */
  | { readonly _tag: "Forked"; readonly ticket: Ticket; readonly pid: number }
  | { readonly _tag: "NotForked"; readonly ticket: Ticket; readonly detail: string }
  /** Answers a `Limit`. Without a problem if the process is gone, too. */
  | { readonly _tag: "Limited"; readonly ticket: Ticket; readonly problem: LimitProblem | undefined }
  | {
    readonly _tag: "Gone"
    readonly ticket: Ticket
    readonly code: number | null
    readonly signal: NodeJS.Signals | null
  }
