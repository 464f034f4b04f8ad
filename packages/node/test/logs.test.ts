/** What becomes of what a worker logs and writes, on every spawner. */
import { SpawnerFiber } from "@effect-postmaster/core"
import type { ExitStatus } from "@effect-postmaster/core/ExitStatus"
import { Spawner } from "@effect-postmaster/core/Spawner"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import { Worker } from "node:worker_threads"
import { entryIn, entryLines } from "../src/internal/entryLine.ts"
import { makeThreadReader } from "../src/internal/threadOutput.ts"
import { fixture, launch, until } from "./support.ts"

const patience = 60_000

interface Logged {
  readonly level: LogLevel.LogLevel
  readonly message: unknown
  readonly cause: string
  readonly annotations: Readonly<Record<string, unknown>>
  readonly spans: ReadonlyArray<readonly [string, number]>
  readonly fiber: number
  readonly time: number
}

const spawners: ReadonlyArray<{
  readonly name: string
  readonly layer: Layer.Layer<Spawner>
  readonly apart: boolean
}> = [
  { name: "fiber", layer: SpawnerFiber.layer, apart: false },
  { name: "thread", layer: NodeSpawner.layerThread, apart: true },
  { name: "process", layer: NodeSpawner.layer, apart: true }
]

/** Bears a worker of `fixtures/logging.ts`, waits for its end, and has each entry of the application's log shown. */
const live = (
  layer: Layer.Layer<Spawner>,
  name: string,
  args: object | null,
  log: (entry: Logged) => void,
  minimumLogLevel: LogLevel.LogLevel = "Info"
): Effect.Effect<{ readonly pid: number; readonly status: ExitStatus }, unknown> => {
  const logger = Logger.make<unknown, void>(({ cause, date, fiber, logLevel, message }) =>
    log({
      level: logLevel,
      message,
      cause: Cause.pretty(cause),
      annotations: fiber.getRef(References.CurrentLogAnnotations),
      spans: fiber.getRef(References.CurrentLogSpans),
      fiber: fiber.id,
      time: date.getTime()
    })
  )
  return Effect.gen(function*() {
    const context = yield* Layer.build(layer)
    const order = launch(name, { module: fixture("logging.ts"), args: args as never })
    const child = yield* Context.get(context, Spawner).spawn(order, () => {})
    return { pid: child.pid, status: yield* child.exit }
  }).pipe(
    Effect.scoped,
    Effect.provide(Logger.layer([logger])),
    Effect.provideService(References.MinimumLogLevel, minimumLogLevel)
  )
}

const logged = (
  layer: Layer.Layer<Spawner>,
  name: string,
  args: object | null = null,
  minimumLogLevel?: LogLevel.LogLevel
) => {
  const log: Array<Logged> = []
  return Effect.map(
    live(layer, name, args, (entry) => log.push(entry), minimumLogLevel),
    (life) => ({ ...life, log })
  )
}

const words = ({ level, message }: Logged): string =>
  `${level} ${Array.isArray(message) ? message.join(" ") : String(message)}`

for (const { apart, layer, name } of spawners) {
  describe(`what a worker logs on the ${name} spawner`, () => {
    it.live("arrives as it is, with who has logged it", () =>
      Effect.gen(function*() {
        const { log, pid } = yield* logged(layer, "tells")
        assert.lengthOf(log, 1)
        const [entry] = log
        assert.strictEqual(entry!.level, "Error")
        assert.deepStrictEqual(entry!.message, ["it\nbroke", { at: [1, 2] }])
        assert.match(entry!.cause, /^TypeError: no luck\n +at .*logging\.ts/)
        assert.deepStrictEqual(entry!.annotations, {
          worker: "fixture",
          slot: 3,
          generation: 7,
          pid,
          city: "São Paulo",
          count: 3
        })
        assert.deepStrictEqual(entry!.spans.map(([label]) => label), ["work"])
        assert.isAtMost(entry!.spans[0]![1], entry!.time)
        assert.isAbove(entry!.fiber, 0)
      }), patience)

    it.live("arrives with the worker's fiber and time", () =>
      Effect.gen(function*() {
        const { log } = yield* logged(layer, "knowsItself")
        assert.lengthOf(log, 1)
        assert.deepStrictEqual(log[0]!.message, [log[0]!.fiber])
        assert.strictEqual(log[0]!.time, 0)
      }), patience)

    it.live("arrives with its own level, if the application logs that level", () =>
      Effect.gen(function*() {
        const at = (level: LogLevel.LogLevel) =>
          Effect.map(logged(layer, "levels", null, level), ({ log }) => log.map(words))
        const all = ["Trace trace", "Debug debug", "Info info", "Warn warn", "Error error", "Fatal fatal"]
        assert.deepStrictEqual(yield* at("Trace"), all)
        assert.deepStrictEqual(yield* at("Info"), all.slice(2))
        assert.deepStrictEqual(yield* at("Error"), all.slice(4))
        assert.deepStrictEqual(yield* at("None"), [])
      }), patience)
  })

  if (!apart) continue

  describe(`what a worker logs on the ${name} spawner, apart from the application,`, () => {
    it.live(
      "keeps its place among the lines it writes, also after one that is not finished",
      () =>
        Effect.gen(function*() {
          const { log } = yield* logged(layer, "mixes")
          assert.deepStrictEqual(log.map(words), [
            "Info one",
            "Info two",
            "Info thr",
            "Warn four",
            "Info five",
            "Info six"
          ])
        }),
      patience
    )

    it.live(
      "is believed in everything but who has logged it; what is no entry is a line",
      () =>
        Effect.gen(function*() {
          const { log, pid } = yield* logged(layer, "pretends")
          assert.deepStrictEqual(log[0]!.annotations, {
            worker: "fixture",
            slot: 3,
            generation: 7,
            pid,
            "own.worker": "another",
            "own.pid": 1
          })
          assert.deepStrictEqual(log.slice(1).map(words), [
            "Info \u001enothing",
            "Info \u001e{\"level\":\"Fatal\",\"message\":\"not all of it\"}",
            `Info \u001e${"[".repeat(20_000)}`,
            "Info a\u001eb"
          ])
        }),
      patience
    )

    it.live("arrives at any length, in several entries if it must", () =>
      Effect.gen(function*() {
        const textOf = (log: ReadonlyArray<Logged>) =>
          log.map(({ level, message }) => {
            assert.strictEqual(level, "Error")
            return String(message)
          }).join("")
        const { log: long } = yield* logged(layer, "logsAtLength", { length: 200_000, many: false })
        assert.isAbove(long.length, 1)
        assert.isTrue(textOf(long) === `${"é".repeat(200_000)} end`)
        for (const { annotations } of long) assert.strictEqual(annotations["kind"], "long")
        const { log: many } = yield* logged(layer, "logsAtLength", { length: 20_000, many: true })
        assert.isTrue(textOf(many) === `${"é".repeat(20_000)} end long=${"ö".repeat(20_000)}`)
      }), patience)

    it.live("arrives even if the worker calls process.exit in the same breath", () =>
      Effect.gen(function*() {
        const { log, status } = yield* logged(layer, "logsAndExits", { entries: 5_000 })
        assert(status._tag === "Exited")
        assert.strictEqual(status.code, 3)
        assert.deepStrictEqual(
          log.map(({ message }) => (message as ReadonlyArray<string>)[0]),
          Array.from({ length: 5_000 }, (_, entry) => `entry ${entry}`)
        )
      }), patience)

    it.live("arrives in lines from an entry that was built with an older version", () =>
      Effect.gen(function*() {
        const { log, pid } = yield* logged(layer, "older")
        assert.sameMembers(log.map(words), ["Info all is well city=Rio", "Warn trouble"])
        for (const { annotations } of log) {
          assert.deepStrictEqual(annotations, { worker: "fixture", slot: 3, generation: 7, pid })
        }
      }), patience)

    it.live("does not hold up the application, however much it is", () =>
      Effect.gen(function*() {
        const lines = 200_000
        let seen = 0
        let before = 0
        let most = 0
        let over = false
        const turn = (): void => {
          most = Math.max(most, seen - before)
          before = seen
          if (!over) setImmediate(turn)
        }
        turn()
        yield* live(layer, "floods", { lines }, ({ message }) => {
          assert.deepStrictEqual(message, [`line ${seen}`])
          seen++
        })
        over = true
        assert.strictEqual(seen, lines)
        // What two chunks hold, and no more, between one turn of the event loop and the next.
        assert.isBelow(most, 2 * 64 * 1024 / "line 0\n".length)
      }), patience)
  })
}

describe("an entry in a line", () => {
  const entry = {
    level: "Info",
    time: 5,
    fiber: 1,
    message: ["a\u001eb\n"],
    annotations: { __proto__: null, key: "value" },
    spans: []
  } as const

  it("is found behind what was left there", () => {
    const line = entryLines(entry)
    assert.strictEqual(line.indexOf("\n"), line.length - 1)
    const found = entryIn(`a\u001eb${line.slice(0, -1)}`)
    assert.strictEqual(found?.before, "a\u001eb")
    assert.deepStrictEqual(found?.entry, { ...entry, annotations: { key: "value" } })
  })

  it("is no longer than a line may be, and no character is torn", () => {
    const text = "\u0001😀".repeat(50_000)
    const lines = entryLines({ ...entry, message: [text], cause: "because" }).split("\n").slice(0, -1)
    for (const line of lines) assert.isAtMost(Buffer.byteLength(line), 32 * 1024)
    const messages = lines.map((line) => String(entryIn(line)!.entry.message))
    for (const message of messages) assert.isTrue(message.isWellFormed())
    assert.isTrue(messages.join("") === `${text} because`)
  })

  it("with a time that is none is only a line", () => {
    const line = entryLines({ ...entry, time: 1e300 }).slice(0, -1)
    assert.isUndefined(entryIn(line))
  })
})

describe("the output of a thread", () => {
  const flooding = (lines: number) => {
    const reader = makeThreadReader()
    const counter = new Int32Array(new SharedArrayBuffer(4))
    const module = new URL("../src/internal/threadOutput.ts", import.meta.url).href
    const worker = new Worker(new URL("./fixtures/flooding.mjs", import.meta.url), {
      stdout: true,
      stderr: true,
      workerData: { counter, lines, module, output: reader.theirs },
      transferList: [reader.theirs.port]
    })
    const ended = new Promise<number>((resolve) => worker.on("exit", resolve))
    /** Wakes the thread if it waits, which changes nothing but says so. */
    const standsStill = () => Atomics.notify(reader.theirs.unread, 0) > 0
    return { counter, ended, reader, standsStill, worker }
  }

  /** What may be on its way or in the stream, in lines of 100 bytes. */
  const most = 2 * 1024 * 1024 / 100

  it.live("stands still while nobody reads it, and is all there when somebody does", () =>
    Effect.gen(function*() {
      const lines = 50_000
      const { counter, ended, reader, standsStill } = flooding(lines)
      yield* until("the thread to stand still", standsStill)
      assert.isBelow(Atomics.load(counter, 0), most)
      let text = ""
      reader.stdout.on("data", (chunk) => {
        text += String(chunk)
      })
      yield* Effect.promise(() => ended)
      reader.end()
      yield* until("the end of the output", () => reader.stdout.readableEnded)
      assert.deepStrictEqual(
        text.split("\n").slice(0, -1).map(Number),
        Array.from({ length: lines }, (_, line) => line)
      )
    }), patience)

  it.live("has in it what was written before the thread's own program began", () =>
    Effect.gen(function*() {
      const early = `--import=data:text/javascript,${encodeURIComponent("console.log('early'); console.error('too')")}`
      const layer = NodeSpawner.layerThreadWith({ execArgv: ["--conditions=@effect-postmaster/source", early] })
      const { log } = yield* logged(layer, "mixes")
      assert.includeMembers(log.map(words), ["Info early", "Warn too", "Info one", "Info six"])
    }), patience)

  it.live("does not keep a thread that stands still from being ended", () =>
    Effect.gen(function*() {
      const { counter, ended, reader, standsStill, worker } = flooding(1_000_000)
      yield* until("the thread to stand still", standsStill)
      yield* Effect.promise(() => worker.terminate())
      yield* Effect.promise(() => ended)
      reader.end()
      assert.isBelow(Atomics.load(counter, 0), most)
    }), patience)
})
