/**
 * Decides how what the kernel still holds for a stream is had at once, when its
 * writer is gone and the event loop has not come to it.
 *
 * Workers load this too, so there is no Effect here.
 *
 * @since 0.1.0
 */
import type { Readable } from "node:stream"
import { Fs } from "./fs.ts"

const chunkBytes = 64 * 1024

/**
 * Reads what the kernel still holds for this socket, past the event loop, and
 * returns whether that was the end: `false` while anybody else could write.
 */
export const readOut = (stream: Readable, onChunk: (chunk: Uint8Array) => void): boolean => {
  if (stream.readableEnded) return true
  const fd = (stream as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd
  // What the stream has read and nobody has taken comes first.
  if (fd === undefined || fd < 0 || stream.readableLength > 0) return false
  while (true) {
    const chunk = Buffer.allocUnsafe(chunkBytes)
    try {
      const bytes = Fs.readSync(fd, chunk)
      if (bytes === 0) return true
      onChunk(chunk.subarray(0, bytes))
    } catch (error) {
      // A peer that left unread bytes behind resets the connection, which is its end.
      return (error as NodeJS.ErrnoException).code === "ECONNRESET"
    }
  }
}
