/**
 * How workers come in by the front door: the postmaster's answers to what they
 * call over their lines. What a worker asks for becomes a fact like any other.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { WorkerStopped } from "../HandleError.ts"
import { PostmasterRpcs } from "../PostmasterRpcs.ts"
import { maxReportLength, Series, type Source } from "../WorkerReport.ts"
import * as WorkerStatus from "../WorkerStatus.ts"
import * as Callee from "./callee.ts"
import type { Connection, Door } from "./connection.ts"
import type { Loop } from "./loop.ts"
import type { Reports } from "./reports.ts"
import * as SharedMemoryRpcs from "./sharedMemoryRpcs.ts"
import * as Watch from "./watch.ts"

/** What is told again and again, or late, and how often one worker may ask for it at the same time. */
const patience: Readonly<Record<string, number>> = {
  Watch: 16_384,
  AwaitHalt: 1_024,
  RegisterWithin: 64,
  CellChanged: 256,
  Events: 256,
  Snapshots: 256,
  MetricsWanted: 16
}

const decodeSeries = Schema.decodeUnknownExit(
  Schema.fromJsonString(Schema.toCodecJson(Schema.Array(Series)))
)

/** Made before the loop, which bears nobody before it can let them in. */
export const make = Effect.fnUntraced(function*(id: string, loop: () => Loop, reports: Reports) {
  /** Who calls, by the number under which handlers know it. */
  const connections = new Map<number, Connection>()
  /** Who has reported what it measures, by the same number. */
  const measured = new Map<number, Source>()

  const sourceOf = (client: number, { life: { ref } }: Connection): Source => {
    const known = measured.get(client)
    if (known !== undefined) return known
    const source = { ref, name: loop().watch(ref)?.name ?? "", life: client }
    measured.set(client, source)
    return source
  }

  const reportMetrics = (client: number, series: string, dropped: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const connection = connections.get(client)
      // Its life is over, and what it says is no more than an echo.
      if (connection === undefined) return Effect.void
      const decoded = series.length > maxReportLength ? undefined : decodeSeries(series)
      if (decoded === undefined || Exit.isFailure(decoded)) {
        return Effect.sync(() => connection.reject("sent metrics that do not decode"))
      }
      const source = sourceOf(client, connection)
      return Effect.sync(() => reports.report({ _tag: "Measured", ...source, series: decoded.value, dropped }))
    })

  const handlers = PostmasterRpcs.toHandlers({
    Identity: () => Effect.succeed(id),
    Register: ({ registration }, { client }) =>
      Effect.map(loop().register(registration, connections.get(client.id)!.life), ({ ref }) => ref),
    RegisterWithin: ({ registration, waitMillis }, { client }) =>
      Effect.map(
        loop().registerWithin(waitMillis, registration, connections.get(client.id)!.life),
        ({ ref }) => ref
      ),
    Watch: ({ ref }) => {
      const watch = loop().watch(ref)
      return watch === undefined
        ? Stream.succeed({ status: WorkerStatus.stopped(), gone: true })
        // A postmaster that dies takes whoever has asked along.
        : Stream.orDie(Watch.sights(watch))
    },
    Progress: ({ ref }) => Effect.map(loop().progress(ref), Option.getOrNull),
    History: ({ ref }) => {
      const watch = loop().watch(ref)
      return watch === undefined ? Effect.succeed([]) : loop().history(watch)
    },
    Resume: ({ ref }) => loop().tell({ _tag: "ResumeRequested", ref }),
    Replace: ({ name, ref }) =>
      Effect.map(loop().replace(loop().watch(ref) ?? Watch.stale(name, ref)), (successor) => successor.ref),
    ChangePolicy: ({ policy, ref, worker }) => loop().changePolicy(ref, worker, policy),
    Terminate: ({ ref }) => loop().tell({ _tag: "TerminateRequested", ref }),
    TerminateUsers: ({ resource }) => loop().tell({ _tag: "TerminateUsersRequested", resource }),
    Find: ({ name }) => Effect.map(loop().find(name), (watches) => watches.map(({ ref }) => ref)),
    TypeByPid: ({ pid }) => Effect.map(loop().typeByPid(pid), (type) => type._tag === "Some" ? type.value : null),
    Connect: ({ name, ref }, { client }) =>
      Effect.suspend(() => {
        const watch = loop().watch(ref)
        return watch?.connection === undefined
          ? Effect.fail(new WorkerStopped({ name, ref, isRetryable: watch !== undefined && !Watch.isParked(watch) }))
          : Effect.succeed({
            way: connections.get(client.id)!.relay(watch.connection),
            pid: watch.connection.life.pid
          })
      }),
    Snapshot: () => loop().snapshot,
    Snapshots: () => loop().snapshots,
    Events: () => loop().events,
    Recording: () => loop().recording,
    Vitals: () => loop().vitals,
    MetricsWanted: ({ known }) => reports.wanted(known),
    ReportMetrics: ({ dropped, series }, { client }) => reportMetrics(client.id, series, dropped),
    Reload: () => loop().tell({ _tag: "ReloadRequested" }),
    Shutdown: ({ mode }) => loop().tell({ _tag: "ShutdownRequested", mode }),
    AwaitHalt: () => loop().awaitHalt,
    ...SharedMemoryRpcs.handlers((client) => loop().memoryOf(connections.get(client)!.life.ref))
  })

  const callee = yield* Effect.provideContext(Callee.make(PostmasterRpcs, { disableTracing: true }), yield* handlers)

  const enter: Door["enter"] = (connection, send) => {
    const client = callee.connect(send)
    connections.set(client.id, connection)
    return {
      ...client,
      disconnect: () => {
        connections.delete(client.id)
        const source = measured.get(client.id)
        if (measured.delete(client.id)) reports.ended({ _tag: "Ended", ...source! })
        client.disconnect()
      }
    }
  }
  return { enter, patience: (tag) => patience[tag] } satisfies Door
})
