/**
 * Decides how bytes go between a worker and its postmaster beside the control
 * channel: as whole frames, in order, on a line of their own, so that control
 * is never held up behind them.
 *
 * Plain functions and plain bytes: the two ends need not share a copy of Effect.
 *
 * @since 0.1.0
 */

/**
 * The longest frame that may be sent, in bytes. Whoever announces a longer one
 * has broken the protocol.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxFrameBytes = 64 * 1024 * 1024

/**
 * A frame to be sent: its bytes, or the parts that make it up. The first part is
 * the port's from there on; the others stay the sender's, who may change them as
 * soon as `send` has returned.
 *
 * @category models
 * @since 0.1.0
 */
export type Outgoing = Uint8Array | readonly [first: Uint8Array, ...lent: Array<Uint8Array>]

/**
 * How many bytes a frame has.
 *
 * @category utils
 * @since 0.1.0
 */
export const sizeOf = (frame: Outgoing): number =>
  frame instanceof Uint8Array ? frame.length : frame.reduce((size, { length }) => size + length, 0)

/**
 * A frame in one piece, which is nobody else's. Parts are copied.
 *
 * @category utils
 * @since 0.1.0
 */
export const whole = (frame: Outgoing): Uint8Array => {
  if (frame instanceof Uint8Array) return frame
  const bytes = new Uint8Array(sizeOf(frame))
  let at = 0
  for (const part of frame) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/**
 * Who hears the other side.
 *
 * @category models
 * @since 0.1.0
 */
export interface FrameListener {
  /** A whole frame. Its bytes are the listener's. Returns at once and does not throw. */
  readonly onFrame: (frame: Uint8Array) => void
  /** `send` had said `false`, and may go on. */
  readonly onDrain: () => void
}

/**
 * One end of the line.
 *
 * @category models
 * @since 0.1.0
 */
export interface FramePort {
  /**
   * Sends a frame, whose bytes are the port's from here on unless they are lent,
   * and returns at once.
   * `false` says that the other side is behind: wait for `onDrain` before
   * sending more. Harmless when nobody is left to hear it.
   */
  readonly send: (frame: Outgoing) => boolean
  /** Sets who hears the other side, from the first frame on. Once. */
  readonly listen: (listener: FrameListener) => void
  /** Holds frames back, which the other side feels in time, or lets them through again. */
  readonly pause: (paused: boolean) => void
}

/**
 * A port at whose other end nobody ever is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const closed: FramePort = { send: () => true, listen: () => {}, pause: () => {} }

/**
 * Two ends of a line within this process. What is sent is heard before `send`
 * returns, or as soon as somebody listens.
 *
 * @category constructors
 * @since 0.1.0
 */
export const pair = (): readonly [FramePort, FramePort] => {
  const there = makeInbox()
  const back = makeInbox()
  return [makeEnd(there, back), makeEnd(back, there)]
}

interface Inbox {
  listener: FrameListener | undefined
  paused: boolean
  /** Somebody is being told; what comes meanwhile waits its turn. */
  busy: boolean
  readonly frames: Array<Uint8Array>
}

const makeInbox = (): Inbox => ({ listener: undefined, paused: false, busy: false, frames: [] })

const isOpen = ({ listener, paused }: Inbox): boolean => listener !== undefined && !paused

const deliver = (inbox: Inbox): void => {
  if (inbox.busy) return
  inbox.busy = true
  while (isOpen(inbox) && inbox.frames.length > 0) inbox.listener!.onFrame(inbox.frames.shift()!)
  inbox.busy = false
}

const makeEnd = (theirs: Inbox, ours: Inbox): FramePort => ({
  send: (frame) => {
    theirs.frames.push(whole(frame))
    deliver(theirs)
    return !theirs.paused
  },
  listen: (listener) => {
    ours.listener = listener
    deliver(ours)
  },
  pause: (paused) => {
    const resumed = ours.paused && !paused
    ours.paused = paused
    if (!resumed) return
    deliver(ours)
    theirs.listener?.onDrain()
  }
})
