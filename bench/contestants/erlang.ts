/** Erlang/OTP, where it is installed: a supervisor with processes of its own machine (`erlang/bench.escript`). */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { Absent, type Failed } from "../contestant.ts"
import { onPath } from "../ground.ts"
import * as LineProgram from "../lineProgram.ts"

const escript = onPath("escript")

/** The version is the name of a folder. */
const release = (program: string): string => {
  try {
    return readdirSync(join(dirname(dirname(program)), "releases")).find((name) => /^\d+$/.test(name)) ?? ""
  } catch {
    return ""
  }
}

export const name = `Erlang/OTP ${escript === undefined ? "" : release(escript)}`.trim()

/** How long it takes to start one, to replace one that was killed, to start 64: milliseconds, the median of many. */
type Ask = (what: "start" | "crash" | "many") => Effect.Effect<number, Failed>

export const open: Effect.Effect<Ask, Absent | Failed, Scope.Scope> = Effect.gen(function*() {
  if (escript === undefined) {
    return yield* new Absent({ reason: "there is no escript on the PATH (apt-get install erlang-base)" })
  }
  const script = yield* LineProgram.start(escript, [join(import.meta.dirname, "..", "erlang", "bench.escript")])
  return (what) => Effect.map(script.ask(what), (nanoseconds) => Number(nanoseconds) / 1e6)
})
