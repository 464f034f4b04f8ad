import { SpawnerFiber } from "@effect-postmaster/core"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { BadLine, type Part, pieces, protocol } from "../04-parallel-sum/adder.ts"
import { GivenUp, sumFile } from "../04-parallel-sum/leader.ts"
import { generate, plainSum } from "../04-parallel-sum/numbers.ts"
import { sum } from "../04-parallel-sum/sum.ts"
import { run, start } from "./run.ts"

const example = "04-parallel-sum"

const makeFile = Effect.fn("makeFile")(function*(content: string | Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.makeTempFileScoped({ prefix: "parallel-sum-test-" })
  yield* fs.writeFile(file, typeof content === "string" ? new TextEncoder().encode(content) : content)
  return file
})

const postmasterOf = (spawner: Layer.Layer<Spawner>) =>
  Postmaster.layer().pipe(Layer.provide([spawner, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })]))

describe(example, () => {
  it.live("comes to the sum that is known", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* run(example, ["--numbers", "100000", "--seed", "7", "--check"])
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual(stdout, "-454781768216\n")
      assert.match(stderr, /^100,000 numbers, 1 MiB, \d+ ms, crashes: 0\na plain loop comes to the same sum\n$/m)
    }), 30_000)

  it.live("comes to the same sum while its adders crash", () =>
    Effect.gen(function*() {
      const args = ["--numbers", "400000", "--workers", "2", "--check"]
      const [calm, crashing] = yield* Effect.all([run(example, args), run(example, [...args, "--crash"])])
      assert.strictEqual(calm.code, 0, calm.stderr)
      assert.strictEqual(crashing.code, 0, crashing.stderr)
      assert.strictEqual(crashing.stdout, calm.stdout)
      for (const adder of ["adder 0", "adder 1"]) {
        assert.match(
          crashing.stderr,
          new RegExp(`^${adder} was terminated by signal SIGKILL; another one goes on at byte \\d+$`, "m")
        )
      }
    }), 60_000)

  it.live("complains in one line", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const bad = yield* makeFile("1\n\n2\nzwölf \x1b[1m\r\n3\n")
      const complaints = {
        [bad]: `line 4 of "${bad}": "zwölf \\u001b[1m" is no number`,
        [`${folder}/missing`]: `file "${folder}/missing" does not exist`,
        [folder]: `"${folder}" is not a file`,
        "--workers=0": "Invalid value for flag --workers: \"0\". Expected an integer from 1 to 64",
        "--numbers=many": "Invalid value for flag --numbers: \"many\""
      }
      yield* Effect.forEach(
        Object.entries(complaints),
        Effect.fnUntraced(function*([arg, complaint]) {
          const { code, stderr, stdout } = yield* run(example, [arg])
          assert.strictEqual(code, 1)
          assert.strictEqual(stdout, "")
          assert.match(stderr, /^parallel-sum: .*\n$/m)
          assert.include(stderr, complaint)
        }),
        { concurrency: 2 }
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 60_000)

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.live(`leaves nothing behind after ${signal}`, () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const temp = yield* fs.makeTempDirectoryScoped()
        // Many lines, and so much to do.
        const file = yield* makeFile(new Uint8Array(64 * 1024 ** 2).fill(10))
        const program = yield* start(example, [file, "--verbose", "--workers", "2"], {
          TMPDIR: temp,
          // What Node has compiled is meant to stay.
          NODE_COMPILE_CACHE: yield* fs.makeTempDirectoryScoped()
        })
        yield* program.says(/"adder" \(PID \d+\) is ready[^]*"adder" \(PID \d+\) is ready/)
        program.child.kill(signal)
        const { code, stderr, stdout } = yield* program.ended

        assert.strictEqual(code, 130)
        assert.strictEqual(stdout, "")
        assert.deepStrictEqual(yield* fs.readDirectory(temp), [])
        const pids = new Set([...stderr.matchAll(/PID (\d+)/g)].map(([, pid]) => Number(pid)))
        assert.strictEqual(pids.size, 3)
        for (const pid of pids) assert.throws(() => process.kill(pid, 0), "ESRCH")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 60_000)
  }
})

describe("a sum", () => {
  it.live("begins anew when the leader crashes, and its adders go with it", () =>
    Effect.gen(function*() {
      const postmaster = yield* Postmaster
      const file = yield* makeFile("")
      // More than can be under way when the leader is killed.
      yield* generate(file, 3_000_000, 1)
      const messages: Array<string> = []
      let killed: ReadonlyArray<number> = []
      let total = { bytes: 0, numbers: 0, sum: BigDecimal.fromBigInt(0n) }
      yield* Stream.runForEach(sum({ file, workers: 2, crash: false }), (update) =>
        Effect.gen(function*() {
          if (update._tag === "Lost") {
            messages.push(update.message)
            return
          }
          total = update
          if (update.bytes === 0 || killed.length > 0) return
          const { workers } = yield* postmaster.snapshot
          killed = workers.flatMap(({ pid }) => pid ?? [])
          process.kill(workers.find(({ name }) => name === "leader")!.pid!, "SIGKILL")
        }))
      assert.deepStrictEqual(messages, ["leader was terminated by signal SIGKILL; its next life begins anew"])
      assert.strictEqual(total.numbers, 3_000_000)
      assert.isTrue(BigDecimal.equals(total.sum, yield* plainSum(file)))
      assert.strictEqual(killed.length, 3)
      const isAlive = (pid: number): boolean => {
        try {
          return process.kill(pid, 0)
        } catch {
          return false
        }
      }
      yield* Effect.repeat(Effect.sync(() => killed.filter(isAlive).length), {
        until: (alive) => alive === 0,
        schedule: Schedule.spaced("10 millis")
      })
    }).pipe(
      Effect.scoped,
      Effect.provide([NodeServices.layer, postmasterOf(NodeSpawner.layer)]),
      Effect.provideService(References.MinimumLogLevel, "None")
    ), 60_000)

  it.live("is the same with fibers in place of processes", () =>
    Effect.gen(function*() {
      const totalOf = Effect.fnUntraced(function*(text: string, workers: number) {
        const updates = yield* Stream.runCollect(sum({ file: yield* makeFile(text), workers, crash: false }))
        const last = updates.at(-1)
        assert(last?._tag === "Summed" && last.bytes === last.size)
        return [last.numbers, BigDecimal.format(last.sum)]
      })
      assert.deepStrictEqual(yield* totalOf("0.1\n0.2\n-7\n 1e3\r\n\n+.5", 3), [5, "993.8"])
      assert.deepStrictEqual(yield* totalOf("42", 8), [1, "42"])
      assert.deepStrictEqual(yield* totalOf("", 2), [0, "0"])
    }).pipe(Effect.scoped, Effect.provide([NodeServices.layer, postmasterOf(SpawnerFiber.layer)])))

  it.effect("goes on in the next adder where the last one ended", () =>
    Effect.gen(function*() {
      const { script } = yield* TestSpawner
      const file = yield* makeFile("1\n".repeat(100))
      const asked: Array<Part> = []
      const answers = (upTo: number, then: Stream.Stream<never>) =>
        Script.answers(
          protocol,
          protocol.toLayer({
            Add: ({ part }) => {
              asked.push(part)
              const numbers = (upTo - part.from) / 2
              return Stream.concat(
                Stream.succeed({ from: part.from, upTo, numbers, sum: BigDecimal.fromNumberUnsafe(numbers) }),
                then
              )
            }
          })
        )
      yield* script(
        "adder 0",
        Script.dies("SIGSEGV", { after: "1 second", calls: answers(60, Stream.never) }),
        Script.serves({ calls: answers(200, Stream.empty) })
      )
      const updates = yield* sumFile({ file, workers: 1, crash: false }).pipe(
        // Time goes on when the first piece has arrived.
        Stream.tap((update) =>
          update._tag === "Summed" && update.bytes === 60 ? TestClock.adjust("1 second") : Effect.void
        ),
        Stream.map((update) => update._tag === "Lost" ? update.message : BigDecimal.format(update.sum)),
        Stream.runCollect
      )
      assert.deepStrictEqual(asked, [{ file, from: 0, to: 200 }, { file, from: 60, to: 200 }])
      assert.deepStrictEqual(updates, [
        "0",
        "30",
        "adder 0 was terminated by signal SIGSEGV; another one goes on at byte 60",
        "100"
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide([NodeServices.layer, TestPostmaster.layer]),
      Effect.provideService(References.MinimumLogLevel, "None")
    ))

  it.live("is given up when adder after adder gets nowhere", () =>
    Effect.gen(function*() {
      const { journal, script } = yield* TestSpawner
      yield* script("adder 0", Script.dies("SIGSEGV"))
      const file = yield* makeFile("1\n")
      const error = yield* Effect.flip(Stream.runDrain(sumFile({ file, workers: 1, crash: false })))
      assert.instanceOf(error, GivenUp)
      assert.strictEqual(
        error.message,
        "5 adders in turn got nowhere at byte 0; the last one, adder 0 was terminated by signal SIGSEGV"
      )
      assert.strictEqual((yield* journal).filter((entry) => entry._tag === "Spawned").length, 5)
    }).pipe(
      Effect.scoped,
      Effect.provide([NodeServices.layer, TestPostmaster.layer]),
      Effect.provideService(References.MinimumLogLevel, "None")
    ))
})

describe("the pieces", () => {
  const total = (file: string, borders: ReadonlyArray<number>, block: number) =>
    Effect.map(
      Effect.forEach(borders.slice(1), (to, index) =>
        Stream.runCollect(pieces({ file, from: borders[index]!, to }, block))),
      (parts) => ({
        numbers: parts.flat().reduce((sum, { numbers }) =>
          sum + numbers, 0),
        sum: BigDecimal.format(BigDecimal.sumAll(parts.flat().map(({ sum }) => sum)))
      })
    )

  it.effect("hold each number once, wherever parts and blocks begin", () =>
    Effect.gen(function*() {
      for (
        const text of ["12\n345\n\n-6.5\r\n7e2\n8\n", "12\n345\n\n-6.5\r\n7e2\n8", "\n\n12\n345\n-6.5\n700\n8\n\n"]
      ) {
        const file = yield* makeFile(text)
        for (const block of [7, 8, 11, 1000]) {
          for (let border = 1; border < text.length; border++) {
            const borders = [0, border, Math.ceil((border + text.length) / 2), text.length]
            const found = yield* total(file, borders, block)
            assert.deepStrictEqual(found, { numbers: 5, sum: "1058.5" }, `${borders}, block ${block}`)
          }
        }
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("are exact beyond what a number can hold", () =>
    Effect.gen(function*() {
      const file = yield* makeFile("999999999999999\n".repeat(20) + "1e-3\n".repeat(3) + "12345678901234567890\n")
      const { size } = yield* (yield* FileSystem.FileSystem).stat(file)
      assert.strictEqual((yield* total(file, [0, Number(size)], 1000)).sum, "12365678901234567870.003")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("end at a line that is no number, or too long to be one", () =>
    Effect.gen(function*() {
      const badIn = Effect.fnUntraced(function*(text: string) {
        const part = { file: yield* makeFile(text), from: 0, to: text.length }
        const error = yield* Effect.flip(Stream.runDrain(pieces(part, 100)))
        assert.instanceOf(error, BadLine)
        return [error.offset, error.text]
      })
      for (const bad of ["1,5", "0x10", "NaN", "1 2", "e5", ".", "--1"]) {
        assert.deepStrictEqual(yield* badIn(`1\n22\n${bad}\n3`), [5, bad])
      }
      assert.deepStrictEqual(yield* badIn(`1\n${"9".repeat(200)}\n`), [2, `${"9".repeat(60)}…`])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
