import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { start } from "./run.ts"

const example = "05-supervised-service"

/** What is behind the process: launcher, workers, spares, and whatever they have started. */
const descendants = (pid: number): ReadonlyArray<number> => {
  const processes = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
    .trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number))
  const below = (parent: number): ReadonlyArray<number> =>
    processes.flatMap(([pid, ppid]) => ppid === parent ? [pid!, ...below(pid!)] : [])
  return below(pid)
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Looks until it matches. */
const until = <A extends string>(look: Effect.Effect<A>, pattern: RegExp): Effect.Effect<RegExpExecArray> => {
  let seen = ""
  return Effect.map(look, (text) => pattern.exec(seen = text)).pipe(
    Effect.repeat({ until: (match) => match !== null, schedule: Schedule.spaced("50 millis") }),
    Effect.map((match) => match!),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`${pattern} does not match:\n${seen}`))
    })
  )
}

const serve = Effect.fnUntraced(function*(env: Readonly<Record<string, string>> = {}) {
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const program = yield* start(example, [], { LOG_FOLDER: folder, ...env })
  const [, url] = yield* program.says(/^process \d+ listens on (http:\S+)$/m)
  const ask = (method: "GET" | "POST", path: string): Effect.Effect<string> =>
    Effect.promise((signal) => fetch(`${url}${path}`, { method, signal }).then((response) => response.text()))
  const workers = ask("GET", "/workers")
  return {
    ...program,
    log: `${folder}/service.log`,
    ask,
    workers,
    pidOf: (name: string) => Effect.map(ask("GET", `/pid/${name}`), Number),
    /** Waits until another life than this one has imported something, and answers its pid. */
    importsAfter: (pid: number) =>
      Effect.map(
        until(workers, new RegExp(`^importer +Ready +(?!${pid} )(\\d+) +\\d+ +[1-9]\\d* of `, "m")),
        ([, pid]) => Number(pid)
      )
  }
})

const LogLine = Schema.fromJsonString(Schema.Struct({
  message: Schema.Unknown,
  annotations: Schema.Record(Schema.String, Schema.Unknown)
}))

describe(example, () => {
  it.live(
    "comes back from whatever is done to it, and leaves nothing behind",
    () =>
      Effect.gen(function*() {
        const { ask, child, ended, importsAfter, log, pidOf, workers } = yield* serve()
        const history = ask("GET", "/history/importer")
        const first = yield* importsAfter(0)

        process.kill(first, "SIGSTOP")
        yield* until(history, new RegExp(`\\(PID ${first}\\) .*it hung: no heartbeat`))
        const second = yield* importsAfter(first)

        assert.strictEqual(yield* ask("POST", "/fault/stall"), "fault: stall\n")
        yield* until(history, new RegExp(`\\(PID ${second}\\) .*it hung: no progress`))
        const third = yield* importsAfter(second)

        // The cache and the importer share memory, so a crash of the one ends the other.
        const rates = yield* pidOf("rates")
        process.kill(rates, "SIGKILL")
        yield* until(ask("GET", "/history/rates"), new RegExp(`\\(PID ${rates}\\) was terminated by signal SIGKILL`))
        yield* until(history, new RegExp(`\\(PID ${third}\\) .*another attached worker has crashed`))
        const fourth = yield* importsAfter(third)

        yield* ask("POST", "/fault/fail")
        yield* until(workers, /^importer +Parked +- .*BadOrder: order \d+ names no customer/m)
        assert.strictEqual(yield* ask("GET", "/pid/importer"), "importer does not run\n")
        yield* ask("POST", "/fault/none")
        yield* ask("POST", "/resume/importer")
        const fifth = yield* importsAfter(fourth)

        const [, successor] = /^importer is PID (\d+) now\n$/.exec(yield* ask("POST", "/replace/importer"))!
        assert.notStrictEqual(Number(successor), fifth)
        assert.strictEqual(yield* importsAfter(fifth), Number(successor))

        const metrics = (yield* ask("GET", "/metrics")).split("\n")
        assert.includeMembers(metrics, [
          "postmaster_worker_parks_total{type=\"importer\"} 1",
          "postmaster_crashes_total{type=\"rates\"} 1"
        ])
        yield* until(ask("GET", "/metrics"), /^orders_imported_total\{worker="importer"\} [1-9]/m)
        assert.strictEqual(yield* ask("POST", "/resume/nobody"), "no worker is called \"nobody\"\n")

        const processes = [...descendants(child.pid!), first, second, third, fourth, fifth, Number(successor)]
        assert.isAtLeast(processes.length, 9)
        child.kill("SIGINT")
        const { code, stderr } = yield* ended
        assert.strictEqual(code, 0, stderr)
        assert.deepStrictEqual(processes.filter(isAlive), [])

        const fs = yield* FileSystem.FileSystem
        const lines = (yield* fs.readFileString(log)).trim().split("\n")
        const entries = yield* Effect.forEach(lines, (line) => Schema.decodeEffect(LogLine)(line))
        for (const pid of [first, Number(successor)]) {
          const begun = entries.find(({ annotations, message }) =>
            annotations["pid"] === pid && /^going on after order \d+$/.test(String(message))
          )
          assert.strictEqual(begun?.annotations["worker"], "importer")
        }
        assert.strictEqual(entries.at(-1)?.message, "postmaster is shut down")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    300_000
  )

  it.live(
    "begins another life after so many orders, which is no failure",
    () =>
      Effect.gen(function*() {
        const { ask, child, ended, importsAfter, workers } = yield* serve({ ORDERS_PER_LIFE: "3" })
        const first = yield* importsAfter(0)
        yield* until(
          ask("GET", "/history/importer"),
          new RegExp(`\\(PID ${first}\\) exited with exit code 0, asking for another life`)
        )
        yield* until(workers, /^importer +Ready .* [1-3] of 3, order ([4-9]|\d\d+)/m)
        child.kill("SIGTERM")
        const { code, stderr } = yield* ended
        assert.strictEqual(code, 0, stderr)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    120_000
  )

  it.live("takes its workers along when it is killed itself", () =>
    Effect.gen(function*() {
      const { child, importsAfter, pidOf } = yield* serve()
      const importer = yield* importsAfter(0)
      const processes = descendants(child.pid!)
      assert.includeMembers([...processes], [importer, yield* pidOf("rates")])
      child.kill("SIGKILL")
      yield* until(Effect.sync(() => processes.filter(isAlive).join(" ")), /^$/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 120_000)
})
