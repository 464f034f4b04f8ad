/** What becomes of the application's log in a file, whatever happens to the file and to the disk. */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { Spawner } from "@effect-postmaster/core/Spawner"
import * as SpawnerFiber from "@effect-postmaster/core/SpawnerFiber"
import { NodeLogFile, type Options } from "@effect-postmaster/node/NodeLogFile"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { spawn } from "node:child_process"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Fs } from "../src/internal/fs.ts"
import { makeLogBuffer } from "../src/internal/logBuffer.ts"
import { fixture, launch, spawners, until } from "./support.ts"

const patience = 60_000

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "postmaster-log-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** A path for a log file, in a folder of its own. */
const freshPath = Effect.map(folder, (folder) => Path.join(folder, "app.log"))

/** A file that is not there, perhaps for the moment of a rotation, is as good as empty. */
const read = (path: string): string => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

interface Line {
  readonly level: string
  readonly message: unknown
  readonly annotations: Readonly<Record<string, unknown>>
}

const parsed = (text: string): ReadonlyArray<Line> => text.split("\n").slice(0, -1).map((line) => JSON.parse(line))

const messages = (path: string): ReadonlyArray<unknown> => parsed(read(path)).map(({ message }) => message)

/** The names of a log's files, the newest first. */
const namesOf = (path: string): ReadonlyArray<string> =>
  Fs.readdirSync(Path.dirname(path)).toSorted((a, b) => Number(a.split(".")[2] ?? 0) - Number(b.split(".")[2] ?? 0))

/** What all files hold, the oldest first. */
const allOf = (path: string): string =>
  namesOf(path).toReversed().map((name) => read(Path.join(Path.dirname(path), name))).join("")

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index)

const logNumbers = (count: number, from = 0) =>
  Effect.forEach(numbers(count, from), (number) => Effect.logInfo(number), { discard: true })

/** Has what the layer tells the other loggers remembered. */
const withTold = (told: Array<string>) =>
  Layer.provideMerge(Logger.layer([
    Logger.make<unknown, void>(({ logLevel, message }) => {
      if (String(message).startsWith("log file")) told.push(`${logLevel} ${String(message)}`)
    })
  ]))

const withFile =
  (options: Options, told: Array<string> = []) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, NodeLogFile>> =>
    Effect.provide(effect, withTold(told)(NodeLogFile.layer(options)))

/** Lets second after second pass. */
const passUntil = (look: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    while (!look()) {
      yield* TestClock.adjust("1 second")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
  })

type Write = typeof Fs.write
type Answer = (error: NodeJS.ErrnoException | null, bytes: number) => void

/** Puts another disk under the files in `folder`; the real write is passed on. */
const withDisk = (
  path: string,
  write: (real: (length: number) => void, length: number, answer: Answer) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => {
      const { open: realOpen, write: realWrite } = Fs
      const ours = new Set<number>()
      Fs.open = ((name: string, flags: number, mode: number, done: (error: Error | null, fd: number) => void) =>
        realOpen(name, flags, mode, (error, fd) => {
          if (name === path) ours.add(fd)
          else ours.delete(fd)
          done(error, fd)
        })) as typeof Fs.open
      Fs.write = ((fd: number, bytes: Uint8Array, from: number, length: number, at: null, done: Answer) =>
        ours.has(fd)
          ? write((some) => realWrite(fd, bytes, from, some, at, done), length, done)
          : realWrite(fd, bytes, from, length, at, done)) as unknown as Write
      return { realOpen, realWrite }
    }),
    ({ realOpen, realWrite }) =>
      Effect.sync(() => {
        Fs.open = realOpen
        Fs.write = realWrite
      })
  ))

const noSpace = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })

const postmaster = (path: string, spawner: Layer.Layer<Spawner>) =>
  NodeLogFile.layerReload.pipe(
    Layer.provideMerge(Postmaster.layer()),
    Layer.provide([spawner, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })]),
    Layer.provideMerge(NodeLogFile.layer({ path })),
    withTold([])
  )

describe("a log file", () => {
  it.live("has a line of JSON for every entry, with all that the entry has", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      yield* Effect.logError("it\nbroke", { at: 1 }, Cause.fail(new TypeError("no luck"))).pipe(
        Effect.annotateLogs("city", "São Paulo"),
        Effect.withLogSpan("work"),
        withFile({ path })
      )
      const [line] = parsed(read(path)) as ReadonlyArray<any>
      assert.strictEqual(line.level, "ERROR")
      assert.deepStrictEqual(line.message, ["it\nbroke", { at: 1 }])
      assert.match(line.cause, /^TypeError: no luck\n +at /)
      assert.deepStrictEqual(line.annotations, { city: "São Paulo" })
      assert.deepStrictEqual(Object.keys(line.spans), ["work"])
      assert.closeTo(Date.parse(line.timestamp), Date.now(), patience)
      assert.strictEqual(Fs.statSync(path).mode & 0o777, 0o600)
    }))

  it.live("has other lines by another format", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      yield* Effect.logInfo("hello").pipe(withFile({ path, format: Logger.formatLogFmt }))
      assert.match(read(path), /^timestamp=\S+ level=INFO fiber=#\d+ message=hello\n$/)
    }))

  it.live("has everything when the layer is released", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      yield* logNumbers(10_000).pipe(withFile({ path }))
      assert.deepStrictEqual(messages(path), numbers(10_000))
    }))

  for (const [end, code] of [["exit", 3], ["exitAtOnce", 3], ["throw", 1]] as const) {
    it.live(`has everything when the application ends by ${end}`, () =>
      Effect.gen(function*() {
        const path = yield* freshPath
        const child = spawn(process.execPath, [
          "--conditions=@effect-postmaster/source",
          fileURLToPath(fixture("loggingApplication.ts")),
          path,
          end
        ], { stdio: "ignore" })
        assert.strictEqual(
          yield* Effect.promise(() => new Promise((resolve) => child.on("exit", resolve))),
          code
        )
        assert.sameMembers([...messages(path)], numbers(2_000).map((entry) => `entry ${entry}`))
      }), patience)
  }

  it.live("is added to the loggers that there are", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const told: Array<string> = []
      yield* Effect.logInfo("log file and others").pipe(withFile({ path }, told))
      assert.deepStrictEqual(told, ["Info log file and others"])
      assert.deepStrictEqual(messages(path), ["log file and others"])
    }))

  it.live("cannot have settings out of bounds", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      for (
        const [wrong, options] of [
          ["maxBytes of 0", { maxBytes: 0 }],
          ["maxAge of 0 ms", { maxAge: 0 }],
          ["maxFiles of 1001", { maxFiles: 1_001 }],
          ["maxWaiting of 1024", { maxWaiting: 1_024 }]
        ] as const
      ) {
        const exit = yield* Effect.exit(Effect.void.pipe(withFile({ path, ...options })))
        assert(Exit.isFailure(exit))
        assert.include(Cause.pretty(exit.cause), `cannot have a ${wrong}`)
      }
    }))
})

describe("a log file rotates", () => {
  it.live("by size, and every line is in one file", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const maxBytes = 1_000
      yield* logNumbers(200).pipe(withFile({ path, maxBytes, maxFiles: 1_000 }))
      assert.deepStrictEqual(parsed(allOf(path)).map(({ message }) => message), numbers(200))
      assert.isAbove(namesOf(path).length, 10)
      for (const name of namesOf(path)) {
        const text = read(Path.join(Path.dirname(path), name))
        assert.isAtMost(text.length, maxBytes)
        assert.isTrue(text.endsWith("\n"))
      }
    }))

  it.live("for a line that is longer than a file, which has one of its own", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const long = "é".repeat(2_000)
      yield* Effect.logInfo("before").pipe(
        Effect.andThen(Effect.logInfo(long)),
        Effect.andThen(Effect.logInfo("after")),
        withFile({ path, maxBytes: 1_000 })
      )
      assert.deepStrictEqual(messages(`${path}.2`), ["before"])
      assert.deepStrictEqual(messages(`${path}.1`), [long])
      assert.deepStrictEqual(messages(path), ["after"])
    }))

  it.live("and goes on where it was, in another life of the application", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      for (const life of numbers(20)) yield* Effect.logInfo(life).pipe(withFile({ path, maxBytes: 500 }))
      assert.deepStrictEqual(parsed(allOf(path)).map(({ message }) => message), numbers(20))
      assert.isAbove(namesOf(path).length, 2)
      for (const name of namesOf(path)) assert.isAtMost(read(Path.join(Path.dirname(path), name)).length, 500)
    }))

  for (const maxFiles of [1, 3]) {
    it.live(`and keeps ${maxFiles} of its files, whatever was there, and the files of others`, () =>
      Effect.gen(function*() {
        const path = yield* freshPath
        const foreign = [`${path}.20261124`, `${path}.gz`, `${path}.1.gz`, `${path}.01`, `${path}x.1`]
        for (const other of [...foreign, `${path}.2`, `${path}.7`, `${path}.998`]) Fs.writeFileSync(other, "{}\n")
        yield* logNumbers(100).pipe(withFile({ path, maxBytes: 500, maxFiles }))
        for (const other of foreign) {
          assert.strictEqual(read(other), "{}\n")
          Fs.rmSync(other)
        }
        assert.deepStrictEqual(namesOf(path), ["app.log", "app.log.1", "app.log.2"].slice(0, maxFiles))
        const kept = parsed(allOf(path)).map(({ message }) => message)
        assert.deepStrictEqual(kept, numbers(kept.length, 100 - kept.length))
        assert.isNotEmpty(kept)
      }))
  }

  it.effect("by age, with the first line of the next span", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const logged = (text: string) =>
        Effect.andThen(Effect.logInfo(text), until(text, () => read(path).includes(text)))
      yield* TestClock.adjust("23 hours")
      yield* Effect.gen(function*() {
        yield* logged("yesterday")
        yield* TestClock.adjust("59 minutes")
        yield* logged("midnight is near")
        yield* TestClock.adjust("1 minute")
        yield* logged("today")
        yield* TestClock.adjust("2 days")
        yield* logged("after an idle day")
      }).pipe(withFile({ path }))
      assert.deepStrictEqual(messages(`${path}.2`), ["yesterday", "midnight is near"])
      assert.deepStrictEqual(messages(`${path}.1`), ["today"])
      assert.deepStrictEqual(messages(path), ["after an idle day"])
      assert.lengthOf(namesOf(path), 3)
    }), patience)

  it.live("by age, also of a file that another life of the application has left", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      yield* Effect.logInfo("old").pipe(withFile({ path, maxAge: "Infinity" }))
      Fs.utimesSync(path, 100_000, 100_000)
      yield* Effect.logInfo("as old").pipe(withFile({ path, maxAge: "Infinity" }))
      assert.deepStrictEqual(messages(path), ["old", "as old"])
      Fs.utimesSync(path, 100_000, 100_000)
      yield* Effect.logInfo("new").pipe(withFile({ path }))
      assert.deepStrictEqual(messages(`${path}.1`), ["old", "as old"])
      assert.deepStrictEqual(messages(path), ["new"])
    }))

  it.effect("no file away that cannot be moved, and does not let it grow", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const told: Array<string> = []
      const { rename } = Fs
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          Fs.rename = ((_from: string, _to: string, done: Answer) => done(noSpace, 0)) as unknown as typeof Fs.rename
        }),
        () => Effect.sync(() => void (Fs.rename = rename))
      )
      yield* Effect.gen(function*() {
        yield* logNumbers(100)
        yield* until("the failure", () => told.length > 0)
        assert.isAtMost(read(path).length, 500)
        Fs.rename = rename
        yield* passUntil(() => messages(path).includes(99))
      }).pipe(withFile({ path, maxBytes: 500, maxFiles: 1_000 }, told))
      assert.deepStrictEqual(parsed(allOf(path)).map(({ message }) => message), numbers(100))
    }), patience)
})

describe("a log file that others handle", () => {
  it.effect("is left to whoever has moved it, when told to reopen", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      yield* Effect.gen(function*() {
        const { reopen } = yield* NodeLogFile
        yield* logNumbers(10)
        yield* until("the lines", () => messages(path).length === 10)
        Fs.renameSync(path, `${path}-moved`)
        yield* logNumbers(10, 10)
        yield* until("the next lines, in the same file", () => messages(`${path}-moved`).length === 20)
        yield* reopen
        yield* until("the new file, before there is a line", () => Fs.existsSync(path))
        yield* logNumbers(10, 20)
      }).pipe(withFile({ path }))
      assert.deepStrictEqual(messages(`${path}-moved`), numbers(20))
      assert.deepStrictEqual(messages(path), numbers(10, 20))
    }), patience)

  it.live("is reopened when the postmaster is told to reload", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      yield* Effect.gen(function*() {
        yield* until("the file", () => Fs.existsSync(path))
        Fs.renameSync(path, `${path}-moved`)
        yield* Postmaster.use(({ reload }) => reload)
        yield* until("the new file", () => Fs.existsSync(path))
      }).pipe(Effect.provide(postmaster(path, SpawnerFiber.layer)))
    }), patience)

  it.effect("comes back when it, or its folder, was deleted", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder, "logs", "today", "app.log")
      const told: Array<string> = []
      yield* Effect.gen(function*() {
        yield* logNumbers(1)
        yield* until("the first line", () => messages(path).length === 1)
        Fs.rmSync(path)
        yield* TestClock.adjust("1 second")
        yield* logNumbers(1, 1)
        yield* until("the second line", () => messages(path).includes(1))
        Fs.rmSync(Path.dirname(Path.dirname(path)), { recursive: true })
        yield* TestClock.adjust("1 second")
        yield* logNumbers(1, 2)
      }).pipe(withFile({ path }, told))
      assert.deepStrictEqual(messages(path), [2])
      assert.deepStrictEqual(told, [])
    }), patience)

  it.live("with a line that a dead process has torn has it ended first", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      Fs.writeFileSync(path, "{\"message\":\"whole\"}\n{\"mess")
      yield* Effect.logInfo("next").pipe(withFile({ path }))
      const lines = read(path).split("\n")
      assert.deepStrictEqual(lines.slice(0, 2), ["{\"message\":\"whole\"}", "{\"mess"])
      assert.strictEqual(JSON.parse(lines[2]!).message, "next")
    }))
})

describe("a log file on a bad disk", () => {
  it.live("drops what is too much for a slow one, counts it, and says so in its place", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const held: Array<() => void> = []
      let holds = true
      yield* withDisk(path, (real, length) => holds ? void held.push(() => real(length)) : real(length))
      const lostBefore = yield* meteredLost
      const lost = yield* Effect.gen(function*() {
        yield* logNumbers(1)
        yield* until("a write", () => held.length === 1)
        yield* logNumbers(10_000, 1)
        const lost = yield* Effect.flatMap(NodeLogFile, ({ lost }) => lost)
        holds = false
        held[0]!()
        yield* until("the notice", () => read(path).includes("lost"))
        yield* logNumbers(1, 10_001)
        return lost
      }).pipe(withFile({ path, maxWaiting: 64 * 1024 }))
      const written = messages(path)
      assert.isAbove(lost, 9_000)
      assert.strictEqual(written.length, 10_002 - lost + 1)
      assert.deepStrictEqual(written, [
        ...numbers(10_001 - lost),
        `lost ${lost} lines of the log`,
        10_001
      ])
      assert.strictEqual((yield* meteredLost) - lostBefore, lost)
    }), patience)

  it.effect(
    "waits for a full one, tells it once, and goes on where it was, within a line",
    () =>
      Effect.gen(function*() {
        const path = yield* freshPath
        const told: Array<string> = []
        let room = 150
        let refused = 0
        yield* withDisk(path, (real, length, answer) => {
          const some = Math.min(room, length)
          room -= some
          if (some > 0) return real(some)
          refused++
          answer(noSpace, 0)
        })
        yield* Effect.gen(function*() {
          yield* logNumbers(10)
          const before = yield* Clock.currentTimeMillis
          yield* passUntil(() => told.length === 2)
          assert.isAtLeast((yield* Clock.currentTimeMillis) - before, 60_000)
          assert.isAbove(refused, 2)
          assert.isBelow(messages(path).length, 2)
          room = Infinity
          yield* passUntil(() => told.length === 3)
        }).pipe(withFile({ path }, told))
        assert.deepStrictEqual(messages(path), numbers(10))
        assert.deepStrictEqual(told, [
          `Error log file "${path}" cannot be written: ${noSpace.message}`,
          `Error log file "${path}" cannot be written: ${noSpace.message}`,
          `Info log file "${path}" is written again; it lacks 0 lines`
        ])
      }),
    patience
  )

  it.effect("that cannot be opened is tried again, and the application goes on", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder, "logs", "app.log")
      const told: Array<string> = []
      Fs.writeFileSync(Path.dirname(path), "in the way")
      yield* Effect.gen(function*() {
        yield* logNumbers(10)
        yield* until("the failure", () => told.length === 1)
        assert.match(told[0]!, /^Error log file "\S+" cannot be written: ENOTDIR/)
        Fs.rmSync(Path.dirname(path))
        yield* passUntil(() => messages(path).length === 10)
      }).pipe(withFile({ path }, told))
      assert.deepStrictEqual(messages(path), numbers(10))
    }), patience)

  it.live("is none if it is a device", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      yield* Effect.logInfo("gone").pipe(withFile({ path: "/dev/null" }, told))
      assert.deepStrictEqual(told, [
        "Error log file \"/dev/null\" cannot be written: it is not a file, open '/dev/null'",
        "Error log file \"/dev/null\" was closed without the last one line"
      ])
    }))

  it.live("is told to the standard error output if there is nobody else, and what is lost at the end too", () =>
    Effect.gen(function*() {
      const path = yield* folder
      const lines: Array<string> = []
      const lostBefore = yield* meteredLost
      const { error } = console
      console.error = (...words: ReadonlyArray<unknown>) => void lines.push(words.join(" "))
      yield* Effect.logInfo("gone").pipe(
        Effect.provide(Layer.provide(NodeLogFile.layer({ path }), Logger.layer([]))),
        Effect.ensuring(Effect.sync(() => void (console.error = error)))
      )
      assert.lengthOf(lines, 2)
      assert.include(lines[0], "EISDIR")
      assert.include(lines[1], "was closed without the last one line")
      assert.strictEqual((yield* meteredLost) - lostBefore, 1)
    }))

  it.effect("that never answers does not hold up the end of the application", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const told: Array<string> = []
      let release: (() => void) | undefined
      yield* withDisk(path, (real, length) => {
        release = () => real(length)
      })
      const fiber = yield* logNumbers(10).pipe(
        Effect.andThen(until("a write", () => release !== undefined)),
        Effect.andThen(logNumbers(10, 10)),
        withFile({ path }, told),
        Effect.forkChild
      )
      yield* passUntil(() => fiber.pollUnsafe() !== undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(told, [`Error log file "${path}" was closed without the last 20 lines`])
      release!()
      yield* until("what was written after all", () => messages(path).length > 0)
    }), patience)

  it.effect("whose file is moved away within a line has the whole line in the next one", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const told: Array<string> = []
      let room = 150
      yield* withDisk(path, (real, length, answer) => {
        const some = Math.min(room, length)
        room -= some
        if (some > 0) real(some)
        else answer(noSpace, 0)
      })
      yield* Effect.gen(function*() {
        yield* logNumbers(10)
        yield* until("the failure", () => told.length === 1)
        Fs.renameSync(path, `${path}-moved`)
        room = Infinity
        yield* passUntil(() => told.length === 2)
      }).pipe(withFile({ path }, told))
      assert.strictEqual(read(`${path}-moved`).length, 150)
      assert.deepStrictEqual(messages(`${path}-moved`), [0])
      assert.deepStrictEqual(messages(path), numbers(9, 1))
    }), patience)

  it.live("has lost what is logged after the layer was released", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const { loggers, lost } = yield* Effect.gen(function*() {
        const fiber = yield* Effect.fiber
        return { loggers: fiber.getRef(Logger.CurrentLoggers), lost: (yield* NodeLogFile).lost }
      }).pipe(withFile({ path }))
      assert.strictEqual(yield* lost, 0)
      yield* Effect.provideService(Effect.logInfo("late"), Logger.CurrentLoggers, loggers)
      assert.strictEqual(yield* lost, 1)
    }))

  it.live("costs its own line if a formatter throws", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const format = Logger.make<unknown, string>((entry) => {
        if (String(entry.message) === "2") throw new Error("not this one")
        return Logger.formatJson.log(entry)
      })
      yield* Effect.gen(function*() {
        yield* logNumbers(5)
        assert.strictEqual(yield* (yield* NodeLogFile).lost, 1)
      }).pipe(withFile({ path, format }))
      assert.deepStrictEqual(messages(path), [0, 1, "lost one line of the log", 3, 4])
    }))
})

const meteredLost = Effect.map(
  Metric.snapshot,
  (states) =>
    states.flatMap((state) =>
      state.id === "postmaster_log_lines_lost_total" && state.type === "Counter" ? [Number(state.state.count)] : []
    )[0] ?? 0
)

describe.each(spawners)("a log file, with a worker that is a $name", ({ layer, name }) => {
  it.live("has what the worker logs and prints, with who it is", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const pid = yield* Effect.gen(function*() {
        const spawner = yield* Spawner
        const child = yield* spawner.spawn(
          launch(name === "fiber" ? "levels" : "mixes", { module: fixture("logging.ts") }),
          () => {}
        )
        yield* child.exit
        return child.pid
      }).pipe(Effect.scoped, Effect.provide(layer), withFile({ path }))
      const lines = parsed(read(path))
      const who = { worker: "fixture", slot: 3, generation: 7, pid }
      for (const { annotations } of lines) assert.deepStrictEqual(annotations, who)
      assert.deepStrictEqual(
        lines.map(({ level, message }) => `${level} ${String(message)}`),
        name === "fiber"
          ? ["INFO info", "WARN warn", "ERROR error", "FATAL fatal"]
          : ["INFO one", "INFO two", "INFO thr", "WARN four", "INFO five", "INFO six"]
      )
    }), patience)

  it.live("has the postmaster's own lines at their levels", () =>
    Effect.gen(function*() {
      const path = yield* freshPath
      const registered = (name: string, type: string) =>
        Postmaster.use(({ register }) =>
          register(BackgroundWorker.make(name, {
            entry: { module: new URL(fixture("workers.ts")), export: name },
            type,
            restart: "never"
          }))
        ).pipe(Effect.flatMap((worker) => worker.waitForEnd))
      yield* Effect.gen(function*() {
        yield* registered("fails", "failing")
        yield* registered("nowhere", "missing")
        yield* Postmaster.use(({ reload }) => reload)
        yield* until("the reload", () => read(path).includes("received reload request"))
      }).pipe(Effect.provide(postmaster(path, layer)))
      const lines = parsed(read(path))
      const find = (text: RegExp) => lines.find(({ message }) => text.test(String(message)))
      const failed = find(/^background worker "failing" \(PID \d+\) exited with exit code 1/)
      assert(failed !== undefined)
      assert.strictEqual(failed.level, "INFO")
      assert.deepInclude(failed.annotations, { worker: "fails", slot: 0 })
      assert.strictEqual(find(/^background worker "missing" \(PID \d+\) exited with exit code 1/)?.level, "WARN")
      assert.strictEqual(find(/^received reload request$/)?.level, "INFO")
      assert.strictEqual(find(/^postmaster is shut down$/)?.level, "INFO")
    }), patience)
})

describe("the lines that wait for a log file", () => {
  const take = (buffer: ReturnType<typeof makeLogBuffer>) => {
    const taken = buffer.take()
    return taken === undefined ? undefined : Buffer.from(taken).toString()
  }
  const notice = (lost: number) => `-${lost}`

  it("go in one half while the other is written", () => {
    const buffer = makeLogBuffer(20, notice)
    buffer.append(() => "é")
    assert.strictEqual(take(buffer), "é\n")
    assert.isTrue(buffer.isEmpty())
    assert.isUndefined(take(buffer))
  })

  it("are lost after the first one that finds no room, even if they are short", () => {
    const buffer = makeLogBuffer(20, notice)
    for (const line of ["12345", "123456", "1"]) buffer.append(() => line)
    assert.strictEqual(buffer.lost(), 2)
    assert.strictEqual(take(buffer), "12345\n")
    buffer.append(() => "2")
    assert.strictEqual(take(buffer), "-2\n2\n")
  })

  it("are not formatted when there is no room", () => {
    const buffer = makeLogBuffer(20, notice)
    buffer.append(() => "x")
    buffer.append(() => "y".repeat(9))
    buffer.append(() => assert.fail())
    assert.strictEqual(take(buffer), "x\n")
    assert.strictEqual(take(buffer), "-2\n")
    assert.isUndefined(take(buffer))
  })

  it("are lost alone if they are longer than a half", () => {
    const buffer = makeLogBuffer(20, notice)
    for (const line of ["1", "2".repeat(10), "3"]) buffer.append(() => line)
    assert.strictEqual(take(buffer), "1\n-1\n3\n")
  })

  it("can be had without the ones before being touched", () => {
    const buffer = makeLogBuffer(20, notice)
    buffer.append(() => "1")
    const taken = buffer.take()!
    buffer.append(() => "123456789")
    buffer.append(() => "2")
    assert.strictEqual(Buffer.from(buffer.last()).toString(), "123456789\n")
    assert.strictEqual(Buffer.from(taken).toString(), "1\n")
  })

  it("are all lost after the end", () => {
    const buffer = makeLogBuffer(20, notice)
    buffer.append(() => "1")
    buffer.close()
    buffer.append(() => "2")
    assert.strictEqual(take(buffer), "1\n")
    assert.strictEqual(buffer.lost(), 1)
  })
})
