/**
 * Decides how calls that come in are answered, and when an answer waits: one
 * server for all who call over lines of this process. A worker has one such
 * line, a postmaster one to each worker.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import type { FromClientEncoded, FromServerEncoded } from "effect/rpc/RpcMessage"
import * as RpcServer from "effect/rpc/RpcServer"
import type * as Scope from "effect/Scope"
import { type Outgoing, sizeOf, whole } from "../FramePort.ts"
import { around, codecFor } from "./rpcCodec.ts"
import * as Wire from "./wire.ts"

/** Somebody who calls. */
export interface Client {
  /** What handlers are told of who calls (`ServerClient.id`). */
  readonly id: number
  readonly receive: (message: Wire.FromCaller) => void
  /** The line takes more again. */
  readonly drain: () => void
  /** Nobody is there to be answered any more: what was called is interrupted. */
  readonly disconnect: () => void
}

export interface Callee {
  /** Takes calls from a line; `send` is as `FramePort.send`. */
  readonly connect: (send: (frame: Outgoing) => boolean) => Client
}

interface Line {
  readonly send: (frame: Outgoing) => boolean
  full: boolean
  readonly waiting: Set<() => void>
}

/**
 * Serves the group until the scope closes. Calls that are still at work then
 * are interrupted and not answered: the end of this side is the answer.
 */
export const make = Effect.fnUntraced(function*<Rpcs extends Rpc.Any>(
  group: RpcGroup.RpcGroup<Rpcs>,
  options?: { readonly concurrency?: number | "unbounded" | undefined; readonly disableTracing?: boolean | undefined }
): Effect.fn.Return<
  Callee,
  never,
  Scope.Scope | Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs> | Rpc.ServicesServer<Rpcs>
> {
  const lines = new Map<number, Line>()
  const disconnects = yield* Queue.unbounded<number>()
  let lastClient = 0
  let hear: (client: number, message: FromClientEncoded) => void = () => {}
  const hears = Deferred.makeUnsafe<void>()

  const put = (line: Line, frame: Outgoing): Effect.Effect<void> =>
    Effect.suspend(() => {
      const size = sizeOf(frame)
      if (size > Wire.maxMessageBytes) {
        return Effect.die(
          new Error(
            `an answer has ${size} bytes, and ${Wire.maxMessageBytes} are allowed; ` +
              "what a stream produces at once is one answer (Stream.rechunk)"
          )
        )
      }
      // What is lent for this turn is kept from here on.
      if (line.full) return Effect.andThen(untilDrained(line), put(line, whole(frame)))
      line.full = !line.send(frame)
      return Effect.void
    })

  const send = (client: number, message: FromServerEncoded): Effect.Effect<void> => {
    const line = lines.get(client)
    if (line === undefined) return Effect.void
    switch (message._tag) {
      case "Chunk":
        return put(
          line,
          around(message.values, (values) => Wire.encode({ _tag: "Chunk", id: Number(message.requestId), values }))
        )
      case "Exit":
        return put(
          line,
          around(message.exit, (exit) => Wire.encode({ _tag: "Exit", id: Number(message.requestId), exit }))
        )
      default:
        // Whatever else a server may say has no call that it belongs to.
        return Effect.die(new Error(`a call could not be answered: ${JSON.stringify(message)}`))
    }
  }

  const protocol = RpcServer.Protocol.of({
    run: (f) =>
      Effect.flatMap(Effect.context<never>(), (context) => {
        const fork = Effect.runForkWith(context)
        hear = (client, message) => void fork(f(client, message))
        return Effect.andThen(Deferred.succeed(hears, undefined), Effect.never)
      }),
    disconnects,
    send,
    end: () => Effect.void,
    clientIds: Effect.sync(() => new Set(lines.keys())),
    initialMessage: Effect.succeedNone,
    supportsAck: true,
    supportsTransferables: false,
    supportsSpanPropagation: true,
    supportsNotifications: false,
    codecFor
  })

  yield* Effect.forkScoped(
    Effect.provideService(
      // A call that dies is the caller's to know, and nobody else's.
      RpcServer.make(group, { ...options, disableFatalDefects: true }),
      RpcServer.Protocol,
      protocol
    ),
    { startImmediately: true }
  )
  // Before the server interrupts what is at work.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const line of lines.values()) wake(line)
      lines.clear()
    })
  )

  // Whatever came before would be heard by nobody.
  yield* Deferred.await(hears)
  return {
    connect: (to) => {
      const client = lastClient++
      const line: Line = { send: to, full: false, waiting: new Set() }
      lines.set(client, line)
      return {
        id: client,
        receive: (message) => hear(client, toEncoded(message)),
        drain: () => wake(line),
        disconnect: () => {
          lines.delete(client)
          wake(line)
          Queue.offerUnsafe(disconnects, client)
        }
      }
    }
  }
})

const wake = (line: Line): void => {
  line.full = false
  for (const go of [...line.waiting]) go()
}

const untilDrained = (line: Line): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // It may have been drained on the way here.
    if (!line.full) return resume(Effect.void)
    const go = (): void => {
      line.waiting.delete(go)
      resume(Effect.void)
    }
    line.waiting.add(go)
    return Effect.sync(() => line.waiting.delete(go))
  })

const toEncoded = (message: Wire.FromCaller): FromClientEncoded => {
  switch (message._tag) {
    case "Request":
      return {
        _tag: "Request",
        id: message.id,
        tag: message.tag,
        payload: message.payload,
        headers: message.headers as ReadonlyArray<[string, string]>,
        ...(message.discard ? { discard: true } : undefined),
        ...message.trace
      }
    case "Ack":
    case "Interrupt":
      return { _tag: message._tag, requestId: message.id }
  }
}
