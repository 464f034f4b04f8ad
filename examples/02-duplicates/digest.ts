/**
 * The worker: hashes the files of one shard, in a process of its own.
 *
 * Its desk is a folder with three files. The application lays down the task; a
 * list of many paths is too much for arguments, which the postmaster keeps and
 * sends with every restart. The journal gets one line per finished file, in the
 * task's order, and every line has the same length: so its size alone says how
 * far the worker has come, and a line that a crash cut short is recognised. The
 * outcomes appear when all is done, whole or not at all.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"

export const Digest = BackgroundWorker.make("digest", {
  entry: { module: new URL(import.meta.url) },
  args: Schema.Struct({ desk: Schema.String }),
  restart: "50 millis",
  stopTimeout: "1 second"
})

export const Task = Schema.fromJsonString(Schema.Struct({
  root: Schema.String,
  files: Schema.Array(Schema.Struct({ path: Schema.String, size: Schema.Natural }))
}))

export const Outcomes = Schema.fromJsonString(Schema.Array(Schema.TaggedUnion({
  Hashed: { path: Schema.String, size: Schema.Natural, sha256: Schema.String },
  Unreadable: { path: Schema.String, problem: Schema.String }
})))

export const taskOf = (desk: string): string => `${desk}/task.json`
export const journalOf = (desk: string): string => `${desk}/journal`
export const outcomesOf = (desk: string): string => `${desk}/outcomes.json`

const wordLength = 64
/** The length of a line in the journal: a hash or a problem, filled up with spaces. */
export const lineLength = wordLength + 1

/** What is wrong with a file, in the operating system's word for it (`EACCES`). */
export const problemOf = ({ reason }: PlatformError): string =>
  "cause" in reason && Predicate.hasProperty(reason.cause, "code") ? String(reason.cause.code) : reason._tag

const buffer = new Uint8Array(1024 * 1024)

/** The hash of a file, or the problem with it: one bad file must not cost the others. */
const hash = Effect.fnUntraced(
  function*(path: string, size: number) {
    const fs = yield* FileSystem.FileSystem
    // Opening a pipe would wait for its writer.
    if ((yield* fs.stat(path)).type !== "File") return "it is no longer a file"
    const file = yield* fs.open(path, { noFollow: true })
    const sha256 = createHash("sha256")
    let total = 0
    for (let count = yield* file.read(buffer); count > 0; count = yield* file.read(buffer)) {
      sha256.update(buffer.subarray(0, count))
      total += count
    }
    return total === size ? sha256.digest("hex") : "its size has changed"
  },
  Effect.scoped,
  Effect.catch((error) => Effect.succeed(problemOf(error)))
)

export const digest = Effect.fn("digest")(function*({ desk }: { readonly desk: string }) {
  const fs = yield* FileSystem.FileSystem
  // Killed between its last line and its exit, a worker comes back to a finished shard.
  if (yield* fs.exists(outcomesOf(desk))) return

  const { files, root } = yield* Schema.decodeEffect(Task)(yield* fs.readFileString(taskOf(desk)))
  const journal = yield* fs.open(journalOf(desk), { flag: "a+" })
  const lines = (yield* fs.readFileString(journalOf(desk))).match(/.+\n/g) ?? []
  const words = lines.filter((line) => line.length === lineLength).map((line) => line.trimEnd())
  yield* journal.truncate(words.length * lineLength)

  for (const { path, size } of files.slice(words.length)) {
    const word = yield* hash(`${root}/${path}`, size)
    yield* journal.writeAll(Buffer.from(`${word.padEnd(wordLength)}\n`))
    words.push(word)
  }

  const outcomes = files.map(({ path, size }, index) => {
    const word = words[index]!
    return word.length === wordLength
      ? { _tag: "Hashed" as const, path, size, sha256: word }
      : { _tag: "Unreadable" as const, path, problem: word }
  })
  const draft = yield* fs.open(`${outcomesOf(desk)}.draft`, { flag: "w" })
  yield* draft.writeAll(Buffer.from(yield* Schema.encodeEffect(Outcomes)(outcomes)))
  yield* draft.sync
  yield* fs.rename(`${outcomesOf(desk)}.draft`, outcomesOf(desk))
}, Effect.scoped)

export const main = BackgroundWorker.main(Digest, digest, { layer: NodeFileSystem.layer })
