/**
 * Decides how a stream of bytes is cut into frames. A frame is its length as an
 * unsigned 32-bit little-endian number, then that many bytes.
 *
 * Nothing here reads or writes: bytes go in, frames come out, and what is wrong
 * comes out as a sentence.
 *
 * @since 0.1.0
 */

/** How many bytes the length takes. */
export const headerBytes = 4

/** Writes the length of a frame's body. */
export const putHeader = (into: Uint8Array, at: number, bodyBytes: number): void => {
  into[at] = bodyBytes
  into[at + 1] = bodyBytes >>> 8
  into[at + 2] = bodyBytes >>> 16
  into[at + 3] = bodyBytes >>> 24
}

/**
 * Cuts a stream of bytes into frames. A frame that lies whole in one chunk is a
 * view of it; of any other every byte is copied once, and again when it outgrows
 * its room.
 */
export interface Deframer {
  /** Takes the next chunk, which is the deframer's from here on. Not before `next` has said that there is no more. */
  readonly push: (chunk: Uint8Array) => void
  /** Takes of these bytes, which stay the caller's, what the frame still lacks that has begun, and says how many these are. */
  readonly supply: (bytes: Uint8Array) => number
  /** The next frame, nothing if it has not arrived whole, or what is wrong; after that nothing must be asked any more. */
  readonly next: () => Uint8Array | string | undefined
  /** Whether a frame has begun and not ended. Holds when `next` has said that there is no more. */
  readonly isMidFrame: () => boolean
}

/** More of a frame is made room for when so much of it has come: four bytes of a stranger reserve little memory. */
const roomBytes = 2 * 1024 * 1024

const nothing = new Uint8Array(0)

export const makeDeframer = (maxBytes: number): Deframer => {
  let chunk: Uint8Array = nothing
  let at = 0
  /** What has arrived of a header that came in pieces. */
  let begun = 0
  let bodyBytes = 0
  /** Room for the body of a frame that comes in pieces, and how much of it has come; `undefined` between two frames. */
  let body: Uint8Array | undefined
  let arrived = 0

  const view = (size: number): Uint8Array => {
    const part = new Uint8Array(chunk.buffer, chunk.byteOffset + at, size)
    at += size
    return part
  }

  const supply = (bytes: Uint8Array): number => {
    if (body === undefined) return 0
    const part = Math.min(bytes.length, bodyBytes - arrived)
    if (arrived + part > body.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(bodyBytes, Math.max(2 * body.length, arrived + part)))
      larger.set(body)
      body = larger
    }
    body.set(part === bytes.length ? bytes : bytes.subarray(0, part), arrived)
    arrived += part
    return part
  }

  return {
    supply,
    isMidFrame: () => begun > 0 || body !== undefined,
    push: (next) => {
      chunk = next
      at = 0
    },
    next: () => {
      if (body === undefined) {
        while (begun < headerBytes) {
          if (at === chunk.length) {
            chunk = nothing
            at = 0
            return undefined
          }
          bodyBytes = begun === 0 ? chunk[at++]! : (bodyBytes | chunk[at++]! << 8 * begun) >>> 0
          begun++
        }
        if (bodyBytes > maxBytes) return `a frame of ${bodyBytes} bytes, and ${maxBytes} are allowed`
        begun = 0
        if (bodyBytes <= chunk.length - at) return view(bodyBytes)
        // Of its own, and not cleared first: all of it is written before it is seen.
        body = Buffer.allocUnsafeSlow(Math.min(bodyBytes, roomBytes))
        arrived = 0
      }
      at += supply(chunk.subarray(at))
      if (arrived < bodyBytes) {
        chunk = nothing
        at = 0
        return undefined
      }
      const whole = body
      body = undefined
      return whole
    }
  }
}
