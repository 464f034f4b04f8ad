/**
 * Where the bench hears its workers: a FIFO with one line per sign, written by `workers/sign.mjs`. A sign carries the
 * moment it was given, so the way here costs no contestant anything.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { chmodSync, constants, openSync } from "node:fs"
import { Socket } from "node:net"
import { Failed } from "./contestant.ts"

export interface Sign {
  readonly pid: number
  readonly at: bigint
}

export interface Signs {
  /** The next sign under this token that nobody has taken. */
  readonly next: (kind: "entered" | "leaving", token: string) => Effect.Effect<Sign, Failed>
  /** Who has signed last under this token. */
  readonly last: (token: string) => number | undefined
}

const patience = "30 seconds"

/** Listens at a path, and tells every worker to come of it by `BENCH_SIGNS`. */
export const listen = (path: string): Effect.Effect<Signs, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      spawnSync("mkfifo", [path])
      // Whoever signs may be another user, as PostgreSQL's workers are.
      chmodSync(path, 0o666)
      process.env.BENCH_SIGNS = path
      // Open for writing too, so that the last writer's end is not the end of the file.
      const socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK), writable: false })
      return { socket, signs: hear(socket) }
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  ).pipe(Effect.map(({ signs }) => signs))

const hear = (socket: Socket): Signs => {
  const heard = new Map<string, Array<Sign>>()
  const waiting = new Map<string, (sign: Sign) => void>()
  const last = new Map<string, number>()
  let rest = ""
  socket.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop()!
    for (const line of lines) {
      const [kind, token, pid, at] = line.split(" ")
      const key = `${kind} ${token}`
      const sign: Sign = { pid: Number(pid), at: BigInt(at!) }
      last.set(token!, sign.pid)
      const waiter = waiting.get(key)
      waiting.delete(key)
      if (waiter !== undefined) waiter(sign)
      else heard.set(key, [...heard.get(key) ?? [], sign])
    }
  })
  return {
    last: (token) => last.get(token),
    next: (kind, token) => {
      const key = `${kind} ${token}`
      return Effect.callback<Sign>((resume) => {
        const [first, ...others] = heard.get(key) ?? []
        heard.set(key, others)
        if (first !== undefined) return resume(Effect.succeed(first))
        waiting.set(key, (sign) => resume(Effect.succeed(sign)))
        return Effect.sync(() => waiting.delete(key))
      }).pipe(
        Effect.timeoutOrElse({
          duration: patience,
          orElse: () => Effect.fail(new Failed({ detail: `no worker has ${kind} as ${token} within ${patience}` }))
        })
      )
    }
  }
}
