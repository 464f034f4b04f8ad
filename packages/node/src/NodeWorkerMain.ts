/**
 * Decides how a process carries a worker: the bootstrap that `NodeSpawner`
 * starts for each. What the worker does with its life is decided in
 * `internal/farSide.ts`.
 *
 * It is a program, not a library: it exports nothing and acts when loaded. It
 * imports by deep paths only, since every worker pays for what it loads.
 *
 * - It speaks on file descriptor 3, synchronously, so that what it said before
 *   it left is said.
 * - It hears signals on the channel and from the operating system alike. SIGINT
 *   is ignored: the terminal's interrupt is the postmaster's affair.
 * - Its data line is file descriptor 4, opened when the program asks for it.
 * - When descriptor 3 ends, the postmaster is gone, and the whole process group
 *   ends by SIGKILL.
 *
 * @since 0.1.0
 */
import * as Net from "node:net"
import { channelFd } from "./internal/channel.ts"
import { makeFarSide } from "./internal/farSide.ts"
import { Fs } from "./internal/fs.ts"
import { lineFd } from "./internal/line.ts"
import { signalGroup } from "./internal/processGroup.ts"
import { openSocketLine } from "./internal/socketLine.ts"

/** How long a full channel is waited for. The postmaster reads it in bounded time or is gone. */
const patienceMillis = 2_000

const nap = new Int32Array(new SharedArrayBuffer(4))

/**
 * Every frame goes through here and none through the socket's own queue: two
 * writers on one descriptor would mix their bytes. A postmaster that is gone, or
 * does not read, is no reason to throw: the end of the channel will tell.
 */
const send = (frame: Uint8Array): void => {
  let written = 0
  for (let waited = 0; written < frame.length && waited < patienceMillis;) {
    try {
      written += Fs.writeSync(channelFd, frame, written)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return
      Atomics.wait(nap, 0, 0, 1)
      waited++
    }
  }
}

/** Whole or not at all: what is begun must be ended before anything else is said. */
const offer = (frame: Uint8Array): boolean => {
  let written = 0
  try {
    written = Fs.writeSync(channelFd, frame)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EAGAIN"
  }
  if (written < frame.length) send(frame.subarray(written))
  return true
}

const { crash, flush, hear, listen, orphan, signals, spoken } = makeFarSide({
  send,
  openLine: (broken) =>
    openSocketLine((onread) => new Net.Socket({ fd: lineFd, readable: true, writable: true, onread }))(broken),
  offer,
  entitle: (title) => {
    process.title = title
  }
})

/**
 * Ends with everything this worker has started. The group named by our own
 * process id is ours or does not exist: nobody else can ever have made it.
 */
const orphaned = (): void => {
  orphan()
  try {
    process.kill(-process.pid, "SIGKILL")
  } catch {
    process.exit(2)
  }
}

/**
 * Output is written to the end even if the program leaves by `process.exit` in
 * the same breath: on a socket Node would queue it and lose the queue. The
 * postmaster always reads, so no write waits for long.
 */
const writeAtOnce = (stream: NodeJS.WriteStream): void => {
  const handle = (stream as { readonly _handle?: { readonly setBlocking?: (blocking: boolean) => void } })._handle
  handle?.setBlocking?.(true)
}
writeAtOnce(process.stdout)
writeAtOnce(process.stderr)

// Takes along what it has started, should nobody be left to do it. The last words
// are believed, whatever this looks like from outside.
process.on("exit", (code) => {
  flush()
  if (spoken() === code) signalGroup(process.pid, "SIGKILL")
})

// The order matters: handlers, then the channel, then Listening. Once the
// postmaster has read Listening, no signal of its own meets a default action.
process.on("uncaughtException", crash)
process.on("unhandledRejection", crash)
process.on("SIGINT", () => {})
for (const [signal, handler] of Object.entries(signals)) process.on(signal, handler)
// A reader of our output that is gone is no reason to crash: the end of fd 3 will tell.
process.stdout.on("error", () => {})
process.stderr.on("error", () => {})

// The socket stays referenced: it is what keeps an idle worker alive.
const channel = new Net.Socket({ fd: channelFd, readable: true, writable: false })
channel.on("data", hear)
channel.on("end", orphaned)
channel.on("error", orphaned)
channel.on("close", orphaned)
listen()
