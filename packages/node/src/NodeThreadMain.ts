/**
 * Decides how a thread carries a worker: the bootstrap that
 * `NodeSpawner.layerThread` starts for each. What the worker does with its life
 * is decided in `internal/farSide.ts`.
 *
 * It is a program, not a library: it exports nothing and acts when loaded.
 *
 * Everything comes on one message port, signals too: the operating system's are
 * the application's own. The port keeps an idle worker alive, and nothing of it
 * outlives the application. The data line is another port, and the output a third.
 *
 * @since 0.1.0
 */
import { workerData } from "node:worker_threads"
import { makeFarSide } from "./internal/farSide.ts"
import type { ThreadData } from "./internal/forkThread.ts"
import { openThreadLine } from "./internal/threadLine.ts"
import { writeThrough } from "./internal/threadOutput.ts"

const { channel, line, output } = workerData as ThreadData
writeThrough(output)

const { crash, hear, listen } = makeFarSide({
  send: (frame) => channel.postMessage(frame),
  // A port never waits.
  offer: (frame) => {
    channel.postMessage(frame)
    return true
  },
  openLine: openThreadLine(line),
  entitle: () => {}
})

process.on("uncaughtException", crash)
process.on("unhandledRejection", crash)
channel.on("message", hear)
listen()
