/**
 * Decides what a worker says of itself before it leaves, within bounds.
 *
 * @since 0.1.0
 */
import type { ExitError, ExitStatus } from "@effect-postmaster/core/ExitStatus"
import type { ToPostmaster } from "./channel.ts"

/** Bytes of UTF-8 kept of an error's message; its stack gets the same. */
const maxTextBytes = 32 * 1024

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

/** The worker's own verdict. Only an exit has words; the other statuses are what the postmaster sees. */
export const lastWords = (status: ExitStatus): ToPostmaster | undefined =>
  status._tag !== "Exited" ? undefined : {
    _tag: "LastWords",
    code: status.code,
    ...(status.error === undefined ? undefined : { error: clipError(status.error) }),
    ...(status.outcome === undefined ? undefined : { outcome: status.outcome })
  }
