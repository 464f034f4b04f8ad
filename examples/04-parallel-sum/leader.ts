/**
 * The leader: a worker that registers parallel workers, an adder for each part
 * of a file, and tells how far they have come together.
 *
 * A part survives its adders. When one crashes, another one is registered for
 * what is left of its part. A crash of the leader itself takes its adders along,
 * and its sum: the postmaster brings it back, and whoever asks it again, as
 * `sum.ts` does, has it begin anew.
 */
import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import { PostmasterDied, type WorkerStopped } from "@effect-postmaster/core/HandleError"
import { Postmaster } from "@effect-postmaster/core/Postmaster"
import { RegistrationError } from "@effect-postmaster/core/RegistrationError"
import * as WorkerProtocol from "@effect-postmaster/core/WorkerProtocol"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Adder, type BadLine, blockBytes, type Part, type Piece, Unreadable, unreadable } from "./adder.ts"

export const Task = Schema.Struct({
  file: Schema.String,
  workers: Schema.Natural,
  /** Some adders kill themselves: the first one of each part, and half of those after it. */
  crash: Schema.Boolean
})
export interface Task extends Schema.Schema.Type<typeof Task> {}

export const Update = Schema.TaggedUnion({
  /** So far; the last one is the result. */
  Summed: { bytes: Schema.Natural, size: Schema.Natural, numbers: Schema.Natural, sum: Schema.BigDecimal },
  /** A worker has crashed, and what is done about it. */
  Lost: { message: Schema.String }
})
export type Update = typeof Update.Type
export type Summed = typeof Update.cases.Summed.Type
export type Lost = typeof Update.cases.Lost.Type

export class NotANumber extends Schema.TaggedError<NotANumber>()("NotANumber", {
  file: Schema.String,
  line: Schema.Natural,
  text: Schema.String
}) {
  override get message(): string {
    return `line ${this.line} of "${this.file}": ${JSON.stringify(this.text)} is no number`
  }
}

/** Adders that keep ending at the same place. */
export class GivenUp extends Schema.TaggedError<GivenUp>()("GivenUp", { message: Schema.String }) {}

export const protocol = WorkerProtocol.make(
  Rpc.make("Sum", {
    payload: Task,
    success: Update,
    error: Schema.Union([NotANumber, Unreadable, GivenUp, RegistrationError, PostmasterDied]),
    stream: true
  })
)

export const Leader = BackgroundWorker.make("leader", {
  entry: { module: new URL(import.meta.url) },
  protocol,
  restart: "100 millis"
})

export const formatStop = ({ lastExit, name }: WorkerStopped): string =>
  `${name} ${lastExit === undefined ? "never started" : ExitStatus.format(lastExit)}`

type Failure = BadLine | Unreadable | GivenUp | RegistrationError | PostmasterDied

const maxFruitless = 5

/** The pieces of one part, through all its adders. */
const sumPart = Effect.fnUntraced(function*(number: number, { file, from, to }: Part, crash: boolean) {
  const postmaster = yield* Postmaster
  let at = from
  let fruitless = 0

  const call = Effect.fnUntraced(function*(dies: boolean) {
    const adder = yield* Effect.acquireRelease(
      postmaster.register(BackgroundWorker.named(Adder, `adder ${number}`)),
      ({ terminate }) => terminate
    )
    const { Add } = yield* adder.client
    // In the first half, so that there is something left.
    const half = Math.max(Math.floor((to - at) / blockBytes / 2), 1)
    const diesAfter = dies ? { diesAfter: yield* Random.nextIntBetween(1, half) } : {}
    return Add({ part: { file, from: at, to }, ...diesAfter })
  }, Stream.unwrap)

  const pieces = (dies: boolean): Stream.Stream<Piece | Lost, Failure> =>
    call(dies).pipe(
      Stream.tap(({ upTo }) =>
        Effect.sync(() => {
          at = upTo
          fruitless = 0
        })
      ),
      Stream.catchTag("WorkerStopped", (stopped) =>
        Stream.unwrap(Effect.gen(function*() {
          if (++fruitless === maxFruitless) {
            const message = `${maxFruitless} adders in turn got nowhere at byte ${at}; the last one, ${
              formatStop(stopped)
            }`
            return yield* new GivenUp({ message })
          }
          const lost = Update.cases.Lost.make({ message: `${formatStop(stopped)}; another one goes on at byte ${at}` })
          return Stream.concat(Stream.succeed(lost), pieces(crash && (yield* Random.nextBoolean)))
        })))
    )
  return pieces(crash)
}, Stream.unwrap)

const partsOf = (file: string, size: number, workers: number): ReadonlyArray<Part> => {
  const count = Math.min(workers, size)
  const border = (part: number) => Math.floor(size * part / count)
  return Array.from({ length: count }, (_, part) => ({ file, from: border(part), to: border(part + 1) }))
}

const notANumber = Effect.fnUntraced(function*(file: string, { offset, text }: BadLine) {
  const before = (yield* FileSystem.FileSystem).stream(file, { bytesToRead: offset })
  const line = yield* Stream.runFold(
    before,
    () => 1,
    (line, bytes) => line + bytes.filter((byte) => byte === 10).length
  )
  return yield* new NotANumber({ file, line, text })
})

const add = (total: Summed, piece: Piece): Summed => ({
  ...total,
  bytes: total.bytes + piece.upTo - piece.from,
  numbers: total.numbers + piece.numbers,
  sum: BigDecimal.sum(total.sum, piece.sum)
})

/** What becomes of a task. It asks for no more than a postmaster, in a worker or elsewhere. */
export const sumFile = ({ crash, file, workers }: Task) =>
  Stream.unwrap(Effect.gen(function*() {
    const { size, type } = yield* (yield* FileSystem.FileSystem).stat(file)
    if (type !== "File") return yield* new Unreadable({ message: `"${file}" is not a file` })
    const sum = BigDecimal.fromBigInt(0n)
    let total = Update.cases.Summed.make({ size: Number(size), bytes: 0, numbers: 0, sum })
    const pieces = Stream.mergeAll(
      partsOf(file, total.size, workers).map((part, number) => sumPart(number, part, crash)),
      { concurrency: "unbounded" }
    )
    return Stream.concat(
      Stream.succeed<Update>(total),
      Stream.map(pieces, (piece) => "_tag" in piece ? piece : total = add(total, piece))
    )
  })).pipe(
    Stream.catchTag("BadLine", (bad) => Stream.fromEffect(notANumber(file, bad))),
    Stream.catchTag("PlatformError", unreadable(file))
  )

export const main = BackgroundWorker.main(Leader, () => Effect.never, {
  layer: Layer.provide(protocol.toLayer({ Sum: sumFile }), [Postmaster.layerClient, NodeFileSystem.layer])
})
