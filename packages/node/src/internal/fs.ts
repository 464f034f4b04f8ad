/**
 * Decides how a worker gets at the file system: without the promises and the
 * streams that an import of `node:fs` loads with it, a tenth of all the time a
 * worker takes to start.
 *
 * @since 0.1.0
 */

export const Fs = process.getBuiltinModule("node:fs")
