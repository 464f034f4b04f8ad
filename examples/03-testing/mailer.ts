/**
 * A worker as you would write it: sends letters, and is tried again half a
 * minute after a failure. Its program is an ordinary Effect function with its
 * services in its type, so that it can be tested without any worker.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

export class Refused extends Schema.TaggedError<Refused>()("Refused", { recipient: Schema.String }) {}

/** What carries the letters. */
export class MailServer extends Context.Service<MailServer, {
  readonly send: (recipient: string) => Effect.Effect<void, Refused>
}>()("examples/03-testing/MailServer") {
  static readonly layer = Layer.succeed(
    MailServer,
    MailServer.of({ send: (recipient) => Effect.logInfo(`a letter to ${recipient}`) })
  )
}

export const Mailer = BackgroundWorker.make("mailer", {
  entry: { module: new URL(import.meta.url) },
  args: Schema.Struct({ recipients: Schema.Array(Schema.NonEmptyString) }),
  restart: "30 seconds",
  stopTimeout: "5 seconds"
})

export const sendAll = Effect.fn("sendAll")(function*(args: typeof Mailer.args.Type) {
  const server = yield* MailServer
  yield* Effect.forEach(args.recipients, server.send, { discard: true })
})

export const main = BackgroundWorker.main(Mailer, sendAll, { layer: MailServer.layer })
