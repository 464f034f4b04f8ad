/**
 * Decides how a running postmaster's past is kept and looked at again: a flight
 * recorder with the last facts it heard, and the state from which they lead to
 * the present. The machine is a function, so the same facts bring the same
 * decisions, wherever they are replayed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Checkpoint from "./internal/checkpoint.ts"
import { Input } from "./internal/input.ts"
import * as Machine from "./internal/machine.ts"
import * as Onlook from "./internal/onlook.ts"
import type { PostmasterEvent } from "./PostmasterEvent.ts"
import type { PostmasterSnapshot } from "./Snapshot.ts"

/**
 * Schema of one fact and when it was heard.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Heard = Schema.Struct({
  /** Milliseconds of the postmaster's own clock, which never falls. */
  at: Schema.Finite,
  input: Input
})

/**
 * One fact and when it was heard.
 *
 * @category models
 * @since 0.1.0
 */
export interface Heard extends Schema.Schema.Type<typeof Heard> {}

/**
 * Schema of a recording.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Recording = Schema.Struct({
  settings: Checkpoint.Settings,
  /** The state before the first of the facts. */
  checkpoint: Checkpoint.Checkpoint,
  heard: Schema.Array(Heard)
})

/**
 * The last facts a postmaster has heard, and where they began.
 *
 * **Details**
 *
 * The last 4,096 facts, however large the table is. The arguments of workers
 * are left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recording extends Schema.Schema.Type<typeof Recording> {}

/**
 * One turn of a replay: the fact, what the machine ordered, and what an
 * onlooker would have seen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Turn {
  readonly heard: Heard
  /** The tags of the orders, in their order. */
  readonly orders: ReadonlyArray<string>
  readonly events: ReadonlyArray<PostmasterEvent>
  /** The table after the turn, its times in the postmaster's own clock. */
  readonly snapshot: PostmasterSnapshot
}

/**
 * Feeds a recording to the machine again, turn by turn.
 *
 * **Example** (What led to this?)
 *
 * ```ts
 * import { Postmaster, Recording } from "@effect-postmaster/core"
 * import * as Effect from "effect/Effect"
 *
 * export const story = Effect.gen(function*() {
 *   const postmaster = yield* Postmaster
 *   return Recording.replay(yield* postmaster.recording).map((turn) => turn.heard.input._tag)
 * })
 * ```
 *
 * @category replaying
 * @since 0.1.0
 */
export const replay = (recording: Recording): ReadonlyArray<Turn> => {
  const state = Checkpoint.load(recording.settings, recording.checkpoint)
  const onlook = Onlook.make(state, 0)
  return recording.heard.map((heard) => {
    const actions = Machine.step(state, heard.input, heard.at)
    return {
      heard,
      orders: actions.map((action) => action._tag),
      events: actions.flatMap((action) => action._tag === "Publish" ? [action.event] : []),
      snapshot: Onlook.look(onlook)
    }
  })
}
