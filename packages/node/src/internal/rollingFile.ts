/**
 * Decides which file a log's lines go to: when it is begun anew, how many older
 * ones are kept, and what happens when somebody else moves, deletes or
 * truncates it.
 *
 * `app.log` is the newest, `app.log.1` the one before, and so on. Lines are never
 * torn: each is in one file, and a line that a dead process has left unfinished
 * is ended before the next. No file is larger than it may be, except for a single
 * longer line. If the older ones cannot be moved the file does not grow either:
 * that is a failure like that of a write, and writing is to be tried again.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Stats } from "node:fs"
import * as Path from "node:path"
import { Fs } from "./fs.ts"
import { newline } from "./lines.ts"

export interface Rolling {
  /** Absolute. */
  readonly path: string
  readonly maxBytes: number
  readonly maxAgeMillis: number
  readonly maxFiles: number
  readonly mode: number
}

/** One caller at a time. After a failure the file is closed; whatever is called next opens it again. */
export interface RollingFile {
  /** Has the file open, rotated if its time has come, and at its path. */
  readonly ready: Effect.Effect<void, NodeJS.ErrnoException>
  /** Writes some of the lines in `bytes`, at `from`, and returns where to go on. */
  readonly write: (bytes: Uint8Array, from: number) => Effect.Effect<number, NodeJS.ErrnoException>
  /** Whether the system is writing at this moment. */
  readonly isWriting: () => boolean
  /** Writes at once, to the file as it is; for the end of the process. */
  readonly writeSync: (bytes: Uint8Array) => void
  readonly close: Effect.Effect<void>
}

/** The most numbers there may be, so that a date is never taken for one. */
export const mostFiles = 1_000

/** How long others may have moved the file before we look. */
const lookMillis = 1_000

const call = <A = void>(
  run: (done: (error: NodeJS.ErrnoException | null, value: A) => void) => void
): Effect.Effect<A, NodeJS.ErrnoException> =>
  Effect.callback((resume) => {
    try {
      run((error, value) => resume(error === null ? Effect.succeed(value) : Effect.fail(error)))
    } catch (error) {
      // A path that can be none.
      resume(Effect.fail(error as NodeJS.ErrnoException))
    }
  })

const isGone = (error: NodeJS.ErrnoException): boolean => error.code === "ENOENT"

const noFile = (path: string): NodeJS.ErrnoException => new Error(`it is not a file, open '${path}'`)

/** Whoever was quicker has done the same. */
const orGone = <A>(effect: Effect.Effect<A, NodeJS.ErrnoException>) =>
  Effect.catchIf(effect, isGone, () => Effect.undefined)

export const makeRollingFile = ({ maxAgeMillis, maxBytes, maxFiles, mode, path }: Rolling): RollingFile => {
  const { base, dir } = Path.parse(path)
  const { O_APPEND, O_CREAT, O_NONBLOCK, O_RDWR } = Fs.constants
  /** A pipe without a reader would be waited for. */
  const flags = O_APPEND | O_CREAT | O_NONBLOCK | O_RDWR
  /** Ages are counted in whole ones since 1970, so that a restart of the application does not begin a new one. */
  const ageAt = (millis: number): number => Math.floor(millis / maxAgeMillis)

  let fd: number | undefined
  let writing = false
  /** Of the file that is open, or was. */
  let file: Pick<Stats, "dev" | "ino"> | undefined
  let size = 0
  /** Somebody has left a line in it unfinished. */
  let torn = false
  let age = 0
  let lookedAt = 0

  const isSame = (found: Stats): boolean => found.dev === file?.dev && found.ino === file.ino

  const close = Effect.suspend(() => {
    const closing = fd
    fd = undefined
    return closing === undefined ? Effect.void : Effect.ignore(call((done) => Fs.close(closing, done)))
  })

  const put = Effect.fnUntraced(function*(bytes: Uint8Array, from: number, to: number) {
    const written = yield* call<number>((done) => {
      writing = true
      Fs.write(fd!, bytes, from, to - from, null, (error, written) => {
        writing = false
        done(error, written)
      })
    })
    size += written
    return from + written
  })

  const openPath = call<number>((done) => Fs.open(path, flags, mode, done))

  const open = Effect.gen(function*() {
    fd = yield* Effect.catchIf(
      openPath,
      isGone,
      () => Effect.andThen(call<unknown>((done) => Fs.mkdir(dir, { recursive: true }, done)), openPath)
    )
    const own = fd
    const found = yield* call<Stats>((done) =>
      Fs.fstat(
        own,
        (error, found) => done(error ?? (found.isFile() ? null : noFile(path)), found)
      )
    )
    // A file that was deleted may have left its number to the next one.
    const goesOn = isSame(found) && found.size >= size
    file = found
    size = found.size
    lookedAt = yield* Clock.currentTimeMillis
    age = ageAt(size > 0 ? found.mtimeMs : lookedAt)
    if (goesOn) return
    torn = false
    if (size === 0) return
    const last = Buffer.alloc(1)
    yield* call<number>((done) => Fs.read(own, last, 0, 1, size - 1, done))
    torn = last[0] !== newline
  })

  const rotate = Effect.gen(function*() {
    yield* close
    const names = yield* call<Array<string>>((done) => Fs.readdir(dir, done))
    const numbers = new Set(
      names.flatMap((name) => {
        const number = name.startsWith(`${base}.`) ? name.slice(base.length + 1) : ""
        return /^[1-9]\d{0,2}$/.test(number) ? [Number(number)] : []
      })
    )
    const older = (number: number): string => `${path}.${number}`
    for (const number of numbers) {
      if (number >= maxFiles - 1) yield* orGone(call((done) => Fs.unlink(older(number), done)))
    }
    if (maxFiles === 1) return yield* orGone(call((done) => Fs.unlink(path, done)))
    let last = 0
    while (last + 1 < maxFiles - 1 && numbers.has(last + 1)) last++
    for (let number = last; number > 0; number--) {
      yield* orGone(call((done) => Fs.rename(older(number), older(number + 1), done)))
    }
    yield* orGone(call((done) => Fs.rename(path, older(1), done)))
  })

  /** Whether somebody else has moved, deleted or truncated it. */
  const look = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    if (Math.abs(now - lookedAt) < lookMillis) return
    lookedAt = now
    const found = yield* orGone(call<Stats>((done) => Fs.stat(path, done)))
    if (found !== undefined && isSame(found)) size = found.size
    else yield* close
  })

  const ready = Effect.gen(function*() {
    if (fd !== undefined) yield* look
    if (fd === undefined) yield* open
    const present = ageAt(yield* Clock.currentTimeMillis)
    if (size === 0) age = present
    else if (present > age) {
      yield* rotate
      yield* open
    }
    // If the clock was set back, the file goes on with the new time.
    age = present
  })

  const write = Effect.fnUntraced(function*(bytes: Uint8Array, from: number) {
    const before = file
    yield* ready
    if (torn) yield* put(Buffer.of(newline), 0, 1)
    torn = false
    const lineStart = from === 0 ? 0 : bytes.lastIndexOf(newline, from - 1) + 1
    const start = before?.dev === file?.dev && before?.ino === file?.ino ? from : lineStart
    if (bytes.length - start <= maxBytes - size) return yield* put(bytes, start, bytes.length)
    const room = maxBytes - size
    const end = room > 0 ? bytes.lastIndexOf(newline, start + room - 1) + 1 : 0
    if (end > start) return yield* put(bytes, start, end)
    if (size === 0 || start > lineStart) return yield* put(bytes, start, bytes.indexOf(newline, start) + 1)
    yield* rotate
    return start
  })

  // Not after an interruption: the file is still in use then.
  const orClose = <A>(effect: Effect.Effect<A, NodeJS.ErrnoException>) => Effect.tapError(effect, () => close)

  return {
    ready: orClose(ready),
    write: (bytes, from) => orClose(write(bytes, from)),
    isWriting: () => writing,
    writeSync: (bytes) => {
      fd ??= Fs.openSync(path, flags, mode)
      for (let from = 0; from < bytes.length;) from += Fs.writeSync(fd, bytes, from)
    },
    close
  }
}
