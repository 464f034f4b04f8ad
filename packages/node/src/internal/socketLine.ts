/**
 * Decides how frames go through a socket, at either end of a process's data
 * line: what is sent in one turn goes in one write, a large frame is not
 * copied, and what arrives is read no faster than it is heard.
 *
 * @since 0.1.0
 */
import { maxFrameBytes, type Outgoing, sizeOf } from "@effect-postmaster/core/FramePort"
import { type OnReadOpts, Socket } from "node:net"
import { headerBytes, makeDeframer, putHeader } from "./frames.ts"
import { highWaterBytes, type Line, makeEar, type OpenLine } from "./line.ts"
import { readOut } from "./readOut.ts"

/** Frames up to this size are gathered; a longer one costs more to copy than a write of its own. */
const gatherBytes = 16 * 1024

const trayBytes = 64 * 1024

/** So many answers are not held back for the rest of a chunk: the other side would have nothing to do meanwhile. */
const maxTogether = 32

/**
 * What all lines of this thread are read into, one after the other: what has
 * been read is taken out before anybody hears of it. Memory that is asked for
 * anew each time is soon most of the garbage.
 */
let basin: Uint8Array | undefined

const basinBytes = 256 * 1024

/** What lent parts were put together in last, on whatever line, if nobody reads it any more. */
let crate: Uint8Array | undefined

/** A larger one is not kept. */
const maxCrateBytes = 2 * 1024 * 1024

/**
 * Takes over a socket that nobody has read from, or has one made that reads into
 * memory of ours, which wastes less. It does not keep the process alive.
 */
export const openSocketLine = (from: Socket | ((onread: OnReadOpts) => Socket)): OpenLine => {
  if (from instanceof Socket) return (broken) => open(from, broken).line
  let hear: OnReadOpts["callback"] = () => false
  // Made now, and opened in this turn, before anything can be read.
  const socket = from({
    buffer: basin ??= Buffer.allocUnsafeSlow(basinBytes),
    callback: (bytes, buffer) => hear(bytes, buffer)
  })
  return (broken) => {
    const { line, onRead } = open(socket, broken)
    hear = onRead
    return line
  }
}

interface Opened {
  readonly line: Line
  readonly onRead: OnReadOpts["callback"]
}

const open = (socket: Socket, broken: (problem: string) => void): Opened => {
  // -----------------------------------------------------------------------------
  // what arrives
  // -----------------------------------------------------------------------------

  /** What was read and is not cut yet. */
  const chunks: Array<Uint8Array> = []
  const deframer = makeDeframer(maxFrameBytes)

  const next = (): Uint8Array | string | undefined => {
    while (true) {
      const frame = deframer.next()
      if (frame !== undefined) return frame
      const chunk = chunks.shift()
      if (chunk === undefined) return undefined
      deframer.push(chunk)
    }
  }

  const ear = makeEar(next, (problem) => {
    close()
    broken(problem)
  })

  /** What is sent while a chunk is handed on goes in a few writes, the last when all of it is. */
  let delivering = false
  const deliver = (): void => {
    const outermost = !delivering
    delivering = true
    ear.deliver()
    if (!outermost) return
    delivering = false
    flush()
  }

  const onChunk = (chunk: Uint8Array): void => {
    chunks.push(chunk)
    deliver()
  }

  /** What is read into the basin is gone when this returns. Says whether to read on. */
  const onRead = (bytes: number, buffer: Uint8Array): boolean => {
    const read = buffer.subarray(0, bytes)
    const filled = chunks.length === 0 ? deframer.supply(read) : 0
    if (filled < bytes) chunks.push(new Uint8Array(read.subarray(filled)))
    deliver()
    return ear.isOpen()
  }

  /** Has the socket read as long as it is heard; the rest waits in the kernel, and in time with whoever sends it. */
  const flow = (): void => {
    if (!ear.isOpen()) return void socket.pause()
    socket.resume()
    // May hold back again.
    deliver()
  }

  /** Takes what is left, in the socket and in the kernel, past the event loop. */
  const readRest = (): void => {
    socket.off("data", onChunk)
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) chunks.push(chunk)
    readOut(socket, (chunk) => chunks.push(chunk))
  }

  // -----------------------------------------------------------------------------
  // what is sent
  // -----------------------------------------------------------------------------

  let tray: Uint8Array | undefined
  /** How much of the tray is full, and how much of that is written. */
  let full = 0
  let written = 0
  /** How many frames have been gathered since the last write. */
  let together = 0
  /** A tick is due. */
  let ticking = false
  /** `send` has said `false`. */
  let blocked = false

  const gathered = (): number => full - written
  const unwritten = (): number => socket.destroyed ? 0 : socket.writableLength + gathered()

  const write = (bytes: Uint8Array): void => {
    socket.write(bytes)
  }

  const flush = (): void => {
    together = 0
    if (gathered() === 0 || !socket.writable) return
    write(tray!.subarray(written, full))
    written = full
    recycle()
  }

  /** What the kernel has copied may be overwritten. */
  const recycle = (): void => {
    if (socket.writableLength > 0) return
    full = 0
    written = 0
  }

  /** At once, in a piece that is ours: whoever has lent a part may change it in this very turn. */
  const passParts = (parts: Exclude<Outgoing, Uint8Array>): void => {
    const size = sizeOf(parts)
    const needed = headerBytes + size
    const piece = crate !== undefined && crate.length >= needed ? crate : Buffer.allocUnsafeSlow(needed)
    crate = undefined
    putHeader(piece, 0, size)
    let at = headerBytes
    for (const part of parts) {
      piece.set(part, at)
      at += part.length
    }
    flush()
    socket.write(piece.subarray(0, needed), () => {
      if (piece.length <= maxCrateBytes) crate = piece
    })
  }

  const flushOnTick = (): void => {
    ticking = false
    flush()
  }

  /** Makes room for so many bytes in the tray. */
  const reserve = (bytes: number): Uint8Array => {
    if (tray !== undefined && full + bytes <= tray.length) return tray
    flush()
    if (tray === undefined || full + bytes > tray.length) {
      tray = new Uint8Array(trayBytes)
      full = 0
      written = 0
    }
    return tray
  }

  /** Into the tray, to be written when this turn is over. */
  const gather = (frame: Uint8Array): void => {
    const into = reserve(headerBytes + frame.length)
    putHeader(into, full, frame.length)
    into.set(frame, full + headerBytes)
    full += headerBytes + frame.length
    together++
    if (delivering) {
      if (together >= maxTogether) flush()
    } else if (!ticking) {
      ticking = true
      process.nextTick(flushOnTick)
    }
  }

  /** At once, as it is. */
  const pass = (frame: Uint8Array): void => {
    putHeader(reserve(headerBytes), full, frame.length)
    full += headerBytes
    socket.cork()
    flush()
    write(frame)
    socket.uncork()
    recycle()
  }

  const send = (frame: Outgoing): boolean => {
    if (!socket.writable) return true
    if (!(frame instanceof Uint8Array)) passParts(frame)
    else if (frame.length > gatherBytes) pass(frame)
    else gather(frame)
    if (unwritten() <= highWaterBytes) return true
    blocked = true
    return false
  }

  const drained = (): void => {
    if (!blocked) return
    blocked = false
    ear.drained()
  }

  // -----------------------------------------------------------------------------
  // its end
  // -----------------------------------------------------------------------------

  const close = (): void => {
    if (ear.isClosed()) return
    ear.close()
    chunks.length = 0
    socket.destroy()
    drained()
  }

  // A socket that meets a failing write destroys itself together with what it could still read, and a worker that has
  // just left is exactly that.
  const destroy = socket._destroy
  socket._destroy = (error, done) => {
    if (error !== null && !ear.isClosed()) {
      readRest()
      process.nextTick(deliver)
    }
    destroy.call(socket, error, done)
  }
  socket.on("error", () => {})
  socket.on("drain", drained)
  // Nobody waits for one who is gone.
  socket.on("close", drained)
  socket.unref()

  const line: Line = {
    port: {
      send,
      listen: (listener) => {
        ear.listen(listener)
        socket.on("data", onChunk)
        flow()
      },
      pause: (paused) => {
        ear.pause(paused)
        flow()
      }
    },
    flush,
    unwritten,
    end: () => {
      readRest()
      ear.end()
      close()
    },
    close
  }
  return { line, onRead }
}
