import * as Core from "@effect-postmaster/core"
import { TestSpawner } from "@effect-postmaster/core/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Checkpoint from "../src/internal/checkpoint.ts"
import * as Input from "../src/internal/input.ts"

const written: { readonly [name: string]: Schema.Codec<unknown, unknown> } = {
  SlotRef: Core.Identity.SlotRef,
  ExitStatus: Core.ExitStatus.ExitStatus,
  Restart: Core.Restart.Restart,
  Registration: Core.Registration.Registration,
  WorkerStatus: Core.WorkerStatus.WorkerStatus,
  PostmasterSnapshot: Core.Snapshot.PostmasterSnapshot,
  PostmasterEvent: Core.PostmasterEvent.PostmasterEvent,
  Recording: Core.Recording.Recording,
  Vitals: Core.Vitals.Vitals,
  RegistrationError: Core.RegistrationError,
  SpawnError: Core.SpawnError,
  SpareLoss: Core.SpareLoss,
  Checkpoint: Checkpoint.Checkpoint,
  Input: Input.Input,
  WorkerStopped: Core.WorkerStopped,
  PostmasterDied: Core.PostmasterDied
}

describe("what is public can be written down and read back", () => {
  for (const [name, schema] of Object.entries(written)) {
    it.effect.prop(name, [schema], ([value]) =>
      Effect.gen(function*() {
        const codec = Schema.toCodecJson(schema)
        const text = JSON.stringify(yield* Schema.encodeUnknownEffect(codec)(value))
        const again = yield* Schema.decodeUnknownEffect(codec)(JSON.parse(text))
        assert.isTrue(Schema.toEquivalence(schema)(value, again), text)
      }), { arbitrary: { runs: 30 } })
  }
})

describe("names", () => {
  it("every service key and type id begins with the package's name", () => {
    const services = [Core.Postmaster, Core.PostmasterConfig, Core.Spawner, Core.WorkerContext, TestSpawner]
    for (const service of services) assert.match(service.key, /^@effect-postmaster\/core\/(testing\/)?[A-Z]\w+$/)
    const keys = Object.values(Core).filter((value) =>
      Predicate.hasProperty(value, "key") && Predicate.isString(value.key)
    )
    assert.isAtLeast(keys.length, services.length - 1)
    for (const value of keys) assert.match(String((value as { key: string }).key), /^@effect-postmaster\/core\//)
  })

  it("every event has a line for the log", () => {
    const worker = { ref: Core.Identity.slotRef(3, 7), name: "mail", type: "mailer" }
    assert.deepStrictEqual(
      Core.PostmasterEvent.logLine({
        _tag: "Exited",
        ...worker,
        pid: 42 as Core.Identity.Pid,
        status: Core.ExitStatus.exited(1),
        verdict: "Failed",
        nextStartInMillis: 5000
      }),
      { level: "Info", message: "background worker \"mailer\" (PID 42) exited with exit code 1; next start in 5000 ms" }
    )
    assert.deepStrictEqual(
      Core.PostmasterEvent.logLine({ _tag: "Registered", ...worker }),
      { level: "Debug", message: "registering background worker \"mail\"" }
    )
    assert.deepStrictEqual(
      Core.PostmasterEvent.logLine({ _tag: "EventsLost", count: 3 }),
      { level: "Warn", message: "a reader was too slow for 3 events" }
    )
  })

  it("the lines about spares say which, and why it was lost", () => {
    const pid = 42 as Core.Identity.Pid
    const worker = { ref: Core.Identity.slotRef(3, 7), name: "mail", type: "mailer" }
    const lost = (cause: Core.SpareLoss["cause"], detail: string, nextStartInMillis: number) =>
      ({ _tag: "SpareLost", spare: 5, loss: { cause, detail }, nextStartInMillis }) as const
    const lines: ReadonlyArray<readonly [Core.PostmasterEvent.PostmasterEvent, string]> = [
      [{ _tag: "SpareStarting", spare: 5 }, "Debug: starting spare 5"],
      [{ _tag: "SpareReady", spare: 5, pid }, "Debug: spare 5 (PID 42) is ready"],
      [{ _tag: "Starting", ...worker }, "Debug: starting background worker process \"mail\""],
      [
        { _tag: "Starting", ...worker, spare: 5 },
        "Debug: starting background worker process \"mail\" from spare 5"
      ],
      [lost("Died", "out of memory", 200), "Warn: spare 5 was lost: out of memory; next start in 200 ms"],
      [lost("Outdated", "mail.js has changed", 0), "Debug: spare 5 is outdated: mail.js has changed"],
      [{ _tag: "SpareEnded", spare: 5 }, "Debug: ending spare 5"]
    ]
    for (const [event, line] of lines) {
      const { level, message } = Core.PostmasterEvent.logLine(event)
      assert.strictEqual(`${level}: ${message}`, line)
    }
  })
})
