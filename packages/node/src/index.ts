/**
 * Background workers as processes of Node.js.
 *
 * @since 0.1.0
 */
export { NodeLogFile, type Options as NodeLogFileOptions } from "./NodeLogFile.ts"
export * as NodeSignals from "./NodeSignals.ts"
export * as NodeSpawner from "./NodeSpawner.ts"
