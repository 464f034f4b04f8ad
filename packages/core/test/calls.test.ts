/**
 * Callers, callees and the postmaster's end between them, on lines within this
 * process that are full, silent or hostile when the test says so.
 */
import { SpawnerFiber } from "@effect-postmaster/core"
import * as FramePort from "@effect-postmaster/core/FramePort"
import { PostmasterDied } from "@effect-postmaster/core/HandleError"
import { type Pid, slotRef } from "@effect-postmaster/core/Identity"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { PostmasterConfig } from "@effect-postmaster/core/PostmasterConfig"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Callee from "../src/internal/callee.ts"
import * as Caller from "../src/internal/caller.ts"
import * as Connection from "../src/internal/connection.ts"
import * as Wire from "../src/internal/wire.ts"
import { Bereaved } from "./fixtures/bereaved.ts"

/** How a text is written and read, which may take its time or fail. */
class Script extends Context.Service<Script, {
  readonly write: (text: string) => Effect.Effect<string>
  readonly read: (text: string) => Effect.Effect<string, string>
}>()("test/Script") {}

const plain: Script["Service"] = { write: Effect.succeed, read: Effect.succeed }

const Scripted = Schema.String.pipe(Schema.decodeTo(Schema.String, {
  decode: SchemaGetter.transformEffect((text: string) =>
    Script.use(({ read }) => read(text)).pipe(
      Effect.mapError((message) => new SchemaIssue.InvalidValue({ message }))
    )
  ),
  encode: SchemaGetter.transformEffect((text: string) => Script.use(({ write }) => write(text)))
}))

class Group extends RpcGroup.make(
  Rpc.make("Double", { payload: { n: Schema.Finite }, success: Schema.Finite }),
  /** Never answers. */
  Rpc.make("Hang", { payload: { name: Schema.String } }),
  Rpc.make("Count", { success: Schema.Finite, stream: true }),
  /** As many bytes as one likes. */
  Rpc.make("Bytes", { payload: { size: Schema.Finite }, success: Schema.Uint8Array }),
  Rpc.make("Pour", { payload: { size: Schema.Finite }, success: Schema.Uint8Array, stream: true }),
  /** Some of these, one after the other, in memory that is used again. */
  Rpc.make("Page", { payload: { n: Schema.Finite }, success: Schema.Uint8Array }),
  Rpc.make("Swallow", { payload: { bytes: Schema.Uint8Array } }),
  Rpc.make("Written", { payload: { text: Scripted }, success: Schema.String }),
  Rpc.make("Read", { payload: { text: Schema.String }, success: Scripted })
) {}

class Gone extends Schema.TaggedError<Gone>("test/Gone")("Gone", { why: Schema.String }) {}

const pageBytes = 100_000

interface Diary {
  readonly page: Uint8Array
  readonly hung: Array<string>
  readonly interrupted: Array<string>
}

const handlers = (diary: Diary) =>
  Group.toLayer({
    Double: ({ n }) => Effect.succeed(2 * n),
    Hang: ({ name }) =>
      Effect.andThen(
        Effect.sync(() => void diary.hung.push(name)),
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => void diary.interrupted.push(name)))
      ),
    Count: () => Stream.iterate(1, (n) => n + 1).pipe(Stream.rechunk(1)),
    Bytes: ({ size }) => Effect.succeed(new Uint8Array(size)),
    Pour: ({ size }) => Stream.make(new Uint8Array(1), new Uint8Array(size)).pipe(Stream.rechunk(1)),
    Page: ({ n }) => Effect.sync(() => diary.page.fill(n)),
    Swallow: () => Effect.void,
    Written: ({ text }) => Effect.succeed(text),
    Read: ({ text }) => Effect.succeed(text)
  })

interface Options {
  readonly endOfIds?: number
  readonly script?: Script["Service"]
}

/** A caller, and a callee who serves the group at the other end; what each has sent; and the ends to be held. */
const connected = Effect.fnUntraced(function*({ endOfIds, script = plain }: Options = {}) {
  const [near, far] = FramePort.pair()
  const diary: Diary = { page: new Uint8Array(pageBytes), hung: [], interrupted: [] }
  const sent: Array<Wire.Message> = []
  const rejected: Array<string> = []
  const caller = Caller.make<Gone>({
    send: (frame) => {
      sent.push(understood(FramePort.whole(frame)))
      return near.send(frame)
    },
    reject: (detail) => void rejected.push(detail),
    ...(endOfIds === undefined ? undefined : { endOfIds })
  })
  const callee = yield* Callee.make(Group).pipe(
    Effect.provide(handlers(diary).pipe(Layer.provideMerge(Layer.succeed(Script, plain))))
  )
  const them = callee.connect(far.send)
  far.listen({
    onDrain: them.drain,
    onFrame: (frame) => them.receive(understood(frame) as Wire.FromCaller)
  })
  near.listen({
    onDrain: caller.drain,
    onFrame: (frame) => caller.receive(understood(frame) as Wire.FromCallee)
  })
  const client = Effect.provideService(caller.client(Group, { accuses: true }), Script, script)
  return { caller, client, near, far, sent, rejected, diary, them, script }
})

/** A caller whose other side is the test. */
const alone = (options: { readonly judged: boolean }) => {
  const sent: Array<Wire.Message> = []
  const rejected: Array<string> = []
  const caller = Caller.make<Gone>({
    send: (frame) => {
      sent.push(understood(FramePort.whole(frame)))
      return true
    },
    ...(options.judged ? { reject: (detail) => void rejected.push(detail) } : undefined)
  })
  return { caller, sent, rejected }
}

const understood = (frame: Uint8Array): Wire.Message =>
  Result.getOrThrowWith(Wire.decode(frame), (text) => new Error(text))

const fork = Effect.forkChild({ startImmediately: true })

/** Lets everybody go on until nobody can. */
const quiet = Effect.repeat(Effect.yieldNow, { times: 200 })

const tags = (messages: ReadonlyArray<Wire.Message>): ReadonlyArray<string> => messages.map(({ _tag }) => _tag)

const failureOf = <A>(call: Fiber.Fiber<A, Gone>): Effect.Effect<Gone, A> => Effect.flip(Fiber.join(call))

const defectOf = (exit: Exit.Exit<unknown, unknown>): string => {
  assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause), String(exit))
  return Cause.pretty(exit.cause)
}

describe("whoever calls on a line that is full", () => {
  it.effect("waits, and goes on when it is drained; what belongs to calls that have begun does not wait", () =>
    Effect.gen(function*() {
      const { client, far, sent } = yield* connected()
      const { Count, Double, Hang } = yield* client
      const hung = yield* fork(Hang({ name: "hung" }))
      const pull = yield* Stream.toPull(Count())
      const first = yield* pull
      assert.strictEqual(first[0], 1)
      yield* quiet
      far.pause(true)
      const before = sent.length
      const goes = yield* fork(Double({ n: 1 }))
      const waits = yield* fork(Effect.forEach([2, 3, 4], (n) => Double({ n }), { concurrency: "unbounded" }))
      yield* quiet
      assert.deepStrictEqual(tags(sent.slice(before)), ["Request"])
      yield* pull
      yield* quiet
      assert.deepStrictEqual(tags(sent.slice(before)), ["Request", "Ack"])
      yield* Fiber.interrupt(hung)
      assert.deepStrictEqual(tags(sent.slice(before)), ["Request", "Ack", "Interrupt"])
      far.pause(false)
      assert.strictEqual(yield* Fiber.join(goes), 2)
      assert.deepStrictEqual(yield* Fiber.join(waits), [4, 6, 8])
    }).pipe(Effect.scoped))

  it.effect("waits for one who is behind, whatever the line says, and no longer than that lives", () =>
    Effect.gen(function*() {
      const { caller, client, sent } = yield* connected()
      const { Double } = yield* client
      caller.hold(true)
      const goes = yield* fork(Double({ n: 1 }))
      yield* quiet
      caller.drain()
      yield* quiet
      assert.deepStrictEqual(sent, [])
      caller.hold(false)
      assert.strictEqual(yield* Fiber.join(goes), 2)
      caller.hold(true)
      const stays = yield* fork(Double({ n: 2 }))
      yield* quiet
      caller.end(new Gone({ why: "held" }))
      assert.deepStrictEqual(yield* failureOf(stays), new Gone({ why: "held" }))
    }).pipe(Effect.scoped))

  it.effect("sends nothing if it is interrupted before", () =>
    Effect.gen(function*() {
      const { client, diary, far, sent } = yield* connected()
      const { Double, Hang } = yield* client
      far.pause(true)
      const goes = yield* fork(Hang({ name: "goes" }))
      const waits = yield* fork(Hang({ name: "waits" }))
      yield* quiet
      yield* Fiber.interrupt(waits)
      far.pause(false)
      assert.strictEqual(yield* Double({ n: 2 }), 4)
      assert.deepStrictEqual(tags(sent), ["Request", "Request"])
      assert.deepStrictEqual([diary.hung, diary.interrupted], [["goes"], []])
      yield* Fiber.interrupt(goes)
    }).pipe(Effect.scoped))

  it.effect("goes on whenever it was drained, even on its way to the wait", () =>
    Effect.gen(function*() {
      const { client, far } = yield* connected()
      const { Double } = yield* client
      for (let steps = 0; steps < 80; steps++) {
        far.pause(true)
        const goes = yield* fork(Double({ n: steps }))
        const waits = yield* fork(Effect.provideService(Double({ n: steps }), References.MaxOpsBeforeYield, 3))
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        far.pause(false)
        assert.strictEqual(yield* Fiber.join(goes), 2 * steps)
        assert.strictEqual(yield* Fiber.join(waits), 2 * steps)
      }
    }).pipe(Effect.scoped))
})

describe("large bytes", () => {
  it.effect("are sent as they were when the call was made, whether it had to wait or not", () =>
    Effect.gen(function*() {
      const { client, far, sent } = yield* connected()
      const { Swallow } = yield* client
      far.pause(true)
      const bytes = new Uint8Array(pageBytes)
      const calls: Array<Fiber.Fiber<void, Gone>> = []
      for (let n = 1; n <= 3; n++) {
        calls.push(yield* fork(Swallow({ bytes: bytes.fill(n) })))
        bytes.fill(0)
        yield* quiet
      }
      far.pause(false)
      yield* Effect.forEach(calls, (call) => Fiber.join(call))
      for (const [at, message] of sent.entries()) {
        assert(message._tag === "Request")
        assert.isTrue(message.payload.subarray(-pageBytes).every((byte) => byte === at + 1))
      }
      assert.strictEqual(sent.length, 3)
    }).pipe(Effect.scoped))

  it.effect("are answered as they were when the answer was made, whether it had to wait or not", () =>
    Effect.gen(function*() {
      const { client, diary, near } = yield* connected()
      const { Page } = yield* client
      near.pause(true)
      const calls: Array<Fiber.Fiber<Uint8Array, Gone>> = []
      for (let n = 1; n <= 3; n++) {
        calls.push(yield* fork(Page({ n })))
        yield* quiet
      }
      diary.page.fill(0)
      near.pause(false)
      const pages = yield* Effect.forEach(calls, (call) => Fiber.join(call))
      assert.deepStrictEqual(pages.map((page) => [page.length, ...new Set(page)]), [1, 2, 3].map((n) => [pageBytes, n]))
    }).pipe(Effect.scoped))

  for (const judged of [true, false]) {
    const whose = judged ? "whoever sent them" : "their call and nobody else"
    it.effect(`that are not where their table says they are are held against ${whose}`, () =>
      Effect.gen(function*() {
        const { caller, rejected, sent } = alone({ judged })
        const { Bytes, Double } = yield* caller.client(Group, { accuses: judged }).pipe(
          Effect.provideService(Script, plain)
        )
        const other = yield* fork(Double({ n: 1 }))
        const call = yield* fork(Bytes({ size: 1 }))
        yield* quiet
        const { id } = sent.at(-1)!
        caller.receive({ _tag: "Exit", id, exit: Uint8Array.of(0, 1, 0, 0, 0, 0, 255, 255, 255, 255, 1) })
        yield* quiet
        if (judged) {
          assert.deepStrictEqual(rejected, ["sent an answer to Bytes that does not decode"])
          assert.isUndefined(call.pollUnsafe())
        } else assert.match(defectOf(yield* Fiber.await(call)), /does not decode/)
        assert.isUndefined(other.pollUnsafe())
        yield* Fiber.interrupt(other)
      }).pipe(Effect.scoped))
  }
})

describe("whoever answers on a line that is full", () => {
  it.effect("goes on whenever it was drained, even on its way to the wait", () =>
    Effect.gen(function*() {
      const { client, near } = yield* Effect.provideService(connected(), References.MaxOpsBeforeYield, 3)
      const { Count } = yield* client
      for (let steps = 0; steps < 80; steps++) {
        near.pause(true)
        const numbers = yield* fork(Count().pipe(Stream.take(5), Stream.runCollect))
        yield* Effect.repeat(Effect.yieldNow, { times: steps })
        near.pause(false)
        assert.deepStrictEqual(yield* Fiber.join(numbers), [1, 2, 3, 4, 5])
      }
    }).pipe(Effect.scoped))
})

describe("the numbers of calls", () => {
  it.effect("are used again, but for those of calls that have not ended", () =>
    Effect.gen(function*() {
      const { client, diary, sent } = yield* connected({ endOfIds: 5 })
      const { Double, Hang } = yield* client
      const hung = yield* Effect.forEach(["one", "two"], (name) => fork(Hang({ name })))
      for (let n = 0; n < 20; n++) assert.strictEqual(yield* Double({ n }), 2 * n)
      const used = sent.map(({ id }) => id)
      assert.deepStrictEqual(used.slice(0, 9), [1, 2, 3, 4, 0, 3, 4, 0, 3])
      yield* Fiber.interrupt(hung[1]!)
      yield* Double({ n: 1 })
      yield* Double({ n: 1 })
      yield* Double({ n: 1 })
      assert.strictEqual(new Set(sent.slice(-3).map(({ id }) => id)).has(2), true)
      assert.deepStrictEqual([diary.hung, diary.interrupted], [["one", "two"], ["two"]])
    }).pipe(Effect.scoped))
})

describe("a client whose scope closes", () => {
  it.effect("interrupts what it has begun, forgets what it has not, and leaves others alone", () =>
    Effect.gen(function*() {
      const { client, diary, far, sent } = yield* connected()
      const stays = yield* client
      const kept = yield* fork(stays.Hang({ name: "kept" }))
      const scope = yield* Scope.make()
      const { Count, Hang } = yield* Scope.provide(client, scope)
      const left = yield* fork(Hang({ name: "left" }))
      const stream = yield* fork(Stream.runForEach(Count(), () => Effect.never))
      yield* quiet
      far.pause(true)
      const last = yield* fork(Hang({ name: "last" }))
      const unsent = yield* fork(Hang({ name: "unsent" }))
      yield* quiet
      const before = sent.length
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(tags(sent.slice(before)), ["Interrupt", "Interrupt", "Interrupt"])
      for (const fiber of [left, last, unsent]) assert(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      far.pause(false)
      assert.strictEqual(yield* stays.Double({ n: 4 }), 8)
      assert.deepStrictEqual([diary.hung, diary.interrupted], [["kept", "left", "last"], ["left", "last"]])
      assert.isUndefined(kept.pollUnsafe())
      assert.notInclude(tags(sent.slice(before)).slice(3, -1), "Interrupt")
      yield* Fiber.interrupt(stream)
    }).pipe(Effect.scoped))
})

describe("the end of the other side", () => {
  it.effect("ends every call, also those that were not sent, and those to come", () =>
    Effect.gen(function*() {
      const { caller, client, far, sent } = yield* connected()
      const { Count, Double, Hang } = yield* client
      const hung = yield* fork(Hang({ name: "hung" }))
      const stream = yield* fork(Stream.runDrain(Count()))
      yield* quiet
      far.pause(true)
      const goes = yield* fork(Double({ n: 1 }))
      const waits = yield* fork(Double({ n: 2 }))
      yield* quiet
      const before = sent.length
      caller.end(new Gone({ why: "first" }))
      caller.end(new Gone({ why: "second" }))
      for (const fiber of [hung, stream, goes, waits] as ReadonlyArray<Fiber.Fiber<unknown, Gone>>) {
        assert.deepStrictEqual(yield* failureOf(fiber), new Gone({ why: "first" }))
      }
      assert.deepStrictEqual(yield* Effect.flip(Double({ n: 3 })), new Gone({ why: "first" }))
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(Count())), new Gone({ why: "first" }))
      assert.strictEqual(sent.length, before)
    }).pipe(Effect.scoped))

  it.effect("ends a call whose request is just being written", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<string>()
      const { caller, client, script, sent } = yield* connected({
        script: { ...plain, write: () => Deferred.await(gate) }
      })
      const { Written } = yield* client
      const call = yield* fork(Effect.provideService(Written({ text: "slowly" }), Script, script))
      yield* quiet
      caller.end(new Gone({ why: "meanwhile" }))
      yield* Deferred.succeed(gate, "late")
      assert.deepStrictEqual(yield* Effect.flip(Fiber.join(call)), new Gone({ why: "meanwhile" }))
      assert.deepStrictEqual(sent, [])
    }).pipe(Effect.scoped))

  for (const readable of [true, false]) {
    it.effect(`while an answer is being read that ${readable ? "can" : "cannot"} be`, () =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<string, string>()
        const script = { ...plain, read: () => Deferred.await(gate) }
        const { caller, client, rejected } = yield* connected({ script })
        const { Read } = yield* client
        const call = yield* fork(Effect.provideService(Read({ text: "text" }), Script, script))
        yield* quiet
        caller.end(new Gone({ why: "meanwhile" }))
        yield* readable ? Deferred.succeed(gate, "text") : Deferred.fail(gate, "illegible")
        const exit = yield* Fiber.await(call)
        assert.deepStrictEqual(exit, readable ? Exit.succeed("text") : Exit.fail(new Gone({ why: "meanwhile" })))
        assert.deepStrictEqual(rejected, [])
      }).pipe(Effect.scoped))
  }
})

describe("what is written and read with a service", () => {
  it.effect("uses the caller's", () =>
    Effect.gen(function*() {
      const script: Script["Service"] = {
        write: (text) => Effect.as(Effect.yieldNow, text.toUpperCase()),
        read: (text) => Effect.as(Effect.yieldNow, `${text}!`)
      }
      const { client } = yield* connected({ script })
      const { Read, Written } = yield* client
      const both = Effect.all([Written({ text: "written" }), Read({ text: "read" })])
      assert.deepStrictEqual(yield* Effect.provideService(both, Script, script), ["WRITTEN", "read!"])
    }).pipe(Effect.scoped))
})

describe("what is too large", () => {
  const size = FramePort.maxFrameBytes

  it.effect("for a call, is the caller's defect, and nothing is sent", () =>
    Effect.gen(function*() {
      const { client, sent } = yield* connected()
      const { Double, Swallow } = yield* client
      const exit = yield* Effect.exit(Swallow({ bytes: new Uint8Array(size) }))
      assert.match(defectOf(exit), /a call of Swallow has 67108\d+ bytes, and 67108859 are allowed/)
      assert.deepStrictEqual(sent, [])
      assert.strictEqual(yield* Double({ n: 1 }), 2)
    }).pipe(Effect.scoped))

  it.effect("for an answer or a part of it, is that call's defect and nobody else's", () =>
    Effect.gen(function*() {
      const { client, diary, rejected } = yield* connected()
      const { Bytes, Double, Hang, Pour } = yield* client
      const hung = yield* fork(Hang({ name: "hung" }))
      assert.match(defectOf(yield* Effect.exit(Bytes({ size }))), /an answer has 67108\d+ bytes/)
      assert.match(defectOf(yield* Effect.exit(Stream.runDrain(Pour({ size })))), /an answer has 67108\d+ bytes/)
      assert.strictEqual(yield* Double({ n: 1 }), 2)
      assert.deepStrictEqual(diary.interrupted, [])
      assert.deepStrictEqual(rejected, [])
      yield* Fiber.interrupt(hung)
    }).pipe(Effect.scoped))
})

describe("a call whose answer nobody waits for", () => {
  it.effect("returns as soon as it has begun, whatever it would be answered", () =>
    Effect.gen(function*() {
      const { client, diary, rejected } = yield* connected()
      const { Double, Hang } = yield* client
      assert.isUndefined(yield* Double({ n: 1 }, { discard: true }))
      assert.isUndefined(yield* Hang({ name: "discarded" }, { discard: true }))
      assert.deepStrictEqual(diary.hung, ["discarded"])
      assert.deepStrictEqual(rejected, [])
    }).pipe(Effect.scoped))
})

describe("an answer", () => {
  const nothing = new Uint8Array(0)

  it("to nobody changes nothing", () => {
    const { caller, rejected } = alone({ judged: true })
    caller.receive({ _tag: "Exit", id: 7, exit: nothing })
    caller.receive({ _tag: "Chunk", id: 7, values: nothing })
    assert.deepStrictEqual(rejected, [])
  })

  const cases: ReadonlyArray<readonly [string, (id: number) => ReadonlyArray<Wire.FromCallee>, RegExp]> = [
    ["that does not decode", (id) => [{ _tag: "Exit", id, exit: Uint8Array.of(250) }], /does not decode/],
    ["that is a stream's", (id) => [{ _tag: "Chunk", id, values: Uint8Array.of(1, 2) }], /does not decode/]
  ]
  for (const [title, answers, detail] of cases) {
    it.effect(`${title} is told to whoever judges it, and its call ends with the rest`, () =>
      Effect.gen(function*() {
        const { caller, rejected, sent } = alone({ judged: true })
        const { Double, Hang } = yield* Effect.provideService(caller.client(Group, { accuses: true }), Script, plain)
        const other = yield* fork(Hang({ name: "other" }))
        const call = yield* fork(Double({ n: 1 }))
        for (const answer of answers(sent.at(-1)!.id)) caller.receive(answer)
        assert.match(rejected.join(), detail)
        assert.isUndefined(call.pollUnsafe())
        caller.end(new Gone({ why: "rejected" }))
        for (const fiber of [call, other] as ReadonlyArray<Fiber.Fiber<unknown, Gone>>) {
          assert.deepStrictEqual(yield* failureOf(fiber), new Gone({ why: "rejected" }))
        }
      }).pipe(Effect.scoped))
  }

  for (
    const [why, judged, accuses] of [["nobody judges it", false, true], ["it is nobody's fault", true, false]] as const
  ) {
    it.effect(`that does not decode is its call's defect where ${why}`, () =>
      Effect.gen(function*() {
        const { caller, rejected, sent } = alone({ judged })
        const { Double, Hang } = yield* Effect.provideService(caller.client(Group, { accuses }), Script, plain)
        const other = yield* fork(Hang({ name: "other" }))
        const call = yield* fork(Double({ n: 1 }))
        caller.receive({ _tag: "Exit", id: sent.at(-1)!.id, exit: Uint8Array.of(250) })
        assert.match(defectOf(yield* Fiber.await(call)), /does not decode/)
        assert.isUndefined(other.pollUnsafe())
        assert.deepStrictEqual(rejected, [])
      }).pipe(Effect.scoped))
  }
})

// -----------------------------------------------------------------------------
// the postmaster's end
// -----------------------------------------------------------------------------

/** A connection to a life whose side of the line is the test. */
const life = (slot: number, enter: Connection.Door["enter"] = () => ({
  id: slot,
  receive: () => {},
  drain: () => {},
  disconnect: () => {}
})) => {
  const [near, far] = FramePort.pair()
  const rejected: Array<string> = []
  const heard: Array<Wire.Message> = []
  let full = false
  let paused = false
  let drain = (): void => {}
  const connection = Connection.make(
    {
      port: {
        send: (frame) => near.send(frame) && !full,
        listen: (listener) => {
          drain = listener.onDrain
          near.listen(listener)
        },
        pause: (hold) => {
          paused = hold
          near.pause(hold)
        }
      },
      reject: (detail) => void rejected.push(detail)
    },
    { ref: slotRef(slot, 1), pid: slot as Pid },
    { enter, patience: (tag) => tag === "Brief" ? undefined : tag === "Rare" ? 2 : 1_000_000 }
  )
  far.listen({ onDrain: () => {}, onFrame: (frame) => void heard.push(understood(frame)) })
  return {
    connection,
    rejected,
    heard,
    say: (message: Wire.Message) => void far.send(Wire.encode(message)),
    isPaused: () => paused,
    /** As if it read nothing any more. */
    stopReading: () => {
      full = true
    },
    readOn: () => {
      full = false
      drain()
    }
  }
}

const request = (id: number, tag = "Slow"): Wire.Request => ({
  _tag: "Request",
  id,
  tag,
  payload: new Uint8Array(0),
  discard: false,
  trace: undefined,
  headers: []
})
const exit = (id: number): Wire.FromCallee => ({ _tag: "Exit", id, exit: Uint8Array.of(id) })
const chunk = (id: number): Wire.FromCallee => ({ _tag: "Chunk", id, values: Uint8Array.of(id) })
const relay = (id: number, message: Wire.FromCaller | Wire.FromCallee): Wire.Message => ({ _tag: "Relay", id, message })
const over = new PostmasterDied({ detail: "over" })

/** A door that answers nothing before it is told to. */
const slowDoor = () => {
  let send: (frame: Uint8Array) => boolean = () => true
  const received: Array<Wire.FromCaller> = []
  const enter: Connection.Door["enter"] = (_, to) => {
    send = to
    return { id: 0, receive: (message) => void received.push(message), drain: () => {}, disconnect: () => {} }
  }
  return { enter, received, answer: (message: Wire.FromCallee) => send(Wire.encode(message)) }
}

describe("a connection", () => {
  it("takes on a few brief calls at a time, and any number of others", () => {
    const { answer, enter, received } = slowDoor()
    const { isPaused, rejected, say } = life(1, enter)
    for (let id = 0; id < 100; id++) say(request(id))
    assert.strictEqual(isPaused(), false)
    for (let id = 100; id < 200; id++) say(request(id, "Brief"))
    assert.strictEqual(isPaused(), true)
    assert.strictEqual(received.length, 116)
    answer(exit(100))
    assert.strictEqual(received.length, 117)
    for (let id = 101; id < 200; id++) answer(exit(id))
    assert.strictEqual(received.length, 200)
    assert.strictEqual(isPaused(), false)
    assert.deepStrictEqual(rejected, [])
  })

  it("hears nobody who does not read its answers", () => {
    const { answer, enter, received } = slowDoor()
    const { isPaused, readOn, say, stopReading } = life(1, enter)
    say(request(1))
    say(request(2))
    stopReading()
    answer(exit(1))
    assert.strictEqual(isPaused(), true)
    say(request(3))
    assert.strictEqual(received.length, 2)
    readOn()
    assert.strictEqual(isPaused(), false)
    assert.strictEqual(received.length, 3)
  })

  it("nor whoever does not read what others have answered, and holds up no other", () => {
    const [one, other] = [life(1), life(2)]
    const way = one.connection.relay(other.connection)
    one.say(relay(way, request(1)))
    one.say(relay(way, request(2)))
    one.stopReading()
    other.say(exit(other.heard.at(0)!.id))
    assert.strictEqual(one.isPaused(), true)
    assert.strictEqual(other.isPaused(), false)
    one.readOn()
    assert.strictEqual(one.isPaused(), false)
  })

  const wrongs: ReadonlyArray<readonly [string, ReadonlyArray<Wire.Message>, RegExp]> = [
    ["two calls of one number", [request(1), request(1)], /^sent two calls of number 1$/],
    ["two relayed calls of one number", [relay(1, request(1)), relay(1, request(1))], /^sent two calls of number 1$/],
    ["a way that there is not", [relay(2, request(1))], /^sent a call by way 2, which there is not$/],
    ["the way of nobody", [relay(0, request(1))], /^sent a call by way 0, which there is not$/],
    ["an answer by a way", [relay(1, exit(1))], /^sent an answer by way of another worker's call$/],
    [
      "more calls of a kind than may be open",
      [request(1, "Rare"), request(2, "Rare"), request(3), request(4, "Rare")],
      /^sent more than 2 calls of Rare and waits for the answers of all$/
    ],
    ["what only a postmaster says", [{ _tag: "Hold", id: 1 }], /^sent what only a postmaster says$/],
    [
      "more calls than may be open",
      Array.from({ length: 65_537 }, (_, id) => request(id)),
      /^sent more than 65536 calls and waits for the answers of all$/
    ],
    [
      "more relayed calls than may be open",
      Array.from({ length: 65_537 }, (_, id) => relay(1, request(id))),
      /^sent more than 65536 calls and waits for the answers of all$/
    ]
  ]
  for (const [title, messages, detail] of wrongs) {
    it(`ends a worker that sends ${title}, and nobody else`, () => {
      const [one, other] = [life(1), life(2)]
      assert.strictEqual(one.connection.relay(other.connection), 1)
      for (const message of messages.slice(0, -1)) one.say(message)
      assert.deepStrictEqual(one.rejected, [])
      one.say(messages.at(-1)!)
      assert.match(one.rejected.join(), detail)
      assert.deepStrictEqual(other.rejected, [])
    })
  }

  it("ends a worker that sends more of a stream than it was asked for, and nobody who was asked by another", () => {
    const [one, other] = [life(1), life(2)]
    const way = one.connection.relay(other.connection)
    one.say(relay(way, request(1)))
    const { id } = other.heard[0]!
    other.say(chunk(id))
    // Nothing is asked for twice, so that the other one cannot be made to send too much.
    for (let acks = 0; acks < 3; acks++) one.say(relay(way, { _tag: "Ack", id: 1 }))
    assert.deepStrictEqual(tags(other.heard), ["Request", "Ack"])
    other.say(chunk(id))
    assert.deepStrictEqual(other.rejected, [])
    other.say(chunk(id))
    assert.deepStrictEqual(other.rejected, ["sent more of a stream than it was asked for"])
    assert.deepStrictEqual(one.rejected, [])
    assert.deepStrictEqual(one.heard, [relay(way, chunk(1)), relay(way, chunk(1))])
  })

  it("knows one way to each life, however often it is asked for", () => {
    const [one, other, third] = [life(1), life(2), life(3)]
    assert.strictEqual(one.connection.relay(other.connection), 1)
    assert.strictEqual(one.connection.relay(third.connection), 2)
    assert.strictEqual(one.connection.relay(other.connection), 1)
    assert.strictEqual(other.connection.relay(one.connection), 1)
  })

  it("forgets the ways to a life that has ended, and forgives whoever has not heard of it", () => {
    const [one, other] = [life(1), life(2)]
    const way = one.connection.relay(other.connection)
    one.say(relay(way, request(1)))
    other.connection.end(over)
    one.say(relay(way, request(1)))
    one.say(relay(way, { _tag: "Interrupt", id: 1 }))
    assert.deepStrictEqual(one.rejected, [])
    assert.deepStrictEqual(tags(other.heard), ["Request"])
    assert.strictEqual(other.connection.waysHere.size, 0)
  })

  it("interrupts what its life has called when that ends, and is not held by whom it called", () => {
    const [one, other] = [life(1), life(2)]
    const way = one.connection.relay(other.connection)
    one.say(relay(way, request(1)))
    one.say(relay(way, request(2)))
    one.connection.end(over)
    assert.deepStrictEqual(tags(other.heard), ["Request", "Request", "Interrupt", "Interrupt"])
    assert.strictEqual(other.connection.waysHere.size, 0)
    one.say(relay(way, request(3)))
    assert.strictEqual(other.heard.length, 4)
  })

  const ways = (heard: ReadonlyArray<Wire.Message>) => tags(heard).filter((tag) => tag !== "Relay")

  it("tells whoever calls one that is behind to wait until that goes on, and lets it say everything else", () => {
    const { enter, received } = slowDoor()
    const [one, other] = [life(1, enter), life(2)]
    const way = one.connection.relay(other.connection)
    other.stopReading()
    one.say(relay(way, request(1)))
    one.say(relay(way, request(2)))
    assert.deepStrictEqual(ways(one.heard), ["Hold"])
    assert.strictEqual(one.isPaused(), false)
    one.say(request(1))
    assert.strictEqual(received.length, 1)
    other.readOn()
    assert.deepStrictEqual(ways(one.heard), ["Hold", "GoOn"])
    other.stopReading()
    one.say(relay(way, request(3)))
    other.connection.end(over)
    assert.deepStrictEqual(ways(one.heard), ["Hold", "GoOn", "Hold", "GoOn"])
    assert.deepStrictEqual(one.rejected, [])
  })

  it("hears nothing more from whoever does not wait when it is told to, until the other one goes on or ends", () => {
    const [one, other, third] = [life(1), life(2), life(3)]
    const way = one.connection.relay(other.connection)
    one.connection.relay(third.connection)
    let id = 0
    for (const goOn of [other.readOn, () => other.connection.end(over)]) {
      other.stopReading()
      for (let n = 0; n < 5_000; n++) one.say(relay(way, request(++id)))
      assert.strictEqual(one.isPaused(), true)
      assert.isBelow(other.heard.length, id)
      assert.strictEqual(third.isPaused(), false)
      goOn()
      assert.strictEqual(one.isPaused(), false)
    }
    assert.deepStrictEqual(one.rejected, [])
  })
})

// -----------------------------------------------------------------------------
// a worker's end
// -----------------------------------------------------------------------------

describe("a worker that calls others", () => {
  const lead = Effect.flatMap(
    Postmaster,
    (postmaster) => Effect.flatMap(postmaster.register(Bereaved), ({ client }) => client)
  )
  const home = Postmaster.layer().pipe(
    Layer.provide([SpawnerFiber.layer, PostmasterConfig.layer({ shutdownOnRelease: "Immediate" })])
  )

  it.live("hears of the end of one through every client, though all have asked the way at once", () =>
    Effect.gen(function*() {
      const { Bereave } = yield* lead
      const ends = yield* Bereave({ clients: 5 })
      assert.strictEqual(ends.length, 5)
      for (const end of ends) assert.include(end, "mortal")
    }).pipe(Effect.scoped, Effect.provide(home)))

  it.live("keeps one watch on another one, however often it looks for it", () =>
    Effect.gen(function*() {
      const { Find } = yield* lead
      assert.strictEqual(yield* Find({ times: 70_000 }), 70_000)
    }).pipe(Effect.scoped, Effect.provide(home)), 60_000)
})
