/**
 * Decides what a worker may say on its line, how much of it is taken on at a
 * time, and to whom it goes. The application calls the worker, the worker calls
 * the postmaster, and workers call each other through it; all of that ends with
 * the life.
 *
 * Ownership: made by the loop when the life begins, ended by it when the life
 * has ended, with the error that tells how.
 */
import * as Result from "effect/Result"
import type { Outgoing } from "../FramePort.ts"
import type { PostmasterDied, WorkerStopped } from "../HandleError.ts"
import type { LifeRef } from "../Registration.ts"
import type { Child } from "../Spawner.ts"
import type * as Callee from "./callee.ts"
import * as Caller from "./caller.ts"
import * as Wire from "./wire.ts"

/** Why a call to a worker fails that has not failed by itself. */
export type CallLost = WorkerStopped | PostmasterDied

export interface Connection {
  readonly life: LifeRef
  readonly caller: Caller.Caller<CallLost>
  /** Ends a worker that has said what is none of what it may say. */
  readonly reject: (detail: string) => void
  /** Lets this worker call another one; the number is what both name it by, however often they ask. */
  readonly relay: (to: Connection) => number
  /** The ways of other workers to this one, to be closed with its life. */
  readonly waysHere: Set<() => void>
  readonly end: (error: CallLost) => void
}

/** Where workers come in. */
export interface Door {
  /** Takes the calls of one worker to the postmaster. */
  readonly enter: (connection: Connection, send: (frame: Outgoing) => boolean) => Callee.Client
  /**
   * How many calls of this kind one worker may have open, if they take their
   * time by nature; the others are answered as soon as the postmaster comes to
   * them.
   */
  readonly patience: (tag: string) => number | undefined
}

/**
 * How many of a worker's calls are taken on before the first is answered, those
 * aside that take their time by nature. Whoever floods waits; others do not.
 */
const maxUnanswered = 16

/** How many calls a worker may have open in all. Nobody needs as many, and each costs the postmaster memory. */
const maxOpen = 65_536

/** How many calls by a way that is held are taken on; more of them cannot have been on their way already. */
const maxUnheeded = 4_096

interface Tunnel {
  readonly to: Connection
  /** The numbers that the other side knows this side's calls by. */
  readonly ids: Map<number, number>
  /** The other one is behind, and this one has been told so. */
  held: boolean
  /** How many calls have come all the same. */
  unheeded: number
}

export const make = (
  { port, reject }: Pick<Child, "port" | "reject">,
  life: LifeRef,
  { enter, patience }: Door
): Connection => {
  const caller = Caller.make<CallLost>({ send: port.send, reject })
  const tunnels = new Map<number, Tunnel>()
  const ways = new Map<Connection, { readonly number: number; readonly close: () => void }>()
  const waysHere = new Set<() => void>()
  /** What the worker has called, by number. */
  const open = new Map<number, string>()
  /** How many of these take their time, by kind. */
  const patient = new Map<string, number>()
  const unanswered = new Set<number>()
  let lastTunnel = 0
  /** Why the line is not read at the moment. */
  let floods = false
  let waits = 0
  let behind = false
  let over = false
  let client: Callee.Client | undefined

  const hold = (): void => port.pause(floods || behind || waits > 0)

  /** Whoever does not read its answers is not heard before it has: they would be kept for it without end. */
  const give = (frame: Outgoing): boolean => {
    const taken = port.send(frame)
    if (!taken && !behind) {
      behind = true
      hold()
    }
    return taken
  }

  const answer = (frame: Outgoing): boolean => {
    const id = Wire.ended(frame)
    if (id !== undefined) {
      const tag = open.get(id)
      open.delete(id)
      if (!unanswered.delete(id) && tag !== undefined) patient.set(tag, patient.get(tag)! - 1)
      if (floods && unanswered.size < maxUnanswered) {
        floods = false
        hold()
      }
    }
    return give(frame)
  }

  const called = (message: Wire.FromCaller): void => {
    if (message._tag === "Request") {
      if (open.has(message.id)) return reject(`sent two calls of number ${message.id}`)
      if (open.size >= maxOpen) return reject(`sent more than ${maxOpen} calls and waits for the answers of all`)
      const limit = patience(message.tag)
      const count = patient.get(message.tag) ?? 0
      if (limit !== undefined && count >= limit) {
        return reject(`sent more than ${limit} calls of ${message.tag} and waits for the answers of all`)
      }
      open.set(message.id, message.tag)
      if (limit === undefined) unanswered.add(message.id)
      else patient.set(message.tag, count + 1)
      if (!floods && unanswered.size >= maxUnanswered) {
        floods = true
        hold()
      }
    }
    client ??= enter(self, answer)
    client.receive(message)
  }

  const relayed = (number: number, message: Wire.FromCaller): void => {
    const tunnel = tunnels.get(number)
    if (tunnel === undefined) {
      // The life it led to is over, and the word of it on its way.
      if (number > 0 && number <= lastTunnel) return
      return reject(`sent a call by way ${number}, which there is not`)
    }
    const { ids, to: { caller } } = tunnel
    if (message._tag !== "Request") {
      const id = ids.get(message.id)
      if (id === undefined) return
      if (message._tag === "Ack") return void caller.put({ _tag: "Ack", id })
      ids.delete(message.id)
      return caller.interrupt(id)
    }
    if (ids.has(message.id)) return reject(`sent two calls of number ${message.id}`)
    if (ids.size >= maxOpen) return reject(`sent more than ${maxOpen} calls and waits for the answers of all`)
    const id = caller.begin({
      owner: self,
      receive: (answer) => {
        if (answer._tag === "Exit") ids.delete(message.id)
        give(Wire.encode({ _tag: "Relay", id: number, message: { ...answer, id: message.id } }))
      },
      // Who calls is told of the end itself.
      fail: () => ids.delete(message.id)
    })
    ids.set(message.id, id)
    if (caller.put({ ...message, id })) return
    // The other one is behind, so this one has to wait with what is for it, and with nothing else.
    if (!tunnel.held) {
      tunnel.held = true
      give(Wire.encode({ _tag: "Hold", id: number }))
      caller.whenDrained(() => {
        if (tunnel.unheeded >= maxUnheeded) waits--
        tunnel.held = false
        tunnel.unheeded = 0
        give(Wire.encode({ _tag: "GoOn", id: number }))
        hold()
      })
    } else if (++tunnel.unheeded === maxUnheeded) {
      waits++
      hold()
    }
  }

  const self: Connection = {
    life,
    caller,
    reject,
    waysHere,
    relay: (to) => {
      const known = ways.get(to)
      if (known !== undefined) return known.number
      const number = ++lastTunnel
      const close = (): void => {
        tunnels.delete(number)
        ways.delete(to)
      }
      tunnels.set(number, { to, ids: new Map(), held: false, unheeded: 0 })
      ways.set(to, { number, close })
      to.waysHere.add(close)
      return number
    },
    end: (error) => {
      over = true
      // Before its callers hear of it, who may go on calling at once.
      for (const close of waysHere) close()
      waysHere.clear()
      caller.end(error)
      client?.disconnect()
      for (const [to, { close }] of ways) {
        to.waysHere.delete(close)
        to.caller.release(self)
      }
      ways.clear()
      tunnels.clear()
    }
  }

  port.listen({
    onDrain: () => {
      if (over) return
      behind = false
      hold()
      caller.drain()
      client?.drain()
    },
    onFrame: (frame) => {
      // A fiber that cannot be killed may go on speaking when it has ended for everybody else.
      if (over) return
      const message = Wire.decode(frame)
      if (Result.isFailure(message)) return reject(`sent ${message.failure}`)
      const { success } = message
      if (success._tag === "Hold" || success._tag === "GoOn") return reject("sent what only a postmaster says")
      if (success._tag !== "Relay") {
        return Wire.isFromCallee(success) ? caller.receive(success) : called(success)
      }
      if (Wire.isFromCallee(success.message)) return reject("sent an answer by way of another worker's call")
      relayed(success.id, success.message)
    }
  })
  return self
}
