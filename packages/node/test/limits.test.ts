/** What workers are held to: that each limit holds, however a worker is born, and what is said when it cannot be set. */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { Limits } from "@effect-postmaster/core/Limits"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { Spawner } from "@effect-postmaster/core/Spawner"
import { SpawnError } from "@effect-postmaster/core/SpawnError"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { forkHere } from "../src/internal/fork.ts"
import { makeOomKills } from "../src/internal/oomKills.ts"
import { makeWorkerProcess } from "../src/internal/workerProcess.ts"
import { born, fixture, fromSpares, isGone, launch, type Life, lived, saw } from "./support.ts"

const patience = 60_000

const test = (title: string, body: Effect.Effect<void, unknown, Scope.Scope>) =>
  it.live(title, () => Effect.scoped(body), patience)

const silently = Effect.provideService(References.MinimumLogLevel, "None")

const births: ReadonlyArray<readonly [name: string, layer: Layer.Layer<Spawner>]> = [
  ["through a launcher", NodeSpawner.layer],
  ["by the application", NodeSpawner.layerWith({ launcher: false })],
  ["from a spare", Layer.provide(fromSpares, NodeSpawner.layer)]
]

interface Seen {
  readonly heap: number
  readonly resourceLimits: Readonly<Record<string, number>>
  readonly depth: number
  readonly nice: ReadonlyArray<number>
  readonly system: string
}

/** What a worker sees of its limits. */
const seen = (life: Life): Effect.Effect<Seen> =>
  Effect.map(saw(life, "limits {"), ({ text }) => JSON.parse(text.slice("limits ".length)))

const seenBy = (limits: Limits, layer: Layer.Layer<Spawner>) =>
  Effect.flatMap(born(launch("limited", { limits }), { layer }), seen)

/** The soft and the hard limit of one line of `/proc/self/limits`. */
const line = ({ system }: Seen, name: string): ReadonlyArray<string> =>
  system.split("\n").find((line) => line.startsWith(name))!.slice(name.length).trim().split(/\s+/).slice(0, 2)

/** What V8 makes of its flag. */
const heapLimit = (mebibytes: number): number =>
  Number(execFileSync(
    process.execPath,
    [`--max-old-space-size=${mebibytes}`, "-p", "v8.getHeapStatistics().heap_size_limit"],
    { env: { ...process.env, NODE_OPTIONS: "" } }
  ))

/** Puts a program of our own in the place of the tool; the folder is its working area. */
const withTool = (script: ((folder: string) => string) | undefined) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = process.env["PATH"]
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "limits-test-"))
      if (script !== undefined) {
        Fs.writeFileSync(Path.join(folder, "prlimit"), `#!/bin/sh\n${script(folder)}\n`, { mode: 0o755 })
      }
      process.env["PATH"] = folder
      return { before, folder }
    }),
    ({ before, folder }) =>
      Effect.sync(() => {
        process.env["PATH"] = before
        Fs.rmSync(folder, { recursive: true })
      })
  )

const realTool = execFileSync("/bin/sh", ["-c", "command -v prlimit"], { encoding: "utf8" }).trim()

const reasonOf = (error: unknown) => {
  assert(error instanceof SpawnError)
  return error.reason
}

for (const [name, layer] of births) {
  describe(`a process born ${name}`, () => {
    test(
      "has the limits of the operating system",
      Effect.gen(function*() {
        const limits: Limits = {
          nice: 7,
          openFiles: 200,
          cpuTimeMillis: 100_000,
          addressSpace: 4_000_000,
          coreSize: 0,
          processes: 5_000,
          fileSize: 3
        }
        const found = yield* seenBy(limits, layer)
        assert.isAbove(found.nice.length, 1)
        assert.deepStrictEqual([...new Set(found.nice)], [7])
        assert.deepStrictEqual(line(found, "Max open files"), ["200", "200"])
        assert.deepStrictEqual(line(found, "Max cpu time"), ["100", "101"])
        assert.deepStrictEqual(line(found, "Max address space"), Array(2).fill(`${4_000_000 * 2 ** 20}`))
        assert.deepStrictEqual(line(found, "Max core file size"), ["0", "0"])
        assert.deepStrictEqual(line(found, "Max processes"), ["5000", "5000"])
        assert.deepStrictEqual(line(found, "Max file size"), Array(2).fill(`${3 * 2 ** 20}`))
      })
    )

    test(
      "has a heap and a stack of its own",
      Effect.gen(function*() {
        const small = yield* seenBy({ heap: 64, stack: 0.5 }, layer)
        const large = yield* seenBy({ heap: 128, stack: 4 }, layer)
        assert.deepStrictEqual([small.heap, large.heap], [heapLimit(64), heapLimit(128)])
        assert.isAbove(large.depth, small.depth * 4)
      })
    )

    test(
      "that outgrows its heap has crashed, and says of what",
      Effect.gen(function*() {
        const { status } = yield* lived(launch("hoards", { limits: { heap: 32 } }), { layer })
        assert.deepStrictEqual(
          status,
          ExitStatus.signaled("SIGABRT", { detail: "it ran out of memory (heap limit 32 MiB)" })
        )
        assert.strictEqual(ExitStatus.verdict(status), "Crashed")
      })
    )

    test(
      "fails to be born, in words, if the tool is not there",
      Effect.gen(function*() {
        yield* withTool(undefined)
        const limits = { openFiles: 200, fileSize: 1 }
        const reason = reasonOf(yield* Effect.flip(born(launch("idles", { limits }), { layer })))
        assert(reason._tag === "LimitNotSet")
        assert.deepStrictEqual(reason.limits, ["openFiles", "fileSize"])
        assert.strictEqual(
          reason.message,
          "could not limit openFiles, fileSize of background worker \"fixture\": " +
            "there is no prlimit (util-linux) on the PATH"
        )
      })
    )

    test(
      "fails to be born, in words, if the tool fails, and is gone",
      Effect.gen(function*() {
        const { folder } = yield* withTool((folder) =>
          `echo $2 > ${folder}/pid; echo "failed to set the NOFILE limit" >&2; exit 1`
        )
        const reason = reasonOf(
          yield* Effect.flip(Effect.scoped(born(launch("idles", { limits: { openFiles: 200 } }), { layer })))
        )
        assert(reason._tag === "LimitNotSet")
        assert.deepStrictEqual([reason.limits, reason.detail], [["openFiles"], "failed to set the NOFILE limit"])
        assert.isTrue(isGone(Number(Fs.readFileSync(`${folder}/pid`, "utf8"))))
      })
    )

    test(
      "fails to be born, in words, if the system refuses",
      Effect.gen(function*() {
        // More than anybody may have, the superuser included.
        const order = launch("idles", { limits: { nice: 1, openFiles: 2 ** 40 } })
        const reason = reasonOf(yield* Effect.flip(born(order, { layer })))
        assert(reason._tag === "LimitNotSet")
        assert.deepStrictEqual(reason.limits, ["openFiles"])
        assert.match(reason.detail, /Operation not permitted/)
      })
    )

    test(
      "without limits has nothing to do with the tool",
      Effect.gen(function*() {
        const { folder } = yield* withTool((folder) => `: > ${folder}/called`)
        yield* seen(yield* born(launch("limited"), { layer }))
        yield* seen(yield* born(launch("limited", { limits: { nice: 1, heap: 64 } }), { layer }))
        assert.isFalse(Fs.existsSync(`${folder}/called`))
      })
    )
  })
}

describe("a process", () => {
  test(
    "with limits is made from a spare, unless it must be born with them",
    Effect.gen(function*() {
      const { spare, spawn } = yield* Spawner
      const modules = [fixture("workers.ts")]
      const pids = (limits: Limits) =>
        Effect.gen(function*() {
          const one = yield* spare!(modules)
          const child = yield* spawn(launch("idles", { limits }), () => {}, one)
          return [one.pid, child.pid] as const
        })
      const [first, made] = yield* pids({ nice: 3, openFiles: 200 })
      assert.strictEqual(made, first)
      for (const limits of [{ heap: 64 }, { stack: 1 }]) {
        const [idle, cold] = yield* pids(limits)
        assert.notStrictEqual(cold, idle)
      }
    }).pipe(Effect.provide(NodeSpawner.layer), silently)
  )

  test(
    "has its limits even if the launcher is lost over them",
    Effect.gen(function*() {
      yield* withTool((folder) => `if /bin/mkdir ${folder}/once; then kill -9 $PPID; exit 1; fi; exec ${realTool} "$@"`)
      const found = yield* seenBy({ openFiles: 200 }, NodeSpawner.layer)
      assert.deepStrictEqual(line(found, "Max open files"), ["200", "200"])
    })
  )

  test(
    "has the heap it was promised, whatever the application's own flags say",
    Effect.gen(function*() {
      const layer = NodeSpawner.layerWith({
        execArgv: ["--max-old-space-size-percentage=50", "--max-old-space-size=900"],
        env: { NODE_OPTIONS: "--max-old-space-size-percentage=40 --max_old_space_size_percentage=30 --no-warnings" }
      })
      assert.strictEqual((yield* seenBy({ heap: 64 }, layer)).heap, heapLimit(64))
    })
  )

  test(
    "with two limits on its memory that is aborted for want of it names both",
    Effect.gen(function*() {
      const limits = { heap: 99, addressSpace: 4_000 }
      const { status } = yield* lived(launch("cries", { args: { abort: true }, limits }), { layer: NodeSpawner.layer })
      const detail = "it ran out of memory (heap limit 99 MiB, address space limit 4000 MiB)"
      assert.deepStrictEqual(status, ExitStatus.signaled("SIGABRT", { detail }))
    })
  )

  test(
    "that has used up its time has crashed, and says so",
    Effect.gen(function*() {
      const { status } = yield* lived(launch("spins", { limits: { cpuTimeMillis: 1_000 } }), {
        layer: NodeSpawner.layer
      })
      const detail = "it used up its time on the processor (limit 1 s)"
      assert.deepStrictEqual(status, ExitStatus.signaled("SIGXCPU", { detail }))
      assert.strictEqual(ExitStatus.verdict(status), "Crashed")
    })
  )

  for (
    const [args, expected] of [
      [{ code: 3 }, ExitStatus.exited(3)],
      [{}, ExitStatus.signaled("SIGKILL")]
    ] as const
  ) {
    test(
      `that only says that its memory is full and ${ExitStatus.format(expected)} is not believed`,
      Effect.gen(function*() {
        const { life, status } = yield* lived(launch("cries", { args }), { layer: NodeSpawner.layer })
        yield* saw(life, "heap out of memory")
        assert.deepStrictEqual(status, expected)
      })
    )
  }

  test(
    "that a shell says was aborted, with its memory full, says so",
    Effect.gen(function*() {
      const { status } = yield* lived(launch("cries", { args: { code: 134 }, limits: { heap: 99 } }), {
        layer: NodeSpawner.layer
      })
      assert.strictEqual(
        ExitStatus.format(status),
        "exited with exit code 134: it ran out of memory (heap limit 99 MiB)"
      )
    })
  )
})

describe("kills of the system", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "limits-test-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
  )
  const groups = "5:cpu,memory:/app/web\n4:pids:/app\n0::/app/web\n"

  for (
    const [where, file, text] of [
      ["of the second version", "app/web/memory.events", (kills: number) => `max 7\noom 9\noom_kill ${kills}\n`],
      ["in a container", "memory.events", (kills: number) => `oom_kill ${kills}\noom_group_kill 8\n`],
      [
        "of the first version",
        "memory/app/web/memory.oom_control",
        (kills: number) => `under_oom 0\noom_kill ${kills}\n`
      ]
    ] as const
  ) {
    test(
      `are counted by a control group ${where}, each for one worker`,
      Effect.gen(function*() {
        const mount = yield* folder
        const counter = Path.join(mount, file)
        Fs.mkdirSync(Path.dirname(counter), { recursive: true })
        Fs.writeFileSync(`${mount}/groups`, groups)
        const count = (kills: number) => Fs.writeFileSync(counter, text(kills))
        count(3)
        const kills = makeOomKills(`${mount}/groups`, mount)
        kills.note()
        assert.isFalse(kills.take())
        count(5)
        assert.deepStrictEqual([kills.take(), kills.take(), kills.take()], [true, true, false])
        count(6)
        kills.note()
        assert.isFalse(kills.take())
      })
    )
  }

  test(
    "are not believed in where nobody counts",
    Effect.gen(function*() {
      const mount = yield* folder
      for (const file of [`${mount}/nothing`, "/proc/self/cgroup"]) {
        const kills = makeOomKills(file, mount)
        kills.note()
        assert.isFalse(kills.take())
      }
    })
  )

  for (
    const [counted, ordered, expected] of [
      [
        true,
        false,
        ExitStatus.signaled("SIGKILL", { detail: "it was probably killed by the system for want of memory" })
      ],
      [false, false, ExitStatus.signaled("SIGKILL")],
      [true, true, ExitStatus.signaled("SIGKILL", { ordered: true })]
    ] as const
  ) {
    test(
      `${counted ? "" : "not "}counted: a worker ${ordered ? "we" : "somebody else"} killed`,
      Effect.gen(function*() {
        const order = {
          file: process.execPath,
          args: ["-e", "setInterval(() => {}, 1000)"],
          env: {},
          cwd: "/",
          umask: 0o22
        }
        const { pid, worker } = yield* forkHere(order, (forked) => ({
          pid: forked.pid,
          worker: makeWorkerProcess(forked, { note: () => {}, take: () => counted })
        }))
        yield* Effect.forkChild(worker.watch, { startImmediately: true })
        if (ordered) yield* worker.end
        else process.kill(pid, "SIGKILL")
        assert.deepStrictEqual(yield* worker.exit, expected)
      })
    )
  }
})

describe("workers of a postmaster", () => {
  for (
    const [kind, layer, how] of [
      ["process", NodeSpawner.layer, "was terminated by signal SIGABRT: it "],
      ["thread", NodeSpawner.layerThread, "was lost: "]
    ] as const
  ) {
    test(
      `a ${kind} beyond its heap comes back by its policy, and nobody else notices`,
      Effect.gen(function*() {
        const postmaster = yield* Postmaster
        const entry = (name: string) => ({ module: new URL(fixture("workers.ts")), export: name })
        const sibling = yield* postmaster.register(BackgroundWorker.make("sibling", { entry: entry("idles") }))
        const pid = yield* sibling.waitForStartup
        yield* sibling.waitForReady
        const ends = yield* Effect.forkChild(
          postmaster.events.pipe(
            Stream.filter((event) => event._tag === "Exited"),
            Stream.take(2),
            Stream.runCollect
          ),
          { startImmediately: true }
        )
        yield* postmaster.register(
          BackgroundWorker.make("hoarder", { entry: entry("hoards"), restart: "1 millis", limits: { heap: 32 } })
        )
        for (const event of yield* Fiber.join(ends)) {
          assert.strictEqual(event.name, "hoarder")
          assert.strictEqual(ExitStatus.format(event.status), `${how}ran out of memory (heap limit 32 MiB)`)
          assert.strictEqual(ExitStatus.verdict(event.status), "Crashed")
        }
        assert.deepStrictEqual(yield* sibling.pid, Option.some(pid))
      }).pipe(
        Effect.provide(
          Postmaster.layer().pipe(Layer.provide([layer, PostmasterConfig.layer({ maxWorkers: 2 })]))
        ),
        silently
      )
    )
  }
})

describe("a thread", () => {
  test(
    "has a heap and a stack of its own, before those of its spawner",
    Effect.gen(function*() {
      const layer = NodeSpawner.layerThreadWith({
        resourceLimits: { maxOldGenerationSizeMb: 999, maxYoungGenerationSizeMb: 8 }
      })
      const found = yield* seenBy({ heap: 64, stack: 2 }, layer)
      assert.deepInclude(found.resourceLimits, {
        maxOldGenerationSizeMb: 64,
        maxYoungGenerationSizeMb: 8,
        stackSizeMb: 2
      })
    })
  )

  test(
    "is not made from a spare that has another heap",
    Effect.gen(function*() {
      const layer = Layer.provide(fromSpares, NodeSpawner.layerThread)
      const found = yield* seenBy({ heap: 64 }, layer)
      assert.strictEqual(found.resourceLimits["maxOldGenerationSizeMb"], 64)
    })
  )

  for (const limits of [{ nice: 1 }, { heap: 64, openFiles: 100 }, { cpuTimeMillis: 1_000 }] as ReadonlyArray<Limits>) {
    test(
      `is refused with ${JSON.stringify(limits)}, which would be the application's`,
      Effect.gen(function*() {
        const nice = Os.getPriority()
        const reason = reasonOf(
          yield* Effect.flip(born(launch("idles", { limits }), { layer: NodeSpawner.layerThread }))
        )
        assert(reason._tag === "NotSupported")
        assert.match(reason.detail, /^a thread has no "(nice|openFiles|cpuTime)" of its own$/)
        assert.strictEqual(Os.getPriority(), nice)
      })
    )
  }
})
