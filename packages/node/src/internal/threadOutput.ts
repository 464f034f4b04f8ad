/**
 * Decides how a thread's output reaches its bearer: as a process's does, in
 * order, to the last byte, and no faster than it is read.
 *
 * Node's own streams between threads queue without bound for a program that
 * does not wait, in memory that is the application's. Here a thread that is
 * ahead by more than some bytes stands still until they are read.
 *
 * @since 0.1.0
 */
import { Readable } from "node:stream"
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads"

/** What a thread has of it. */
export interface ThreadOutput {
  readonly port: MessagePort
  /** What is on its way, in its only element: bytes, and some more for each piece. */
  readonly unread: Int32Array
}

interface Piece {
  readonly stream: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

/** How far a thread may be ahead of its reader. */
const maxUnread = 256 * 1024

/** What a piece weighs, since a short one costs its reader time and memory too. */
const weightOf = (piece: Uint8Array): number => piece.length + 512

/** The most that goes at once. */
const maxPieceBytes = 64 * 1024

/**
 * Has the standard streams of this thread written that way. What was written is
 * on its way when `write` returns, so leaving in the same breath loses nothing.
 */
export const writeThrough = ({ port, unread }: ThreadOutput): void => {
  const send = (stream: Piece["stream"], bytes: Uint8Array): void => {
    for (let from = 0; from < bytes.length; from += maxPieceBytes) {
      for (let ahead = Atomics.load(unread, 0); ahead >= maxUnread; ahead = Atomics.load(unread, 0)) {
        Atomics.wait(unread, 0, ahead)
      }
      // A copy, because a buffer takes along all the memory it is a part of.
      const piece = bytes.slice(from, from + maxPieceBytes)
      const own = piece.buffer.byteLength === piece.byteLength ? piece : new Uint8Array(piece)
      Atomics.add(unread, 0, weightOf(own))
      port.postMessage({ stream, bytes: own } satisfies Piece, [own.buffer as ArrayBuffer])
    }
  }
  for (const name of ["stdout", "stderr"] as const) {
    process[name]._writev = (chunks, done) => {
      for (const { chunk, encoding } of chunks) {
        send(name, typeof chunk === "string" ? Buffer.from(chunk, encoding) : new Uint8Array(chunk))
      }
      done()
    }
  }
}

/** What the bearer of a thread has of it. */
export interface ThreadReader {
  readonly theirs: ThreadOutput
  readonly stdout: Readable
  readonly stderr: Readable
  /** Takes along what Node passes on by itself: what was written before the thread's own program began. */
  readonly adopt: (stdout: Readable, stderr: Readable) => void
  /** Says that the thread has ended: what it has written is all there is. */
  readonly end: () => void
}

const isPiece = (message: unknown): message is Piece =>
  typeof message === "object" && message !== null && "stream" in message && "bytes" in message &&
  (message.stream === "stdout" || message.stream === "stderr") && message.bytes instanceof Uint8Array

export const makeThreadReader = (): ThreadReader => {
  const { port1: port, port2: theirPort } = new MessageChannel()
  const unread = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))

  const makeStream = () => {
    let held = 0
    // Called when what the stream holds is little, or is about to be taken.
    const release = (): void => {
      if (held === 0) return
      Atomics.sub(unread, 0, held)
      Atomics.notify(unread, 0)
      held = 0
    }
    const readable = new Readable({ read: release })
    return {
      readable,
      push: (bytes: Uint8Array): void => {
        held += weightOf(bytes)
        if (readable.destroyed) release()
        else readable.push(bytes)
      }
    }
  }

  let ended = false
  const streams = { stdout: makeStream(), stderr: makeStream() }
  const onMessage = (message: unknown): void => {
    if (isPiece(message)) streams[message.stream].push(message.bytes)
  }
  port.on("message", onMessage)

  return {
    theirs: { port: theirPort, unread },
    stdout: streams.stdout.readable,
    stderr: streams.stderr.readable,
    adopt: (stdout, stderr) => {
      stdout.on("data", (bytes: Uint8Array) => void (ended || streams.stdout.readable.push(bytes)))
      stderr.on("data", (bytes: Uint8Array) => void (ended || streams.stderr.readable.push(bytes)))
    },
    end: () => {
      ended = true
      for (let last = receiveMessageOnPort(port); last !== undefined; last = receiveMessageOnPort(port)) {
        onMessage(last.message)
      }
      port.close()
      for (const { readable } of Object.values(streams)) if (!readable.destroyed) readable.push(null)
    }
  }
}
