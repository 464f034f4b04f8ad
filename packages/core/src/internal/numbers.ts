/**
 * How a number lies in bytes wherever our own messages have one: unsigned, 32
 * bits, little-endian. Cheaper than a `DataView` of each frame.
 */
export const putNumber = (into: Uint8Array, at: number, value: number): void => {
  into[at] = value
  into[at + 1] = value >>> 8
  into[at + 2] = value >>> 16
  into[at + 3] = value >>> 24
}

export const getNumber = (from: Uint8Array, at: number): number =>
  (from[at]! | from[at + 1]! << 8 | from[at + 2]! << 16 | from[at + 3]! << 24) >>> 0
