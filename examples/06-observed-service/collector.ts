/**
 * A collector of traces that is good enough to look at: it takes what Effect's
 * OTLP layers send as JSON, from whatever process, and draws it as trees. In
 * earnest its place is taken by an OpenTelemetry collector, Jaeger or Tempo.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Nanos = Schema.Union([Schema.String, Schema.Finite])
const Attributes = Schema.Array(
  Schema.Struct({ key: Schema.String, value: Schema.Record(Schema.String, Schema.Unknown) })
)

const Traces = Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({
    resource: Schema.Struct({ attributes: Attributes }),
    scopeSpans: Schema.Array(Schema.Struct({
      spans: Schema.Array(Schema.Struct({
        traceId: Schema.String,
        spanId: Schema.String,
        parentSpanId: Schema.optional(Schema.String),
        name: Schema.String,
        startTimeUnixNano: Nanos,
        endTimeUnixNano: Nanos,
        attributes: Attributes,
        status: Schema.Struct({ code: Schema.Finite, message: Schema.optional(Schema.String) })
      }))
    }))
  }))
})

interface Span {
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  readonly parent: string | undefined
  readonly name: string
  readonly start: number
  readonly millis: number
  readonly attributes: ReadonlyMap<string, string>
  readonly error: string | undefined
}

const errorCode = 2

const textOf = (attributes: typeof Attributes.Type): ReadonlyMap<string, string> =>
  new Map(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]))

/** Oldest first; more would be a matter for a database. */
const maxSpans = 10_000

/** Spans of all processes. */
export class Collector extends Context.Service<Collector, {
  readonly spans: ReadonlyArray<Span>
  readonly draw: Effect.Effect<string>
}>()("06-observed-service/Collector") {
  static readonly layer: Layer.Layer<Collector, never, HttpRouter.HttpRouter> = Layer.effect(
    Collector,
    Effect.gen(function*() {
      const spans: Array<Span> = []
      const router = yield* HttpRouter.HttpRouter
      yield* router.add(
        "POST",
        "/v1/traces",
        Effect.gen(function*() {
          const { resourceSpans } = yield* HttpServerRequest.schemaBodyJson(Traces)
          for (const { resource, scopeSpans } of resourceSpans) {
            const service = textOf(resource.attributes).get("service.name") ?? "?"
            for (
              const { attributes, parentSpanId, startTimeUnixNano, status, ...span } of scopeSpans.flatMap((_) =>
                _.spans
              )
            ) {
              const start = Number(startTimeUnixNano) / 1e6
              spans.push({
                service,
                ...span,
                parent: parentSpanId,
                start,
                millis: Number(span.endTimeUnixNano) / 1e6 - start,
                attributes: textOf(attributes),
                error: status.code === errorCode ? status.message ?? "failed" : undefined
              })
            }
          }
          spans.splice(0, spans.length - maxSpans)
          return HttpServerResponse.jsonUnsafe({})
        }).pipe(Effect.catch(() => Effect.succeed(HttpServerResponse.empty({ status: 400 }))))
      )
      return Collector.of({ spans, draw: Effect.sync(() => draw(spans)) })
    })
  )
}

const shown = ["worker.name", "worker.pid", "worker.exit", "below"]

const draw = (spans: ReadonlyArray<Span>): string => {
  const known = new Set(spans.map(({ spanId }) => spanId))
  const branch = (span: Span, depth: number): ReadonlyArray<string> => [
    [
      "  ".repeat(depth) + span.name,
      `[${span.service}]`,
      `${span.millis.toFixed(1)} ms`,
      ...shown.flatMap((key) => span.attributes.has(key) ? [`${key}=${span.attributes.get(key)}`] : []),
      ...(span.error === undefined ? [] : [`ERROR`])
    ].join(" "),
    ...childrenOf(span.spanId).flatMap((child) => branch(child, depth + 1))
  ]
  const inOrder = (spans: ReadonlyArray<Span>) => spans.toSorted((self, that) => self.start - that.start)
  const childrenOf = (id: string) => inOrder(spans.filter(({ parent }) => parent === id))
  const roots = inOrder(spans.filter(({ parent }) => parent === undefined || !known.has(parent)))
  return roots.flatMap((root) => [`trace ${root.traceId}`, ...branch(root, 1)]).join("\n")
}
