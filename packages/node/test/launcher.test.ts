/** The small process that bears the workers: who is whose child, and what the loss of it costs. */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Launcher from "../src/internal/launcher.ts"
import { born, childrenOf, fixture, isGone, launch, parentOf, saw, until } from "./support.ts"

const patience = 60_000

const viaLauncher = { launcher: true } as const

/** The launcher of a worker, once it is known that it is one. */
const launcherOf = (pid: number): number => {
  const parent = parentOf(pid)
  assert.notStrictEqual(parent, process.pid)
  return parent
}

/** The child of this process that is not the former launcher. */
const launcherFor = (pid: number, former: number): number | undefined => childrenOf(pid).find((one) => one !== former)

/** Runs an application that is in the middle of a birth. */
const midBirth = (how: "deaf" | "bereaved") =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [fileURLToPath(fixture("midbirth.ts")), how], { stdio: "pipe" })),
    (app) => Effect.sync(() => app.kill("SIGKILL"))
  )

/** Runs an application and waits until its workers are ready. */
const application = (exportName: string, workers: number) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly process: ChildProcess; readonly pids: ReadonlyArray<number> }>((resume) => {
      const child = spawn(process.execPath, [fileURLToPath(fixture("orphanage.ts")), exportName, String(workers)], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const pids: Array<number> = []
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line.startsWith("ready ")) pids.push(Number(line.slice(6)))
        if (pids.length === workers) resume(Effect.succeed({ process: child, pids }))
      })
    }),
    ({ process }) => Effect.sync(() => process.kill("SIGKILL"))
  )

describe.concurrent("a launcher", () => {
  it.live("is the parent of the workers, and ends with the layer", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const life = yield* Scope.provide(born(launch("idles"), viaLauncher), scope)
      const launcher = launcherOf(life.pid)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(isGone(life.pid))
      assert.isTrue(isGone(launcher))
    }), patience)

  it.live("can be done without", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"), { launcher: false })
      assert.strictEqual(parentOf(life.pid), process.pid)
    }).pipe(Effect.scoped), patience)

  it.live("keeps nothing of what a worker writes while the application is busy", () =>
    Effect.gen(function*() {
      const execPath = fileURLToPath(fixture("talker.sh"))
      const life = yield* born(launch("idles"), { ...viaLauncher, execPath })
      yield* Effect.sync(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300))
      yield* life.exit
      assert.deepStrictEqual(life.log.map((entry) => entry.text).toSorted(), ["first", "second", "to stderr"])
    }).pipe(Effect.scoped), patience)

  it.live("that cannot start a program says why", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(born(launch("idles"), { ...viaLauncher, execPath: "/nowhere/node" }))
      assert.match(String(error), /"fixture".*ENOENT/)
    }).pipe(Effect.scoped), patience)

  it.live("that is killed leaves its workers alone, and is replaced", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("idles"), viaLauncher)
      const killed = yield* born(launch("idles"), viaLauncher)
      yield* saw(life, "idle")
      yield* saw(killed, "idle")
      for (const { pid } of [life, killed]) {
        const launcher = launcherOf(pid)
        process.kill(launcher, "SIGKILL")
        yield* until("an orphan", () => isGone(launcher) && parentOf(pid) !== launcher)
      }
      // They are told, and heard, as before.
      yield* life.signal("SIGTERM", "Process")
      assert.strictEqual((yield* life.exit)._tag, "Exited")
      // Whoever says nothing has nobody left to say it.
      yield* killed.signal("SIGKILL", "Group")
      assert.deepStrictEqual(yield* killed.exit, ExitStatus.lost("left when nobody was there to be told how"))
    }).pipe(Effect.scoped), patience)

  it.live(
    "that hangs is replaced when it owes an end, which is told as far as it is known",
    () =>
      Effect.gen(function*() {
        const stops = yield* born(launch("idles"), viaLauncher)
        const killed = yield* born(launch("spins"), viaLauncher)
        yield* saw(stops, "idle")
        yield* saw(killed, "spinning")
        for (const { pid } of [stops, killed]) process.kill(launcherOf(pid), "SIGSTOP")
        yield* stops.signal("SIGTERM", "Process")
        yield* killed.signal("SIGKILL", "Group")
        const status = yield* stops.exit
        assert(status._tag === "Exited", ExitStatus.format(status))
        assert.strictEqual(status.error?.kind, "Interrupted")
        assert.deepStrictEqual(yield* killed.exit, ExitStatus.lost("left when nobody was there to be told how"))
      }).pipe(Effect.scoped),
    patience
  )

  it.live(
    "that is lost in the middle of a birth is no reason to wait for ever, nor to leave",
    () =>
      Effect.gen(function*() {
        const app = yield* midBirth("bereaved")
        let said = ""
        app.stdout.on("data", (chunk) => said += chunk)
        yield* until("the end of the application", () => app.exitCode !== null)
        yield* until("what it has said", () => app.stdout.readableEnded)
        assert.match(said, /"newborn".*its launcher process was lost/)
        assert.strictEqual(app.exitCode, 0)
      }).pipe(Effect.scoped),
    patience
  )
})

describe("launchers that are killed in the middle of births", () => {
  // Ends when its channel does.
  const order = { file: "/bin/sh", args: ["-c", "cat <&3"], env: {}, umask: 0o22, cwd: "/" }
  const openFiles = () => Fs.readdirSync("/proc/self/fd").length

  const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

  /** The number of turns is for one that is killed between two pipes of one birth. */
  const killed = Effect.fnUntraced(function*(turns: number) {
    const fork = yield* Launcher.make
    const birth = fork(order, (forked) => forked)
    const births = yield* Effect.forEach(
      Array.from({ length: 24 }),
      () => Effect.forkScoped(Effect.exit(birth), { startImmediately: true })
    )
    const launcher = parentOf((yield* Effect.flatten(Fiber.join(births[0]!))).pid)
    yield* Effect.repeat(turn, { times: turns })
    process.kill(launcher, "SIGKILL")
    const exits = yield* Effect.forEach(births, Fiber.join)
    assert.isTrue(exits.some(Exit.isFailure))
    for (const { channel, stderr, stdout } of exits.flatMap((exit) => Exit.isSuccess(exit) ? [exit.value] : [])) {
      for (const stream of [channel, stderr, stdout]) stream.destroy()
    }
  }, Effect.scoped)

  it.live("leave no file open", () =>
    Effect.gen(function*() {
      const before = openFiles()
      yield* Effect.forEach(Array.from({ length: 8 }, (_, turns) => turns), killed)
      yield* until("the files to be closed", () => openFiles() <= before)
    }).pipe(Effect.provideService(References.MinimumLogLevel, "None")), patience)
})

describe("when the application is killed", () => {
  for (const how of ["idles", "spins"]) {
    it.live(`a worker that ${how} is gone, too`, () =>
      Effect.gen(function*() {
        const app = yield* application(how, 2)
        app.process.kill("SIGKILL")
        for (const pid of app.pids) yield* until(`the end of ${pid}`, () => isGone(pid))
      }).pipe(Effect.scoped), patience)
  }

  it.live("in the middle of a birth, launcher and newborn are gone, too", () =>
    Effect.gen(function*() {
      const app = yield* midBirth("deaf")
      const launcher = yield* until("a launcher", () => childrenOf(app.pid!)[0])
      const newborn = yield* until("a birth", () => childrenOf(launcher)[0])
      app.kill("SIGKILL")
      for (const pid of [newborn, launcher]) yield* until(`the end of ${pid}`, () => isGone(pid))
    }).pipe(Effect.scoped), patience)

  it.live("after its launcher was, the next launcher ends the workers of both", () =>
    Effect.gen(function*() {
      const app = yield* application("spins", 2)
      const [pid] = app.pids
      const former = launcherOf(pid!)
      process.kill(former, "SIGKILL")
      yield* until("another launcher", () => launcherFor(app.process.pid!, former))
      app.process.kill("SIGKILL")
      for (const pid of app.pids) yield* until(`the end of ${pid}`, () => isGone(pid))
    }).pipe(Effect.scoped), patience)
})
