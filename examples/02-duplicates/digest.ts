/**
 * The worker: hashes files when it is called, in a process of its own.
 *
 * It answers with a stream, file after file in the order of the call. So whoever
 * calls knows at any time how far it has come, and after a crash asks the next
 * life for no more than what is missing.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"

export const Outcome = Schema.TaggedUnion({
  Hashed: { path: Schema.String, size: Schema.Natural, sha256: Schema.String },
  Unreadable: { path: Schema.String, problem: Schema.String }
})
export type Outcome = typeof Outcome.Type

const Task = Schema.Struct({ path: Schema.String, size: Schema.Natural })
interface Task extends Schema.Schema.Type<typeof Task> {}

const protocol = WorkerProtocol.make(
  Rpc.make("Hash", { payload: { root: Schema.String, files: Schema.Array(Task) }, success: Outcome, stream: true })
)

export const Digest = BackgroundWorker.make("digest", {
  entry: { module: new URL(import.meta.url) },
  protocol,
  restart: "50 millis",
  stopTimeout: "1 second"
})

/** What is wrong with a file, in the operating system's word for it (`EACCES`). */
export const problemOf = ({ reason }: PlatformError): string =>
  "cause" in reason && Predicate.hasProperty(reason.cause, "code") ? String(reason.cause.code) : reason._tag

/** Hashes one file. What is wrong with it is an outcome, too: one bad file must not cost the others. */
const hash = Effect.fnUntraced(
  function*(root: string, { path, size }: Task, buffer: Uint8Array) {
    const fs = yield* FileSystem.FileSystem
    // Opening a pipe would wait for its writer.
    if ((yield* fs.stat(`${root}/${path}`)).type !== "File") return unreadable(path, "it is no longer a file")
    const file = yield* fs.open(`${root}/${path}`, { noFollow: true })
    const sha256 = createHash("sha256")
    let total = 0
    for (let count = yield* file.read(buffer); count > 0; count = yield* file.read(buffer)) {
      sha256.update(buffer.subarray(0, count))
      total += count
    }
    if (total !== size) return unreadable(path, "its size has changed")
    return Outcome.cases.Hashed.make({ path, size, sha256: sha256.digest("hex") })
  },
  Effect.scoped,
  (hashing, _root, { path }) => Effect.catch(hashing, (error) => Effect.succeed(unreadable(path, problemOf(error))))
)

const unreadable = (path: string, problem: string) => Outcome.cases.Unreadable.make({ path, problem })

export const handlers = protocol.toLayer({
  Hash: ({ files, root }) => {
    const buffer = new Uint8Array(1024 * 1024)
    return Stream.fromIterable(files).pipe(
      Stream.mapEffect((file) => hash(root, file, buffer)),
      // The next files are read while an answer is under way.
      Stream.buffer({ capacity: 16 })
    )
  }
})

export const main = BackgroundWorker.main(Digest, () => Effect.never, {
  layer: Layer.provide(handlers, NodeFileSystem.layer)
})
