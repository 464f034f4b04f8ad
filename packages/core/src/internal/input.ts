/**
 * The facts the machine hears, in the past tense. They are data with a schema,
 * so that a postmaster's last hours can be written down and replayed.
 */
import * as Schema from "effect/Schema"
import { ExitStatus } from "../ExitStatus.ts"
import { Pid, SlotRef } from "../Identity.ts"
import { ShutdownMode } from "../Phase.ts"
import { Progress } from "../Progress.ts"
import { Policy, Registrant, Registration } from "../Registration.ts"
import { SpareLoss } from "../SpareLoss.ts"
import { SpawnError } from "../SpawnError.ts"

export const Input = Schema.TaggedUnion({
  /** Time has passed. */
  Woke: {},
  /** `run` names the run of the startup effect that got there; a run of before a crash counts for nothing. */
  PhaseReached: { phase: Schema.Literals(["Startup", "Consistent", "Run"]), run: Schema.Natural },
  StartupFailed: { run: Schema.Natural, detail: Schema.String },
  RegisterRequested: {
    request: Schema.Natural,
    registration: Registration,
    registrant: Registrant,
    /** For how long it waits for a slot, in milliseconds; absent: not at all. */
    // May be infinite, and comes from callers, so it may be anything.
    // @effect-diagnostics-next-line schemaNumber:off
    waitMillis: Schema.optionalKey(Schema.Number)
  },
  /** Whoever asked does not want it any more, and has not heard of `ref`, if that was the answer. */
  RegisterWithdrawn: { request: Schema.Natural, ref: Schema.optionalKey(SlotRef) },
  /** `worker` is the name that whoever asks knows it by. */
  PolicyChangeRequested: { request: Schema.Natural, ref: SlotRef, worker: Schema.String, policy: Policy },
  TerminateRequested: { ref: SlotRef },
  /** Somebody wants it to start now, with a clean count. */
  ResumeRequested: { ref: SlotRef },
  /** Somebody wants another worker in its place, and it to end when that is ready. */
  ReplaceRequested: { request: Schema.Natural, ref: SlotRef, name: Schema.String },
  TerminateUsersRequested: { resource: Schema.String },
  ShutdownRequested: { mode: ShutdownMode },
  ReloadRequested: {},
  ChildStarted: { ref: SlotRef, pid: Pid },
  ChildNotStarted: { ref: SlotRef, error: SpawnError },
  ChildReady: { ref: SlotRef },
  /** The main loop of a ready worker runs. */
  ChildBeat: { ref: SlotRef },
  ChildProgressed: { ref: SlotRef, progress: Progress },
  ChildAttached: { ref: SlotRef },
  ChildDetached: { ref: SlotRef },
  /** `output`: the last lines it wrote to stderr. */
  ChildExited: { ref: SlotRef, status: ExitStatus, output: Schema.optionalKey(Schema.Array(Schema.String)) },
  SpareReady: { spare: Schema.Natural, pid: Pid },
  SpareLost: { spare: Schema.Natural, loss: SpareLoss }
})

export type Input = typeof Input.Type
