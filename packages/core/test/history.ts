/**
 * Generated histories. A history is a row of numbers, each of which picks one
 * of the things that can happen next; so every part of a history is one, too,
 * and a long one that fails can be cut short.
 */
import { again, exited, type ExitStatus, lost, signaled } from "@effect-postmaster/core/ExitStatus"
import { formatRef, type Pid, sameRef, type SlotRef } from "@effect-postmaster/core/Identity"
import type { LifeRecord } from "@effect-postmaster/core/LifeRecord"
import * as Outcome from "@effect-postmaster/core/Outcome"
import type { Policy, Registrant, Registration } from "@effect-postmaster/core/Registration"
import type { RegistrationErrorReason } from "@effect-postmaster/core/RegistrationError"
import * as Restart from "@effect-postmaster/core/Restart"
import { ProcessNotStarted, SpawnError } from "@effect-postmaster/core/SpawnError"
import { assert } from "@effect/vitest"
import { pipe } from "effect/Function"
import * as Predicate from "effect/Predicate"
import { isDeepStrictEqual } from "node:util"
import * as Machine from "../src/internal/machine.ts"
import * as Onlook from "../src/internal/onlook.ts"
import * as SlotTable from "../src/internal/slotTable.ts"
import * as Spares from "../src/internal/spares.ts"
import * as Watch from "../src/internal/watch.ts"
import * as World from "./explore/world.ts"
import { attached, define } from "./machineHarness.ts"
import { hasChild, Naive, nothing, type Outcome as Wanted, type Worker } from "./naive.ts"
import { Onlooker } from "./onlooker.ts"

export interface Choice {
  readonly what: number
  readonly who: number
  readonly wait: number
}

export interface Story {
  readonly settings: Machine.Settings
  /** How often, in ten thousand, somebody wants to shut down or the startup effect fails. */
  readonly shutdowns: number
  readonly choices: ReadonlyArray<Choice>
}

/** Numbers from 0 up to 1, the same for the same seed. */
export const random = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const pick = <A>(items: ReadonlyArray<A>, number: number): A => items[Math.floor(number * items.length)]!

export const generate = (seed: number, length: number): Story => {
  const next = random(seed)
  return {
    settings: {
      maxWorkers: pick([1, 2, 4, 8, 30], next()),
      classLimits: { parallel: pick([0, 1, 3], next()) },
      reservedSlots: pick<Machine.Settings["reservedSlots"]>(
        [{}, {}, { parallel: 1 }, { unlimited: 1, parallel: 2 }],
        next()
      ),
      killAfter: pick([0, 5_000, 7_000, Number.POSITIVE_INFINITY], next()),
      stopTimeout: pick([3_000, 30_000, Number.POSITIVE_INFINITY], next()),
      maxLaunchesPerTurn: pick([1, 2, 100], next()),
      restartAfterCrash: next() < 0.8,
      spares: pick([0, 0, 1, 2, 5], next())
    },
    shutdowns: pick([0, 5, 200], next()),
    choices: Array.from({ length }, () => ({ what: next(), who: next(), wait: next() }))
  }
}

const after = (delayMillis: number, onSuccess: "Unregister" | "Restart" = "Unregister") =>
  ({ restart: { _tag: "After", delayMillis, onSuccess } }) as const

/** Each of a module of its own. */
const pool: ReadonlyArray<Registration> = [
  define("job"),
  define("earlyJob", { startTime: "PostmasterStart" }),
  define("service", after(1_000)),
  define("slowService", { ...after(3_600_000), spare: false }),
  define("restless", { ...after(0, "Restart"), startTime: "ConsistentState" }),
  define("phoenix", { restart: { _tag: "Never", onSuccess: "Restart" } }),
  define("deaf", { ...after(20), stopTimeoutMillis: 50 }),
  define("patient", { ...after(20), stopTimeoutMillis: Number.POSITIVE_INFINITY }),
  define("parallel", { class: "parallel", type: "helper", spare: true }),
  attached("attachedJob", { resources: ["mail"] }),
  attached("attachedService", { ...after(2_000), startTime: "PostmasterStart" }),
  attached("attachedSlow", { ...after(60_000), startTime: "ConsistentState", resources: ["mail", "news"] }),
  attached("attachedPhoenix", { restart: { _tag: "Never", onSuccess: "Restart" }, class: "unlimited" }),
  define("reader", { ...after(500), resources: ["news"] }),
  define("ownedJob", { ownership: "registrant" }),
  define("ownedService", { ...after(1_000), ownership: "registrant" }),
  define("ownedPhoenix", { ...after(0, "Restart"), ownership: "registrant", startTime: "ConsistentState" }),
  attached("ownedAttached", { ...after(2_000), ownership: "registrant", resources: ["mail"] }),
  define("grower", {
    restart: pipe(
      Restart.exponential(300, { factor: 1.7, max: 2_000, jitter: 0.5 }),
      Restart.resetAfter(800),
      Restart.giveUp({ failures: 4, within: 5_000 })
    )
  }),
  define("lister", {
    restart: Restart.giveUp(Restart.delays([0, 700, 100], { onSuccess: "Restart" }), {
      failures: 3,
      within: 1_000,
      outcome: "Unregister"
    })
  }),
  define("hopeless", { restart: Restart.giveUp(Restart.after(0), { failures: 1, within: 1 }) }),
  attached("attachedParker", {
    restart: Restart.giveUp(Restart.exponential(50, { max: 400 }), { failures: 2, within: 20_000 })
  }),
  attached("attachedQuitter", {
    restart: Restart.giveUp(Restart.after(10), { failures: 2, within: 60_000, outcome: "Unregister" })
  }),
  define("climber", {
    ...after(20),
    stopLadder: [{ signal: "SIGTERM", millis: 700 }, { signal: "SIGTERM", millis: 0 }, {
      signal: "SIGQUIT",
      millis: 900
    }]
  }),
  attached("attachedClimber", {
    ...after(20),
    stopLadder: [{ signal: "SIGTERM", millis: 300 }, { signal: "SIGQUIT", millis: 400 }],
    resources: ["mail"]
  }),
  attached("endlessClimber", { stopLadder: [{ signal: "SIGQUIT", millis: Number.POSITIVE_INFINITY }] }),
  define("wrongLadder", { stopLadder: [{ signal: "SIGQUIT", millis: 1 }, { signal: "SIGTERM", millis: 1 }] }),
  define("keyedJob", { key: "blue" }),
  define("keyedService", { ...after(400), key: "blue" }),
  attached("keyedAttached", { ...after(0), key: "red", startTime: "PostmasterStart" }),
  define("keyedParallel", { key: "red", class: "parallel" }),
  define("wrongKey", { key: " " }),
  define("beater", { ...after(100), heartbeatMillis: 1_000 }),
  define("slowBeater", { readyTimeoutMillis: 400, heartbeatMillis: 30_000, restart: Restart.after(0) }),
  attached("toiler", {
    ...after(0),
    readyTimeoutMillis: 700,
    heartbeatMillis: 900,
    progressTimeoutMillis: 400,
    startTime: "PostmasterStart"
  }),
  define("follower", { ...after(10), after: ["service", "nobody"] }),
  define("lastOfAll", { after: ["follower", "beater"], startTime: "ConsistentState" }),
  define("circleA", { ...after(10), after: ["circleB"] }),
  define("circleB", { ...after(10), after: ["lastOfAll", "circleA"] }),
  define("wrongHeartbeat", { heartbeatMillis: 1 }),
  define("wrongLimit", { restart: Restart.giveUp(Restart.after(0), { failures: 0, within: 1 }) }),
  define("wrongName", { type: "" }),
  define("wrongFlags", { flags: ["DatabaseConnection"] }),
  define("wrongInterval", after(-1)),
  define("wrongParallel", { ...after(5), class: "parallel" })
].map((registration) => ({
  ...registration,
  entry: { module: `file:///${registration.name}.js`, export: "main" }
}))

const policies: ReadonlyArray<Policy> = [
  {},
  after(0),
  after(700, "Restart"),
  { restart: Restart.never() },
  { restart: Restart.never({ onSuccess: "Restart" }), stopTimeoutMillis: 40 },
  { restart: Restart.giveUp(Restart.after(5), { failures: 2, within: 30_000 }) },
  { restart: Restart.giveUp(Restart.exponential(30), { failures: 1, within: 30_000, outcome: "Unregister" }) },
  { stopLadder: [{ signal: "SIGTERM", millis: 100 }, { signal: "SIGQUIT", millis: 100 }] },
  { stopLadder: [{ signal: "SIGQUIT", millis: 30 }], stopTimeoutMillis: 2 },
  { stopTimeoutMillis: Number.POSITIVE_INFINITY },
  { stopTimeoutMillis: -1 },
  after(-1)
]

const byName = new Map(pool.map((registration) => [registration.name, registration]))

const spawnError = new SpawnError({ reason: new ProcessNotStarted({ worker: "w", detail: "no more processes" }) })

const exits: ReadonlyArray<ExitStatus> = [
  exited(0),
  exited(0),
  again(Outcome.recycle),
  again(Outcome.retryAfter(0)),
  again(Outcome.retryAfter(1_500)),
  exited(1),
  exited(1),
  exited(2),
  exited(127),
  signaled("SIGSEGV"),
  signaled("SIGKILL", { ordered: true }),
  lost("garbage")
]

/** What a choice comes to in the present state of affairs. */
const interpret = (naive: Naive, story: Story, choice: Choice, request: number): Machine.Input => {
  const { who } = choice
  if (naive.phase === "Init") {
    if (who < 0.2) return { _tag: "PhaseReached", phase: "Startup", run: 0 }
    return {
      _tag: "RegisterRequested",
      request,
      registration: pick(pool, choice.what),
      registrant: choice.what < 0.9 ? "Preload" : "Application"
    }
  }
  // The first ten-thousandths are for what ends a history.
  if (choice.what * 10_000 < story.shutdowns) {
    if (who < 0.1) return { _tag: "StartupFailed", run: naive.run, detail: "no" }
    return { _tag: "ShutdownRequested", mode: pick(["Smart", "Fast", "Immediate"], who) }
  }
  const what = Math.floor(((choice.what * 7919) % 1) * 100)
  if (what < 3) {
    const anyone = naive.everyone.slice(-3 * story.settings.maxWorkers)
    const those = who < 0.8 && naive.seated.length > 0 ? naive.seated : anyone
    if (those.length === 0) return { _tag: "Woke" }
    const { ref, registration: { name } } = pick(those, who * 7 % 1)
    return { _tag: "ReplaceRequested", request, ref, name }
  }
  if (what < 18) {
    const registration = pick(pool, who)
    const registrant = drawRegistrant(naive, registration, who)
    const patience = pick([undefined, undefined, 0, 300, 5_000, 90_000, Number.POSITIVE_INFINITY], (who * 3_137) % 1)
    return {
      _tag: "RegisterRequested",
      request,
      registration,
      registrant,
      ...(patience === undefined ? undefined : { waitMillis: patience })
    }
  }
  if (what >= 36 && what < 40) return withdraws(naive, who)
  if (what >= 24 && what < 26 && naive.everyone.length > 0) {
    const { ref, registration: { name } } = pick(naive.everyone.slice(-2 * story.settings.maxWorkers), (who * 7) % 1)
    return { _tag: "PolicyChangeRequested", request, ref, worker: name, policy: pick(policies, (who * 101) % 1) }
  }
  if (what < 26) {
    // Mostly of late, stale ones among them.
    const handles = who < 0.1 ? naive.everyone : naive.everyone.slice(-2 * story.settings.maxWorkers)
    return handles.length === 0 ? { _tag: "Woke" } : { _tag: "TerminateRequested", ref: pick(handles, who * 7 % 1).ref }
  }
  if (what >= 40 && what < 44) {
    const parked = naive.seated.filter(({ state }) => state === "Parked")
    const anyone = naive.everyone.slice(-2 * story.settings.maxWorkers)
    const those = parked.length > 0 && who < 0.7 ? parked : anyone
    return those.length === 0 ? { _tag: "Woke" } : { _tag: "ResumeRequested", ref: pick(those, who * 7 % 1).ref }
  }
  if (what < 27) return { _tag: "TerminateUsersRequested", resource: pick(["mail", "news", "none"], who) }
  if (what < 28) return { _tag: "ReloadRequested" }
  if (what < 40) {
    const run = who < 0.1 && naive.run > 0 ? naive.run - 1 : naive.run
    return { _tag: "PhaseReached", phase: pick(["Startup", "Consistent", "Run", "Run"], who * 3 % 1), run }
  }
  if (what >= 44 && what < 52 && naive.settings.spares > 0) return ofSpares(naive, who)
  if (what < 52) return { _tag: "Woke" }
  const children = naive.seated.filter(hasChild)
  if (children.length === 0 || what < 54) {
    const anyone = naive.everyone.slice(-3 * story.settings.maxWorkers)
    if (anyone.length === 0) return { _tag: "Woke" }
    // The word of somebody who is not there.
    const { ref, state } = pick(anyone, who)
    if (state === "Alive" || state === "Unborn") return { _tag: "Woke" }
    return pick(
      [
        { _tag: "ChildReady", ref },
        { _tag: "ChildBeat", ref },
        { _tag: "ChildProgressed", ref, progress: { done: 1 } },
        { _tag: "ChildAttached", ref },
        { _tag: "ChildDetached", ref },
        { _tag: "ChildExited", ref, status: exited(2) },
        { _tag: "ChildStarted", ref, pid: 1 as Pid },
        { _tag: "ChildNotStarted", ref, error: spawnError }
      ],
      who * 5 % 1
    )
  }
  const child = pick(children, who)
  const { ref } = child
  const luck = (who * 1009) % 1
  if (child.state === "Unborn") {
    return luck < 0.2
      ? { _tag: "ChildNotStarted", ref, error: spawnError }
      : { _tag: "ChildStarted", ref, pid: (request * 100 + ref.slot + 1) as Pid }
  }
  if (what < 62 && !child.ready) return { _tag: "ChildReady", ref }
  const { heartbeatMillis, progressTimeoutMillis } = child.registration
  if (what < 90 && (heartbeatMillis ?? progressTimeoutMillis) !== undefined) {
    return luck < 0.6
      ? { _tag: "ChildBeat", ref }
      : { _tag: "ChildProgressed", ref, progress: { done: Math.floor(luck * 100), total: 100 } }
  }
  if (what < 74) return { _tag: child.joined ? "ChildDetached" : "ChildAttached", ref }
  return { _tag: "ChildExited", ref, status: pick(exits, luck) }
}

/** Mostly whoever waits; also whoever has been answered, and has not heard it. */
const withdraws = ({ everyone, waiting }: Naive, who: number): Machine.Input => {
  if (waiting.length > 0 && who < 0.6) return { _tag: "RegisterWithdrawn", request: pick(waiting, who / 0.6).request }
  if (everyone.length === 0) return { _tag: "Woke" }
  const { ref, request } = pick(everyone.slice(-10), (who * 11) % 1)
  // A successor cannot be withdrawn.
  if (request === undefined) return { _tag: "Woke" }
  return { _tag: "RegisterWithdrawn", request, ...(who < 0.9 ? { ref } : undefined) }
}

/** Whoever lives; now and then whoever has lived, or somebody who never did. */
const drawRegistrant = (naive: Naive, { ownership }: Registration, who: number): Registrant => {
  if (who < 0.02) return "Preload"
  const luck = (who * 1013) % 1
  if (luck < (ownership === undefined ? 0.7 : 0.1)) return "Application"
  const born = naive.everyone.slice(-3 * naive.settings.maxWorkers).filter(({ pids }) => pids.length > 0)
  const alive = born.filter(({ state }) => state === "Alive")
  const those = luck < 0.9 && alive.length > 0 ? alive : born
  if (those.length === 0) return "Application"
  const { pids, ref } = pick(those, (who * 10_007) % 1)
  return { ref, pid: luck < 0.97 ? pids.at(luck < 0.85 ? -1 : 0)! : 1 as Pid }
}

/** The word of a spare, or of one that is not a spare any more or never was. */
const ofSpares = ({ sparesBegun, spares }: Naive, who: number): Machine.Input => {
  const luck = (who * 1009) % 1
  const spare = spares.length === 0 || luck < 0.1 ? Math.floor(who * (sparesBegun + 1)) : pick(spares, who).number
  const ready = spares.some((one) => one.number === spare && one.pid !== undefined)
  if (!ready && luck < 0.8) return { _tag: "SpareReady", spare, pid: (1_000_000 + spare) as Pid }
  return { _tag: "SpareLost", spare, loss: { cause: luck < 0.9 ? "Died" : "Outdated", detail: "gone" } }
}

/** Mostly at once, sometimes when the machine wants to be woken, a moment before, or much later. */
const time = (naive: Naive, now: number, wait: number): number => {
  if (wait < 0.5) return now
  const wakeAt = naive.sleepUntil()
  if (wait < 0.7 && wakeAt !== undefined) return Math.max(now, wakeAt)
  if (wait < 0.75 && wakeAt !== undefined) return Math.max(now, wakeAt - 1)
  return now + Math.floor(((wait * 1013) % 1) * (wait < 0.98 ? 500 : 90_000))
}

const inWords = (reason: RegistrationErrorReason): string =>
  reason._tag === "KeyTaken" && reason.isEnding ? "KeyTaken for now" : reason._tag

/** Chai's own comparison is slow, and its words are wanted only once. */
export const same = (actual: unknown, expected: unknown, what: string): void => {
  if (!isDeepStrictEqual(actual, expected)) assert.deepStrictEqual(actual, expected, what)
}

const keyOf = (ref: SlotRef): string => `${ref.slot}.${ref.generation}`

/** One postmaster, three times: the machine, the naive one, and the one that an onlooker sees. */
class Lineup {
  readonly machine: Machine.State
  readonly naive: Naive
  private readonly onlooker: Onlooker
  private readonly watches = new Map<string, Watch.Watch>()
  /** Histories that agree. */
  private readonly agreed = new Map<Worker, readonly [ReadonlyArray<LifeRecord>, ReadonlyArray<LifeRecord>]>()

  constructor(settings: Machine.Settings) {
    this.machine = Machine.make(settings)
    this.naive = new Naive(settings)
    this.onlooker = new Onlooker(settings.maxWorkers, settings.spares, byName)
  }

  hear(input: Machine.Input, now: number): ReadonlyArray<Machine.Action> {
    const wanted = this.naive.hear(input, now)
    const actions = Machine.step(this.machine, input, now)
    same(this.perform(actions, now), wanted, "the orders")
    assert.isUndefined(SlotTable.broken(this.machine.table))
    assert.isUndefined(Spares.broken(this.machine.spares))
    same(
      [this.machine.phase, this.machine.shutdown, this.machine.recovering],
      [this.naive.phase, this.naive.shutdown, this.naive.recovering],
      "phase, shutdown, recovering"
    )
    this.compareStatuses()
    this.compareSnapshots(now)
    this.compareSleep(now)
    return actions
  }

  private perform(actions: ReadonlyArray<Machine.Action>, now: number): Wanted {
    const seen = nothing()
    for (const action of actions) {
      switch (action._tag) {
        case "Spawn":
          seen.spawned.push({ ref: action.launch.ref, spare: action.spare })
          break
        case "SpawnSpare": {
          const { modules, spare } = action
          seen.sparesBegun.push({ spare, modules })
          break
        }
        case "EndSpare":
          seen.sparesEnded.push(action.spare)
          break
        case "Signal": {
          const { ref, signal, target } = action
          seen.signals.push({ ref, signal, target })
          break
        }
        case "Reply":
          // Whoever holds a key is answered with again and again.
          if (this.watches.get(keyOf(action.ref))?.gone !== false) {
            assert.isFalse(this.watches.has(keyOf(action.ref)), "a reference was used twice")
            this.watches.set(keyOf(action.ref), Watch.make("w", action.ref))
          }
          seen.answers.push({ request: action.request, answer: action.ref })
          break
        case "Reject":
          seen.answers.push({ request: action.request, answer: inWords(action.reason) })
          break
        case "Notify": {
          const watch = this.watches.get(keyOf(action.ref))
          assert(watch !== undefined && !watch.gone, "somebody was told after the end")
          Watch.update(watch, action.status, action.gone)
          this.compareHistories(this.naive.everyone.findLast(({ ref }) => sameRef(ref, action.ref))!, action.history)
          break
        }
        case "Halt":
          seen.halts.push(action.abnormal)
          break
        case "Reinitialize":
          seen.reruns.push(action.run)
          break
        case "AbandonBirth":
          seen.abandoned.push(action.ref)
          break
        case "StopStartup":
          seen.startupStops++
          break
        case "Publish":
          this.onlooker.sees(action.event, now)
          break
      }
    }
    return seen
  }

  /** Every handle ever given, stale ones too. */
  private compareStatuses(): void {
    for (const worker of this.naive.everyone) {
      const watch = this.watches.get(keyOf(worker.ref))!
      const status = this.naive.statusOf(worker)
      same([watch.gone, watch.status], [worker.state === "Gone", status], formatRef(worker.ref))
      const tenant = SlotTable.find(this.machine.table, worker.ref)
      if (tenant !== undefined) this.compareHistories(worker, tenant.history)
    }
  }

  /** Each is made anew when there is more to say. */
  private compareHistories(worker: Worker, history: ReadonlyArray<LifeRecord>): void {
    const [one, other] = this.agreed.get(worker) ?? []
    if (one === history && other === worker.history) return
    same(history, worker.history, `the history of ${formatRef(worker.ref)}`)
    this.agreed.set(worker, [history, worker.history])
  }

  private compareSnapshots(now: number): void {
    const { nextSpareAt, shutdown, waiting, ...seen } = Onlook.snapshot(this.machine, 0)
    const workers = seen.workers.map((one) => {
      const { waitingFor: _, ...worker } = one
      return worker
    })
    const table = { ...seen, workers }
    for (const { ref, waitingFor } of seen.workers) {
      // No event tells of it, since it does not last.
      const worker = this.naive.seated.find((one) => keyOf(one.ref) === keyOf(ref))!
      if (waitingFor !== undefined) {
        same(waitingFor, this.naive.heldBy(worker), `for whom ${worker.registration.name} waits`)
      }
    }
    const { nextSpareAt: seenSpareAt, shutdown: seenShutdown, ...seenTable } = this.onlooker.snapshot(now)
    same(seenTable, table, "the table as the events tell it")
    same(waiting, this.naive.waiting.length, "who waits for a slot")
    same(table.spares, this.naive.spareSnapshots, "the spares")
    // A postmaster that stops of its own accord does so without a request.
    if (seenShutdown === shutdown) same(seenSpareAt, nextSpareAt, "when the next spare may be begun")
    else same([shutdown, this.machine.abnormal !== undefined], ["Fast", true], "shutdown")
  }

  private compareSleep(now: number): void {
    const at = Machine.nextWakeAt(this.machine)
    const wanted = this.naive.sleepUntil()
    if (at !== undefined && wanted !== undefined && at <= now && wanted <= now) return
    // It may look at whom it watches sooner than there is something to see.
    if (at !== undefined && at < (wanted ?? Infinity) && at === SlotTable.nextWatchAt(this.machine.table)) return
    assert.strictEqual(at, wanted, "when to wake")
  }
}

export interface Told {
  readonly facts: ReadonlyArray<World.Fact>
  readonly orders: ReadonlyArray<ReadonlyArray<Machine.Action>>
  readonly machine: Machine.State
}

/**
 * Lives through a story, and compares after every turn. When a postmaster has
 * halted the rest of the choices are for the next one; `each` gets them all.
 */
export const live = (story: Story, each: (told: Told) => void = () => {}, facts: Array<World.Fact> = []): void => {
  let lineup = new Lineup(story.settings)
  let orders: Array<ReadonlyArray<Machine.Action>> = []
  let now = 0
  let afterlife = 0
  const end = (): void => {
    each({ facts: [...facts], orders, machine: lineup.machine })
    facts.length = 0
    orders = []
    lineup = new Lineup(story.settings)
    now = 0
    afterlife = 0
  }
  for (const [request, choice] of story.choices.entries()) {
    now = time(lineup.naive, now, choice.wait)
    const input = interpret(lineup.naive, story, choice, request)
    facts.push({ input, at: now })
    orders.push(lineup.hear(input, now))
    if (lineup.machine.phase === "Halted" && ++afterlife > 5) end()
  }
  end()
}

const fails = (story: Story): boolean => {
  try {
    live(story)
    return false
  } catch {
    return true
  }
}

/** A search for planted faults has no use for a brief story. */
const shrinkSeconds = Number(process.env["SHRINK_SECONDS"] ?? 5)

/** Cuts pieces out of a failing story for as long as it still fails, and no longer than some seconds. */
export const shrink = (story: Story, fails: (story: Story) => boolean, seconds = shrinkSeconds): Story => {
  const until = performance.now() + seconds * 1000
  let { choices } = story
  for (let size = choices.length >> 1, before = choices.length; size > 0;) {
    for (let start = 0; start < choices.length && performance.now() < until;) {
      const rest = choices.toSpliced(start, size)
      if (rest.length > 0 && fails({ ...story, choices: rest })) choices = rest
      else start += size
    }
    if (size === 1 && choices.length < before) before = choices.length
    else size >>= 1
  }
  return { ...story, choices }
}

/** Tells a failing story as briefly as possible. */
export const explain = (seed: number, story: Story, error: unknown): string => {
  const short = shrink(story, fails)
  const facts: Array<World.Fact> = []
  let why: unknown = error
  try {
    live(short, undefined, facts)
  } catch (error) {
    why = error
  }
  return [
    `seed ${seed}, ${short.choices.length} of ${story.choices.length} choices, ${JSON.stringify(story.settings)}`,
    ...facts.map(World.describe),
    String(why),
    Predicate.hasProperty(why, "actual") && Predicate.hasProperty(why, "expected")
      ? JSON.stringify({ is: why.actual, wanted: why.expected })
      : ""
  ].join("\n  ")
}
