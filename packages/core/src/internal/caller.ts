/**
 * The calling side of a line: clients that share it, each bound to the life of
 * who is called.
 *
 * Ownership: a call lives from its request to its exit; whoever holds the line
 * says when the other side has ended, and that ends all of them.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Rpc from "effect/rpc/Rpc"
import { exitSchema } from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import type { FromClient, FromServer } from "effect/rpc/RpcMessage"
import { RequestId } from "effect/rpc/RpcMessage"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { maxFrameBytes } from "../FramePort.ts"
import { codecFor } from "./rpcCodec.ts"
import * as Wire from "./wire.ts"

/** The calling side of a line on which calls can fail with `E` beside their own errors. */
export interface Caller<E> {
  /** Closing the scope interrupts the calls that were made with it, and no others. */
  readonly client: <Rpcs extends Rpc.Any>(
    group: RpcGroup.RpcGroup<Rpcs>,
    spanAttributes: Readonly<Record<string, unknown>>
  ) => Effect.Effect<RpcClient.RpcClient<Rpcs, E>, never, Scope.Scope | Rpc.MiddlewareClient<Rpcs>>
  readonly receive: (message: Wire.FromCallee) => void
  /** The line takes more again. */
  readonly drain: () => void
  /** The other side has ended: fails whatever is pending, and whatever will be called. Once; later ends change nothing. */
  readonly end: (error: E) => void
}

interface Schemas {
  readonly encodePayload: (payload: unknown) => Effect.Effect<Uint8Array, Schema.SchemaError, unknown>
  readonly decodeChunk: (
    values: unknown
  ) => Effect.Effect<readonly [unknown, ...Array<unknown>], Schema.SchemaError, unknown>
  readonly decodeExit: (exit: unknown) => Effect.Effect<Exit.Exit<unknown, unknown>, Schema.SchemaError, unknown>
}

type Encoding = Effect.Effect<Uint8Array, Schema.SchemaError>

/** A call that has not ended. */
interface Call {
  /** Whose client it was made with. */
  readonly owner: object
  readonly rpc: Rpc.AnyWithProps
  readonly schemas: Schemas
  readonly context: Context.Context<never>
  readonly write: (message: FromServer<Rpc.Any>) => Effect.Effect<void>
}

const makeSchemas = (rpc: Rpc.AnyWithProps): Schemas => {
  const success = rpc.successSchema
  const chunk = Schema.NonEmptyArray(RpcSchema.isStreamSchema(success) ? success.success : Schema.Never)
  // What services they need, the call itself has asked of whoever makes it.
  return {
    encodePayload: Schema.encodeEffect(codecFor(rpc.payloadSchema)),
    decodeChunk: Schema.decodeUnknownEffect(codecFor(chunk)),
    decodeExit: Schema.decodeUnknownEffect(codecFor(exitSchema(rpc as never)))
  } as Schemas
}

/** Codecs are compiled once for each call that is defined anywhere. */
const cache = new WeakMap<Rpc.AnyWithProps, Schemas>()

const schemasOf = (rpc: Rpc.AnyWithProps): Schemas => {
  const known = cache.get(rpc)
  if (known !== undefined) return known
  const schemas = makeSchemas(rpc)
  cache.set(rpc, schemas)
  return schemas
}

export interface Options {
  /** As `FramePort.send`. */
  readonly send: (frame: Uint8Array) => boolean
  /** Hears that an answer was none. */
  readonly reject: (detail: string) => void
}

export const make = <E>({ reject, send }: Options): Caller<E> => {
  const calls = new Map<number, Call>()
  const waiting = new Set<() => void>()
  let lastId = 0
  let full = false
  let ended: { readonly error: E } | undefined

  const nextId = (): number => {
    do lastId = (lastId + 1) % Wire.endOfIds
    while (calls.has(lastId))
    return lastId
  }

  const put = (message: Wire.FromCaller): void => {
    if (ended === undefined && !send(Wire.encode(message))) full = true
  }

  /** Whoever calls waits for a line that is full; what ends or goes on with a call is small, and never waits. */
  const untilDrained: Effect.Effect<void> = Effect.suspend(() =>
    full
      ? Effect.andThen(
        Effect.callback<void>((resume) => {
          const wake = (): void => {
            waiting.delete(wake)
            resume(Effect.void)
          }
          waiting.add(wake)
          return Effect.sync(() => waiting.delete(wake))
        }),
        untilDrained
      )
      : Effect.void
  )

  const drain = (): void => {
    full = false
    for (const wake of [...waiting]) wake()
  }

  const request = (
    message: Extract<FromClient<Rpc.Any>, { readonly _tag: "Request" }>,
    call: Call
  ): Effect.Effect<void, E> =>
    Effect.suspend(() => {
      if (ended !== undefined) return Effect.fail(ended.error)
      const encoded = Effect.orDie(
        // What services it needs, the caller was asked for.
        Effect.provideContext(call.schemas.encodePayload(message.payload) as Encoding, call.context)
      )
      return Effect.flatMap(Effect.andThen(untilDrained, encoded), (payload): Effect.Effect<void, E> => {
        if (ended !== undefined) return Effect.fail(ended.error)
        const id = Number(message.id)
        const frame = Wire.encode({
          _tag: "Request",
          id,
          tag: message.tag,
          payload,
          discard: message.discard === true,
          trace: message.traceId === undefined
            ? undefined
            : { traceId: message.traceId, spanId: message.spanId!, sampled: message.sampled === true },
          headers: Object.entries(message.headers)
        })
        if (frame.length > maxFrameBytes) {
          return Effect.die(
            new Error(
              `a call of ${message.tag} has ${frame.length} bytes, and ${maxFrameBytes} are allowed; use a stream`
            )
          )
        }
        calls.set(id, call)
        if (!send(frame)) full = true
        return Effect.void
      })
    })

  const client = Effect.fnUntraced(function*<Rpcs extends Rpc.Any>(
    group: RpcGroup.RpcGroup<Rpcs>,
    spanAttributes: Readonly<Record<string, unknown>>
  ) {
    const owner = {}
    const { client, write } = yield* RpcClient.makeNoSerialization<Rpcs, E>(group, {
      supportsAck: true,
      generateRequestId: () => RequestId(nextId()),
      spanAttributes,
      onFromClient: ({ message }): Effect.Effect<void, E> => {
        switch (message._tag) {
          case "Request": {
            const rpc = group.requests.get(message.tag) as unknown as Rpc.AnyWithProps
            return request(message, {
              owner,
              rpc,
              schemas: schemasOf(rpc),
              context: Fiber.getCurrent()!.context,
              write: (answer) => write(answer as FromServer<Rpcs>)
            })
          }
          case "Ack":
            return Effect.sync(() => {
              if (calls.has(Number(message.requestId))) put({ _tag: "Ack", id: Number(message.requestId) })
            })
          case "Interrupt":
            return Effect.sync(() => interrupt(Number(message.requestId)))
          case "Eof":
            return Effect.void
        }
      }
    })
    // Runs before the client itself gives up its calls, without a word to the other side.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const [id, call] of calls) if (call.owner === owner) interrupt(id)
      })
    )
    return client
  })

  const interrupt = (id: number): void => {
    if (calls.delete(id)) put({ _tag: "Interrupt", id })
  }

  const settle = (id: number, call: Call, exit: Exit.Exit<unknown, unknown>): void => {
    Effect.runFork(call.write({ _tag: "Exit", clientId: 0, requestId: RequestId(id), exit: exit as never }))
  }

  const refuse = (call: Call): void => reject(`sent an answer to ${call.rpc._tag} that does not decode`)

  const receive = (message: Wire.FromCallee): void => {
    // Nobody waits for it any more.
    const call = calls.get(message.id)
    if (call === undefined) return
    const { context, schemas } = call
    if (message._tag === "Exit") {
      calls.delete(message.id)
      return decoded(schemas.decodeExit(message.exit), context, (exit) => settle(message.id, call, exit), () => {
        calls.set(message.id, call)
        refuse(call)
      })
    }
    decoded(schemas.decodeChunk(message.values), context, (values) => {
      // In a fiber of its own: a reader who is behind holds up its own stream and nobody else's.
      Effect.runFork(
        call.write({ _tag: "Chunk", clientId: 0, requestId: RequestId(message.id), values: values as never })
      )
    }, () => refuse(call))
  }

  const end = (error: E): void => {
    if (ended !== undefined) return
    ended = { error }
    const pending = [...calls]
    calls.clear()
    for (const [id, call] of pending) settle(id, call, Exit.fail(error))
    drain()
  }

  return { client, receive, drain, end }
}

/** Nearly everything decodes at once; what needs a service may take its time. */
const decoded = <A>(
  decoding: Effect.Effect<A, Schema.SchemaError, unknown>,
  context: Context.Context<never>,
  then: (value: A) => void,
  otherwise: () => void
): void => {
  if (Exit.isExit(decoding)) return Exit.isSuccess(decoding) ? then(decoding.value as A) : otherwise()
  Effect.runFork(Effect.provideContext(decoding as Effect.Effect<A, Schema.SchemaError>, context)).addObserver((exit) =>
    Exit.isSuccess(exit) ? then(exit.value) : otherwise()
  )
}
