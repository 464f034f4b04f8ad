import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { livingMembers } from "../src/internal/processGroup.ts"
import {
  birth,
  born,
  fixture,
  isGone,
  isOver,
  launch,
  type LaunchOptions,
  type Life,
  lived,
  saw,
  stateOf,
  until
} from "./support.ts"

const patience = 60_000

const exitedWith = (status: ExitStatus.ExitStatus, code: number): ExitStatus.ExitError | undefined => {
  assert(status._tag === "Exited", ExitStatus.format(status))
  assert.strictEqual(status.code, code, ExitStatus.format(status))
  return status.error
}

describe("ends of its own", () => {
  const cases: ReadonlyArray<{
    readonly title: string
    readonly name: string
    readonly options?: LaunchOptions
    readonly code: number
    readonly error?: { readonly kind: ExitStatus.ExitError["kind"]; readonly message: RegExp }
  }> = [
    { title: "a return", name: "returns", code: 0 },
    {
      title: "a typed failure",
      name: "fails",
      code: 1,
      error: { kind: "Failure", message: /^Refused: no entry by the back door$/ }
    },
    { title: "a defect", name: "dies", code: 2, error: { kind: "Defect", message: /^a bug$/ } },
    { title: "a rejection", name: "rejects", code: 2, error: { kind: "Defect", message: /^a rejected promise$/ } },
    {
      title: "an exception nobody catches",
      name: "throwsOutside",
      code: 2,
      error: { kind: "Defect", message: /^thrown in a timer$/ }
    },
    {
      title: "a rejection nobody catches",
      name: "rejectsOutside",
      code: 2,
      error: { kind: "Defect", message: /^nobody catches this$/ }
    },
    ...[0, 1, 2, 3, 127].map((code) => ({
      title: `process.exit(${code})`,
      name: "exits",
      options: { args: { code } },
      code
    })),
    {
      title: "a module that is not there",
      name: "main",
      options: { module: fixture("nowhere.ts") },
      code: 1,
      error: { kind: "EntryNotLoaded", message: /fixtures\/nowhere\.ts/ }
    },
    {
      title: "a module that is not a program",
      name: "main",
      options: { module: "data:text/javascript,export const main = (" },
      code: 1,
      error: { kind: "EntryNotLoaded", message: /SyntaxError/ }
    },
    {
      title: "a module that throws",
      name: "main",
      options: { module: "data:text/javascript,throw new Error('no luck')" },
      code: 1,
      error: { kind: "EntryNotLoaded", message: /no luck/ }
    },
    {
      title: "an export that is not there",
      name: "missing",
      code: 1,
      error: { kind: "ExportMissing", message: /workers\.ts has no export "missing"; .*notMain/ }
    },
    {
      title: "an export that is no main",
      name: "notMain",
      code: 1,
      error: { kind: "ExportNotMain", message: /"notMain".*workers\.ts/ }
    },
    {
      title: "arguments that do not decode",
      name: "exits",
      options: { args: { code: "three" } },
      code: 1,
      error: { kind: "ArgumentsNotDecoded", message: /three/ }
    }
  ]
  for (const { code, error, name, options, title } of cases) {
    it.live(`${title} exits ${code}`, () =>
      Effect.gen(function*() {
        const { status } = yield* lived(launch(name, options))
        const left = exitedWith(status, code)
        assert.strictEqual(left?.kind, error?.kind)
        if (error !== undefined) assert.match(left!.message, error.message)
      }), patience)
  }

  it.live("running out of memory is SIGABRT", () =>
    Effect.gen(function*() {
      const { status } = yield* lived(launch("hoards"), { execArgv: ["--max-old-space-size=40"] })
      assert.deepStrictEqual(
        status,
        ExitStatus.signaled("SIGABRT", { detail: "it ran out of memory (JavaScript heap)" })
      )
    }), patience)

  it.live("an error longer than a frame is cut", () =>
    Effect.gen(function*() {
      const { status } = yield* lived(launch("longError"))
      const error = exitedWith(status, 1)!
      assert.strictEqual(Buffer.byteLength(error.message), 32 * 1024 + 3)
      assert.match(error.message, /^ä+…$/)
    }), patience)
})

describe("signals", () => {
  const outside: ReadonlyArray<NodeJS.Signals> = ["SIGKILL", "SIGSEGV", "SIGABRT"]
  for (const signal of outside) {
    it.live(`${signal} from outside is no order`, () =>
      Effect.gen(function*() {
        const life = yield* born(launch("idles"))
        yield* saw(life, "idle")
        process.kill(life.pid, signal)
        assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled(signal))
      }), patience)
  }

  const interrupted = (life: Life) =>
    Effect.gen(function*() {
      const error = exitedWith(yield* life.exit, 1)
      assert.strictEqual(error?.kind, "Interrupted")
      assert.deepStrictEqual(life.log.filter(({ text }) => text === "finalizer ran").length, 1)
    })

  it.live("SIGTERM from outside interrupts, and finalizers run", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"))
      yield* saw(life, "idle")
      process.kill(life.pid, "SIGTERM")
      yield* interrupted(life)
    }), patience)

  it.live("SIGTERM from the postmaster interrupts once, by channel and signal together", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"))
      yield* saw(life, "idle")
      yield* life.signal("SIGTERM", "Group")
      yield* life.signal("SIGTERM", "Process")
      yield* interrupted(life)
    }), patience)

  it.live("C133 SIGTERM before the worker listens is not lost, and main never runs", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"))
      yield* life.signal("SIGTERM", "Group")
      const error = exitedWith(yield* life.exit, 1)
      assert.strictEqual(error?.kind, "Interrupted")
      assert.deepStrictEqual(life.log, [])
      assert.deepStrictEqual(life.reports, [])
    }), patience)

  it.live("SIGTERM ends a worker whose module is still loading", () =>
    Effect.gen(function*() {
      const module = "data:text/javascript,console.log('loading'); await new Promise(() => {})"
      const life = yield* born(launch("main", { module }))
      yield* saw(life, "loading")
      yield* life.signal("SIGTERM", "Process")
      assert.strictEqual(exitedWith(yield* life.exit, 1)?.kind, "Interrupted")
    }), patience)

  it.live("a worker that ignores SIGTERM ends by SIGKILL, which is an order", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("spins"))
      yield* saw(life, "spinning")
      yield* life.signal("SIGTERM", "Group")
      assert.strictEqual(isGone(life.pid), false)
      yield* life.signal("SIGKILL", "Process")
      assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: true }))
    }), patience)

  it.live("a stopped worker ends by SIGKILL", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"))
      yield* saw(life, "idle")
      process.kill(life.pid, "SIGSTOP")
      yield* until("the worker to stop", () => stateOf(life.pid) === "T")
      yield* life.signal("SIGTERM", "Group")
      for (let count = 0; count < 10_000; count++) yield* life.signal("SIGHUP", "Process")
      assert.strictEqual(stateOf(life.pid), "T")
      yield* life.signal("SIGKILL", "Group")
      assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: true }))
    }), patience)

  it.live("SIGQUIT leaves at once, without finalizers", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles", { flags: ["SharedMemory"] }))
      yield* saw(life, "idle")
      yield* life.signal("SIGQUIT", "Group")
      exitedWith(yield* life.exit, 2)
      assert.deepStrictEqual(life.log.map(({ text }) => text), ["idle"])
      assert.deepStrictEqual(life.reports, ["Attached", "Ready"])
    }), patience)

  it.live("SIGQUIT before the worker listens is an order too", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"))
      yield* life.signal("SIGQUIT", "Group")
      // A spare has listened all along, and leaves by itself.
      if (birth === "spare") assert.strictEqual(exitedWith(yield* life.exit, 2)?.kind, "Interrupted")
      else assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGQUIT", { ordered: true }))
    }), patience)

  it.live("SIGINT from outside is ignored", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("waitsForLatch"))
      yield* saw(life, "waiting")
      process.kill(life.pid, "SIGINT")
      yield* life.signal("SIGUSR1", "Process")
      yield* saw(life, "woken once")
      yield* life.signal("SIGUSR1", "Process")
      exitedWith(yield* life.exit, 0)
    }), patience)

  it.live("SIGUSR1 sets the latch, from the postmaster and from outside", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("waitsForLatch"))
      yield* saw(life, "waiting")
      yield* life.signal("SIGUSR1", "Group")
      yield* saw(life, "woken once")
      process.kill(life.pid, "SIGUSR1")
      exitedWith(yield* life.exit, 0)
    }), patience)

  it.live("SIGUSR1 before the worker listens is not lost", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("waitsForLatch"))
      yield* life.signal("SIGUSR1", "Process")
      yield* saw(life, "woken once")
      yield* life.signal("SIGUSR1", "Process")
      exitedWith(yield* life.exit, 0)
    }), patience)

  it.live("SIGUSR1 behind a launch that fills the channel is not lost", () =>
    Effect.gen(function*() {
      // More than the kernel takes at once, less than the queue that makes Node say "drain".
      const args = { padding: "x".repeat(230_000) }
      const life = yield* born(launch("padded", { args }))
      yield* life.signal("SIGUSR1", "Process")
      yield* saw(life, "woken once")
      yield* life.signal("SIGUSR1", "Process")
      exitedWith(yield* life.exit, 0)
    }), patience)

  it.live("SIGHUP is a reload, from the postmaster and from outside", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("reloads"))
      yield* saw(life, "waiting")
      yield* life.signal("SIGHUP", "Group")
      yield* saw(life, "reload 1")
      process.kill(life.pid, "SIGHUP")
      exitedWith(yield* life.exit, 0)
    }), patience)

  it.live("a signal after the end is harmless", () =>
    Effect.gen(function*() {
      const { life } = yield* lived(launch("returns"))
      for (const signal of ["SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGKILL"] as const) {
        yield* life.signal(signal, "Group")
        yield* life.signal(signal, "Process")
      }
    }), patience)

  it.live("writing to a worker that has just left does not cost its last words", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("fails", { flags: ["SharedMemory"] }))
      // This loop lets nothing be read; the worker lives and dies meanwhile.
      while (!isOver(life.pid)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      yield* life.signal("SIGHUP", "Process")
      yield* life.signal("SIGTERM", "Group")
      assert.strictEqual(exitedWith(yield* life.exit, 1)?.kind, "Failure")
      assert.deepStrictEqual(life.reports, ["Attached", "Ready", "Detached"])
    }), patience)
})

describe("the dead-man switch", () => {
  const attached = { flags: ["SharedMemory"] } as const
  const cases: ReadonlyArray<readonly [string, LaunchOptions, boolean]> = [
    ["returns", attached, true],
    ["fails", attached, true],
    ["dies", attached, false],
    ["exits", { ...attached, args: { code: 0 } }, false]
  ]
  for (const [name, options, detaches] of cases) {
    it.live(`a worker that ${name} ${detaches ? "detaches" : "does not detach"}`, () =>
      Effect.gen(function*() {
        const { life } = yield* lived(launch(name, options))
        assert.deepStrictEqual(life.reports, ["Attached", "Ready", ...(detaches ? ["Detached"] as const : [])])
      }), patience)
  }

  it.live("a worker that SIGTERM ends detaches", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles", attached))
      yield* saw(life, "idle")
      yield* life.signal("SIGTERM", "Group")
      exitedWith(yield* life.exit, 1)
      assert.deepStrictEqual(life.reports, ["Attached", "Ready", "Detached"])
    }), patience)

  it.live("an isolated worker does neither", () =>
    Effect.gen(function*() {
      const { life } = yield* lived(launch("returns"))
      assert.deepStrictEqual(life.reports, ["Ready"])
    }), patience)
})

describe("output", () => {
  it.live("every byte of 10 MB arrives before the exit", () =>
    Effect.gen(function*() {
      const { life, status } = yield* lived(launch("writes", { args: { lines: 10_240 } }))
      exitedWith(status, 0)
      assert.strictEqual(life.log.length, 10_240)
      assert.strictEqual(life.log.reduce((sum, { text }) => sum + text.length + 1, 0), 10 * 1024 * 1024)
    }), patience)

  it.live(
    "every byte of 10 MB arrives even if the worker calls process.exit in the same breath",
    () =>
      Effect.gen(function*() {
        const { life, status } = yield* lived(launch("writesAndExits", { args: { lines: 10_240, code: 3 } }))
        exitedWith(status, 3)
        assert.strictEqual(life.log.reduce((sum, { text }) => sum + text.length + 1, 0), 10 * 1024 * 1024)
      }),
    patience
  )

  it.live("lines become log entries with the worker's identity", () =>
    Effect.gen(function*() {
      const { life } = yield* lived(launch("speaks", { name: "speaker" }))
      assert.sameDeepMembers(
        life.log.map(({ level, text }) => `${level} ${text}`),
        [
          "Info plain é",
          "Info two\nlines",
          "Error trouble",
          "Info no line break"
        ]
      )
      for (const { annotations, text } of life.log) {
        const own = text === "two\nlines" ? { city: "São Paulo", count: 3 } : {}
        assert.deepStrictEqual(annotations, { worker: "speaker", slot: 3, generation: 7, pid: life.pid, ...own })
      }
    }), patience)
})

describe("what a worker is given", () => {
  it.live("flags, environment, directory, title and context", () =>
    Effect.gen(function*() {
      const before = [...process.execArgv]
      const optionsBefore = process.env["NODE_OPTIONS"]
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          process.execArgv.splice(0, Infinity, ...before)
          process.env["NODE_OPTIONS"] = optionsBefore
        })
      )
      process.execArgv.push("--inspect-port", "0", "--inspect=0", "--conditions=mine", "--max-old-space-size=300")
      process.env["NODE_OPTIONS"] = `${optionsBefore ?? ""} --inspect-port=0 --stack-trace-limit=20`
      const { life } = yield* lived(launch("tellsAboutItself", { name: "curious" }), {
        env: { EXTRA: "yes" },
        execArgv: ["--no-warnings"],
        cwd: "/"
      })
      const told = JSON.parse(life.log[0]!.text)
      assert.strictEqual(told.title, "bgworker: curious")
      assert.strictEqual(told.extra, "yes")
      assert.strictEqual(told.cwd, "/")
      assert.strictEqual(told.name, "curious")
      assert.deepStrictEqual(told.ref, { slot: 3, generation: 7 })
      assert.notMatch(told.execArgv.join(" "), /inspect/)
      assert.includeMembers(told.execArgv, ["--conditions=mine", "--max-old-space-size=300", "--no-warnings"])
      assert.notMatch(told.options, /inspect/)
      assert.match(told.options, /--stack-trace-limit=20/)
    }), patience)

  it.live("arguments larger than what a worker may send", () =>
    Effect.gen(function*() {
      const { life, status } = yield* lived(launch("countsBytes", { args: { text: "x".repeat(5_000_000) } }))
      exitedWith(status, 0)
      assert.deepStrictEqual(life.log.map(({ text }) => text), ["got 5000000"])
    }), patience)
})

describe("what a worker has started", () => {
  const grandchild = (end: "return" | "crash" | "stay", detached = false) =>
    launch("hasGrandchild", { args: { end, detached } })
  const grandchildOf = (life: Life) =>
    Effect.map(saw(life, "grandchild"), ({ text }) => Number(text.slice("grandchild ".length)))

  for (const end of ["return", "crash"] as const) {
    it.live(`is gone when the worker ends by a ${end}`, () =>
      Effect.gen(function*() {
        const life = yield* born(grandchild(end))
        const status = yield* life.exit
        if (end === "return") exitedWith(status, 0)
        else assert.deepStrictEqual(status, ExitStatus.signaled("SIGSEGV"))
        assert.deepStrictEqual(livingMembers(life.pid), [])
        assert.strictEqual(isGone(yield* grandchildOf(life)), true)
      }), patience)
  }

  it.live("is gone when the worker is killed", () =>
    Effect.gen(function*() {
      const life = yield* born(grandchild("stay"))
      const pid = yield* grandchildOf(life)
      assert.includeMembers([...livingMembers(life.pid)!], [life.pid, pid])
      yield* life.signal("SIGKILL", "Group")
      yield* life.exit
      assert.strictEqual(isGone(pid), true)
    }), patience)

  it.live("is gone when the scope has closed", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const life = yield* Scope.provide(born(grandchild("stay")), scope)
      const pid = yield* grandchildOf(life)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(isGone(pid), true)
      assert.strictEqual(isGone(life.pid), true)
      assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: true }))
    }), patience)

  it.live("and that has left its group keeps nobody waiting", () =>
    Effect.gen(function*() {
      const life = yield* born(grandchild("return", true))
      exitedWith(yield* life.exit, 0)
      const pid = yield* grandchildOf(life)
      assert.strictEqual(isGone(pid), false)
      process.kill(-pid, "SIGKILL")
    }), patience)
})
