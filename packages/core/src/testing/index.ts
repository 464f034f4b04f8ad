/**
 * Everything a test of a postmaster's user needs.
 *
 * @since 0.1.0
 */
export * as Script from "./Script.ts"
export * as TestPostmaster from "./TestPostmaster.ts"
export { type JournalEntry, TestSpawner } from "./TestSpawner.ts"
