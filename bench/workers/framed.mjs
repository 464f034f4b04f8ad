/** The least that calls over a socket need: frames after their length, 32 bits, and one write for what is said at once. */

/** Frames up to this size are copied into one write. */
const gatherBytes = 16 * 1024

const headerBytes = 4

/**
 * @param {import("node:net").Socket} socket
 * @param {(body: Buffer) => void} onFrame
 * @returns {(body: Uint8Array) => void} sends a frame
 */
export const framed = (socket, onFrame) => {
  /** @type {Array<Buffer>} */
  let pieces = []
  let size = 0
  let wanted = headerBytes
  /** @type {Array<Uint8Array>} */
  let outgoing = []
  let hearing = false

  const flush = () => {
    if (outgoing.length === 0) return
    const due = outgoing
    outgoing = []
    socket.write(due.length === 1 ? /** @type {Uint8Array} */ (due[0]) : Buffer.concat(due))
  }

  socket.on("data", (/** @type {Buffer} */ chunk) => {
    pieces.push(chunk)
    size += chunk.length
    if (size < wanted) return
    const all = pieces.length === 1 ? chunk : Buffer.concat(pieces, size)
    let at = 0
    wanted = headerBytes
    hearing = true
    while (all.length - at >= headerBytes) {
      const length = all.readUInt32LE(at)
      const end = at + headerBytes + length
      if (end > all.length) {
        wanted = headerBytes + length
        break
      }
      onFrame(all.subarray(at + headerBytes, end))
      at = end
    }
    hearing = false
    pieces = at === all.length ? [] : [all.subarray(at)]
    size = all.length - at
    flush()
  })

  return (body) => {
    const copied = body.length <= gatherBytes
    const frame = Buffer.allocUnsafe(headerBytes + (copied ? body.length : 0))
    frame.writeUInt32LE(body.length)
    outgoing.push(frame)
    if (copied) frame.set(body, headerBytes)
    else {
      socket.cork()
      flush()
      socket.write(body)
      socket.uncork()
    }
    if (!hearing) flush()
  }
}
