import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { run } from "./run.ts"

describe("01-hello", () => {
  it.live("greets from the process that the application has named", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* run("01-hello")
      const named = /hello is process (\d+)/.exec(stdout)?.[1]
      const greeted = /hello, world, from process (\d+)/.exec(stdout)?.[1]
      assert.isDefined(named)
      assert.strictEqual(greeted, named)
      assert.strictEqual(code, 0)
    }), 30_000)
})
