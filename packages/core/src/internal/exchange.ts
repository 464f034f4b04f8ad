/**
 * Who calls on a worker's line to its postmaster: one caller for the postmaster
 * itself, and one for each way to another worker.
 */
import type { PostmasterDied } from "../HandleError.ts"
import * as Caller from "./caller.ts"
import type { CallLost } from "./connection.ts"
import * as Wire from "./wire.ts"
import type { WorkerLine } from "./workerLine.ts"

/** What all of a worker's views of its postmaster have in common. */
export interface Exchange {
  readonly caller: Caller.Caller<PostmasterDied>
  /** By their numbers, the ways to lives of other workers. */
  readonly ways: Map<number, Caller.Caller<CallLost>>
}

/** A line has one hearer of answers, however many call on it. */
const exchanges = new WeakMap<WorkerLine, Exchange>()

export const exchangeOf = (line: WorkerLine): Exchange => {
  const known = exchanges.get(line)
  if (known !== undefined) return known
  const caller = Caller.make<PostmasterDied>({ send: line.send })
  const ways: Exchange["ways"] = new Map()
  line.call({
    drain: () => {
      caller.drain()
      for (const way of ways.values()) way.drain()
    },
    receive: (message) => {
      switch (message._tag) {
        case "Hold":
        case "GoOn":
          return ways.get(message.id)?.hold(message._tag === "Hold")
        case "Relay":
          if (Wire.isFromCallee(message.message)) ways.get(message.id)?.receive(message.message)
          return
        default:
          return caller.receive(message)
      }
    }
  })
  const exchange = { caller, ways }
  exchanges.set(line, exchange)
  return exchange
}
