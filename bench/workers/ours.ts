/** Our worker, and how the bench defines it: plain TypeScript as it stands, or bundled beforehand. */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { sign } from "./sign.mjs"

export const define = (options: {
  readonly module: URL
  readonly restartMillis: number
  readonly heartbeatMillis?: number | undefined
}) =>
  BackgroundWorker.make("bench", {
    entry: { module: options.module },
    args: Schema.Struct({ token: Schema.String, spin: Schema.Boolean }),
    restart: options.restartMillis,
    heartbeat: options.heartbeatMillis
  })

export const main = BackgroundWorker.main(
  define({ module: new URL(import.meta.url), restartMillis: 0 }),
  ({ spin, token }) =>
    Effect.suspend(() => {
      sign("entered", token)
      process.on("SIGUSR2", () => {
        sign("leaving", token)
        process.exit(1)
      })
      if (spin) { for (;;); }
      return Effect.never
    })
)
