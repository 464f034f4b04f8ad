/**
 * Decides how a stream of bytes becomes lines, whatever the bytes are and
 * wherever the chunks end.
 *
 * @since 0.1.0
 */

/** The longest line, in bytes. A longer one is broken into pieces, so that no worker can fill our memory. */
export const maxLineBytes = 64 * 1024

export interface LineSplitter {
  /** The lines that `chunk` completes, without their line breaks. */
  readonly push: (chunk: Uint8Array) => ReadonlyArray<string>
  /** The last line, if the stream did not end with a line break. */
  readonly end: () => ReadonlyArray<string>
}

export const newline = 0x0a
const carriageReturn = 0x0d

/** Where to cut so that no character of UTF-8 is torn; a run of continuation bytes is no character and may be. */
const cutPoint = (bytes: Uint8Array): number => {
  let at = maxLineBytes
  for (let back = 0; back < 3 && (bytes[at]! & 0xc0) === 0x80; back++) at--
  return (bytes[at]! & 0xc0) === 0x80 ? maxLineBytes : at
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()

/** Bytes are joined before they are decoded, so a character on the border of two chunks is whole. */
export const makeLineSplitter = (): LineSplitter => {
  let parts: Array<Uint8Array> = []
  let size = 0

  const take = (): Uint8Array => {
    const line = parts.length === 1 ? parts[0]! : Buffer.concat(parts, size)
    parts = []
    size = 0
    return line
  }
  const keep = (bytes: Uint8Array): void => {
    if (bytes.length === 0) return
    parts.push(bytes)
    size += bytes.length
  }
  /** Breaks what is kept until it is short enough; the rest is kept on. */
  const breakUp = (lines: Array<string>): void => {
    if (size <= maxLineBytes) return
    let rest = take()
    while (rest.length > maxLineBytes) {
      const cut = cutPoint(rest)
      lines.push(text(rest.subarray(0, cut)))
      rest = rest.subarray(cut)
    }
    keep(rest)
  }
  const finish = (lines: Array<string>): void => {
    breakUp(lines)
    const line = take()
    lines.push(text(line.at(-1) === carriageReturn ? line.subarray(0, -1) : line))
  }

  return {
    push: (chunk) => {
      const lines: Array<string> = []
      let from = 0
      for (let to = chunk.indexOf(newline); to >= 0; to = chunk.indexOf(newline, from)) {
        keep(chunk.subarray(from, to))
        finish(lines)
        from = to + 1
      }
      keep(chunk.subarray(from))
      breakUp(lines)
      return lines
    },
    end: () => {
      if (size === 0) return []
      const lines: Array<string> = []
      finish(lines)
      return lines
    }
  }
}
