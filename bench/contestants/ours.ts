/** Our postmaster with workers as processes: cold or from a warm spare, from a bundled entry or from TypeScript. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { WorkerHandle } from "@effect-postmaster/core/WorkerHandle"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { pathToFileURL } from "node:url"
import { type Contestant, Failed, failed, type Job, type Session } from "../contestant.ts"
import { Ground, worker } from "../ground.ts"
import { define } from "../workers/ours.ts"

export interface Options {
  readonly entry: "bundled" | "TypeScript"
  /** How many spares stand ready; without any, births are cold. */
  readonly spares?: number
  readonly launcher?: boolean
}

const now = (): bigint => process.hrtime.bigint()

export const ours = (options: Options): Contestant => ({
  name: [
    "ours",
    options.spares ? "spare" : "cold",
    options.entry,
    ...(options.launcher === false ? ["no launcher"] : [])
  ].join(", "),
  rank: "ours",
  open: Effect.gen(function*() {
    const { bundled, signs } = yield* Ground
    const file = "ours.ts"
    const module = options.entry === "bundled" ? yield* bundled(file) : pathToFileURL(worker(file))
    const services = yield* Layer.build(
      Postmaster.layer().pipe(Layer.provide([
        NodeSpawner.layerWith({ launcher: options.launcher ?? true }),
        // As many as any line bears at once, and the one that S13 bears before them.
        PostmasterConfig.layer({ maxWorkers: 65, spares: options.spares ?? 0 })
      ]))
    ).pipe(Effect.mapError(failed))
    const session = open(Context.get(services, Postmaster), module, options.spares ?? 0)
    // A spare imports what had been registered before it was born: one life teaches those to come.
    if (options.spares) {
      yield* Effect.scoped(Effect.gen(function*() {
        yield* session.start({ token: "first", spin: false, restartMillis: 0 })
        yield* signs.next("entered", "first")
      }))
    }
    return session
  })
})

const open = (postmaster: Postmaster["Service"], module: URL, spares: number): Session => {
  const settled: Effect.Effect<void, Failed> = Effect.gen(function*() {
    while ((yield* postmaster.snapshot).spares.filter(({ state }) => state === "Ready").length < spares) {
      yield* Effect.sleep("5 millis")
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: "30 seconds",
      orElse: () => Effect.fail(new Failed({ detail: `no ${spares} spares within 30 seconds` }))
    })
  )
  // An application defines its workers once.
  const definitions = new Map<string, ReturnType<typeof define>>()
  const definitionOf = ({ heartbeatMillis, restartMillis }: Job) => {
    const key = `${restartMillis} ${heartbeatMillis}`
    const known = definitions.get(key) ?? define({ module, restartMillis, heartbeatMillis })
    definitions.set(key, known)
    return known
  }
  const start: Session["start"] = (job) =>
    Effect.gen(function*() {
      yield* settled
      const { spin, token } = job
      const definition = definitionOf(job)
      const askedAt = now()
      const handle = yield* postmaster.register(definition, { token, spin })
      yield* handle.waitForStartup
      const startedAt = now()
      yield* Effect.addFinalizer(() => Effect.andThen(end(handle, spin), Effect.ignore(handle.waitForEnd)))
      return { askedAt, startedAt, ...(yield* follow(handle)) }
    }).pipe(Effect.mapError(failed))
  return { settled, start }
}

/** A worker that never returns to its event loop would make us wait for its whole `stopTimeout`. */
const end = (handle: WorkerHandle, spin: boolean) =>
  Effect.gen(function*() {
    const pid = yield* handle.pid
    yield* handle.terminate
    if (spin && Option.isSome(pid)) process.kill(pid.value, "SIGKILL")
  })

const follow = Effect.fnUntraced(function*(handle: WorkerHandle) {
  const starts = yield* Queue.unbounded<bigint>()
  const deaths = yield* Queue.unbounded<bigint>()
  let down = false
  yield* handle.statuses.pipe(
    Stream.runForEach((status) =>
      Effect.sync(() => {
        const at = now()
        if (status._tag === "Stopped") Queue.offerUnsafe(deaths, at)
        else if (status._tag === "Started" && down) Queue.offerUnsafe(starts, at)
        down = status._tag === "Stopped"
      })
    ),
    Effect.ignore,
    Effect.forkScoped
  )
  const strike = (signal: "SIGKILL" | "SIGSTOP") =>
    Effect.map(handle.pid, (pid) => {
      const at = now()
      process.kill(Option.getOrThrow(pid), signal)
      return at
    })
  return {
    crash: strike("SIGKILL"),
    freeze: strike("SIGSTOP"),
    nextDeath: Queue.take(deaths),
    nextStart: Queue.take(starts)
  }
})
