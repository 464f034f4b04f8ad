/**
 * Decides which files must be read to find duplicates, and in which portions.
 */
import type { File } from "./walk.ts"

export interface Shard {
  readonly number: number
  readonly bytes: number
  readonly files: ReadonlyArray<File>
}

/** Counts the files, and picks those that may have a duplicate: not empty, and not alone with their size. */
export const survey = (files: ReadonlyArray<File>) => {
  const originals = [...Map.groupBy(files, (file) => file.inode).values()].map((names) => names[0]!)
  const full = originals.filter((file) => file.size > 0)
  const candidates = [...Map.groupBy(full, (file) => file.size).values()].filter((same) => same.length > 1).flat()
  const counts = {
    files: files.length,
    bytes: originals.reduce((sum, file) => sum + file.size, 0),
    /** Names beyond the first of a file that has several; they waste nothing. */
    hardLinks: files.length - originals.length,
    empty: originals.length - full.length,
    uniqueSize: full.length - candidates.length
  }
  return { counts, candidates }
}

/** What opening a file costs, in bytes that could be hashed meanwhile. */
const overhead = 64 * 1024
/** What is hashed in about the time in which a worker is born; a smaller shard is not worth one. */
const minWeight = 64 * 1024 * 1024
/** Several shards per slot, so that no slot stays busy long after the others. */
const shardsPerSlot = 4

/** Balanced shards: the largest files first, each into the shard that is lightest so far. */
export const split = (files: ReadonlyArray<File>, slots: number): ReadonlyArray<Shard> => {
  const weigh = (file: File): number => file.size + overhead
  const total = files.reduce((sum, file) => sum + weigh(file), 0)
  const count = Math.min(Math.ceil(total / minWeight), shardsPerSlot * slots, files.length)
  const shards = Array.from({ length: count }, (_, number) => ({ number, bytes: 0, weight: 0, files: Array<File>() }))
  for (const file of files.toSorted((self, that) => that.size - self.size)) {
    const lightest = shards.reduce((self, that) => that.weight < self.weight ? that : self)
    lightest.files.push(file)
    lightest.bytes += file.size
    lightest.weight += weigh(file)
  }
  return shards
}
