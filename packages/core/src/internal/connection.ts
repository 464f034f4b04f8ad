/**
 * The postmaster's end of the line to one life of a worker: calls go out, calls
 * come in, and all of them end with that life.
 *
 * Ownership: made by the loop when the life begins, ended by it when the life
 * has ended, with the error that tells how.
 */
import * as Result from "effect/Result"
import type { PostmasterDied, WorkerStopped } from "../HandleError.ts"
import type { Child } from "../Spawner.ts"
import * as Caller from "./caller.ts"
import * as Wire from "./wire.ts"

/** Why a call to a worker fails that has not failed by itself. */
export type CallLost = WorkerStopped | PostmasterDied

export interface Connection {
  readonly caller: Caller.Caller<CallLost>
  readonly end: (error: CallLost) => void
}

export const make = ({ port, reject }: Pick<Child, "port" | "reject">): Connection => {
  const caller = Caller.make<CallLost>({ send: port.send, reject })
  port.listen({
    onDrain: caller.drain,
    onFrame: (frame) => {
      const message = Wire.decode(frame)
      if (Result.isFailure(message)) return reject(`sent ${message.failure}`)
      if (Wire.isFromCallee(message.success)) return caller.receive(message.success)
      reject(`sent a call, and nobody has told it what to call`)
    }
  })
  return { caller, end: caller.end }
}
