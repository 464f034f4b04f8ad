/**
 * What every contestant has to offer, whatever it is: begin one worker, end it hard, and say what it knows about it. All
 * moments are those of one clock, `process.hrtime.bigint()`.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { inspect } from "node:util"
import type { Ground } from "./ground.ts"

/** It cannot take part on this machine. No fault: the run goes on and says so. */
export class Absent extends Data.TaggedError("Absent")<{ readonly reason: string }> {}

/** A measurement came to nothing. The run goes on without the contestant, and ends with exit code 1. */
export class Failed extends Data.TaggedError("Failed")<{ readonly detail: string }> {}

/** Whatever a contestant has thrown, as our own error. Some throw what is no error. */
export const failed = (cause: unknown): Failed =>
  cause instanceof Failed ? cause : new Failed({ detail: cause instanceof Error ? String(cause) : inspect(cause) })

/** Ours, the cheapest thing that can do the job at all, or somebody else's product. */
export type Rank = "ours" | "floor" | "peer"

export interface Job {
  /** What the worker signs with. */
  readonly token: string
  /** Whether it never returns to its event loop once it has signed. */
  readonly spin: boolean
  /** How long whoever bears it waits before it bears the next one. */
  readonly restartMillis: number
  /** How long it may give no sign of life. Absent: for ever. */
  readonly heartbeatMillis?: number
}

/** One worker, and those that follow it under the same token. It ends with the scope it was begun in. */
export interface Life {
  /** When it was asked for. */
  readonly askedAt: bigint
  /** When the asker knew that it exists, if there is such a moment. */
  readonly startedAt?: bigint
  /** Ends it hard and sees to it that another follows; answers when that began. */
  readonly crash?: Effect.Effect<bigint, Failed>
  /** Stops it where it stands, as a hang would; answers when. */
  readonly freeze?: Effect.Effect<bigint, Failed>
  /** The next time its bearer hears of its end. */
  readonly nextDeath?: Effect.Effect<bigint, Failed>
  /** The next time its bearer knows that another one exists. */
  readonly nextStart?: Effect.Effect<bigint, Failed>
}

/** A contestant at work: its daemon, pool or postmaster is up. */
export interface Session {
  /** Waits until whatever stands ready ahead of a worker does so. */
  readonly settled: Effect.Effect<void, Failed>
  readonly start: (job: Job) => Effect.Effect<Life, Failed, Scope.Scope>
}

export interface Contestant {
  readonly name: string
  readonly rank: Rank
  readonly open: Effect.Effect<Session, Absent | Failed, Scope.Scope | Ground>
}
