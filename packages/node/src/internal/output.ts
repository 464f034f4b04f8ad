/**
 * Decides how a worker's output is read: only as fast as it is used, to its
 * end, and no longer than the worker can have written it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Readable } from "node:stream"
import { makeLineSplitter, newline } from "./lines.ts"
import { readOut } from "./readOut.ts"

/** A stream that is being read, as the one who waits for its end sees it. */
export interface Drain {
  /** `true` until the stream has ended and everything was taken. */
  readonly isOpen: () => boolean
  /** `true` while everything that has arrived is taken. */
  readonly isDry: () => boolean
  /** How many bytes have been taken. */
  readonly taken: () => number
  /** Ends the stream as it is. */
  readonly cut: () => void
}

/** A stream from which one reader at a time takes chunk by chunk; `undefined` is its end. */
export interface Tap extends Drain {
  readonly take: Effect.Effect<Uint8Array | undefined>
  /** `true` if everything ever written was taken, up to a whole line, and nobody is left who could write more. */
  readonly isSpent: () => boolean
}

/**
 * Listens to the stream for good: a stream without a listener for `readable`
 * would be set flowing, and lose what it holds, when its process has exited.
 */
export const makeTap = (stream: Readable): Tap => {
  let open = !stream.closed
  let lineEnded = true
  let taken = 0
  let waiting: (() => void) | undefined
  const wake = (): void => waiting?.()
  const end = (): void => {
    open = false
    wake()
  }
  stream.on("readable", wake)
  stream.on("end", end)
  stream.on("error", end)
  stream.on("close", end)
  return {
    isOpen: () => open,
    isDry: () => waiting !== undefined,
    taken: () => taken,
    cut: () => void stream.destroy(),
    isSpent: () => {
      if (waiting === undefined || !lineEnded) return !open && lineEnded
      let more = false
      const ended = readOut(stream, (chunk) => {
        more = true
        stream.push(chunk)
      })
      return ended && !more
    },
    take: Effect.callback((resume) => {
      const attempt = (): void => {
        const chunk: Uint8Array | null = stream.read()
        waiting = chunk === null && open ? attempt : undefined
        if (chunk !== null) {
          taken += chunk.length
          lineEnded = chunk.at(-1) === newline
          resume(Effect.succeed(chunk))
        } else if (!open) {
          resume(Effect.undefined)
        }
      }
      attempt()
      return Effect.sync(() => {
        waiting = undefined
      })
    })
  }
}

/**
 * Passes every line on, one after the other, and takes the next ones only then. A logger that throws costs its line and
 * nothing else; how many it has cost is told by `lost`, as soon as that can be logged.
 */
export const relayLines = Effect.fnUntraced(function*(
  tap: Tap,
  log: (line: string) => Effect.Effect<void>,
  lost: (lines: number) => Effect.Effect<void>
) {
  const splitter = makeLineSplitter()
  let untold = 0
  const tell = Effect.suspend(() =>
    Effect.matchCause(lost(untold), {
      onFailure: () => {},
      onSuccess: () => {
        untold = 0
      }
    })
  )
  while (true) {
    const chunk = yield* tap.take
    for (const line of chunk === undefined ? splitter.end() : splitter.push(chunk)) {
      if (Exit.isFailure(yield* Effect.exit(log(line)))) untold++
      else if (untold > 0) yield* tell
    }
    if (chunk !== undefined) continue
    if (untold > 0) yield* tell
    return
  }
})

const tickMillis = 100
/** Dry for a second: whoever still holds the stream open is not the worker. */
const idleTicks = 10
/** Dry for once after five seconds: the same, and it trickles. */
const trickleTicks = 50
/** More than any kernel holds back: the same, and it floods. */
const floodBytes = 8 * 1024 * 1024

/**
 * Cuts streams that outlive their worker, because some process that left the
 * worker's group holds them. Called after the exit; returns how to stop. Time is
 * counted in ticks of our own event loop, so that a stall of ours cuts nobody.
 */
export const boundDrains = (drains: ReadonlyArray<Drain>): () => void => {
  const watched = drains.map((drain) => ({ drain, first: drain.taken(), last: drain.taken(), idle: 0 }))
  let ticks = 0
  const timer = setInterval(() => {
    ticks++
    for (const watch of watched) {
      const { drain, first, last } = watch
      if (!drain.isOpen()) continue
      const taken = drain.taken()
      watch.idle = drain.isDry() && taken === last ? watch.idle + 1 : 0
      watch.last = taken
      const trickles = drain.isDry() && ticks >= trickleTicks
      if (watch.idle >= idleTicks || trickles || taken - first > floodBytes) drain.cut()
    }
  }, tickMillis)
  return () => clearInterval(timer)
}
