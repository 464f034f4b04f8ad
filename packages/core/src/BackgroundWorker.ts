/**
 * Decides what a worker *is*: a definition, which is data known to both sides,
 * and a `main`, which only the worker's own side loads.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { formatJson } from "effect/Formatter"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { EntryError } from "./ExitStatus.ts"
import { oneLine } from "./internal/oneLine.ts"
import * as Limits from "./Limits.ts"
import type { Outcome } from "./Outcome.ts"
import type { StartTime } from "./Phase.ts"
import {
  type Flag,
  type Ownership,
  Registration,
  type Rung,
  sanityCheck,
  type StopLadder,
  toRungs
} from "./Registration.ts"
import { InvalidArguments, InvalidDefinition, RegistrationError } from "./RegistrationError.ts"
import * as Restart from "./Restart.ts"
import { WorkerContext } from "./WorkerContext.ts"
import * as WorkerLife from "./WorkerLife.ts"
import type { Calls } from "./WorkerProtocol.ts"

const TypeId = "~@effect-postmaster/core/BackgroundWorker/BackgroundWorker"
const MainTypeId = "~@effect-postmaster/core/BackgroundWorker/Main"

/**
 * A schema that can describe a worker's arguments: it encodes to JSON, and
 * decoding it needs no services.
 *
 * @category models
 * @since 0.1.0
 */
export type ArgsSchema = Schema.ConstraintCodec<unknown, unknown, never, unknown>

/**
 * The arguments as a caller writes them: none when the schema is `Schema.Void`.
 *
 * @category models
 * @since 0.1.0
 */
export type ArgsInput<Args extends ArgsSchema> = Args["Type"] extends void ? [] : [args: Args["Type"]]

/**
 * A worker's definition. It is data; running it needs a `Postmaster`.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackgroundWorker<out Args extends ArgsSchema, out Rpcs extends Rpc.Any = never> extends Pipeable {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly type: string
  readonly entry: { readonly module: string; readonly export: string }
  readonly args: Args
  readonly protocol: Calls<Rpcs> | undefined
  readonly flags: ReadonlyArray<Flag>
  readonly class: string | undefined
  readonly key: string | undefined
  readonly resources: ReadonlyArray<string>
  readonly startTime: StartTime
  readonly after: ReadonlyArray<string>
  readonly restart: Restart.Restart
  readonly stopTimeoutMillis: number | undefined
  readonly readyTimeoutMillis: number | undefined
  readonly heartbeatMillis: number | undefined
  readonly progressTimeoutMillis: number | undefined
  readonly recycleAfterMillis: number | undefined
  readonly limits: Limits.Limits | undefined
  readonly stopLadder: ReadonlyArray<Rung> | undefined
  readonly spare: boolean
  readonly ownership: Ownership
}

/**
 * Any worker's definition, whatever its arguments and its calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends BackgroundWorker<ArgsSchema, Rpc.Any> {}

/**
 * The options of a definition.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Args extends ArgsSchema, Rpcs extends Rpc.Any = never> {
  /** The module that exports the worker's `main`; `export` defaults to `"main"`. */
  readonly entry: { readonly module: URL; readonly export?: string | undefined }
  /** The schema of the arguments. Defaults to `Schema.Void`: no arguments. */
  readonly args?: Args | undefined
  /**
   * The calls that the worker answers, by the handlers in the layer of its
   * `main` (`WorkerProtocol.make`). Defaults to none.
   */
  readonly protocol?: Calls<Rpcs> | undefined
  /** What kind of worker this is, in log lines. Defaults to the name. */
  readonly type?: string | undefined
  /** Defaults to none: an isolated worker. */
  readonly flags?: ReadonlyArray<Flag> | undefined
  /** The class that `PostmasterConfig.classLimits` may limit. Defaults to none. */
  readonly class?: string | undefined
  /**
   * At most one worker of this key is registered at a time. To register it
   * again answers the handle of the registration that exists, with the
   * arguments that it was given. Defaults to none.
   */
  readonly key?: string | undefined
  /**
   * Names of what the worker uses, a database say, and is ended for when
   * somebody calls `Postmaster.terminateUsers` with one of them
   * (`BGWORKER_INTERRUPTIBLE`). Defaults to none.
   */
  readonly resources?: ReadonlyArray<string> | undefined
  /** Defaults to `"RecoveryFinished"`. */
  readonly startTime?: StartTime | undefined
  /**
   * Workers, or names of workers, that are to be ready before each life of this
   * one begins: order only, as systemd's `After`. It waits while there are
   * workers registered under such a name and none of them is ready; a name that
   * nobody bears holds up nobody. Defaults to none.
   */
  readonly after?: ReadonlyArray<string | Pick<Any, "name">> | undefined
  /** Defaults to `"never"`. */
  readonly restart?: Restart.Input | undefined
  /** How long SIGTERM may be ignored before SIGKILL. Defaults to `PostmasterConfig.stopTimeout`. */
  readonly stopTimeout?: Duration.Input | undefined
  /** What the worker is held to: memory, priority, files. Defaults to nothing of its own. */
  readonly limits?: Limits.Input | undefined
  /**
   * Within how long after its birth each life must be ready; otherwise it is
   * killed, and has failed. Defaults to none: it may take as long as it likes.
   */
  readonly readyTimeout?: Duration.Input | undefined
  /**
   * How long the main loop of a ready worker may be silent: one that is stopped,
   * or blocks its loop, is killed, and has failed. At least 100 ms; several
   * seconds are usual. Defaults to none: nobody listens.
   */
  readonly heartbeat?: Duration.Input | undefined
  /**
   * How long a ready worker may go without `WorkerContext.progress`: one whose
   * loop runs while its work stands still is killed, and has failed. At least
   * 100 ms. Defaults to none.
   */
  readonly progressTimeout?: Duration.Input | undefined
  /**
   * How old a life may grow: then it is asked to end, as by `terminate`, and
   * another one begins, which is no failure. At least 100 ms. Defaults to as old
   * as it likes. A program that wants another life for other reasons, memory or
   * the number of calls, returns `Outcome.recycle`.
   */
  readonly recycleAfter?: Duration.Input | undefined
  /**
   * What the worker is sent when it is to end, and for how long each signal may
   * be ignored: 1 to 8 of them, none gentler than the one before. SIGKILL to its
   * process group always comes last. Defaults to SIGTERM and the `stopTimeout`,
   * which is of no account otherwise. Crash recovery and an immediate shutdown
   * do not ask: they send SIGQUIT, and SIGKILL after `PostmasterConfig.killAfter`.
   */
  readonly stopLadder?: StopLadder | undefined
  /**
   * Whether the worker may be made from a spare, a process that has imported
   * the entry module ahead of the launch (`PostmasterConfig.spares`). Defaults
   * to true. Say false if importing the module does something that only a
   * launched worker may do.
   */
  readonly spare?: boolean | undefined
  /**
   * Whether the worker ends with the postmaster, or with the life of the worker
   * that has registered it, however that life ends. To the application both are
   * the same. Defaults to `"postmaster"`.
   */
  readonly ownership?: Ownership | undefined
}

/**
 * Makes the definition of a worker.
 *
 * **Details**
 *
 * Nothing is checked here: a definition is only data. Names, intervals and flags
 * are checked when the worker is registered, with typed errors.
 *
 * **Example** (A worker and its main in one module)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * export const Resize = BackgroundWorker.make("resize", {
 *   entry: { module: new URL(import.meta.url) },
 *   args: Schema.Struct({ folder: Schema.String }),
 *   restart: "10 seconds"
 * })
 *
 * export const main = BackgroundWorker.main(Resize, ({ folder }) => Effect.logInfo(`resizing ${folder}`))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Args extends ArgsSchema = typeof Schema.Void, Rpcs extends Rpc.Any = never>(
  name: string,
  options: Options<Args, Rpcs>
): BackgroundWorker<Args, Rpcs> => ({
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  },
  name,
  type: options.type ?? name,
  entry: { module: options.entry.module.href, export: options.entry.export ?? "main" },
  // The default of the type parameter and this default are one decision.
  args: options.args ?? (Schema.Void as ArgsSchema as Args),
  protocol: options.protocol,
  flags: options.flags ?? [],
  class: options.class,
  key: options.key,
  resources: options.resources ?? [],
  startTime: options.startTime ?? "RecoveryFinished",
  after: (options.after ?? []).map((other) => typeof other === "string" ? other : other.name),
  restart: Restart.fromInput(options.restart ?? "never"),
  stopTimeoutMillis: toMillis(options.stopTimeout),
  readyTimeoutMillis: toMillis(options.readyTimeout),
  heartbeatMillis: toMillis(options.heartbeat),
  progressTimeoutMillis: toMillis(options.progressTimeout),
  recycleAfterMillis: toMillis(options.recycleAfter),
  limits: Limits.fromInput(options.limits ?? {}),
  stopLadder: options.stopLadder && toRungs(options.stopLadder),
  spare: options.spare ?? true,
  ownership: options.ownership ?? "postmaster"
})

const toMillis = (input: Duration.Input | undefined): number | undefined =>
  input === undefined ? undefined : Restart.toMillis(input)

/**
 * Gives a definition another name, for one of several registrations of it. The
 * type stays, so that logs still tell what kind of worker it is.
 *
 * **Example** (One worker per shard)
 *
 * ```ts
 * import * as BackgroundWorker from "@effect-postmaster/core/BackgroundWorker"
 *
 * const Digest = BackgroundWorker.make("digest", { entry: { module: new URL(import.meta.url) } })
 *
 * export const digests = [1, 2, 3].map((shard) => Digest.pipe(BackgroundWorker.named(`digest ${shard}`)))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const named: {
  (
    name: string
  ): <Args extends ArgsSchema, Rpcs extends Rpc.Any>(self: BackgroundWorker<Args, Rpcs>) => BackgroundWorker<Args, Rpcs>
  <Args extends ArgsSchema, Rpcs extends Rpc.Any>(
    self: BackgroundWorker<Args, Rpcs>,
    name: string
  ): BackgroundWorker<Args, Rpcs>
} = /* @__PURE__ */ dual(
  2,
  <Args extends ArgsSchema, Rpcs extends Rpc.Any>(
    self: BackgroundWorker<Args, Rpcs>,
    name: string
  ): BackgroundWorker<Args, Rpcs> => ({ ...self, name })
)

/**
 * Gives a definition a key: of all workers that name the same key, at most one
 * is registered at a time.
 *
 * **When to use**
 *
 * Use where several callers need the same worker, and none of them knows
 * whether another one has registered it: one worker per tenant, per file, per
 * shard.
 *
 * **Details**
 *
 * `register` answers the handle of the registration that exists, which takes no
 * other slot. The key is free again when that registration has ended. If the
 * holder is of another definition (another name, type or entry), or has been
 * told to end for good, registering fails with `KeyTaken`.
 *
 * **Gotchas**
 *
 * The arguments are those of whoever came first, and so is the owner of a worker
 * with `ownership: "registrant"`.
 *
 * **Example** (One worker per tenant)
 *
 * ```ts
 * import { BackgroundWorker, Postmaster } from "@effect-postmaster/core"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Index = BackgroundWorker.make("index", {
 *   entry: { module: new URL("./index-worker.ts", import.meta.url) },
 *   args: Schema.Struct({ tenant: Schema.String })
 * })
 *
 * export const indexOf = Effect.fnUntraced(function*(tenant: string) {
 *   const postmaster = yield* Postmaster
 *   return yield* postmaster.register(Index.pipe(BackgroundWorker.keyed(`index ${tenant}`)), { tenant })
 * })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const keyed: {
  (
    key: string
  ): <Args extends ArgsSchema, Rpcs extends Rpc.Any>(self: BackgroundWorker<Args, Rpcs>) => BackgroundWorker<Args, Rpcs>
  <Args extends ArgsSchema, Rpcs extends Rpc.Any>(
    self: BackgroundWorker<Args, Rpcs>,
    key: string
  ): BackgroundWorker<Args, Rpcs>
} = /* @__PURE__ */ dual(
  2,
  <Args extends ArgsSchema, Rpcs extends Rpc.Any>(
    self: BackgroundWorker<Args, Rpcs>,
    key: string
  ): BackgroundWorker<Args, Rpcs> => ({ ...self, key })
)

/**
 * Turns a definition and its arguments into what occupies a slot.
 *
 * **Details**
 *
 * Fails with the first sanity check that fails, and with `InvalidArguments`
 * when the arguments do not fit the schema.
 *
 * @category conversions
 * @since 0.1.0
 */
// Pure, so that a bundler leaves it out of workers, which have no use for it.
export const toRegistration = /* @__PURE__ */ Effect.fnUntraced(function*<Args extends ArgsSchema>(
  self: BackgroundWorker<Args, Rpc.Any>,
  args: Args["Type"] | undefined
): Effect.fn.Return<Registration, RegistrationError, Args["EncodingServices"]> {
  // The checks come before the arguments, so that they keep PostgreSQL's order.
  const template = templates.get(self) ?? (yield* makeTemplate(self))
  const encoded = yield* Effect.mapError(
    template.encode(args),
    (error) =>
      new RegistrationError({
        reason: new InvalidArguments({ worker: self.name, value: show(args), detail: oneLine(error) })
      })
  )
  // A copy: what the caller does with its own objects later must not reach the next life.
  return { ...template.registration, args: copyJson(encoded) }
})

/** What all registrations of a definition have in common. */
interface Template {
  /** Without arguments, checked, and sharing nothing with the definition. */
  readonly registration: Registration
  readonly encode: (args: unknown) => Effect.Effect<Schema.Json, Schema.SchemaError>
}

/** Definitions are data that does not change, so each is checked once. */
const templates = new WeakMap<Any, Template>()

const makeTemplate = /* @__PURE__ */ Effect.fnUntraced(function*(
  self: Any
): Effect.fn.Return<Template, RegistrationError> {
  const registration: Registration = {
    name: self.name,
    type: self.type === "" ? self.name : self.type,
    entry: self.entry,
    args: null,
    flags: self.flags,
    ...(self.class === undefined ? undefined : { class: self.class }),
    ...(self.key === undefined ? undefined : { key: self.key }),
    ...(self.resources.length === 0 ? undefined : { resources: self.resources }),
    startTime: self.startTime,
    ...(self.after.length === 0 ? undefined : { after: self.after }),
    restart: self.restart,
    ...(self.stopTimeoutMillis === undefined ? undefined : { stopTimeoutMillis: self.stopTimeoutMillis }),
    ...(self.readyTimeoutMillis === undefined ? undefined : { readyTimeoutMillis: self.readyTimeoutMillis }),
    ...(self.heartbeatMillis === undefined ? undefined : { heartbeatMillis: self.heartbeatMillis }),
    ...(self.progressTimeoutMillis === undefined ? undefined : { progressTimeoutMillis: self.progressTimeoutMillis }),
    ...(self.recycleAfterMillis === undefined ? undefined : { recycleAfterMillis: self.recycleAfterMillis }),
    ...(self.limits === undefined ? undefined : { limits: self.limits }),
    // No spare has been born with its limits, so none is made for it.
    ...(self.spare && !Limits.isInborn(self.limits) ? undefined : { spare: false }),
    ...(self.stopLadder === undefined ? undefined : { stopLadder: self.stopLadder }),
    ...(self.ownership === "postmaster" ? undefined : { ownership: self.ownership })
  }
  yield* Effect.mapError(
    decodeRegistration(registration),
    (error) =>
      new RegistrationError({ reason: new InvalidDefinition({ worker: String(self.name), detail: oneLine(error) }) })
  )
  const reason = sanityCheck(registration)
  if (reason !== undefined) return yield* new RegistrationError({ reason })
  const template: Template = {
    registration: structuredClone(registration),
    // The services it needs are those of the arguments' schema, which `toRegistration` asks for.
    encode: Schema.encodeUnknownEffect(Schema.toCodecJson(self.args)) as Template["encode"]
  }
  templates.set(self, template)
  return template
})

const copyJson = (json: Schema.Json): Schema.Json => {
  if (typeof json !== "object" || json === null) return json
  if (Array.isArray(json)) return json.map(copyJson)
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, copyJson(value)]))
}

const decodeRegistration = /* @__PURE__ */ Schema.decodeUnknownEffect(Registration)

const maxShown = 200

const show = (value: unknown): string => {
  const text = formatJson(value)
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text
}

/**
 * What an entry module exports: a definition together with the program that
 * runs it. Made by `main`, run by a spawner's far side.
 *
 * @category models
 * @since 0.1.0
 */
export interface Main {
  readonly [MainTypeId]: typeof MainTypeId
  readonly name: string
  /** Decodes the arguments and runs the program to its end. */
  readonly run: (args: Schema.Json) => Effect.Effect<void | Outcome, unknown, WorkerContext | Scope.Scope>
  /** Begins a life of the program for a host that may have another copy of Effect, or none. */
  readonly begin: (order: WorkerLife.LifeOrder, host: WorkerLife.WorkerHost) => WorkerLife.WorkerLife
  /** Goes through what `begin` goes through, with nothing to do and nobody to hear of it, so that a launch finds it compiled. */
  readonly rehearse: () => void
}

/**
 * Returns `true` when a value was made by `main`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isMain = (u: unknown): u is Main => Predicate.hasProperty(u, MainTypeId)

/**
 * Who says that the worker is ready: `main` by beginning, or the program by
 * `WorkerContext.ready`.
 *
 * @category models
 * @since 0.1.0
 */
export type Readiness = "Automatic" | "Manual"

/** What a layer must provide beside what the program asks for: the handlers of the protocol, and what they need. */
type Serves<Rpcs extends Rpc.Any, ROut> =
  [Exclude<Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs> | Rpc.ServicesServer<Rpcs>, ROut>] extends [never] ? unknown
    : {
      readonly "a handler is missing": Exclude<
        Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs> | Rpc.ServicesServer<Rpcs>,
        ROut
      >
    }

/**
 * Makes what an entry module exports: the program of a worker.
 *
 * **Details**
 *
 * How the program ends decides what happens next: a return ends the
 * registration (exit code 0) unless it returns an `Outcome` that asks for
 * another life, a typed failure is tried again by the restart
 * policy (exit code 1), a defect is a crash (exit code 2). A request to stop
 * interrupts the program; its finalizers run.
 *
 * With `layer`, the layer is built before the worker is ready and released
 * after the program has ended. With `ready: "Manual"` the program itself says
 * when it is ready, through `WorkerContext`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const main: {
  <Args extends ArgsSchema, E>(
    worker: BackgroundWorker<Args>,
    run: (args: Args["Type"]) => Effect.Effect<void | Outcome, E, WorkerContext | Scope.Scope>,
    options?: { readonly ready?: Readiness | undefined }
  ): Main
  <Args extends ArgsSchema, Rpcs extends Rpc.Any, E, ROut, E2>(
    worker: BackgroundWorker<Args, Rpcs>,
    run: (args: Args["Type"]) => Effect.Effect<void | Outcome, E, WorkerContext | Scope.Scope | NoInfer<ROut>>,
    options: {
      readonly layer: Layer.Layer<ROut, E2, WorkerContext> & Serves<Rpcs, ROut>
      readonly ready?: Readiness | undefined
      /** How many calls are answered at the same time; further ones wait their turn. Defaults to `"unbounded"`. */
      readonly concurrency?: number | "unbounded" | undefined
    }
  ): Main
} = <Args extends ArgsSchema, E, ROut, E2>(
  worker: BackgroundWorker<Args, Rpc.Any>,
  run: (args: Args["Type"]) => Effect.Effect<void | Outcome, E, WorkerContext | Scope.Scope | ROut>,
  options?: {
    readonly layer?: Layer.Layer<ROut, E2, WorkerContext>
    readonly ready?: Readiness | undefined
    readonly concurrency?: number | "unbounded" | undefined
  }
): Main => {
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(worker.args))
  const program = Effect.fnUntraced(function*(args: Args["Type"]) {
    if (worker.protocol !== undefined) yield* worker.protocol.serve(options)
    if (options?.ready !== "Manual") yield* (yield* WorkerContext).ready
    return yield* run(args)
  })
  const runEncoded = Effect.fnUntraced(function*(encoded: Schema.Json) {
    const args = yield* decode(encoded).pipe(
      Effect.mapError((error) =>
        new EntryError({
          kind: "ArgumentsNotDecoded",
          message: `arguments ${show(encoded)} do not decode: ${oneLine(error)}`
        })
      )
    )
    const body = program(args)
    // Without a layer the first overload has left nothing in ROut.
    return yield* options?.layer === undefined
      ? body as Effect.Effect<void | Outcome, E, WorkerContext | Scope.Scope>
      // What it has opened, and what answers its calls, needs the layer to the end.
      : Effect.provide(Effect.scoped(body), options.layer)
  })
  return {
    [MainTypeId]: MainTypeId,
    name: worker.name,
    run: runEncoded,
    begin: (order, host) => WorkerLife.begin(order, runEncoded(order.registration.args), host),
    // Nothing is a good enough example of arguments; what becomes of it is of no interest.
    rehearse: () => WorkerLife.rehearse(Effect.ignoreCause(decode(null)))
  }
}
