/**
 * PostgreSQL's background workers for Effect applications.
 *
 * @since 0.1.0
 */
export * as BackgroundWorker from "./BackgroundWorker.ts"
export * as ExitStatus from "./ExitStatus.ts"
export * from "./HandleError.ts"
export * as Identity from "./Identity.ts"
export * as Phase from "./Phase.ts"
export { type Options as PostmasterOptions, Postmaster, type Preload, preload } from "./Postmaster.ts"
export { type Options as PostmasterConfigOptions, PostmasterConfig } from "./PostmasterConfig.ts"
export * as PostmasterEvent from "./PostmasterEvent.ts"
export * as Recording from "./Recording.ts"
export * as Registration from "./Registration.ts"
export * from "./RegistrationError.ts"
export * as Restart from "./Restart.ts"
export * as Snapshot from "./Snapshot.ts"
export { SpareLoss } from "./SpareLoss.ts"
export { type Child, type ChildReport, type Launch, type Spare, Spawner } from "./Spawner.ts"
export * as SpawnerFiber from "./SpawnerFiber.ts"
export * from "./SpawnError.ts"
export { WorkerContext } from "./WorkerContext.ts"
export type { WorkerHandle } from "./WorkerHandle.ts"
export * as WorkerLife from "./WorkerLife.ts"
export * as WorkerRuntime from "./WorkerRuntime.ts"
export * as WorkerSignal from "./WorkerSignal.ts"
export * as WorkerStatus from "./WorkerStatus.ts"
