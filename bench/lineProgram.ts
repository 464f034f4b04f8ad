/** A program that is asked by lines and answers by lines, one for one. It ends with the scope it was begun in. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as Readline from "node:readline"
import { Failed } from "./contestant.ts"

export interface LineProgram {
  /** The next line it says. */
  readonly hear: Effect.Effect<string, Failed>
  readonly ask: (line: string) => Effect.Effect<string, Failed>
}

/** Waits until a process has ended. */
export const ended = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
  })

export const start = (program: string, args: ReadonlyArray<string>): Effect.Effect<LineProgram, Failed, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] })),
      (child) =>
        Effect.suspend(() => {
          // The end of its input is its order to leave; whoever does not hear it has no manners to be minded.
          child.stdin.end()
          return ended(child)
        }).pipe(Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => Effect.sync(() => child.kill("SIGKILL")) }))
    )
    const said: Array<string> = []
    const waiting: Array<(line: Effect.Effect<string, Failed>) => void> = []
    let gone = false
    const failed = Effect.fail(new Failed({ detail: `${program} has ended` }))
    const over = (): void => {
      gone = true
      waiting.splice(0).forEach((resume) => resume(failed))
    }
    child.on("error", over)
    child.stdin.on("error", over)
    Readline.createInterface({ input: child.stdout }).on("line", (line) => {
      const waiter = waiting.shift()
      if (waiter === undefined) said.push(line)
      else waiter(Effect.succeed(line))
    }).once("close", over)
    const hear = Effect.callback<string, Failed>((resume) => {
      const line = said.shift()
      if (line !== undefined) return resume(Effect.succeed(line))
      if (gone) return resume(failed)
      waiting.push(resume)
      return Effect.sync(() => void waiting.splice(waiting.indexOf(resume), 1))
    })
    return {
      hear,
      ask: (line) =>
        Effect.suspend(() => {
          child.stdin.write(`${line}\n`)
          return hear
        })
    }
  })
