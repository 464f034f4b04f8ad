import { BackgroundWorker, Identity, type Limits, Registration, Restart } from "@effect-postmaster/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { attached, define } from "./machineHarness.ts"

const day = 86_400_000
const interval = (seconds: number) => define("w", { restart: Restart.after(seconds * 1000) })
const reason = (registration: Registration.Registration) => Registration.sanityCheck(registration)

const limited = (limits: Limits.Limits) => define("w", { limits })

const least: Limits.Limits = {
  heap: 16,
  stack: 0.25,
  nice: -20,
  openFiles: 32,
  cpuTimeMillis: 1_000,
  addressSpace: 2_048,
  coreSize: 0,
  processes: 1,
  fileSize: 0
}

const most: Limits.Limits = {
  heap: 2 ** 20,
  stack: 6,
  nice: 19,
  openFiles: 2 ** 20,
  cpuTimeMillis: 2 ** 31 * 1_000,
  addressSpace: 2 ** 30,
  coreSize: 2 ** 30,
  processes: 2 ** 22,
  fileSize: 2 ** 30
}

describe("sanity checks", () => {
  const refused: ReadonlyArray<readonly [string, Registration.Registration, string, string]> = [
    ["an empty name", define(""), "InvalidName", "background worker \"\": invalid name \"\", it is empty"],
    ["a name of 96 bytes", define("ö".repeat(48)), "InvalidName", "it has 96 bytes and may have at most 95"],
    ["a blank name", define("  "), "InvalidName", "it is empty"],
    ["a name that turns the text around", define("a\u202eb"), "InvalidName", "it contains control characters"],
    [
      "a name with a line break",
      define("a\nb"),
      "InvalidName",
      "invalid name \"a\\nb\", it contains control characters"
    ],
    ["a type that is too long", define("w", { type: "t".repeat(96) }), "InvalidName", "invalid type"],
    [
      "C2 (departs) a database connection without shared memory",
      define("w", { flags: ["DatabaseConnection"] }),
      "SharedMemoryRequired",
      "background worker \"w\": must attach to shared memory in order to request a database connection"
    ],
    [
      "C3 a database connection at postmaster start",
      attached("w", { flags: ["SharedMemory", "DatabaseConnection"], startTime: "PostmasterStart" }),
      "DatabaseNotReady",
      "background worker \"w\": cannot request database access if starting at postmaster start"
    ],
    [
      "C7 an interval of 86,400,001 s",
      interval(86_400_001),
      "InvalidInterval",
      "invalid restart interval 86400001000 ms"
    ],
    [
      "C8 (departs) -1 s; never is a word here",
      interval(-1),
      "InvalidInterval",
      "\"w\": invalid restart interval -1000 ms"
    ],
    ["C8 -2 s", interval(-2), "InvalidInterval", "-2000 ms"],
    ["an interval that is no number", interval(Number.NaN), "InvalidInterval", "invalid restart interval NaN ms"],
    ["an endless interval", interval(Number.POSITIVE_INFINITY), "InvalidInterval", "Infinity ms"],
    [
      "a negative stop timeout",
      define("w", { stopTimeoutMillis: -5 }),
      "InvalidInterval",
      "invalid stop timeout -5 ms"
    ],
    [
      "no heap to speak of",
      limited({ heap: 15 }),
      "InvalidLimit",
      "\"w\": invalid limit heap 15 MiB, it must be between 16"
    ],
    [
      "a heap of half a MiB too much",
      limited({ heap: 64.5 }),
      "InvalidLimit",
      "heap 64.5 MiB, it must be a whole number"
    ],
    ["a heap that is no number", limited({ heap: Number.NaN }), "InvalidLimit", "heap NaN MiB"],
    ["an endless heap", limited({ heap: Number.POSITIVE_INFINITY }), "InvalidLimit", "heap Infinity MiB"],
    [
      "a stack that no process has",
      limited({ stack: 7 }),
      "InvalidLimit",
      "stack 7 MiB, it must be between 0.25 and 6 MiB"
    ],
    ["a stack that is no number", limited({ stack: Number.NaN }), "InvalidLimit", "stack NaN MiB"],
    ["a niceness of 20", limited({ nice: 20 }), "InvalidLimit", "nice 20, it must be between -20 and 19"],
    ["a niceness of -21", limited({ nice: -21 }), "InvalidLimit", "nice -21"],
    ["half a niceness", limited({ nice: 0.5 }), "InvalidLimit", "nice 0.5, it must be a whole number"],
    ["fewer files than Node has open", limited({ openFiles: 31 }), "InvalidLimit", "openFiles 31"],
    [
      "half a second of time",
      limited({ cpuTimeMillis: 500 }),
      "InvalidLimit",
      "cpuTime 500 ms, it must be between 1000"
    ],
    [
      "a second and a half of time",
      limited({ cpuTimeMillis: 1_500 }),
      "InvalidLimit",
      "cpuTime 1500 ms, it must be whole seconds"
    ],
    ["an address space without room for V8", limited({ addressSpace: 2_047 }), "InvalidLimit", "addressSpace 2047 MiB"],
    ["a core file of -1", limited({ coreSize: -1 }), "InvalidLimit", "coreSize -1 MiB"],
    ["no processes at all", limited({ processes: 0 }), "InvalidLimit", "processes 0, it must be between 1"],
    ["files of -1", limited({ fileSize: -1 }), "InvalidLimit", "fileSize -1 MiB"],
    [
      "of several limits the first that is wrong",
      limited({ heap: 64, fileSize: -1, nice: 99 }),
      "InvalidLimit",
      "nice 99"
    ],
    [
      "C9 the parallel class with a restart",
      define("w", { class: "parallel", restart: Restart.after(1) }),
      "ParallelRestart",
      "background worker \"w\": parallel workers may not be configured for restart"
    ]
  ]
  for (const [title, registration, tag, words] of refused) {
    it(`${title} is refused`, () => {
      const found = reason(registration)
      assert.strictEqual(found?._tag, tag)
      assert.include(found?.message, words)
    })
  }

  const accepted: ReadonlyArray<readonly [string, Registration.Registration]> = [
    ["C1 (departs) a worker without shared memory: it is isolated", define("w")],
    ["C5 never", define("w", { restart: Restart.never() })],
    ["C5 0 s", interval(0)],
    ["C5 1 s", interval(1)],
    ["C5 86,400 s", interval(86_400)],
    ["C6 86,401 s: the bound is not one day", interval(86_401)],
    ["C7 86,400,000 s", interval(day)],
    ["C44 a name of 95 bytes", define("x".repeat(Identity.maxNameBytes))],
    ["no limits at all", limited({})],
    ["the least of every limit", limited(least)],
    ["the most of every limit", limited(most)],
    ["an endless stop timeout", define("w", { stopTimeoutMillis: Number.POSITIVE_INFINITY })]
  ]
  for (const [title, registration] of accepted) {
    it(`${title} is accepted`, () => assert.isUndefined(reason(registration)))
  }

  it("C4 of several faults the first in PostgreSQL's order is reported", () => {
    const all = define("w", {
      flags: ["DatabaseConnection"],
      startTime: "PostmasterStart",
      restart: Restart.after(-2000),
      class: "parallel"
    })
    assert.strictEqual(reason(all)?._tag, "SharedMemoryRequired")
    const three = { ...all, flags: ["SharedMemory", "DatabaseConnection"] } as const
    assert.strictEqual(reason(three)?._tag, "DatabaseNotReady")
    assert.strictEqual(reason({ ...three, startTime: "ConsistentState" })?._tag, "InvalidInterval")
  })
})

describe("definitions", () => {
  const entry = { module: new URL("file:///w.js") }

  it("C11 the type defaults to the name", () => {
    assert.strictEqual(BackgroundWorker.make("w", { entry }).type, "w")
  })

  it.effect("the hint against spares is written into the registration, and nothing is if there is none", () =>
    Effect.gen(function*() {
      const hint = Effect.fnUntraced(function*(spare: boolean | undefined) {
        const registration = yield* BackgroundWorker.toRegistration(
          BackgroundWorker.make("w", { entry, spare }),
          undefined
        )
        return "spare" in registration ? registration.spare : "absent"
      })
      assert.deepStrictEqual(yield* Effect.forEach([undefined, true, false], hint), ["absent", "absent", false])
    }))

  it.effect("limits are written into the registration, and nothing is if there are none", () =>
    Effect.gen(function*() {
      const written = Effect.fnUntraced(function*(limits: Limits.Input | undefined) {
        const worker = BackgroundWorker.make("w", { entry, limits })
        const registration = yield* BackgroundWorker.toRegistration(worker, undefined)
        return [registration.limits, registration.spare]
      })
      assert.deepStrictEqual(yield* written(undefined), [undefined, undefined])
      assert.deepStrictEqual(yield* written({ heap: undefined }), [undefined, undefined])
      assert.deepStrictEqual(
        yield* written({ nice: 5, cpuTime: "2 minutes" }),
        [{ nice: 5, cpuTimeMillis: 120_000 }, undefined]
      )
      // No spare has been born with these.
      assert.deepStrictEqual(yield* written({ heap: 64 }), [{ heap: 64 }, false])
      assert.deepStrictEqual(yield* written({ stack: 1 }), [{ stack: 1 }, false])
    }))

  it.effect("limits that cannot be kept are refused when the worker is registered", () =>
    Effect.gen(function*() {
      const worker = BackgroundWorker.make("w", { entry, limits: { cpuTime: "no time" as never } })
      const error = yield* Effect.flip(BackgroundWorker.toRegistration(worker, undefined))
      assert(error.reason._tag === "InvalidLimit")
      assert.deepStrictEqual([error.reason.limit, error.reason.value], ["cpuTime", "NaN ms"])
    }))

  it("a registration may have a name of its own; the type stays", () => {
    const other = BackgroundWorker.make("digest", { entry }).pipe(BackgroundWorker.named("digest 3"))
    assert.deepStrictEqual([other.name, other.type], ["digest 3", "digest"])
  })

  it.effect("arguments that cannot even be shown are refused all the same", () =>
    Effect.gen(function*() {
      const circular: Record<string, unknown> = Object.create(null)
      circular["self"] = circular
      const worker = BackgroundWorker.make("w", { entry, args: Schema.Struct({ folder: Schema.String }) })
      const error = yield* Effect.flip(BackgroundWorker.toRegistration(worker, circular as never))
      assert.strictEqual(error.reason._tag, "InvalidArguments")
    }))

  const untyped: ReadonlyArray<readonly [string, object]> = [
    ["a start time that does not exist", { startTime: "Later" }],
    ["flags that are none", { flags: "SharedMemory" }],
    ["a flag that does not exist", { flags: ["Bogus"] }],
    ["a class that is no text", { class: 7 }],
    ["a limit that is no number", { limits: { heap: "64" } }],
    ["a delay that is no number", { restart: { _tag: "After", delayMillis: "7", onSuccess: "Unregister" } }]
  ]
  for (const [title, part] of untyped) {
    it.effect(`a caller without types: ${title} is refused in one line`, () =>
      Effect.gen(function*() {
        const worker = { ...BackgroundWorker.make("w", { entry }), ...part } as BackgroundWorker.BackgroundWorker<
          typeof Schema.Void
        >
        const error = yield* Effect.flip(BackgroundWorker.toRegistration(worker, undefined))
        assert.strictEqual(error.reason._tag, "InvalidDefinition")
        assert.match(error.message, /^background worker "w": invalid definition: [^\n]+$/)
      }))
  }

  it("a list of workers has a type", () => {
    const workers: ReadonlyArray<BackgroundWorker.Any> = [
      BackgroundWorker.make("a", { entry }),
      BackgroundWorker.make("b", { entry, args: Schema.Struct({ at: Schema.DateTimeUtcFromMillis }) })
    ]
    assert.deepStrictEqual(workers.map((_) => _.name), ["a", "b"])
  })

  it("restart takes a word, a duration or a policy, and hides nothing that is wrong", () => {
    const restart = (input: Restart.Input) => BackgroundWorker.make("w", { entry, restart: input }).restart
    assert.deepStrictEqual(restart("never"), { _tag: "Never", onSuccess: "Unregister" })
    assert.deepStrictEqual(restart("10 seconds"), { _tag: "After", delayMillis: 10_000, onSuccess: "Unregister" })
    const policy = Restart.after("1 minute", { onSuccess: "Restart" })
    assert.deepStrictEqual(restart(policy), policy)
    assert.deepStrictEqual(restart(Number.NaN), { _tag: "After", delayMillis: Number.NaN, onSuccess: "Unregister" })
    assert.deepStrictEqual(restart("soon" as never), restart(Number.NaN))
  })
})
