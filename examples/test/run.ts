/** Runs an example as a user does: as a process of its own, from the sources. */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  /** Waits until stderr matches, and answers how; dies if the process ends first. */
  readonly says: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  readonly ended: Effect.Effect<Ended>
}

/** Starts an example; closing the scope kills what is left of it. */
export const start = (
  example: string,
  args: ReadonlyArray<string> = [],
  env: Readonly<Record<string, string>> = {}
) =>
  Effect.acquireRelease(
    Effect.sync((): Running => {
      const script = fileURLToPath(new URL(`../${example}/main.ts`, import.meta.url))
      const child = spawn(process.execPath, ["--conditions=@effect-postmaster/source", script, ...args], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...env }
      })
      let stdout = ""
      let stderr = ""
      child.stdout.on("data", (chunk: Buffer) => stdout += chunk)
      child.stderr.on("data", (chunk: Buffer) => stderr += chunk)
      const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })))
      return {
        child,
        says: (pattern) =>
          Effect.callback((resume) => {
            const look = () => {
              const match = pattern.exec(stderr)
              if (match !== null) resume(Effect.succeed(match))
            }
            child.stderr.on("data", look)
            void ended.then(() => resume(Effect.die(new Error(`ended before it said ${pattern}: ${stderr}`))))
            look()
            return Effect.sync(() => child.stderr.off("data", look))
          }),
        ended: Effect.promise(() => ended)
      }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

export const run = (example: string, args: ReadonlyArray<string> = [], env: Readonly<Record<string, string>> = {}) =>
  Effect.scoped(Effect.flatMap(start(example, args, env), ({ ended }) => ended))
