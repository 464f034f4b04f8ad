/**
 * Decides how calls go out on a line and end: whose turn it is when the line is
 * full, which answer belongs to whom, and what fails when the other side is
 * gone. Clients share the line, each bound to the life that is called.
 *
 * Ownership: a call lives from its request to its exit; whoever holds the line
 * says when the other side has ended, and that ends all of them.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Rpc from "effect/rpc/Rpc"
import { exitSchema } from "effect/rpc/Rpc"
import * as RpcClient from "effect/rpc/RpcClient"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import { type FromClient, type FromServer, RequestId } from "effect/rpc/RpcMessage"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type Outgoing, sizeOf, whole } from "../FramePort.ts"
import { around, codecFor } from "./rpcCodec.ts"
import * as Wire from "./wire.ts"

/** A call that has not ended. */
export interface Pending<E> {
  /** Whose call it is. */
  readonly owner: object
  readonly receive: (message: Wire.FromCallee) => void
  /** The other side has ended. */
  readonly fail: (error: E) => void
  /** Some of a stream has come and was not acknowledged: no more of it may come, and there is something to acknowledge. */
  unacked?: boolean
}

export interface ClientOptions {
  /**
   * Whether an answer that does not decode is the fault of whoever answers: the
   * definitions of both sides are known to be the same.
   */
  readonly accuses?: boolean
  readonly spanAttributes?: Readonly<Record<string, unknown>>
  readonly disableTracing?: boolean
}

/** The calling side of a line on which calls can fail with `E` beside their own errors. */
export interface Caller<E> {
  /** Closing the scope interrupts the calls that were made with it, and no others. */
  readonly client: <Rpcs extends Rpc.Any>(
    group: RpcGroup.RpcGroup<Rpcs>,
    options: ClientOptions
  ) => Effect.Effect<RpcClient.RpcClient<Rpcs, E>, never, Scope.Scope | Rpc.MiddlewareClient<Rpcs>>
  /** A number for a call that somebody else makes. */
  readonly begin: (pending: Pending<E>) => number
  /** Says something about a call. `false`: the line is full, and `whenDrained` tells when it is not. */
  readonly put: (message: Wire.FromCaller) => boolean
  readonly whenDrained: (listener: () => void) => void
  /** Interrupts one call, or all of an owner's. */
  readonly interrupt: (id: number) => void
  readonly release: (owner: object) => void
  readonly receive: (message: Wire.FromCallee) => void
  /** The line takes more again. */
  readonly drain: () => void
  /** Whoever is called is behind, or takes more again, whatever the line says. */
  readonly hold: (holds: boolean) => void
  /** The other side has ended: fails whatever is pending, and whatever will be called. Once; later ends change nothing. */
  readonly end: (error: E) => void
}

interface Schemas {
  readonly encodePayload: (payload: unknown) => Effect.Effect<unknown, Schema.SchemaError, unknown>
  readonly decodeChunk: (
    values: unknown
  ) => Effect.Effect<readonly [unknown, ...Array<unknown>], Schema.SchemaError, unknown>
  readonly decodeExit: DecodeExit
  /** Of a call whose answer nobody waits for: that it was begun. */
  readonly decodeBegun: DecodeExit
}

type DecodeExit = (exit: unknown) => Effect.Effect<Exit.Exit<unknown, unknown>, Schema.SchemaError, unknown>

type Encoding = Effect.Effect<unknown, Schema.SchemaError>

/** A call of this process. */
interface Call {
  readonly id: number
  readonly owner: object
  readonly accuses: boolean
  readonly rpc: Rpc.AnyWithProps
  readonly schemas: Schemas
  readonly discard: boolean
  readonly context: Context.Context<never>
  readonly write: (message: FromServer<Rpc.Any>) => Effect.Effect<void>
}

const makeSchemas = (rpc: Rpc.AnyWithProps): Schemas => {
  const success = rpc.successSchema
  const chunk = Schema.NonEmptyArray(RpcSchema.isStreamSchema(success) ? success.success : Schema.Never)
  const exit = exitSchema(rpc as never)
  // What services they need, the call itself has asked of whoever makes it.
  return {
    encodePayload: Schema.encodeEffect(codecFor(rpc.payloadSchema)),
    decodeChunk: Schema.decodeUnknownEffect(codecFor(chunk)),
    decodeExit: Schema.decodeUnknownEffect(codecFor(exit)),
    decodeBegun: Schema.decodeUnknownEffect(codecFor(Schema.Exit(Schema.Void, exit.error, exit.defect)))
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

type RequestMessage = Extract<FromClient<Rpc.Any>, { readonly _tag: "Request" }>

const requestFrame = (message: RequestMessage, { discard, id }: Call, filling: unknown): Outgoing =>
  around(filling, (payload) =>
    Wire.encode({
      _tag: "Request",
      id,
      tag: message.tag,
      payload,
      discard,
      trace: message.traceId === undefined
        ? undefined
        : { traceId: message.traceId, spanId: message.spanId!, sampled: message.sampled === true },
      headers: Object.entries(message.headers)
    }))

export interface Options {
  /** As `FramePort.send`. */
  readonly send: (frame: Outgoing) => boolean
  /** Ends whoever has sent an answer that is none. Absent: that is another's to do, and the call dies of it. */
  readonly reject?: (detail: string) => void
  /** Numbers of calls are below this, and are used again. */
  readonly endOfIds?: number
}

export const make = <E>({ endOfIds = Wire.endOfIds, reject, send }: Options): Caller<E> => {
  const calls = new Map<number, Pending<E>>()
  /** Callers whose turn has not come. */
  const waiting = new Set<() => void>()
  const listeners = new Set<() => void>()
  let lastId = 0
  /** The line is full; whoever is called is behind. */
  let full = false
  let held = false
  let ended: { readonly error: E } | undefined

  const nextId = (): number => {
    do lastId = (lastId + 1) % endOfIds
    while (calls.has(lastId))
    return lastId
  }

  const put = (message: Wire.FromCaller): boolean => {
    if (message._tag === "Ack") {
      // Whoever is told once too often sends what the next one takes for more than he has asked for.
      const call = calls.get(message.id)
      if (call?.unacked !== true) return !full
      call.unacked = false
    }
    if (ended === undefined && !send(Wire.encode(message))) full = true
    return !full
  }

  const begin = (pending: Pending<E>): number => {
    const id = nextId()
    if (ended === undefined) calls.set(id, pending)
    else pending.fail(ended.error)
    return id
  }

  const whenDrained = (listener: () => void): void => {
    listeners.add(listener)
  }

  /** Whoever calls waits for a line that is full; what ends or goes on with a call is small, and never waits. */
  const untilItsTurn: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (!full && !held && waiting.size === 0) return resume(Effect.void)
    const wake = (): void => resume(Effect.void)
    waiting.add(wake)
    return Effect.sync(() => {
      // Woken and interrupted: the turn is the next one's.
      if (!waiting.delete(wake)) passOn()
    })
  })

  /** One after the other, in the order of their coming: all at once would only find the line full again. */
  const passOn = (): void => {
    if (full || held) return
    for (const wake of waiting) {
      waiting.delete(wake)
      return wake()
    }
  }

  const goOn = (): void => {
    if (full || held) return
    const told = [...listeners]
    listeners.clear()
    for (const listener of told) listener()
    passOn()
  }

  const drain = (): void => {
    full = false
    goOn()
  }

  const hold = (holds: boolean): void => {
    held = holds && ended === undefined
    goOn()
  }

  const request = (message: RequestMessage, call: Call): Effect.Effect<void, E> =>
    Effect.suspend(() => {
      if (ended !== undefined) return Effect.fail(ended.error)
      const encoded = Effect.orDie(
        // What services it needs, the caller was asked for.
        Effect.provideContext(call.schemas.encodePayload(message.payload) as Encoding, call.context)
      )
      return Effect.flatMap(encoded, (payload): Effect.Effect<void, E> => {
        const frame = requestFrame(message, call, payload)
        const size = sizeOf(frame)
        if (size > Wire.maxMessageBytes) {
          return Effect.die(
            new Error(`a call of ${message.tag} has ${size} bytes, and ${Wire.maxMessageBytes} are allowed`)
          )
        }
        if (!full && !held && waiting.size === 0) return sendRequest(call, frame)
        // What is lent for this turn is kept from here on.
        const kept = whole(frame)
        return Effect.andThen(untilItsTurn, Effect.ensuring(sendRequest(call, kept), Effect.sync(passOn)))
      })
    })

  const sendRequest = (call: Call, frame: Outgoing): Effect.Effect<void, E> =>
    Effect.suspend((): Effect.Effect<void, E> => {
      if (ended !== undefined) return Effect.fail(ended.error)
      calls.set(call.id, pendingOf(call))
      if (!send(frame)) full = true
      return Effect.void
    })

  const client = Effect.fnUntraced(function*<Rpcs extends Rpc.Any>(
    group: RpcGroup.RpcGroup<Rpcs>,
    { accuses = false, ...options }: ClientOptions
  ) {
    const owner = {}
    const { client, write } = yield* RpcClient.makeNoSerialization<Rpcs, E>(group, {
      supportsAck: true,
      generateRequestId: () => RequestId(nextId()),
      ...options,
      onFromClient: ({ message }): Effect.Effect<void, E> => {
        switch (message._tag) {
          case "Request": {
            const rpc = group.requests.get(message.tag) as unknown as Rpc.AnyWithProps
            return request(message, {
              id: Number(message.id),
              owner,
              rpc,
              schemas: schemasOf(rpc),
              discard: message.discard === true,
              accuses,
              context: Fiber.getCurrent()!.context,
              write: (answer) => write(answer as FromServer<Rpcs>)
            })
          }
          case "Ack":
            return Effect.sync(() => void put({ _tag: "Ack", id: Number(message.requestId) }))
          case "Interrupt":
            return Effect.sync(() => interrupt(Number(message.requestId)))
          case "Eof":
            return Effect.void
        }
      }
    })
    // Runs before the client itself gives up its calls, without a word to the other side.
    yield* Effect.addFinalizer(() => Effect.sync(() => release(owner)))
    return client
  })

  const interrupt = (id: number): void => {
    if (calls.delete(id)) put({ _tag: "Interrupt", id })
  }

  const release = (owner: object): void => {
    for (const [id, call] of calls) if (call.owner === owner) interrupt(id)
  }

  const settle = (call: Call, exit: Exit.Exit<unknown, unknown>): void => {
    Effect.runFork(call.write({ _tag: "Exit", clientId: 0, requestId: RequestId(call.id), exit: exit as never }))
  }

  const refuse = (call: Call): void => {
    const detail = `sent an answer to ${call.rpc._tag} that does not decode`
    if (ended !== undefined) return settle(call, Exit.fail(ended.error))
    if (reject === undefined || !call.accuses) return settle(call, Exit.die(new Error(`whoever was called ${detail}`)))
    // It ends with all the others.
    calls.set(call.id, pendingOf(call))
    reject(detail)
  }

  const pendingOf = (call: Call): Pending<E> => ({
    owner: call.owner,
    fail: (error) => settle(call, Exit.fail(error)),
    receive: (message) => {
      const { context, discard, id, schemas } = call
      if (message._tag === "Exit") {
        const decode = discard ? schemas.decodeBegun : schemas.decodeExit
        return decoded(decode(message.exit), context, (exit) => settle(call, exit), () => refuse(call))
      }
      decoded(schemas.decodeChunk(message.values), context, (values) => {
        // In a fiber of its own: a reader who is behind holds up its own stream and nobody else's.
        Effect.runFork(call.write({ _tag: "Chunk", clientId: 0, requestId: RequestId(id), values: values as never }))
      }, () => refuse(call))
    }
  })

  const receive = (message: Wire.FromCallee): void => {
    // Nobody may wait for it any more.
    const call = calls.get(message.id)
    if (call === undefined) return
    if (message._tag === "Exit") calls.delete(message.id)
    else if (call.unacked !== true) call.unacked = true
    else return reject?.("sent more of a stream than it was asked for")
    call.receive(message)
  }

  const end = (error: E): void => {
    if (ended !== undefined) return
    ended = { error }
    const pending = [...calls.values()]
    calls.clear()
    for (const call of pending) call.fail(error)
    // Nobody will say any more that it goes on.
    held = false
    drain()
  }

  return { client, begin, put, whenDrained, interrupt, release, receive, drain, hold, end }
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
