/** The tasks of the pools. */
import { sign } from "./sign.mjs"

/** @param {{ readonly token: string, readonly spin: boolean, readonly exit: boolean }} task */
export const task = ({ exit, spin, token }) => {
  if (exit) process.exit(1)
  sign("entered", token)
  if (spin) { for (;;); }
  // Workers have timers of their own, and live as long as these.
  setInterval(() => {}, 1_000_000)
}

export default task

/**
 * Gives back what it is given.
 *
 * @param {unknown} value
 */
export const echo = (value) => value
