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
 * view of it, and otherwise every byte is copied once; twice, if it came in a
 * small piece of a large frame.
 */
export interface Deframer {
  /** Takes the next chunk, which is the deframer's from here on. Not before `next` has said that there is no more. */
  readonly push: (chunk: Uint8Array) => void
  /** The next frame, nothing if it has not arrived whole, or what is wrong; after that nothing must be asked any more. */
  readonly next: () => Uint8Array | string | undefined
  /** Whether a frame has begun and not ended. Holds when `next` has said that there is no more. */
  readonly isMidFrame: () => boolean
}

/** Smaller pieces are gathered: each would cost more to hold than it holds. */
const pieceBytes = 4 * 1024

const nothing = new Uint8Array(0)

export const makeDeframer = (maxBytes: number): Deframer => {
  let chunk: Uint8Array = nothing
  let at = 0
  /** What has arrived of a header that came in pieces. */
  let begun = 0
  let bodyBytes = 0
  /** The body of a frame that came in pieces; `undefined` between two frames. */
  let body: Pieces | undefined

  const view = (size: number): Uint8Array => {
    const part = new Uint8Array(chunk.buffer, chunk.byteOffset + at, size)
    at += size
    return part
  }

  return {
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
        body = makePieces()
      }
      const left = chunk.length - at
      const missing = bodyBytes - body.size()
      body.add(view(Math.min(left, missing)))
      if (left < missing) {
        chunk = nothing
        at = 0
        return undefined
      }
      const whole = body.join()
      body = undefined
      return whole
    }
  }
}

/**
 * Pieces of a whole that is still to come. They take what has arrived and not
 * what was announced: four bytes of a stranger reserve no memory.
 */
interface Pieces {
  readonly add: (piece: Uint8Array) => void
  readonly size: () => number
  readonly join: () => Uint8Array
}

const makePieces = (): Pieces => {
  const pieces: Array<Uint8Array> = []
  /** Where small pieces are gathered, and how many bytes of it are full. */
  let tray: Uint8Array | undefined
  let full = 0
  let size = 0
  const empty = (): void => {
    if (full > 0) pieces.push(tray!.subarray(0, full))
    tray = undefined
    full = 0
  }
  return {
    size: () => size,
    add: (piece) => {
      if (piece.length === 0) return
      size += piece.length
      if (piece.length >= pieceBytes) {
        empty()
        pieces.push(piece)
        return
      }
      tray ??= new Uint8Array(2 * pieceBytes)
      tray.set(piece, full)
      full += piece.length
      if (full > pieceBytes) empty()
    },
    join: () => {
      empty()
      // Of its own, and not cleared first: all of it is written below.
      const whole = Buffer.allocUnsafeSlow(size)
      let at = 0
      for (const piece of pieces) {
        whole.set(piece, at)
        at += piece.length
      }
      return whole
    }
  }
}
