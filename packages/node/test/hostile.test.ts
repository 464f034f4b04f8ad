/**
 * What a program may do that is no worker: each is a shell script in place of
 * Node, which is given the channel and does something wrong with it. And what a
 * worker may do that is called, and lies.
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { SpawnError } from "@effect-postmaster/core/SpawnError"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { encodeToPostmaster, type ToPostmaster } from "../src/internal/channel.ts"
import { Mortal } from "./fixtures/callable.ts"
import { Liar } from "./fixtures/liars.ts"
import { birth, born, isGone, launch, lived, until, workers } from "./support.ts"

const patience = 60_000

/** A program that writes these bytes to the channel and goes on as the script says. */
const program = Effect.fnUntraced(function*(bytes: Uint8Array, script: string) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "hostile-"))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
  )
  const path = Path.join(folder, "program")
  Fs.writeFileSync(Path.join(folder, "bytes"), bytes)
  Fs.writeFileSync(path, `#!/bin/sh\ncat "$(dirname "$0")/bytes" >&3\n${script}\n`, { mode: 0o755 })
  return path
})

const frames = (...messages: ReadonlyArray<ToPostmaster>): Uint8Array => Buffer.concat(messages.map(encodeToPostmaster))
const frame = (body: string): Uint8Array => {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(body))
  bytes.writeUInt32LE(bytes.length - 4)
  bytes.write(body, 4)
  return bytes
}
const listening: ToPostmaster = { _tag: "Listening" }
const ready: ToPostmaster = { _tag: "Report", report: "Ready" }
const lastWords: ToPostmaster = { _tag: "LastWords", code: 0, error: { kind: "Failure", message: "so it says" } }
const beat: ToPostmaster = { _tag: "Beat" }
const progress: ToPostmaster = { _tag: "Progress", progress: { done: 1 } }
const stay = "while :; do sleep 1000; done"

describe.concurrent("a program that", () => {
  const cases: ReadonlyArray<{
    readonly title: string
    readonly bytes: Uint8Array
    readonly script: string
    readonly status: ExitStatus.ExitStatus | RegExp
  }> = [
    {
      title: "sends garbage is killed",
      bytes: Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
      script: stay,
      status: /^sent a frame of 1347703880 bytes, and 1048576 are allowed on its control channel$/
    },
    {
      title: "sends garbage and exits is not believed",
      bytes: Buffer.from("garbage"),
      script: "exit 0",
      status: /^sent a frame of .* on its control channel$/
    },
    {
      title: "announces a huge frame is killed",
      bytes: Uint8Array.of(0xff, 0xff, 0xff, 0xff),
      script: stay,
      status: /^sent a frame of 4294967295 bytes/
    },
    {
      title: "sends what is no message is killed",
      bytes: frame("[1]"),
      script: stay,
      status: /does not decode: \[1\]/
    },
    { title: "sends what is no JSON is killed", bytes: frame("ready"), script: stay, status: /that is not JSON/ },
    { title: "is ready twice is killed", bytes: frames(listening, ready, ready), script: stay, status: /Ready twice/ },
    { title: "is ready unheard is killed", bytes: frames(ready), script: stay, status: /Ready before Listening/ },
    {
      title: "detaches unattached is killed",
      bytes: frames(listening, { _tag: "Report", report: "Detached" }),
      script: stay,
      status: /Detached without Attached/
    },
    {
      title: "talks after its last words is killed",
      bytes: frames(listening, lastWords, ready),
      script: stay,
      status: /Ready after its LastWords/
    },
    {
      title: "gives signs of life without end is killed",
      bytes: Buffer.concat([
        frames(listening, ready),
        Buffer.concat(Array.from({ length: 100_000 }, () => frames(beat)))
      ]),
      script: stay,
      status: /^sent \d+ signs of life on its control channel, more than anybody needs$/
    },
    {
      title: "progresses without end is killed",
      bytes: Buffer.concat([frames(listening), Buffer.concat(Array.from({ length: 100_000 }, () => frames(progress)))]),
      script: stay,
      status: /^sent \d+ signs of life on its control channel, more than anybody needs$/
    },
    {
      title: "has given as many signs of life as it may in no time lives on",
      bytes: frames(listening, ready, ...Array.from({ length: 999 }, () => beat), progress, lastWords),
      script: "exit 0",
      status: ExitStatus.exited(0, { kind: "Failure", message: "so it says" })
    },
    {
      title: "beats before it listens is killed",
      bytes: frames(beat),
      script: stay,
      status: /^sent Beat before Listening/
    },
    {
      title: "progresses after its last words is killed",
      bytes: frames(listening, lastWords, progress),
      script: stay,
      status: /^sent Progress after its LastWords/
    },
    {
      title: "has done less than nothing is killed",
      bytes: frames(listening, { _tag: "Progress", progress: { done: -1 } }),
      script: stay,
      status: /does not decode: .*"done":-1/
    },
    {
      title: "has more to say of its progress than fits is killed",
      bytes: frames(listening, { _tag: "Progress", progress: { done: 1, message: "x".repeat(201) } }),
      script: stay,
      status: /does not decode/
    },
    {
      title: "closes its channel and lives on is killed",
      bytes: frames(listening),
      script: `exec 3>&-\n${stay}`,
      status: /^closed its control channel$/
    },
    {
      title: "exits in the middle of a frame is lost, whatever its code",
      bytes: frames(listening, ready).subarray(0, -3),
      script: "exit 0",
      status: /^left with exit code 0 in the middle of a frame$/
    },
    {
      title: "falls silent in the middle of a frame is killed",
      bytes: frames(listening, ready).subarray(0, -3),
      script: stay,
      status: /^fell silent in the middle of a frame on its control channel$/
    },
    {
      title: "exits with another code than its last words is believed the code",
      bytes: frames(listening, lastWords),
      script: "exit 5",
      status: ExitStatus.exited(5)
    },
    {
      title: "is killed on its way out has said how it leaves",
      bytes: frames(listening, lastWords),
      script: "kill -KILL $$",
      status: ExitStatus.exited(0, { kind: "Failure", message: "so it says" })
    },
    {
      title: "exits as its last words said has them believed",
      bytes: frames(listening, lastWords),
      script: "exit 0",
      status: ExitStatus.exited(0, { kind: "Failure", message: "so it says" })
    },
    {
      title: "listens and says nothing more has its code believed",
      bytes: frames(listening),
      script: "exit 1",
      status: ExitStatus.exited(1)
    },
    {
      title: "hears a signal meant for the application before it listens was interrupted, and has not crashed",
      bytes: Buffer.of(),
      script: "kill -INT $$",
      status: ExitStatus.exited(1, { kind: "Interrupted", message: "it was ended by SIGINT before it listened" })
    },
    {
      title: "says nothing at all is lost: its code may be anybody's",
      bytes: Buffer.of(),
      script: "exit 1",
      status: /^left with exit code 1 before it listened$/
    }
  ]
  for (const { bytes, script, status, title } of cases) {
    it.live(title, () =>
      Effect.gen(function*() {
        const { life, status: told } = yield* lived(launch("main"), { execPath: yield* program(bytes, script) })
        if (status instanceof RegExp) {
          assert(told._tag === "Lost", ExitStatus.format(told))
          assert.match(told.detail, status)
        } else {
          assert.deepStrictEqual(told, status)
        }
        assert.strictEqual(isGone(life.pid), true)
      }), patience)
  }

  it.live("falls silent in the middle of a frame can still be killed on order", () =>
    Effect.gen(function*() {
      const life = yield* born(launch("main"), {
        execPath: yield* program(frames(listening).subarray(0, 9), `echo silent\n${stay}`)
      })
      yield* until("the program to fall silent", () => life.log.length > 0)
      yield* life.signal("SIGTERM", "Process")
      yield* life.signal("SIGKILL", "Group")
      assert.deepStrictEqual(yield* life.exit, ExitStatus.signaled("SIGKILL", { ordered: true }))
    }), patience)

  it.live("sends garbage disturbs nobody else", () =>
    Effect.gen(function*() {
      const quiet = yield* born(launch("main"), { execPath: yield* program(frames(listening), `echo up\n${stay}`) })
      yield* until("the other program to be up", () => quiet.log.length > 0)
      yield* lived(launch("main"), { execPath: yield* program(Buffer.alloc(64, 0xff), stay) })
      assert.strictEqual(isGone(quiet.pid), false)
    }), patience)
})

describe("a birth fails", () => {
  const cases: ReadonlyArray<readonly [string, Parameters<typeof lived>, string, RegExp]> = [
    ["without a program", [launch("main"), { execPath: "/nowhere/node" }], "ProcessNotStarted", /ENOENT/],
    ["without permission", [launch("main"), { execPath: "/" }], "ProcessNotStarted", /EACCES/],
    [
      "without its directory",
      [launch("main"), { cwd: "/nowhere" }],
      "ProcessNotStarted",
      /working directory \/nowhere does not exist/
    ],
    [
      "with too long an environment",
      [launch("main"), { env: { LONG: "x".repeat(5_000_000) } }],
      "ProcessNotStarted",
      /E2BIG/
    ],
    [
      "with a module from afar",
      [launch("main", { module: "http://localhost/x.js" })],
      "NotSupported",
      /http:\/\/localhost/
    ],
    [
      "with endless arguments",
      [launch("main", { args: "x".repeat(67_108_864) })],
      "NotSupported",
      /67108864 are allowed/
    ]
  ]
  for (const [title, order, reason, message] of cases) {
    it.live(title, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(lived(...order))
        assert(error instanceof SpawnError)
        assert.strictEqual(error.reason._tag, reason)
        assert.match(error.message, message)
      }), patience)
  }
})

const homes = [
  { name: "process", layer: workers(), processes: true },
  ...(birth === "cold" ? [{ name: "thread", layer: NodeSpawner.layerThread, processes: false }] : [])
]

describe.each(homes)("a worker that is called, as a $name, and", ({ layer, processes }) => {
  const test = (title: string, body: Effect.Effect<void, unknown, Postmaster | Scope.Scope>) =>
    it.live(title, () =>
      Effect.scoped(Effect.provide(
        body,
        Postmaster.layer().pipe(
          Layer.provide([layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })])
        )
      )), patience)

  /** One who lies, in the middle of three calls, and one who does not, in the middle of one. */
  const engaged = Effect.fnUntraced(function*(deed: string) {
    const postmaster = yield* Postmaster
    const witness = yield* postmaster.register(Mortal)
    const { Add, Hang } = yield* witness.client
    const kept = yield* Effect.forkScoped(Hang({ name: "kept" }))
    const liar = yield* postmaster.register(Liar, { deed })
    const client = yield* liar.client
    // Whoever counts reads nothing more than the first number before this.
    const read = yield* Deferred.make<void>()
    const [hang, count, add] = yield* Effect.all([
      Effect.forkScoped(client.Hang({ name: "pending" })),
      Effect.forkScoped(Stream.runForEach(client.Count({ to: 5 }), () => Deferred.await(read))),
      Effect.forkScoped(client.Add({ a: 1, b: 1 }))
    ])
    /** Nobody else has noticed anything. */
    const unharmed = Effect.gen(function*() {
      assert.strictEqual(yield* Add({ a: 2, b: 3 }), 5)
      assert.isUndefined(kept.pollUnsafe())
    })
    return {
      liar,
      hang,
      count,
      add,
      Add,
      unharmed,
      read,
      pending: [hang, count, add] as ReadonlyArray<Fiber.Fiber<unknown, unknown>>
    }
  })

  const fatal: ReadonlyArray<readonly [deed: string, detail: RegExp]> = [
    ["saysNothing", /^sent a frame of 0 bytes that is no message, beginning with $/],
    ["babbles", /^sent a frame of 6 bytes that is no message, beginning with 9 9 9 9 9 9$/],
    ["breaksOff", /^sent a frame of 9 bytes that is no message/],
    ...(processes
      ? [["writesHugeLength", /^sent a frame of 4294967295 bytes, and 67108864 are allowed/] as const]
      : []),
    ["answersGarbage", /^sent an answer to Add that does not decode$/],
    ["answersMisplacedBytes", /^sent an answer to Add that does not decode$/],
    ["answersNothing", /^sent an answer to Add that does not decode$/],
    ["answersAnother", /^sent an answer to Add that does not decode$/],
    ["streamsAnAnswer", /^sent an answer to Add that does not decode$/],
    ["streamsGarbage", /^sent an answer to Count that does not decode$/],
    ["streamsUnasked", /^sent more of a stream than it was asked for$/],
    ["callsTwice", /^sent two calls of number 1$/],
    ["callsTooOften", /^sent more than 1024 calls of AwaitHalt and waits for the answers of all$/],
    ["relaysRelays", /^sent a frame of 1000000 bytes that is no message/],
    ["relaysAnswers", /^sent an answer by way of another worker's call$/],
    ["goesNoWay", /^sent a call by way 7, which there is not$/]
  ]
  for (const [deed, detail] of fatal) {
    test(
      `${deed}, is lost with its calls, and nobody else is`,
      Effect.gen(function*() {
        const { liar, pending, read, unharmed } = yield* engaged(deed)
        const status = Option.getOrThrow(yield* liar.waitForEnd)
        assert(status._tag === "Lost", ExitStatus.format(status))
        assert.match(status.detail, detail)
        yield* Deferred.succeed(read, undefined)
        for (const call of pending) {
          const error = yield* Effect.flip(Fiber.join(call))
          assert.instanceOf(error, WorkerStopped)
          assert.strictEqual(error.name, "liar")
          assert.deepStrictEqual(error.lastExit, status)
        }
        yield* unharmed
      })
    )
  }

  for (const deed of ["answersNobody", "answersAgain", "callsNonsense"]) {
    test(
      `${deed}, goes on`,
      Effect.gen(function*() {
        const { add, hang, liar, unharmed } = yield* engaged(deed)
        assert.strictEqual(yield* Fiber.join(add), 2)
        // That it is ready comes by another way than its answers, and may come later.
        yield* liar.waitForReady
        assert.isUndefined(hang.pollUnsafe())
        yield* unharmed
      })
    )
  }

  if (processes) {
    test(
      "falls silent in the middle of a frame, can be told to stop",
      Effect.gen(function*() {
        const { liar, pending, unharmed } = yield* engaged("fallsSilent")
        yield* unharmed
        for (const call of pending) assert.isUndefined(call.pollUnsafe())
        yield* liar.terminate
        for (const call of pending) assert.instanceOf(yield* Effect.flip(Fiber.join(call)), WorkerStopped)
      })
    )

    test(
      "leaves in the middle of a frame, is believed its code",
      Effect.gen(function*() {
        const { liar, pending } = yield* engaged("fallsSilentAndLeaves")
        const status = Option.getOrThrow(yield* liar.waitForEnd)
        assert.strictEqual(ExitStatus.verdict(status), "Done")
        for (const call of pending) {
          const error = yield* Effect.flip(Fiber.join(call))
          assert.instanceOf(error, WorkerStopped)
          assert.deepStrictEqual(error.lastExit, status)
        }
      })
    )

    test(
      "floods its postmaster with calls and reads no answer, takes no memory for them and nobody's time",
      Effect.gen(function*() {
        const { Add, unharmed } = yield* engaged("floods")
        const before = process.memoryUsage()
        let most = 0
        for (let n = 0; n < 3_000; n++) {
          assert.strictEqual(yield* Add({ a: n % 100, b: 1 }), n % 100 + 1)
          const { arrayBuffers, external } = process.memoryUsage()
          most = Math.max(most, arrayBuffers - before.arrayBuffers, external - before.external)
        }
        assert.isBelow(most, 16 * 1024 * 1024)
        yield* unharmed
      })
    )
  }
})

describe("fifty lives", () => {
  const openFiles = () => Fs.readdirSync("/proc/self/fd").length

  it.live("leave no file open, whether they end by themselves, badly or by the scope", () =>
    Effect.gen(function*() {
      const returns = yield* program(frames(listening, { _tag: "LastWords", code: 0 }), "exit 0")
      const lies = yield* program(Buffer.alloc(8, 0xff), stay)
      const stays = yield* program(frames(listening), stay)
      const one = (index: number): Effect.Effect<unknown, unknown> => {
        if (index % 3 === 0) return lived(launch("main"), { execPath: returns })
        if (index % 3 === 1) return lived(launch("main"), { execPath: lies })
        return Effect.scoped(born(launch("main"), { execPath: stays }))
      }
      yield* one(0)
      const before = openFiles()
      yield* Effect.forEach(Array.from({ length: 51 }, (_, index) => index), one, { concurrency: 4 })
      yield* Effect.flip(lived(launch("main"), { execPath: "/nowhere/node" }))
      yield* until("the files to be closed", () => openFiles() <= before)
    }), patience)
})
