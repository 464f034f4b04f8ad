/**
 * Lines that need a process of their own: for a heap of their own, a size of their own, or because it will be killed.
 * The program is the line's own file, called with its arguments as JSON; it answers with one line of JSON: what it has
 * found, or why it has found nothing.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { Failed } from "./contestant.ts"
import * as Ground from "./ground.ts"
import * as LineProgram from "./lineProgram.ts"

/** Leaves when its work is done, whatever a contestant has left open in this process. */
export const teardown: Runtime.Teardown = (exit) =>
  Runtime.defaultTeardown(exit, (code) => process.exit(code === 0 ? process.exitCode ?? 0 : code))

type Answer<A> = { readonly _tag: "Found"; readonly found: A } | { readonly _tag: "Failed"; readonly detail: string }

/** Starts a file of the bench as a program, and answers what it says first. */
export const call = <A>(
  file: string,
  argument: unknown,
  flags: ReadonlyArray<string> = []
): Effect.Effect<A, Failed, Scope.Scope> =>
  Effect.gen(function*() {
    const program = yield* LineProgram.start(process.execPath, [
      ...process.execArgv,
      ...flags,
      file,
      JSON.stringify(argument)
    ])
    const answer = JSON.parse(yield* program.hear) as Answer<A>
    return answer._tag === "Found" ? answer.found : yield* new Failed({ detail: answer.detail })
  })

const detailOf = (cause: Cause.Cause<Failed>): string =>
  cause.reasons.find(Cause.isFailReason)?.error.detail ?? Cause.pretty(cause)

/** The other side: says what comes of an effect and leaves, with everything it has started. */
export const run = <Argument, A>(
  program: (argument: Argument, say: (answer: A) => void) => Effect.Effect<void, Failed, Ground.Ground | Scope.Scope>
): void => {
  // Whoever has called us is gone, or has what it wants.
  process.stdin.once("end", () => process.kill(process.pid, "SIGTERM")).resume()
  const answer = (answer: Answer<A>): void => void process.stdout.write(`${JSON.stringify(answer)}\n`)
  Effect.suspend(() => program(JSON.parse(process.argv[2]!) as Argument, (found) => answer({ _tag: "Found", found })))
    .pipe(
      Effect.tapCause((cause) => Effect.sync(() => answer({ _tag: "Failed", detail: detailOf(cause) }))),
      Effect.scoped,
      Effect.provide(Ground.layer),
      Effect.provideService(Logger.CurrentLoggers, new Set()),
      NodeRuntime.runMain({ disableErrorReporting: true, teardown })
    )
}
