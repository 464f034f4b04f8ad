/**
 * Decides which files there are: regular files below a folder, by their own
 * names. Symbolic links are not followed, and what cannot be read is noted.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import { problemOf } from "./digest.ts"

/** A file, with its path from the folder down; two names of one file have the same inode. */
export interface File {
  readonly path: string
  readonly size: number
  readonly inode: string
}

export interface Unreadable {
  readonly path: string
  readonly problem: string
}

/** The same order everywhere, whatever the machine's language. */
export const byPath = (self: { readonly path: string }, that: { readonly path: string }): number =>
  self.path < that.path ? -1 : self.path > that.path ? 1 : 0

export const walk = Effect.fn("walk")(function*(root: string) {
  const fs = yield* FileSystem.FileSystem
  const files: Array<File> = []
  const unreadable: Array<Unreadable> = []
  const noting = <R>(path: string, effect: Effect.Effect<void, PlatformError, R>) =>
    Effect.catch(effect, (error) => Effect.sync(() => void unreadable.push({ path, problem: problemOf(error) })))

  let folders = ["."]
  while (folders.length > 0) {
    const below: Array<string> = []
    const visit = Effect.fnUntraced(function*(path: string) {
      const info = yield* fs.lstat(`${root}/${path}`)
      if (info.type === "Directory") below.push(path)
      if (info.type !== "File") return
      const inode = `${info.dev}:${Option.getOrElse(info.ino, () => path)}`
      files.push({ path, size: ByteSize.toNumberUnsafe(info.size), inode })
    })
    const list = Effect.fnUntraced(function*(folder: string) {
      for (const { name, type } of yield* fs.readDirectoryEntries(`${root}/${folder}`)) {
        const path = folder === "." ? name : `${folder}/${name}`
        if (type === "Directory") below.push(path)
        // Some file systems do not tell the type with the name.
        if (type === "File" || type === "Unknown") yield* noting(path, visit(path))
      }
    })
    yield* Effect.forEach(folders, (folder) => noting(folder, list(folder)), { concurrency: 16, discard: true })
    folders = below
  }
  return { files: files.toSorted(byPath), unreadable }
})
