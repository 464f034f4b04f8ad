/**
 * Decides how frames go between threads, at either end of the data line: each
 * as one message, moved rather than copied, and no more on the way than the
 * other side can take.
 *
 * A message is a frame, or a number: so many bytes of what was sent are taken.
 *
 * @since 0.1.0
 */
import { maxFrameBytes, type Outgoing, sizeOf, whole } from "@effect-postmaster/core/FramePort"
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads"
import { highWaterBytes, makeEar, type OpenLine } from "./line.ts"

/** What a message costs besides its bytes, so that many small ones count, too. */
const messageBytes = 128

/** How much is taken before the other side is told: little enough that it goes on before it has to wait. */
const receiptBytes = highWaterBytes / 4

/** Whether moving the frame's memory moves nothing else. */
const ownsItsMemory = (frame: Uint8Array): frame is Uint8Array<ArrayBuffer> =>
  frame.buffer instanceof ArrayBuffer && frame.buffer.byteLength === frame.byteLength

/** Takes over a message port. It does not keep the process alive. */
export const openThreadLine = (messages: MessagePort): OpenLine => (broken) => {
  // --- what arrives ---

  const arrived: Array<unknown> = []
  /** Bytes that were taken and that the other side is still to be told of. */
  let taken = 0

  const next = (): Uint8Array | string | undefined => {
    if (arrived.length === 0) return undefined
    const message = arrived.shift()
    if (!(message instanceof Uint8Array)) return "what is no frame"
    if (message.length > maxFrameBytes) return `a frame of ${message.length} bytes, and ${maxFrameBytes} are allowed`
    taken += message.length + messageBytes
    if (taken >= receiptBytes) {
      messages.postMessage(taken)
      taken = 0
    }
    return message
  }

  const ear = makeEar(next, (problem) => {
    close()
    broken(problem)
  })

  // --- what is sent ---

  /** Bytes that were sent and not taken, as far as we were told. */
  let untaken = 0
  /** `send` has said `false`. */
  let blocked = false
  /** Nobody is left to send to. */
  let over = false

  const drained = (): void => {
    if (!blocked) return
    blocked = false
    ear.drained()
  }

  const receive = (message: unknown): void => {
    if (typeof message !== "number") {
      arrived.push(message)
      return
    }
    // Not more than was sent, and at least something.
    if (!(Number.isInteger(message) && message > 0 && message <= untaken)) {
      close()
      return broken(`a receipt of ${message} bytes, and ${untaken} were sent`)
    }
    untaken -= message
    if (untaken <= highWaterBytes) drained()
  }

  const send = (frame: Outgoing): boolean => {
    if (over) return true
    untaken += sizeOf(frame) + messageBytes
    const all = whole(frame)
    // Of something larger a part is copied, or all of it would go along.
    const own = ownsItsMemory(all) ? all : new Uint8Array(all)
    messages.postMessage(own, [own.buffer])
    if (untaken <= highWaterBytes) return true
    blocked = true
    return false
  }

  // --- its end ---

  const close = (): void => {
    over = true
    ear.close()
    arrived.length = 0
    messages.close()
    // Nobody waits for one who is gone.
    drained()
  }

  messages.on("message", (message) => {
    receive(message)
    ear.deliver()
  })
  messages.on("close", () => {
    over = true
    drained()
  })
  messages.unref()

  return {
    port: {
      send,
      listen: (listener) => {
        ear.listen(listener)
        ear.deliver()
      },
      pause: (paused) => {
        ear.pause(paused)
        ear.deliver()
      }
    },
    flush: () => {},
    unwritten: () => 0,
    end: () => {
      for (let said = receiveMessageOnPort(messages); said !== undefined; said = receiveMessageOnPort(messages)) {
        receive(said.message)
      }
      ear.end()
      close()
    },
    close
  }
}
