/** Who can be called: ours on each spawner, what Node itself offers, and Effect's own `RpcClient`. */
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import type { Spawner } from "@effect-postmaster/core/Spawner"
import * as SpawnerFiber from "@effect-postmaster/core/SpawnerFiber"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcClient from "effect/rpc/RpcClient"
import * as RpcGroup from "effect/rpc/RpcGroup"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork, spawn } from "node:child_process"
import type { Socket } from "node:net"
import { Worker } from "node:worker_threads"
import { type Callable, fromCallback, fromEffect } from "../calling.ts"
import { failed } from "../contestant.ts"
import { label, worker } from "../ground.ts"
import { ended } from "../lineProgram.ts"
import { Called } from "../workers/called.ts"
import { Bytes, Moved, Text } from "../workers/echoRpcs.mjs"
import { framed } from "../workers/framed.mjs"

// -----------------------------------------------------------------------------
// ours
// -----------------------------------------------------------------------------

const ours = (kind: string, spawner: Layer.Layer<Spawner>): Callable => ({
  name: `ours, ${kind}`,
  rank: "ours",
  open: Effect.gen(function*() {
    const services = yield* Layer.build(Postmaster.layer().pipe(Layer.provide([spawner, PostmasterConfig.layer({})])))
    const registered = yield* Context.get(services, Postmaster).register(Called)
    const client = yield* registered.client
    return fromEffect({ text: (text) => client.Text({ text }), bytes: (bytes) => client.Bytes({ bytes }) })
  }).pipe(Effect.mapError(failed))
})

export const oursProcess = ours("process", NodeSpawner.layer)
export const oursThread = ours("thread", NodeSpawner.layerThread)
export const oursFiber = ours("fiber", SpawnerFiber.layer)

// -----------------------------------------------------------------------------
// Node itself
// -----------------------------------------------------------------------------

const file = worker("echo.mjs")

const bear = (spawned: () => ChildProcess): Effect.Effect<ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(spawned),
    (child) =>
      Effect.suspend(() => {
        child.kill("SIGKILL")
        return ended(child)
      })
  )

/** Answers come in the order of the questions, so that none needs a number. */
const inOrder = () => {
  const waiting: Array<(answer: unknown) => void> = []
  return {
    ask: (answered: (answer: unknown) => void): void => void waiting.push(answered),
    answer: (answer: unknown): void => waiting.shift()?.(answer)
  }
}

export const socket: Callable = {
  name: "Unix socket",
  rank: "floor",
  open: Effect.gen(function*() {
    const child = yield* bear(() =>
      spawn(process.execPath, [file, "socket"], { stdio: ["ignore", "inherit", "inherit", "pipe"] })
    )
    const { answer, ask } = inOrder()
    const send = framed(child.stdio[3] as Socket, answer)
    return fromCallback((payload, answered) => {
      const isText = typeof payload === "string"
      ask(isText ? (bytes) => answered((bytes as Buffer).toString("utf8")) : answered)
      send(isText ? Buffer.from(payload) : payload)
    })
  })
}

export const send: Callable = {
  name: "fork, advanced",
  rank: "peer",
  open: Effect.gen(function*() {
    const child = yield* bear(() => fork(file, { serialization: "advanced" }))
    const { answer, ask } = inOrder()
    child.on("message", answer)
    return fromCallback((payload, answered, failed) => {
      ask(answered)
      child.send(payload, (error) => error === null || failed(error))
    })
  })
}

// -----------------------------------------------------------------------------
// Effect's own
// -----------------------------------------------------------------------------

const EchoRpcs = RpcGroup.make(Text, Bytes, Moved)

const rpc = (kind: "thread" | "process", transferable: boolean): Callable => ({
  name: [`${label("effect")} RpcClient`, kind, ...(transferable ? ["Transferable"] : [])].join(", "),
  rank: "peer",
  open: Effect.gen(function*() {
    const path = worker("rpcEcho.mjs")
    let last: ChildProcess | Worker | undefined
    const bear = () =>
      last = kind === "thread" ? new Worker(path) : fork(path, transferable ? { serialization: "advanced" } : {})
    const services = yield* Layer.build(
      RpcClient.layerProtocolWorker({ size: 1 }).pipe(Layer.provide(NodeWorker.layer(bear)))
    )
    // The closing of a worker that is told to stop takes up to five seconds; nothing here depends on its manners.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (last instanceof Worker) void last.terminate()
        else last?.kill("SIGKILL")
      })
    )
    const client = yield* Effect.provideContext(RpcClient.make(EchoRpcs), services)
    if (!transferable) {
      return fromEffect({ text: (text) => client.Text({ text }), bytes: (bytes) => client.Bytes({ bytes }) })
    }
    // What has been moved is gone, so that what comes back goes out again.
    let own: Uint8Array<ArrayBuffer> | undefined
    return fromEffect({
      bytes: (bytes) =>
        Effect.suspend(() => client.Moved({ bytes: own ?? new Uint8Array(bytes) })).pipe(
          Effect.tap((answer) => Effect.sync(() => own = answer))
        )
    })
  }).pipe(Effect.mapError(failed))
})

export const rpcThread = rpc("thread", false)
export const rpcProcess = rpc("process", false)
export const rpcThreadMoved = rpc("thread", true)
export const rpcProcessMoved = rpc("process", true)
