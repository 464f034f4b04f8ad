/**
 * Decides how a process is started, whoever starts it: as the leader of a
 * session and group of its own, with pipes for its output, its channel and its
 * data line.
 *
 * The launcher loads this too, so there is no Effect here.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"

/** A program and its surroundings. */
export interface ForkOrder {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly umask: number
}

/** Why something could not be started, in words. */
export const words = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** Starts it, or says at once or later in words why that is impossible; then there is no pid. */
export const startGroup = (
  order: ForkOrder,
  failed: (detail: string) => void
): ChildProcess.ChildProcess | undefined => {
  try {
    const child = ChildProcess.spawn(order.file, order.args, {
      stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"],
      detached: true,
      env: order.env,
      cwd: order.cwd
    })
    // Stays for good: a refused signal is an error event too, and nobody's end.
    child.on("error", (cause) => {
      if (child.pid === undefined) failed(words(cause))
    })
    return child
  } catch (cause) {
    failed(words(cause))
    return undefined
  }
}
