/**
 * What the tests of real processes have in common: launches of fixtures, a
 * logger that remembers, and waiting for facts.
 */
import type { ExitStatus } from "@effect-postmaster/core/ExitStatus"
import { slotRef } from "@effect-postmaster/core/Identity"
import type { Limits } from "@effect-postmaster/core/Limits"
import type { Flag } from "@effect-postmaster/core/Registration"
import { type Child, type ChildReport, type Launch, type SignOfLife, Spawner } from "@effect-postmaster/core/Spawner"
import * as SpawnerFiber from "@effect-postmaster/core/SpawnerFiber"
import * as NodeSpawner from "@effect-postmaster/node/NodeSpawner"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"

export const fixture = (name: string): string => new URL(`./fixtures/${name}`, import.meta.url).href

export interface LaunchOptions {
  readonly module?: string
  readonly args?: Schema.Json
  readonly flags?: ReadonlyArray<Flag>
  readonly name?: string
  readonly limits?: Limits
}

/** The launch of an export of `fixtures/workers.ts`, in slot 3, generation 7. */
export const launch = (exportName: string, options: LaunchOptions = {}): Launch => ({
  ref: slotRef(3, 7),
  registration: {
    name: options.name ?? "fixture",
    type: "fixture",
    entry: { module: options.module ?? fixture("workers.ts"), export: exportName },
    args: options.args ?? null,
    flags: options.flags ?? [],
    startTime: "RecoveryFinished",
    restart: { _tag: "Never", onSuccess: "Unregister" },
    ...(options.limits === undefined ? undefined : { limits: options.limits })
  }
})

export interface Entry {
  readonly level: string
  readonly text: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** One life under observation. */
export interface Life extends Child {
  readonly reports: ReadonlyArray<ChildReport>
  readonly signs: ReadonlyArray<SignOfLife>
  readonly log: ReadonlyArray<Entry>
}

const remember = (log: Array<Entry>) =>
  Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
    log.push({
      level: logLevel,
      text: Array.isArray(message) ? message.join(" ") : String(message),
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })

/** How the workers of this run of the tests are borne. */
export const birth = process.env["POSTMASTER_TEST_BIRTH"] ?? "cold"

/** Makes a spare for every launch, and has the launch made from it if that can be. */
export const fromSpares: Layer.Layer<Spawner, never, Spawner> = Layer.effect(
  Spawner,
  Spawner.use((spawner) =>
    Effect.succeed(Spawner.of({
      spawn: Effect.fnUntraced(function*(launch, report) {
        const { module } = launch.registration.entry
        const spare = yield* Effect.option(spawner.spare!(module.startsWith("file:") ? [module] : []))
        return yield* spawner.spawn(launch, report, Option.getOrUndefined(spare))
      })
    }))
  )
)

/** The spawner under test: cold births through a launcher, births from spares, or births by the application itself. */
export const workers = (options: NodeSpawner.Options = {}): Layer.Layer<Spawner> => {
  switch (birth) {
    case "spare":
      // What stands in for Node in some tests makes no spare.
      return options.execPath === undefined
        ? Layer.provide(fromSpares, NodeSpawner.layerWith(options))
        : NodeSpawner.layerWith(options)
    case "direct":
      return NodeSpawner.layerWith({ launcher: false, ...options })
    default:
      return NodeSpawner.layerWith(options)
  }
}

/** A spawner that is tested like all others. */
export interface Tested {
  readonly name: string
  readonly layer: Layer.Layer<Spawner>
  /** Each worker is a process, which others can signal. */
  readonly processes: boolean
}

/** Every spawner whose births this run covers: a new one proves itself by being added here. */
export const spawners: ReadonlyArray<Tested> = [
  ...(birth === "cold"
    ? [
      { name: "fiber", layer: SpawnerFiber.layer, processes: false },
      { name: "thread", layer: NodeSpawner.layerThread, processes: false }
    ]
    : birth === "spare"
    ? [{ name: "thread", layer: Layer.provide(fromSpares, NodeSpawner.layerThread), processes: false }]
    : []),
  { name: "process", layer: workers(), processes: true }
]

export interface BirthOptions extends NodeSpawner.Options {
  /** Another spawner than the one under test; the other options are its own affair. */
  readonly layer?: Layer.Layer<Spawner>
}

/** Bears a worker whose log entries are remembered with its life. */
export const born = (
  order: Launch,
  { layer, ...options }: BirthOptions = {}
): Effect.Effect<Life, unknown, Scope.Scope> => {
  const log: Array<Entry> = []
  const reports: Array<ChildReport> = []
  const signs: Array<SignOfLife> = []
  return Effect.gen(function*() {
    const scope = yield* Effect.scope
    const context = yield* Layer.buildWithScope(
      Layer.provideMerge(layer ?? workers(options), Logger.layer([remember(log)])),
      scope
    )
    const spawner = Context.get(context, Spawner)
    const child = yield* Effect.provideContext(
      spawner.spawn(order, (report) => {
        if (typeof report === "string") reports.push(report)
        else signs.push(report)
      }),
      context
    )
    return { ...child, reports, signs, log }
  })
}

/** Bears a worker and waits for its end. */
export const lived = (
  order: Launch,
  options: BirthOptions = {}
): Effect.Effect<{ readonly status: ExitStatus; readonly life: Life }, unknown> =>
  born(order, options).pipe(
    Effect.flatMap((life) => Effect.map(life.exit, (status) => ({ status, life }))),
    Effect.scoped
  )

/** How long a fact may take before the test gives up. No test is right or wrong by how fast it is. */
const patienceMillis = 30_000

/** Waits until something is so. */
export const until = <A>(what: string, look: () => A | undefined | false): Effect.Effect<A> =>
  Effect.callback((resume) => {
    const started = performance.now()
    let timer: NodeJS.Timeout | undefined
    const attempt = (): void => {
      const found = look()
      if (found !== undefined && found !== false) return resume(Effect.succeed(found))
      if (performance.now() - started > patienceMillis) return resume(Effect.die(new Error(`waited in vain: ${what}`)))
      timer = setTimeout(attempt, 5)
    }
    attempt()
    return Effect.sync(() => clearTimeout(timer))
  })

/** Waits until a line arrives in a life's log. */
export const saw = (life: Life, text: string): Effect.Effect<Entry> =>
  until(`a line "${text}"`, () => life.log.find((entry) => entry.text.includes(text)))

/** The fields of `/proc/<pid>/stat` after the name; `undefined` if the process is gone. */
const fieldsOf = (pid: number): ReadonlyArray<string> | undefined => {
  try {
    const stat = Fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return undefined
  }
}

/** The parent of a living process. */
export const parentOf = (pid: number): number => Number(fieldsOf(pid)![1])

/** The living children of a process. */
export const childrenOf = (pid: number): ReadonlyArray<number> =>
  Fs.readdirSync("/proc").map(Number).filter((one) => one > 0 && !isGone(one) && Number(fieldsOf(one)?.[1]) === pid)

/** The state letter of a process, or `undefined` if it is gone: `T` stopped, `Z` dead and not reaped. */
export const stateOf = (pid: number): string | undefined => fieldsOf(pid)?.[0]

/** `true` when all threads of a process have ended, and with them its files, whether anybody has reaped it yet or not. */
export const isOver = (pid: number): boolean => {
  const state = stateOf(pid)
  return state === undefined || (state === "Z" && Fs.readdirSync(`/proc/${pid}/task`).length === 1)
}

export const isGone = (pid: number): boolean => [undefined, "Z", "X"].includes(stateOf(pid))
