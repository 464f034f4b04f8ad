/** Effect's own way to a worker: `RpcClient` over `NodeWorker`, as it comes and as one bundled file. */
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RpcClient from "effect/rpc/RpcClient"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Worker } from "node:worker_threads"
import { type Contestant, failed, type Session } from "../contestant.ts"
import { Ground, label, worker } from "../ground.ts"
import { BenchRpcs } from "../workers/rpcs.mjs"

interface Options {
  readonly kind: "thread" | "process"
  readonly bundled?: boolean
}

const now = (): bigint => process.hrtime.bigint()

const contestant = ({ bundled = false, kind }: Options): Contestant => ({
  name: [`${label("effect")} RpcClient`, kind, ...(bundled ? ["bundled"] : [])].join(", "),
  rank: "peer",
  open: Effect.gen(function*() {
    const ground = yield* Ground
    const module = bundled ? yield* ground.bundled("rpc.mjs") : pathToFileURL(worker("rpc.mjs"))
    const start: Session["start"] = ({ spin, token }) =>
      Effect.gen(function*() {
        const askedAt = now()
        let last: ChildProcess | Worker | undefined
        const bear = () => (last = kind === "process" ? fork(fileURLToPath(module)) : new Worker(module))
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
        const client = yield* Effect.provideContext(RpcClient.make(BenchRpcs), services)
        const task = { token, spin, exit: false }
        if (spin) yield* Effect.forkScoped(Effect.ignore(client.Enter(task)))
        else yield* client.Enter(task)
        const crash = Effect.gen(function*() {
          const gone = Effect.callback<void>((resume) => void last?.once("exit", () => resume(Effect.void)))
          const at = now()
          if (last instanceof Worker) {
            yield* Effect.forkScoped(Effect.ignore(client.Enter({ ...task, exit: true })), { startImmediately: true })
          } else last?.kill("SIGKILL")
          // Earlier the next task would still go to the dying one.
          yield* gone
          yield* Effect.eventually(client.Enter(task))
          return at
        })
        return { askedAt, crash: Effect.mapError(Effect.scoped(crash), failed) }
      }).pipe(Effect.mapError(failed))
    return { settled: Effect.void, start }
  })
})

export const rpcThread = contestant({ kind: "thread" })
export const rpcProcess = contestant({ kind: "process" })
export const rpcProcessBundled = contestant({ kind: "process", bundled: true })
