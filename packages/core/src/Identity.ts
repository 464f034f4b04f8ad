/**
 * Decides what names a worker, and what never will.
 *
 * A process id is reused by the operating system, a name may be registered
 * twice, a slot is taken again and again. The one thing that names a worker for
 * good is a `SlotRef`: the number of its slot and the generation of the tenancy.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Longest worker name or type, in bytes of UTF-8: `BGW_MAXLEN` less the
 * terminator.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxNameBytes = 95

const encoder = new TextEncoder()

/** Controls, format characters such as bidirectional overrides, line separators, lone surrogates. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u

/**
 * Says what is wrong with a worker name, or `undefined` if nothing is.
 *
 * **Details**
 *
 * A name has 1 to 95 bytes of UTF-8 and no control characters, because it goes
 * into logs and process titles. PostgreSQL cuts longer names silently
 * (`ascii_safe_strlcpy`); here they are refused.
 *
 * @category validation
 * @since 0.1.0
 */
export const nameProblem = (name: string): string | undefined => {
  if (name.trim() === "") return "it is empty"
  const bytes = encoder.encode(name).length
  if (bytes > maxNameBytes) return `it has ${bytes} bytes and may have at most ${maxNameBytes}`
  if (unprintable.test(name)) return "it contains control characters"
  return undefined
}

/**
 * Schema of a worker's name: 1 to 95 bytes of UTF-8 without control characters.
 *
 * @category schemas
 * @since 0.1.0
 */
export const WorkerName = Schema.String.check(
  Schema.makeFilter((name: string) => {
    const problem = nameProblem(name)
    return problem === undefined ? undefined : `Expected a worker name, but ${problem}`
  })
).pipe(Schema.brand("~@effect-postmaster/core/Identity/WorkerName"))

/**
 * A worker's name, as it appears in logs, events and snapshots. Names need not
 * be unique.
 *
 * @category models
 * @since 0.1.0
 */
export type WorkerName = typeof WorkerName.Type

/**
 * Schema of a slot number: 0 up to the size of the slot table.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SlotNumber = Schema.Natural.pipe(Schema.brand("~@effect-postmaster/core/Identity/SlotNumber"))

/**
 * The position of a slot in the table.
 *
 * @category models
 * @since 0.1.0
 */
export type SlotNumber = typeof SlotNumber.Type

/**
 * Schema of a generation: how many times the slot has been taken dynamically.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Generation = Schema.Natural.pipe(Schema.brand("~@effect-postmaster/core/Identity/Generation"))

/**
 * Counts the tenancies of one slot. Preloaded workers have generation 0, each
 * dynamic registration adds one, and it never falls: not even after a crash.
 *
 * @category models
 * @since 0.1.0
 */
export type Generation = typeof Generation.Type

/**
 * Schema of a process id, or of the number a spawner gives in its place.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Pid = Schema.Int.check(Schema.isGreaterThan(0)).pipe(
  Schema.brand("~@effect-postmaster/core/Identity/Pid")
)

/**
 * A process id. It names a life, not a worker, and only while that life lasts.
 *
 * @category models
 * @since 0.1.0
 */
export type Pid = typeof Pid.Type

/**
 * Schema of a `SlotRef`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SlotRef = Schema.Struct({
  slot: SlotNumber,
  generation: Generation
})

/**
 * Names one tenancy of one slot, for ever. When the tenancy is over the
 * reference is stale: it then names nobody, and never somebody else.
 *
 * @category models
 * @since 0.1.0
 */
export interface SlotRef extends Schema.Schema.Type<typeof SlotRef> {}

/**
 * Makes a `SlotRef` from two numbers that are known to be good.
 *
 * @category constructors
 * @since 0.1.0
 */
export const slotRef = (slot: number, generation: number): SlotRef => ({
  slot: slot as SlotNumber,
  generation: generation as Generation
})

/**
 * Returns `true` when both references name the same tenancy.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const sameRef = (self: SlotRef, that: SlotRef): boolean =>
  self.slot === that.slot && self.generation === that.generation

/**
 * Writes a reference as messages do: `slot 3, generation 7`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatRef = (ref: SlotRef): string => `slot ${ref.slot}, generation ${ref.generation}`
