/**
 * Decides what tells two states of a file apart.
 *
 * @since 0.1.0
 */
import { Fs } from "./fs.ts"

/** A file that cannot be looked at is in a state, too: the reason why. */
export const stamp = (file: string): string => {
  try {
    const { ino, mtimeNs, size } = Fs.statSync(file, { bigint: true })
    return `${ino}:${size}:${mtimeNs}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}
