/** What the service answers over HTTP: how its workers are, and what can be done about it. */
import * as LifeRecord from "@effect-postmaster/core/LifeRecord"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import type { SharedMemory } from "@effect-postmaster/core/SharedMemory"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Books, CurrentFault, Fault } from "./shared.ts"
import { table } from "./table.ts"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { message: Schema.String }) {}

/** Every answer is text; what could not be done is told in a sentence. */
const answer = <E extends { readonly _tag: string; readonly message: string }, R>(
  text: Effect.Effect<string, E, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  text.pipe(
    Effect.map((text) => HttpServerResponse.text(`${text}\n`)),
    Effect.catch(({ _tag, message }) =>
      Effect.succeed(HttpServerResponse.text(`${message}\n`, { status: _tag === "NotFound" ? 404 : 409 }))
    )
  )

/** A worker that is replaced bears the name of its successor until that is ready: the older one comes first. */
const named = Effect.gen(function*() {
  const { name = "" } = yield* HttpRouter.params
  const [worker] = yield* (yield* Postmaster).find(name)
  return worker ?? (yield* new NotFound({ message: `no worker is called ${JSON.stringify(name)}` }))
})

const workers = Effect.gen(function*() {
  return table(yield* (yield* Postmaster).snapshot, yield* Clock.currentTimeMillis)
})

const pid = Effect.gen(function*() {
  const worker = yield* named
  return yield* Effect.mapError(
    Effect.fromOption(yield* worker.pid),
    () => new NotFound({ message: `${worker.name} does not run` })
  )
})

const history = Effect.gen(function*() {
  const lives = yield* (yield* named).history
  return lives.map((life) => `life ${life.life} (PID ${life.pid ?? "-"}) ${LifeRecord.format(life)}`).join("\n")
})

const resume = Effect.gen(function*() {
  const worker = yield* named
  yield* worker.resume
  return `${worker.name} is ${(yield* worker.status)._tag}`
})

const replace = Effect.gen(function*() {
  const successor = yield* (yield* named).replace
  return `${successor.name} is PID ${yield* successor.waitForReady} now`
})

const books = Effect.map(Books.get, ({ cents, imported }) => `${imported} orders, ${(cents / 100).toFixed(2)} EUR`)

const setFault = Effect.gen(function*() {
  const { fault } = yield* HttpRouter.params
  if (!Schema.is(Fault)(fault)) {
    return yield* new NotFound({ message: `it can ${Fault.literals.join(", ")}` })
  }
  yield* CurrentFault.set(fault)
  return `fault: ${fault}`
})

export const Routes = Layer.effectDiscard(Effect.gen(function*() {
  const router = yield* HttpRouter.HttpRouter
  const context = yield* Effect.context<Postmaster | SharedMemory>()
  const add = <E extends { readonly _tag: string; readonly message: string }>(
    method: "GET" | "POST",
    path: HttpRouter.PathInput,
    text: Effect.Effect<string, E, Postmaster | SharedMemory | HttpRouter.RouteContext>
  ) => router.add(method, path, Effect.provideContext(answer(text), context))
  yield* add("GET", "/workers", workers)
  yield* add("GET", "/books", books)
  yield* add("GET", "/pid/:name", Effect.map(pid, String))
  yield* add("GET", "/history/:name", history)
  yield* add("POST", "/resume/:name", resume)
  yield* add("POST", "/replace/:name", replace)
  yield* add("POST", "/fault/:fault", setFault)
}))
