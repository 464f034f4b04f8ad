import { SpawnerFiber } from "@effect-postmaster/core"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { Script, TestPostmaster, TestSpawner } from "@effect-postmaster/core/testing"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as PlatformError from "effect/PlatformError"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { renameSync } from "node:fs"
import { dirname } from "node:path"
import { hashAll, type Pool } from "../02-duplicates/pool.ts"
import { Report } from "../02-duplicates/report.ts"
import { split, survey } from "../02-duplicates/shards.ts"
import { walk } from "../02-duplicates/walk.ts"
import { run, start } from "./run.ts"

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** A temporary folder with these files in it. */
const makeTree = Effect.fn("makeTree")(function*(files: Readonly<Record<string, string>>) {
  const fs = yield* FileSystem.FileSystem
  const root = yield* fs.makeTempDirectoryScoped({ prefix: "duplicates-test-" })
  for (const [path, text] of Object.entries(files)) {
    yield* fs.makeDirectory(dirname(`${root}/${path}`), { recursive: true })
    yield* fs.writeFileString(`${root}/${path}`, text)
  }
  return root
})

const big = "big".repeat(1000)

const makeSmallTree = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const root = yield* makeTree({
    "b/small": "twin",
    "a/small": "twin",
    "a/big": big,
    "c/deep/er/big": big,
    "c/big copy": big,
    "same size": "nope",
    "alone": "nobody else is as long as this",
    "empty": "",
    "a/empty": ""
  })
  yield* fs.link(`${root}/a/small`, `${root}/z hard link`)
  yield* fs.symlink(`${root}/a/big`, `${root}/symlink`)
  yield* fs.symlink(root, `${root}/a/loop`)
  return root
})

describe("02-duplicates", () => {
  it.live("finds what there is", () =>
    Effect.gen(function*() {
      const root = yield* makeSmallTree
      const { code, stderr, stdout } = yield* run("02-duplicates", [root, "--json"])
      assert.strictEqual(code, 0)
      assert.strictEqual(stderr, "")
      const { result, run: { kills, workers } } = yield* Schema.decodeEffect(Report)(stdout)
      assert.deepStrictEqual(result, {
        folder: root,
        files: 10,
        bytes: 3 * big.length + 3 * 4 + 30,
        hardLinks: 1,
        empty: 2,
        uniqueSize: 1,
        hashed: 6,
        wasted: 2 * big.length + 4,
        groups: [
          { sha256: sha256(big), size: 3000, wasted: 6000, paths: ["a/big", "c/big copy", "c/deep/er/big"] },
          { sha256: sha256("twin"), size: 4, wasted: 4, paths: ["a/small", "b/small"] }
        ],
        unreadable: []
      })
      assert.strictEqual(kills, 0)
      assert.deepStrictEqual(workers.map(({ slot, generation, restarts }) => ({ slot, generation, restarts })), [
        { slot: 0, generation: 1, restarts: 0 }
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 30_000)

  it.live("tells people the result on stdout and how it came about on stderr", () =>
    Effect.gen(function*() {
      const root = yield* makeSmallTree
      const { code, stderr, stdout } = yield* run("02-duplicates", [root, "--workers", "1"])
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(stdout.split("\n"), [
        root,
        "  10 files, 8.8 KiB",
        "  2 groups of duplicates, 5.9 KiB wasted",
        "  6 files hashed; not hashed: 1 file of unique size, 2 empty files (not duplicates), 1 hard link (no waste)",
        "",
        "5.9 KiB wasted: 3 × 2.9 KiB",
        "  a/big",
        "  c/big copy",
        "  c/deep/er/big",
        "",
        "4 B wasted: 2 × 4 B",
        "  a/small",
        "  b/small",
        ""
      ])
      assert.match(stderr, /1 worker in 1 slot, \d+ ms\n/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 30_000)

  it.live("comes to the same result, byte for byte, while its workers are killed", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const root = yield* makeTree({})
      const resultOf = (stdout: string): string => stdout.slice(0, stdout.indexOf(",\"run\":"))

      // However fast the machine is, a tree that has grown often enough is hit.
      const attempt = Effect.fnUntraced(function*(files: number): Effect.fn.Return<void, unknown> {
        for (let index = 0; index < files; index++) {
          // Every third one a duplicate of its neighbour.
          const text = String(index % 3 === 2 ? index - 1 : index).padStart(20_000, ".")
          yield* fs.writeFileString(`${root}/${index}`, text)
        }
        const killed = yield* run("02-duplicates", [
          ...[root, "--json", "--workers", "1"],
          ...["--chaos", "--chaos-interval", "50"]
        ])
        assert.strictEqual(killed.code, 0, killed.stderr)
        const { kills, workers } = (yield* Schema.decodeEffect(Report)(killed.stdout)).run
        const restarts = workers.reduce((sum, worker) => sum + worker.restarts, 0)
        if (restarts === 0) return yield* attempt(files * 2)

        assert.isAtLeast(kills, restarts)
        // One slot, several shards: one worker hashes them all, one after another.
        assert.deepStrictEqual(workers.map(({ slot, generation }) => ({ slot, generation })), [
          { slot: 0, generation: 1 }
        ])
        assert.isAbove(workers[0]!.shards, 1)
        const calm = yield* run("02-duplicates", [root, "--json", "--workers", "2"])
        const { result } = yield* Schema.decodeEffect(Report)(calm.stdout)
        assert.strictEqual(result.groups.length, Math.floor(files / 3))
        assert.strictEqual(resultOf(killed.stdout), resultOf(calm.stdout))
      })
      yield* attempt(1_500)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 120_000)

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.live(`leaves nothing behind after ${signal}`, () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const temp = yield* makeTree({})
        // Far too much to hash, and nothing on the disk: the files are holes.
        const root = yield* makeTree({ a: "", b: "" })
        yield* Effect.forEach(["a", "b"], (name) => fs.truncate(`${root}/${name}`, 32 * 1024 ** 3))

        const program = yield* start("02-duplicates", [root, "--verbose", "--workers", "2"], {
          TMPDIR: temp,
          // What Node has compiled is meant to stay.
          NODE_COMPILE_CACHE: yield* makeTree({})
        })
        yield* program.says(/is ready[^]*is ready/)
        program.child.kill(signal)
        const { code, stderr, stdout } = yield* program.ended

        assert.strictEqual(code, 130)
        assert.strictEqual(stdout, "")
        assert.deepStrictEqual(yield* fs.readDirectory(temp), [])
        const pids = new Set([...stderr.matchAll(/PID (\d+)/g)].map(([, pid]) => Number(pid)))
        assert.strictEqual(pids.size, 2)
        for (const pid of pids) assert.throws(() => process.kill(pid, 0), "ESRCH")
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 30_000)
  }

  it.live("complains in one line", () =>
    Effect.gen(function*() {
      const root = yield* makeTree({ file: "" })
      const complaints = {
        [`${root}/missing`]: `folder "${root}/missing" does not exist`,
        [`${root}/file`]: `"${root}/file" is not a folder`,
        "--frobnicate": "--frobnicate",
        "--workers=0": "Invalid value for flag --workers: \"0\". Expected an integer from 1 to 64",
        "--workers=many": "Invalid value for flag --workers: \"many\""
      }
      yield* Effect.forEach(
        Object.entries(complaints),
        Effect.fnUntraced(function*([arg, complaint]) {
          const { code, stderr, stdout } = yield* run("02-duplicates", [arg])
          assert.strictEqual(code, 1)
          assert.strictEqual(stdout, "")
          assert.match(stderr, /^duplicates: .*\n$/)
          assert.include(stderr, complaint)
        }),
        { concurrency: 2 }
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 60_000)
})

const poolOf = (root: string, files: ReadonlyArray<{ readonly path: string; readonly size: number }>): Pool => ({
  root,
  slots: 1,
  shards: [{ number: 0, bytes: 0, files: files.map((file) => ({ ...file, inode: file.path })) }],
  running: new Set(),
  finished: []
})

describe("a shard", () => {
  it.live("brings what could not be read, and the rest", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const root = yield* makeTree({ good: "good", grown: "grown", "folder/file": "" })
      yield* fs.symlink(`${root}/good`, `${root}/replaced`)
      const paths = ["vanished", "folder", "replaced", "grown", "good"]
      assert.deepStrictEqual(yield* hashAll(poolOf(root, paths.map((path) => ({ path, size: 4 })))), [
        { _tag: "Unreadable", path: "vanished", problem: "ENOENT" },
        { _tag: "Unreadable", path: "folder", problem: "it is no longer a file" },
        { _tag: "Unreadable", path: "replaced", problem: "ELOOP" },
        { _tag: "Unreadable", path: "grown", problem: "its size has changed" },
        { _tag: "Hashed", path: "good", size: 4, sha256: sha256("good") }
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide([
        NodeServices.layer,
        Postmaster.layer().pipe(Layer.provide([SpawnerFiber.layer, PostmasterConfig.layer()]))
      ])
    ))

  it.live("goes on in the worker's next life where the last one ended", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const root = yield* makeTree({ a: "aaaa", endless: "", "other a": "AAAA", "other endless": "over" })
      // Far too much to hash, and nothing on the disk: the file is a hole.
      const size = 32 * 1024 ** 3
      yield* fs.truncate(`${root}/endless`, size)
      const pool = poolOf(root, [{ path: "a", size: 4 }, { path: "endless", size }])
      const outcomes = yield* Effect.forkChild(hashAll(pool))
      const jobs = Effect.sync(() => [...pool.running])
      yield* Effect.repeat(jobs, {
        until: ([job]) => job?.files === 1 || outcomes.pollUnsafe() !== undefined,
        schedule: Schedule.spaced("10 millis")
      })
      const [job] = yield* jobs
      // At once, so that the next life finds other files, and the first one none of them.
      yield* Effect.sync(() => {
        process.kill([...job!.pids].at(-1)!, "SIGKILL")
        for (const name of ["a", "endless"]) renameSync(`${root}/other ${name}`, `${root}/${name}`)
      })
      assert.deepStrictEqual(yield* Fiber.join(outcomes), [
        { _tag: "Hashed", path: "a", size: 4, sha256: sha256("aaaa") },
        { _tag: "Unreadable", path: "endless", problem: "its size has changed" }
      ])
      assert.deepStrictEqual(pool.finished.map(({ restarts, files }) => ({ restarts, files })), [
        { restarts: 1, files: 2 }
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide([
        NodeServices.layer,
        Postmaster.layer().pipe(Layer.provide([NodeSpawner.layer, PostmasterConfig.layer()]))
      ]),
      Effect.provideService(References.MinimumLogLevel, "None")
    ), 30_000)

  it.live("is given up when its worker dies again and again and gets nowhere", () =>
    Effect.gen(function*() {
      const { journal, script } = yield* TestSpawner
      yield* script("digest", Script.dies("SIGSEGV"))
      const { message } = yield* Effect.flip(hashAll(poolOf("/", [{ path: "poison", size: 1 }])))
      assert.strictEqual(
        message,
        "worker \"digest 0\" in slot 0 ended 5 times without finishing another file; " +
          "at last it was terminated by signal SIGSEGV"
      )
      assert.strictEqual((yield* journal).filter((entry) => entry._tag === "Spawned").length, 5)
    }).pipe(
      Effect.scoped,
      Effect.provide([NodeServices.layer, TestPostmaster.layer]),
      Effect.provideService(References.MinimumLogLevel, "None")
    ))
})

describe("the walk", () => {
  it.live("notes a folder that cannot be read, and goes on", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const root = yield* makeTree({ "locked/file": "secret", "open/file": "public" })
      // The superuser can read everything, so the lock is a pretence.
      const locked: typeof fs = {
        ...fs,
        readDirectoryEntries: (path) =>
          path.endsWith("/locked")
            ? Effect.fail(PlatformError.systemError({
              _tag: "PermissionDenied",
              module: "FileSystem",
              method: "readDirectoryEntries",
              cause: { code: "EACCES" }
            }))
            : fs.readDirectoryEntries(path)
      }
      const found = yield* Effect.provideService(walk(root), FileSystem.FileSystem, locked)
      assert.deepStrictEqual(found.files.map(({ path, size }) => ({ path, size })), [{ path: "open/file", size: 6 }])
      assert.deepStrictEqual(found.unreadable, [{ path: "locked", problem: "EACCES" }])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("shards", () => {
  const file = (path: string, size: number) => ({ path, size, inode: path })

  it("hold every candidate once, and about the same number of bytes", () => {
    const files = Array.from({ length: 10_000 }, (_, index) => file(String(index), (index % 97) * 10_000))
    const shards = split(files, 2)
    assert.strictEqual(shards.length, 8)
    assert.sameMembers(shards.flatMap((shard) => shard.files), files)
    const bytes = shards.map((shard) => shard.bytes)
    assert.isBelow(Math.max(...bytes) - Math.min(...bytes), 1_000_000)
  })

  it("are not made for little work, and none for none", () => {
    assert.strictEqual(split([file("a", 1), file("b", 1)], 8).length, 1)
    assert.deepStrictEqual(split([], 8), [])
    assert.strictEqual(split([file("a", 1e12), file("b", 1e12)], 8).length, 2)
  })

  it("get no file that cannot have a duplicate", () => {
    const { candidates } = survey([file("a", 1), file("b", 1), file("alone", 2), file("e", 0), file("f", 0)])
    assert.deepStrictEqual(candidates.map(({ path }) => path), ["a", "b"])
  })
})
