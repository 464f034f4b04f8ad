/**
 * The flight recorder of a running loop. It keeps two stretches of facts, each
 * with the state before it; when the newer one is full, the older is forgotten.
 * So there are always between one and two stretches to look at, and the cost of
 * saving a state is spread over a whole one.
 */
import type { Heard, Recording } from "../Recording.ts"
import * as Checkpoint from "./checkpoint.ts"
import type { Input } from "./input.ts"
import type * as Machine from "./machine.ts"

interface Stretch {
  readonly checkpoint: Checkpoint.Checkpoint
  readonly heard: Array<Heard>
}

export interface Recorder {
  older: Stretch | undefined
  newer: Stretch
}

const minStretch = 2048

const begin = (state: Machine.State): Stretch => ({ checkpoint: Checkpoint.save(state), heard: [] })

export const make = (state: Machine.State): Recorder => ({ older: undefined, newer: begin(state) })

/** Notes a fact before the machine hears it. */
export const note = (self: Recorder, state: Machine.State, input: Input, at: number): void => {
  if (self.newer.heard.length >= Math.max(minStretch, 2 * state.table.tenants)) {
    self.older = self.newer
    self.newer = begin(state)
  }
  self.newer.heard.push({
    at,
    input: input._tag === "RegisterRequested"
      ? { ...input, registration: Checkpoint.withoutArguments(input.registration) }
      : input
  })
}

export const recording = (self: Recorder, settings: Machine.Settings): Recording => ({
  settings,
  checkpoint: (self.older ?? self.newer).checkpoint,
  heard: [...(self.older?.heard ?? []), ...self.newer.heard]
})
