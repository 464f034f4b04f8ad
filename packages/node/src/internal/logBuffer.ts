/**
 * Decides how much of a log may wait for its disk. What finds no room is
 * counted, and told in its place once there is room again.
 *
 * It is two buffers: lines go into one while the other is written. So the
 * memory has a bound that no line and no disk can move.
 *
 * @since 0.1.0
 */
import { newline } from "./lines.ts"

export interface LogBuffer {
  /** Adds a line, or counts it as lost; it is formatted only if there may be room. */
  readonly append: (format: () => string) => void
  /**
   * What waits, in whole lines, oldest first. It is the caller's until the next
   * call. `undefined`: nothing waits.
   */
  readonly take: () => Uint8Array | undefined
  /** What waits, without taking it, so that what was taken stays as it is; for the end of the process. */
  readonly last: () => Uint8Array
  readonly isEmpty: () => boolean
  /** From now on every line is lost. */
  readonly close: () => void
  /** How many lines have been lost. */
  readonly lost: () => number
}

/** At most `maxBytes` wait, half of them while they are written. `notice` is the line that tells of lost ones. */
export const makeLogBuffer = (maxBytes: number, notice: (lost: number) => string): LogBuffer => {
  // Memory that nothing was written to yet is not yet memory of the process.
  const make = (): Buffer => Buffer.allocUnsafeSlow(Math.floor(maxBytes / 2))
  let [filling, other] = [make(), make()]
  let filled = 0
  let lost = 0
  let untold = 0
  let closed = false

  const add = (format: () => string): "Added" | "Full" | "Unfit" => {
    try {
      const line = format()
      const bytes = Buffer.byteLength(line) + 1
      if (bytes > filling.length) return "Unfit"
      if (filled + bytes > filling.length) return "Full"
      filled += filling.write(line, filled)
      filling[filled++] = newline
      return "Added"
    } catch {
      // A formatter that throws costs its line and nothing else.
      return "Unfit"
    }
  }

  const take = (): Uint8Array | undefined => {
    if (filled === 0 && untold === 0) return undefined
    const taken = filling.subarray(0, filled)
    ;[filling, other] = [other, filling]
    filled = 0
    if (untold > 0) {
      const told = untold
      untold = 0
      add(() => notice(told))
    }
    return taken.length > 0 ? taken : take()
  }

  return {
    append: (format) => {
      // After one that found no room the next ones are lost too, even short ones, so that the notice is in their place.
      const outcome = closed || untold > 0 ? "Full" : add(format)
      if (outcome === "Added") return
      lost++
      if (outcome === "Full" || add(() => notice(1)) !== "Added") untold++
    },
    last: () => filling.subarray(0, filled),
    take,
    isEmpty: () => filled === 0 && untold === 0,
    close: () => {
      closed = true
    },
    lost: () => lost
  }
}
