/**
 * Decides how a worker speaks: synchronously, so that what it said before it
 * left is said, and with bounds on text and patience.
 *
 * Every frame of a worker goes through here and none through the socket's own
 * queue: two writers on one descriptor would mix their bytes.
 *
 * @since 0.1.0
 */
import type { ExitError, ExitStatus } from "@effect-postmaster/core/ExitStatus"
import * as Fs from "node:fs"
import { channelFd, encodeToPostmaster, type ToPostmaster } from "./channel.ts"

/** Bytes of UTF-8 kept of an error's message; its stack gets the same. */
const maxTextBytes = 32 * 1024

/** How long a full channel is waited for. The postmaster reads it in bounded time or is gone. */
const patienceMillis = 2_000

const clip = (text: string): string => {
  const bytes = Buffer.from(text)
  if (bytes.length <= maxTextBytes) return text
  // The cut may fall inside a character; what is left of it decodes to U+FFFD.
  return bytes.subarray(0, maxTextBytes).toString().replace(/\uFFFD+$/, "") + "…"
}

const clipError = (error: ExitError): ExitError => ({
  kind: error.kind,
  message: clip(error.message),
  ...(error.stack === undefined ? undefined : { stack: clip(error.stack) })
})

const nap = new Int32Array(new SharedArrayBuffer(4))

/**
 * Writes one message and returns when the kernel has it. A postmaster that is
 * gone, or does not read, is no reason to throw: the worker is told by the end
 * of the channel.
 */
export const say = (message: ToPostmaster): void => {
  const bytes = encodeToPostmaster(message)
  let written = 0
  for (let waited = 0; written < bytes.length && waited < patienceMillis;) {
    try {
      written += Fs.writeSync(channelFd, bytes, written)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return
      Atomics.wait(nap, 0, 0, 1)
      waited++
    }
  }
}

/** Writes the worker's own verdict. Only an exit has words; the other statuses are what the postmaster sees. */
export const sayLastWords = (status: ExitStatus): void => {
  if (status._tag !== "Exited") return
  say({
    _tag: "LastWords",
    code: status.code,
    ...(status.error === undefined ? undefined : { error: clipError(status.error) })
  })
}
