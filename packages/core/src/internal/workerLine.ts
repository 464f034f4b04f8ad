/**
 * Decides which part of a worker hears what comes on its line to the postmaster:
 * those that are called, or those that call. It is opened when the first of
 * them asks; a worker that neither calls nor is called has no line.
 *
 * There is nothing of `effect/rpc` in here: every worker loads this.
 */
import * as Context from "effect/Context"
import * as Result from "effect/Result"
import type { FramePort, Outgoing } from "../FramePort.ts"
import * as Wire from "./wire.ts"

/** Who hears one kind of messages. */
export interface Ear<A> {
  readonly receive: (message: A) => void
  readonly drain: () => void
}

export interface WorkerLine {
  readonly send: (frame: Outgoing) => boolean
  /** Sets who is called. What has been called before waits for it. */
  readonly serve: (ear: Ear<Wire.FromCaller>) => void
  /** Sets who has called, the postmaster or others through it. */
  readonly call: (ear: Ear<Wire.FromCallee | Wire.Relay | Wire.Credit>) => void
}

/** `reject` hears that the postmaster speaks another language, as one of another version may. */
export const make = (port: FramePort, reject: (detail: string) => void): WorkerLine => {
  let server: Ear<Wire.FromCaller> | undefined
  let caller: Ear<Wire.FromCallee | Wire.Relay | Wire.Credit> | undefined
  let listening = false
  let early: Array<Wire.FromCaller> = []

  const listen = (): void => {
    if (listening) return
    listening = true
    port.listen({
      onDrain: () => {
        server?.drain()
        caller?.drain()
      },
      onFrame: (frame) => {
        const message = Wire.decode(frame)
        if (Result.isFailure(message)) return reject(`the postmaster sent ${message.failure}`)
        const { success } = message
        if (success._tag === "Relay" || success._tag === "Hold" || success._tag === "GoOn") caller?.receive(success)
        else if (Wire.isFromCallee(success)) caller?.receive(success)
        else if (server === undefined) early.push(success)
        else server.receive(success)
      }
    })
  }

  return {
    send: port.send,
    serve: (ear) => {
      server = ear
      listen()
      const due = early
      early = []
      for (const message of due) ear.receive(message)
    },
    call: (ear) => {
      caller = ear
      listen()
    }
  }
}

/** The line of the worker that runs here. There is none outside of a worker. */
export const CurrentLine = /* @__PURE__ */ Context.Reference<(() => WorkerLine) | undefined>(
  "@effect-postmaster/core/internal/workerLine",
  { defaultValue: () => undefined }
)

/** Whether the worker that runs here shares its process, and what is global there, with its application. */
export const SharesProcess = /* @__PURE__ */ Context.Reference<boolean>(
  "@effect-postmaster/core/internal/workerLine/SharesProcess",
  { defaultValue: () => false }
)
