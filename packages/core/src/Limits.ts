/**
 * Decides what a worker may be held to: the memory of its JavaScript, its
 * priority, and what the operating system counts for a process.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Restart from "./Restart.ts"

// @effect-diagnostics schemaNumber:off
// Not natural numbers but any: a mistake is for the sanity check to name.
const Amount = /* @__PURE__ */ Schema.optionalKey(Schema.Number)

/**
 * Schema of a `Limits`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Limits = /* @__PURE__ */ Schema.Struct({
  heap: Amount,
  stack: Amount,
  nice: Amount,
  openFiles: Amount,
  cpuTimeMillis: Amount,
  addressSpace: Amount,
  coreSize: Amount,
  processes: Amount,
  fileSize: Amount
})

/**
 * What a worker is held to. Absent: whatever holds for the application.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits extends Schema.Schema.Type<typeof Limits> {}

/**
 * Schema of a `LimitName`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LimitName = /* @__PURE__ */ Schema.Literals([
  "heap",
  "stack",
  "nice",
  "openFiles",
  "cpuTime",
  "addressSpace",
  "coreSize",
  "processes",
  "fileSize"
])

/**
 * The name of a limit, as a definition has it.
 *
 * @category models
 * @since 0.1.0
 */
export type LimitName = typeof LimitName.Type

/**
 * What a definition may say about limits. All sizes are in MiB.
 *
 * **Details**
 *
 * | limit | unit | allowed | a worker that goes beyond it |
 * | --- | --- | --- | --- |
 * | `heap` | MiB | whole, 16 to 1,048,576 | crashes, and is said to have run out of memory |
 * | `stack` | MiB | 0.25 to 6 | gets a `RangeError` |
 * | `nice` | as `os.setPriority` | whole, -20 to 19 | – |
 * | `openFiles` | number | whole, 32 to 1,048,576 | gets `EMFILE` |
 * | `cpuTime` | a duration | whole seconds, from 1 | is ended by SIGXCPU: a crash |
 * | `addressSpace` | MiB | whole, 2,048 to 1,073,741,824 | gets a `RangeError`, or crashes, in words if V8 found some |
 * | `coreSize` | MiB | whole, 0 to 1,073,741,824 | leaves a core file that is cut |
 * | `processes` | number, counted for its user | whole, 1 to 4,194,304 | gets `EAGAIN` when it starts one |
 * | `fileSize` | MiB | whole, 0 to 1,073,741,824 | gets `EFBIG` |
 *
 * `heap` is the old generation of V8 (`--max-old-space-size`). The young one
 * comes on top, some 50 to 200 MiB at most. What lies outside of the heap,
 * such as the bytes of a `Buffer`, is not counted.
 *
 * `heap` and `stack` are given at birth: a worker that has one of them is never
 * made from a spare. The others hold before the worker's own module is
 * evaluated, unless a spare has imported it ahead. What the worker starts
 * inherits them, each child process with a count of its own, and the worker
 * cannot lift them, unless it runs as the superuser.
 *
 * **Gotchas**
 *
 * Only a process can have all of them. A thread can have `heap` and `stack`; with
 * others its birth fails with `NotSupported`, because they would hold for the
 * application. Fibers have none of them, and the spawner says so in a warning.
 * Scripted workers have none either: they run nothing.
 *
 * `openFiles`, `cpuTime` and what follows are set by `prlimit` of util-linux,
 * which is looked for on the application's `PATH`. If it is not there, or the
 * system refuses a limit, the birth fails with `LimitNotSet`.
 *
 * The superuser's processes are not counted: `processes` has no effect on them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input {
  readonly heap?: number | undefined
  readonly stack?: number | undefined
  readonly nice?: number | undefined
  readonly openFiles?: number | undefined
  readonly cpuTime?: Duration.Input | undefined
  readonly addressSpace?: number | undefined
  readonly coreSize?: number | undefined
  readonly processes?: number | undefined
  readonly fileSize?: number | undefined
}

/**
 * Turns what a definition says into data, or into `undefined` if it says
 * nothing.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromInput = ({ cpuTime, ...input }: Input): Limits | undefined => {
  const all = { ...input, cpuTimeMillis: cpuTime === undefined ? undefined : Restart.toMillis(cpuTime) }
  const said = Object.entries(all).filter(([, amount]) => amount !== undefined)
  return said.length === 0 ? undefined : Object.fromEntries(said)
}

/**
 * Returns `true` for limits that a worker must be born with: they cannot be set
 * on a process or a thread that is there already.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isInborn = (self: Limits | undefined): boolean => self?.heap !== undefined || self?.stack !== undefined

/**
 * What is wrong with a limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Problem {
  readonly limit: LimitName
  readonly value: string
  readonly detail: string
}

interface Rule {
  readonly limit: LimitName
  readonly from: number
  readonly to: number
  readonly unit: string
  readonly fraction?: true
}

const maxMiB = 2 ** 30

const rules: { readonly [K in keyof Limits]-?: Rule } = {
  // Node does not come up with less.
  heap: { limit: "heap", from: 16, to: 2 ** 20, unit: " MiB" },
  // Systems give the main thread of a process 8 MiB, and native code wants some of it.
  stack: { limit: "stack", from: 0.25, to: 6, unit: " MiB", fraction: true },
  nice: { limit: "nice", from: -20, to: 19, unit: "" },
  // Node itself has some twenty open.
  openFiles: { limit: "openFiles", from: 32, to: 2 ** 20, unit: "" },
  cpuTimeMillis: { limit: "cpuTime", from: 1_000, to: 2 ** 31 * 1_000, unit: " ms" },
  // A worker that does nothing has reserved 1,400 of them.
  addressSpace: { limit: "addressSpace", from: 2_048, to: maxMiB, unit: " MiB" },
  coreSize: { limit: "coreSize", from: 0, to: maxMiB, unit: " MiB" },
  processes: { limit: "processes", from: 1, to: 2 ** 22, unit: "" },
  fileSize: { limit: "fileSize", from: 0, to: maxMiB, unit: " MiB" }
}

const keys = /* @__PURE__ */ Object.keys(rules) as ReadonlyArray<keyof Limits>

/**
 * Returns the first limit that cannot be kept, or `undefined`.
 *
 * @category validation
 * @since 0.1.0
 */
export const check = (self: Limits): Problem | undefined => {
  for (const key of keys) {
    const amount = self[key]
    if (amount === undefined) continue
    const { fraction, from, limit, to, unit } = rules[key]
    const problem = (detail: string): Problem => ({ limit, value: `${amount}${unit}`, detail })
    if (!(amount >= from && amount <= to)) return problem(`it must be between ${from} and ${to}${unit}`)
    if (key === "cpuTimeMillis" && amount % 1_000 !== 0) return problem("it must be whole seconds")
    if (fraction === undefined && !Number.isInteger(amount)) return problem("it must be a whole number")
  }
  return undefined
}

/**
 * The names of the limits that are given, in a fixed order.
 *
 * @category getters
 * @since 0.1.0
 */
export const namesOf = (self: Limits): ReadonlyArray<LimitName> =>
  keys.filter((key) => self[key] !== undefined).map((key) => rules[key].limit)
