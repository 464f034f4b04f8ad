/**
 * How a worker says that it runs, whoever bore it. Plain JavaScript, so that a contestant that needs no types pays for
 * none.
 */
import { closeSync, constants, openSync, writeSync } from "node:fs"

/**
 * The clock is read first: neither the writing nor the way to the bench is part of any figure. The descriptor is not
 * kept, so that it keeps nobody alive, and a reader that is gone is an error and no wait.
 *
 * @param {"entered" | "leaving"} kind
 * @param {string} token
 */
export const sign = (kind, token) => {
  const at = process.hrtime.bigint()
  const fifo = openSync(/** @type {string} */ (process.env.BENCH_SIGNS), constants.O_WRONLY | constants.O_NONBLOCK)
  writeSync(fifo, `${kind} ${token} ${process.pid} ${at}\n`)
  closeSync(fifo)
}
