import { BackgroundWorker, Identity, Registration, Restart } from "@effect-postmaster/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { attached, define } from "./machineHarness.ts"

const day = 86_400_000
const interval = (seconds: number) => define("w", { restart: Restart.after(seconds * 1000) })
const reason = (registration: Registration.Registration) => Registration.sanityCheck(registration)

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
