/**
 * Background workers as processes of Node.js.
 *
 * @since 0.1.0
 */
export * as NodeSignals from "./NodeSignals.ts"
export * as NodeSpawner from "./NodeSpawner.ts"
