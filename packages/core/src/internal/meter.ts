/**
 * Counts what a postmaster does. The loop alone writes it, and nothing is
 * decided by it: a turn pays a reading of the clock and an addition or two.
 */
import { type FramePort, sizeOf } from "../FramePort.ts"
import { turnBounds, type Vitals } from "../Vitals.ts"

export interface Meter {
  turns: number
  sum: number
  min: number
  max: number
  received: number
  sent: number
  /** By the first bound that is not exceeded. */
  readonly turnsBy: Array<number>
}

export const make = (): Meter => ({
  turns: 0,
  sum: 0,
  min: Number.POSITIVE_INFINITY,
  max: 0,
  received: 0,
  sent: 0,
  turnsBy: turnBounds.map(() => 0)
})

/** A turn is over that took so many milliseconds. */
export const turned = (self: Meter, millis: number): void => {
  self.turns++
  self.sum += millis
  if (millis < self.min) self.min = millis
  if (millis > self.max) self.max = millis
  const bound = turnBounds.findIndex((bound) => millis <= bound)
  if (bound >= 0) self.turnsBy[bound]!++
}

/** The same port, with what passes counted. */
export const metered = (self: Meter, port: FramePort): FramePort => ({
  send: (frame) => {
    // Counted first: sent bytes are the port's.
    self.sent += sizeOf(frame)
    return port.send(frame)
  },
  listen: ({ onDrain, onFrame }) =>
    port.listen({
      onDrain,
      onFrame: (frame) => {
        self.received += frame.length
        onFrame(frame)
      }
    }),
  pause: port.pause
})

export const vitals = (self: Meter): Vitals => {
  let within = 0
  return {
    turns: self.turns,
    turnsWithin: self.turnsBy.map((count) => within += count),
    turnMillis: { sum: self.sum, min: self.turns === 0 ? 0 : self.min, max: self.max },
    receivedBytes: self.received,
    sentBytes: self.sent
  }
}
