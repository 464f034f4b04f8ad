/**
 * A worker that tells which program its process runs, where in its source it says so, and whether the modules it imports
 * know each other: `Trie` is no module of the bundle, and the options it gives are made by `Option`, which is one.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Trie from "effect/Trie"

const Probe = BackgroundWorker.make("probe", {
  entry: { module: new URL(import.meta.url) },
  args: Schema.Struct({ greeting: Schema.String })
})

export const main = BackgroundWorker.main(Probe, ({ greeting }) => {
  const found = Trie.get(Trie.make(["key", greeting]), "key")
  return Effect.logInfo(JSON.stringify({
    program: process.argv[1],
    line: /worker\.ts:(\d+):/.exec(new Error("here").stack ?? "")?.[1],
    greeting: Option.getOrUndefined(found),
    isOneCopy: Object.getPrototypeOf(found) === Object.getPrototypeOf(Option.some(greeting))
  }))
})
