/**
 * The flight recorder of a running loop: its last facts, and a second machine
 * that hears each of them when it leaves the record. So the state from which
 * they lead to the present is always at hand, and no turn has to save a whole
 * table.
 */
import type { Heard, Recording } from "../Recording.ts"
import * as Checkpoint from "./checkpoint.ts"
import type { Input } from "./input.ts"
import * as Machine from "./machine.ts"

export interface Recorder {
  /** The state before the first of the facts. */
  readonly before: Machine.State
  /** A ring, once it is full. */
  readonly heard: Array<Heard>
  /** Where the next fact goes, which is where the oldest stands. */
  next: number
}

const size = 4096

export const make = (settings: Machine.Settings): Recorder => ({
  before: Machine.make(settings),
  heard: [],
  next: 0
})

/** Notes a fact before the machine hears it. */
export const note = (self: Recorder, input: Input, at: number): void => {
  const oldest = self.heard[self.next]
  if (oldest !== undefined) Machine.step(self.before, oldest.input, oldest.at)
  self.heard[self.next] = {
    at,
    input: withoutSecrets(input)
  }
  self.next = (self.next + 1) % size
}

/** What a worker was given and what it wrote decide nothing, and are nobody else's affair. */
const withoutSecrets = (input: Input): Input => {
  switch (input._tag) {
    case "RegisterRequested":
      return { ...input, registration: Checkpoint.withoutArguments(input.registration) }
    case "ChildProgressed": {
      const { message: _message, ...progress } = input.progress
      return { ...input, progress }
    }
    case "ChildExited":
      return { _tag: input._tag, ref: input.ref, status: input.status }
    default:
      return input
  }
}

export const recording = (self: Recorder): Recording => ({
  settings: self.before.settings,
  checkpoint: Checkpoint.save(self.before),
  heard: [...self.heard.slice(self.next), ...self.heard.slice(0, self.next)]
})
