/**
 * Decides what an end of a data line owes its holder beyond the port that its
 * user sees, and when a frame that has arrived is handed on.
 *
 * @since 0.1.0
 */
import type { FrameListener, FramePort } from "@effect-postmaster/core/FramePort"

/** One end of a data line, as whoever has opened it holds it. */
export interface Line {
  readonly port: FramePort
  /** Passes on at once what is sent in this turn. */
  readonly flush: () => void
  /** How many bytes that were sent are not out of our hands yet. */
  readonly unwritten: () => number
  /** Hands on what has arrived, if somebody is there to take it, and closes. The other side is gone. */
  readonly end: () => void
  /** Nothing is handed on any more. */
  readonly close: () => void
}

/** Opens an end; hears what the other side has sent that is no frame, once, when the line has been closed for it. */
export type OpenLine = (broken: (problem: string) => void) => Line

/** The file descriptor of the data line in a worker that is a process. */
export const lineFd = 4

/** With more than this on its way, the other side is behind. */
export const highWaterBytes = 256 * 1024

/** The hearing half of an end. */
export interface Ear {
  readonly listen: FramePort["listen"]
  readonly pause: FramePort["pause"]
  /** Whether somebody listens and holds nothing back. */
  readonly isOpen: () => boolean
  /** Hands on what has arrived, as long as it is open. */
  readonly deliver: () => void
  /** Says that sending may go on. */
  readonly drained: () => void
  /** Hands on what is left, also what was held back: the other side is gone. */
  readonly end: () => void
  readonly close: () => void
  readonly isClosed: () => boolean
}

/** `next` gives the next frame, nothing if there is none yet, or what is wrong. */
export const makeEar = (next: () => Uint8Array | string | undefined, broken: (problem: string) => void): Ear => {
  let listener: FrameListener | undefined
  let paused = false
  /** Nothing more comes, so nothing is held back any more. */
  let ended = false
  let closed = false
  /** Somebody is being told; what he asks for meanwhile is seen when he has returned. */
  let busy = false

  const isOpen = (): boolean => listener !== undefined && (!paused || ended) && !closed

  const deliver = (): void => {
    if (busy) return
    busy = true
    while (isOpen()) {
      const frame = next()
      if (frame === undefined) break
      if (typeof frame === "string") broken(frame)
      else listener!.onFrame(frame)
    }
    busy = false
  }

  return {
    isOpen,
    deliver,
    listen: (to) => {
      listener = to
    },
    pause: (hold) => {
      paused = hold
    },
    drained: () => listener?.onDrain(),
    end: () => {
      ended = true
      deliver()
    },
    close: () => {
      closed = true
    },
    isClosed: () => closed
  }
}
