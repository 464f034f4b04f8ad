/**
 * Decides how a postmaster is spoken to over a protocol: the same door that
 * applications use, for workers.
 *
 * @since 0.1.0
 */
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import { PostmasterDied, WorkerStopped } from "./HandleError.ts"
import { Pid, SlotRef } from "./Identity.ts"
import { MetricsRpcs } from "./internal/metricsRpcs.ts"
import { SharedMemoryRpcs } from "./internal/sharedMemoryRpcs.ts"
import { LifeRecord } from "./LifeRecord.ts"
import { ShutdownMode } from "./Phase.ts"
import { PostmasterEvent } from "./PostmasterEvent.ts"
import { ProgressSeen } from "./Progress.ts"
import { Recording } from "./Recording.ts"
import { Policy, Registration } from "./Registration.ts"
import { RegistrationError } from "./RegistrationError.ts"
import { PostmasterSnapshot } from "./Snapshot.ts"
import { Vitals } from "./Vitals.ts"
import { WorkerStatus } from "./WorkerStatus.ts"

/**
 * What holders of a worker are told: what it does, and whether its registration
 * is over.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Watched = Schema.Struct({ status: WorkerStatus, gone: Schema.Boolean })

/**
 * The calls a postmaster answers.
 *
 * @category protocols
 * @since 0.1.0
 */
export class PostmasterRpcs extends RpcGroup.make(
  Rpc.make("Identity", { success: Schema.String }),
  Rpc.make("Register", { payload: { registration: Registration }, success: SlotRef, error: RegistrationError }),
  Rpc.make("RegisterWithin", {
    // May be infinite.
    // @effect-diagnostics-next-line schemaNumber:off
    payload: { registration: Registration, waitMillis: Schema.Number },
    success: SlotRef,
    error: RegistrationError
  }),
  /** What a worker does now, and every change, to the end of its registration. */
  Rpc.make("Watch", { payload: { ref: SlotRef }, success: Watched, stream: true }),
  Rpc.make("Progress", { payload: { ref: SlotRef }, success: Schema.NullOr(ProgressSeen) }),
  Rpc.make("History", { payload: { ref: SlotRef }, success: Schema.Array(LifeRecord) }),
  Rpc.make("Resume", { payload: { ref: SlotRef } }),
  Rpc.make("Replace", {
    payload: { ref: SlotRef, name: Schema.String },
    success: SlotRef,
    error: RegistrationError
  }),
  Rpc.make("ChangePolicy", {
    payload: { ref: SlotRef, worker: Schema.String, policy: Policy },
    error: RegistrationError
  }),
  Rpc.make("Terminate", { payload: { ref: SlotRef } }),
  Rpc.make("TerminateUsers", { payload: { resource: Schema.String } }),
  Rpc.make("Find", { payload: { name: Schema.String }, success: Schema.Array(SlotRef) }),
  Rpc.make("TypeByPid", { payload: { pid: Schema.Finite }, success: Schema.NullOr(Schema.String) }),
  /** Opens a way to the life that runs now. */
  Rpc.make("Connect", {
    payload: { ref: SlotRef, name: Schema.String },
    success: Schema.Struct({ way: Schema.Natural, pid: Pid }),
    error: WorkerStopped
  }),
  Rpc.make("Snapshot", { success: PostmasterSnapshot }),
  Rpc.make("Snapshots", { success: PostmasterSnapshot, stream: true }),
  Rpc.make("Events", { success: PostmasterEvent, stream: true }),
  Rpc.make("Recording", { success: Recording }),
  Rpc.make("Vitals", { success: Vitals }),
  Rpc.make("Reload"),
  Rpc.make("Shutdown", { payload: { mode: ShutdownMode } }),
  Rpc.make("AwaitHalt", { error: PostmasterDied })
).merge(SharedMemoryRpcs, MetricsRpcs) {}
