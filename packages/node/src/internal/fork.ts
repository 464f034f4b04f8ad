/**
 * Decides what a process is before anything is known of workers: what it takes
 * to bear one, and what its bearer owes for it. This module bears in this very
 * process; `launcher.ts` has it done elsewhere.
 *
 * @since 0.1.0
 */
import type { Pid } from "@effect-postmaster/core/Identity"
import type { SignalTarget } from "@effect-postmaster/core/WorkerSignal"
import * as Effect from "effect/Effect"
import type { Socket } from "node:net"
import type { Duplex, Readable } from "node:stream"
import { channelFd } from "./channel.ts"
import { type LimitOrder, type LimitProblem, setLimits } from "./limits.ts"
import { lineFd, type OpenLine } from "./line.ts"
import { isEmpty, signalGroup } from "./processGroup.ts"
import { openSocketLine } from "./socketLine.ts"
import { type ForkOrder, startGroup } from "./startGroup.ts"

/** How the operating system told the end. All of it is missing if nobody was there to be told. */
export interface Gone {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** Why code and signal say nothing. */
  readonly lost?: string
}

/** Something that has been borne and is alive, with its output, its channel and its data line. */
export interface Forked {
  readonly pid: Pid
  readonly stdout: Readable
  readonly stderr: Readable
  readonly channel: Duplex
  /** To be called in the turn of the adoption. */
  readonly openLine: OpenLine
  /** Does nothing once the process is gone: the number is not ours any more. */
  readonly kill: (signal: NodeJS.Signals, target: SignalTarget) => void
  /** Sets limits, in bounded time. Fails with what went wrong; not if the process is gone, which says more. */
  readonly limit: (order: LimitOrder) => Effect.Effect<void, LimitProblem>
  /** Calls back once. What was left of the group by then has been sent SIGKILL. */
  readonly onGone: (listener: (gone: Gone) => void) => void
  /** Whether nobody is left of those it may have started. */
  readonly isEmpty: () => boolean
}

/**
 * Bears a process and has it adopted in the very turn in which it can first be
 * heard of, so that no event of it is missed. Fails with the reason in words.
 */
export type Fork = <A>(order: ForkOrder, adopt: (forked: Forked) => A) => Effect.Effect<A, string>

/** Sets the limits of a process that this one has borne, or that nobody has who is still there. */
export const limitHere = (
  pid: number,
  order: LimitOrder,
  isGone: () => boolean
): Effect.Effect<void, LimitProblem> =>
  Effect.callback((resume) => {
    if (isGone()) return resume(Effect.void)
    setLimits(
      pid,
      order,
      (problem) => resume(problem === undefined || isGone() ? Effect.void : Effect.fail(problem))
    )
  })

/** Bears in this process, which is held for as long as the kernel takes to copy its page tables. */
export const forkHere: Fork = (order, adopt) =>
  Effect.callback((resume) => {
    const child = startGroup(order, (detail) => resume(Effect.fail(detail)))
    if (child?.pid === undefined) return
    const { pid, stderr, stdio, stdout } = child
    let gone = false
    let listener: ((gone: Gone) => void) | undefined
    child.on("exit", (code, signal) => {
      // In this very turn the number is still the group's, if anybody is left in it.
      signalGroup(pid, "SIGKILL")
      gone = true
      listener?.({ code, signal })
    })
    const adopted = adopt({
      pid: pid as Pid,
      // Pipes are sockets to Node, and its types do not say so.
      stdout: stdout as Socket,
      stderr: stderr as Socket,
      channel: stdio[channelFd] as Socket,
      openLine: openSocketLine(stdio[lineFd] as Socket),
      isEmpty: () => isEmpty(pid),
      kill: (signal, target) => {
        if (gone) return
        if (target === "Group") signalGroup(pid, signal)
        else child.kill(signal)
      },
      limit: (order) => limitHere(pid, order, () => gone),
      onGone: (to) => {
        listener = to
      }
    })
    child.once("spawn", () => resume(Effect.succeed(adopted)))
  })
