/**
 * Decides how a value is shared: a named cell of a schema, which the application
 * and attached workers read, change without losing each other's changes, and
 * watch.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { PostmasterDied } from "./HandleError.ts"
import { oneLine } from "./internal/oneLine.ts"
import { type Present, SharedMemory } from "./SharedMemory.ts"
import { CellNotDecoded, CellNotEncoded, SharedMemoryError } from "./SharedMemoryError.ts"

/**
 * A value in shared memory. It is data; its use needs a `SharedMemory`.
 *
 * **Gotchas**
 *
 * When attached workers crash, the cell is empty again and reads as its initial
 * value, also for the application, which has not crashed.
 *
 * Every retry of `set`, `update` and `modify` means that somebody else has
 * written. Far from the postmaster, in a worker, it is lost more often; what is
 * written all the time by many is better split into several cells.
 *
 * @category models
 * @since 0.1.0
 */
export interface SharedState<in out A> {
  readonly name: string
  /** What a cell reads as that nobody has written. */
  readonly initial: A
  readonly get: Effect.Effect<A, SharedMemoryError | PostmasterDied, SharedMemory>
  readonly set: (value: A) => Effect.Effect<void, SharedMemoryError | PostmasterDied, SharedMemory>
  /** Nobody writes in between: if somebody has, `f` is asked again. */
  readonly update: (f: (value: A) => A) => Effect.Effect<void, SharedMemoryError | PostmasterDied, SharedMemory>
  /** The same, with an answer. */
  readonly modify: <B>(
    f: (value: A) => readonly [answer: B, value: A]
  ) => Effect.Effect<B, SharedMemoryError | PostmasterDied, SharedMemory>
  /**
   * Writes if the cell has the value that is expected, and tells whether it had.
   * Values are compared by the equivalence of the schema.
   */
  readonly compareAndSet: (
    expected: A,
    value: A
  ) => Effect.Effect<boolean, SharedMemoryError | PostmasterDied, SharedMemory>
  /** Back to the initial value. Gives back the room that the cell takes. */
  readonly reset: Effect.Effect<void, SharedMemoryError | PostmasterDied, SharedMemory>
  /**
   * The present value, then the newest one whenever the cell has been written. A
   * slow reader sees the newest, never a backlog. Ends with the postmaster.
   */
  readonly changes: Stream.Stream<A, SharedMemoryError, SharedMemory>
}

/**
 * Makes a shared value. Everybody who shares it makes it of the same name and
 * schema, best in one module that all of them import.
 *
 * **Details**
 *
 * The cell takes room when it is first written: its name and its value in the
 * schema's JSON form, in bytes. Beyond `PostmasterConfig.maxSharedBytes` and
 * `maxSharedCells`, writing fails with `MemoryExhausted` or `CellsExhausted`.
 * The memory comes from `Postmaster.layer`, in a worker from `Postmaster.layerClient`.
 * Workers without the flag `"SharedMemory"` are told `NotAttached`.
 *
 * `compareAndSet` goes by value, not by version: whoever expects something has a
 * value in mind, not a count of writes. `update` goes by version, so a value
 * that has come back in between is not taken for one that never left.
 *
 * **Example** (A count that survives whoever counts)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 * import * as SharedState from "@effect-postmaster/core/SharedState"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 *
 * export const Mails = SharedState.make("mails", Schema.Natural, 0)
 *
 * export const count = Mails.update((n) => n + 1)
 *
 * export const report = Stream.runForEach(Mails.changes, (n) => Effect.logInfo(`${n} mails`))
 *
 * export const Mailer = BackgroundWorker.make("mailer", {
 *   entry: { module: new URL(import.meta.url) },
 *   flags: ["SharedMemory"]
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(
  name: string,
  schema: Schema.Codec<A, unknown>,
  initial: NoInfer<A>
): SharedState<A> => {
  const codec = Schema.fromJsonString(Schema.toCodecJson(schema))
  const encodeText = Schema.encodeUnknownEffect(codec)
  const decodeText = Schema.decodeUnknownEffect(codec)
  const isSame = Schema.toEquivalence(schema)

  const encode = (value: A): Effect.Effect<string, SharedMemoryError> =>
    Effect.mapError(
      encodeText(value),
      (error) => new SharedMemoryError({ reason: new CellNotEncoded({ cell: name, detail: oneLine(error) }) })
    )
  const decode = ({ text }: Present): Effect.Effect<A, SharedMemoryError> =>
    text === undefined ? Effect.succeed(initial) : Effect.mapError(
      decodeText(text),
      (error) => new SharedMemoryError({ reason: new CellNotDecoded({ cell: name, detail: oneLine(error) }) })
    )

  const modify = <B>(f: (value: A) => readonly [answer: B, value: A]) =>
    write(name, (present) =>
      Effect.flatMap(decode(present), (before) => {
        const [answer, value] = f(before)
        return Effect.map(encode(value), (text): Decision<B> => [answer, text])
      }))

  /** Everybody knows the initial value of a cell that is not there, and goes on waiting for another. */
  const next = (seen: Present | undefined): Effect.Effect<Present, SharedMemoryError | PostmasterDied, SharedMemory> =>
    Effect.flatMap(
      SharedMemory.use((memory) => seen === undefined ? memory.read(name) : memory.changed(name, seen.version)),
      (present) =>
        seen !== undefined && seen.text === undefined && present.text === undefined
          ? next(present)
          : Effect.succeed(present)
    )

  return {
    name,
    initial,
    get: Effect.flatMap(SharedMemory.use((memory) => memory.read(name)), decode),
    // Not without a look: the word of a worker that has crashed must not reach the memory made since.
    set: (value) =>
      Effect.flatMap(encode(value), (text) => write(name, () => Effect.succeed<Decision<void>>([undefined, text]))),
    update: (f) => modify((value) => [undefined, f(value)]),
    modify,
    compareAndSet: (expected, value) =>
      write(name, (present) =>
        Effect.flatMap(decode(present), (before) =>
          isSame(before, expected)
            ? Effect.map(encode(value), (text): Decision<boolean> => [true, text])
            : Effect.succeed<Decision<boolean>>([false]))),
    reset: write(name, () => Effect.succeed<Decision<void>>([undefined, undefined])),
    changes: Stream.unfold(undefined as Present | undefined, (seen) =>
      next(seen).pipe(
        Effect.flatMap((present) => Effect.map(decode(present), (value) => [value, present] as const)),
        Effect.catchTag("PostmasterDied", () => Effect.undefined)
      ))
  }
}

/** The answer, and the text to be written; without one, nothing is written. */
type Decision<B> = readonly [answer: B] | readonly [answer: B, text: string | undefined]

/**
 * Decides again and again, until nobody has written in between. There is no end
 * to it, but each time somebody else has got what he wanted.
 */
const write = Effect.fnUntraced(function*<B>(
  name: string,
  decide: (present: Present) => Effect.Effect<Decision<B>, SharedMemoryError>
): Effect.fn.Return<B, SharedMemoryError | PostmasterDied, SharedMemory> {
  const memory = yield* SharedMemory
  let present = yield* memory.read(name)
  while (true) {
    const decision = yield* decide(present)
    if (decision.length === 1) return decision[0]
    const swap = yield* memory.swap(name, present.version, decision[1])
    if (swap._tag === "Swapped") return decision[0]
    present = swap.present
  }
})
