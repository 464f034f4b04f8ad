/**
 * Decides what one process is to the postmaster: how it is spoken to, what it
 * is believed, and how its end is told. A process is first nobody in particular,
 * and stays so while it is a spare; with a launch it becomes a worker.
 *
 * Facts about the end are trusted in this order: a broken protocol, the worker's
 * last words unless its exit code contradicts them, the signal the operating
 * system names, the exit code.
 *
 * @since 0.1.0
 */
import * as ExitStatus from "@effect-postmaster/core/ExitStatus"
import type { Limits } from "@effect-postmaster/core/Limits"
import type { Child, ChildReport, Launch, SignOfLife } from "@effect-postmaster/core/Spawner"
import type { SignalTarget, WorkerSignal } from "@effect-postmaster/core/WorkerSignal"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import type { Duplex } from "node:stream"
import {
  decodeToPostmaster,
  encodeToWorker,
  hear,
  isSign,
  makeAllowance,
  maxFrameFromWorker,
  type Said,
  type ToPostmaster
} from "./channel.ts"
import type { Forked, Gone } from "./fork.ts"
import { makeDeframer } from "./frames.ts"
import { outOfMemory } from "./limits.ts"
import { type OomKills, oomKills } from "./oomKills.ts"
import { boundDrains, type Drain, makeTap, relayLines, type Tap } from "./output.ts"
import { readOut } from "./readOut.ts"
import { type Identity, logLine, logLost } from "./workerLog.ts"

/** A process that was born, with what the holder of its scope needs beyond the contract. */
export interface WorkerProcess {
  /** Makes it a worker. Once; `frame` is what carries the launch. */
  readonly launch: (launch: Launch, frame: Uint8Array, report: Report) => Child
  /** Sets limits, before the launch. */
  readonly limit: Forked["limit"]
  /** Makes it a spare that imports these modules. Once, and before the launch. */
  readonly prepare: (modules: ReadonlyArray<string>) => Effect.Effect<Prepared>
  /** Returns when it listens, or is gone. */
  readonly booted: Effect.Effect<void>
  /** Resolves exactly once and never fails. */
  readonly exit: Effect.Effect<ExitStatus.ExitStatus>
  readonly isGone: () => boolean
  /** Reads the output and tells the end. Run once, by a fiber that nobody interrupts. */
  readonly watch: Effect.Effect<void>
  /** Ends the whole group and returns when it is gone, or after a bound. */
  readonly end: Effect.Effect<void>
}

/** Hears what a worker says while it lives. */
export type Report = (report: ChildReport | SignOfLife) => void

/** What a spare has made of the modules it was to import. */
export type Prepared = Extract<ToPostmaster, { readonly _tag: "Prepared" }>

/** How long the end of a worker is waited for after SIGKILL. Longer can only mean that it hangs in the kernel. */
const endPatienceMillis = 10_000

/**
 * How long a living worker may be without its channel, or in the middle of a
 * frame. One that dies is so for microseconds, and one that lives writes its
 * frames whole.
 */
const deafPatienceMillis = 5_000

/** What is kept of stderr for the last word on a life. */
const maxLines = 10
const maxLineLength = 500

/** What a worker said of its end, as the end it is. Only success asks for another life. */
const spoken = ({ code, error, outcome }: Extract<ToPostmaster, { readonly _tag: "LastWords" }>) => ({
  _tag: "Exited" as const,
  code,
  ...(error === undefined ? undefined : { error }),
  ...(outcome === undefined || code !== 0 ? undefined : { outcome })
})
/** How V8 ends its process when it cannot go on, and how a shell calls the first of them. */
const aborts: ReadonlySet<NodeJS.Signals> = new Set(["SIGABRT", "SIGTRAP", "SIGILL"])
const abortedCode = 134

/** The words in which V8 says that there is no memory left, for objects or for itself. */
const isOutOfMemory = (line: string): boolean =>
  line.includes("out of memory") && /^(?:FATAL ERROR: |# Fatal ).*\b(?:heap|process) out of memory\b/.test(line)

const politeSignals: ReadonlySet<string> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])

const signalFrame = (signal: WorkerSignal): Uint8Array => encodeToWorker({ _tag: "Signal", signal })

const frames: { readonly [K in Exclude<WorkerSignal, "SIGKILL">]: Uint8Array } = {
  SIGTERM: signalFrame("SIGTERM"),
  SIGQUIT: signalFrame("SIGQUIT"),
  SIGHUP: signalFrame("SIGHUP"),
  SIGUSR1: signalFrame("SIGUSR1")
}

/**
 * Writes past the socket's own queue, which must be empty. A socket that meets a failing write
 * destroys itself together with what it could still read, and a worker that has
 * just left is exactly that: its last words are there and writing to it fails.
 */
const writeAround = (socket: Duplex, bytes: Uint8Array, whenTaken: () => void): void => {
  if (socket.destroyed) return
  const fd = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd
  if (fd === undefined || fd < 0) {
    socket.write(bytes, whenTaken)
    return
  }
  let written = 0
  try {
    written = Fs.writeSync(fd, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return
  }
  if (written < bytes.length) socket.write(bytes.subarray(written), whenTaken)
}

/** Takes over a process just born, in the turn in which it can first be heard of. */
export const makeWorkerProcess = (
  { channel, isEmpty, kill, limit, onGone, openLine, pid, ...output }: Forked,
  kills: OomKills = oomKills
): WorkerProcess => {
  kills.note()
  const stdout = makeTap(output.stdout)
  const stderr = makeTap(output.stderr)
  const exit = Deferred.makeUnsafe<ExitStatus.ExitStatus>()
  const exited = Deferred.makeUnsafe<Gone>()
  const channelClosed = Deferred.makeUnsafe<void>()
  const booted = Deferred.makeUnsafe<void>()
  const prepared = Deferred.makeUnsafe<Prepared>()

  /** Hears the worker's reports, once there is a launch. */
  let report: Report | undefined
  /** Who it is, in the log. */
  let identity: Identity = { spare: pid }
  /** What it is held to, once there is a launch. */
  let limits: Limits = {}
  /** V8 has said on standard error that there is no memory left. Anybody can say that, so it is believed of an abort only. */
  let saidOutOfMemory = false
  /** Set by the exit event. From then on the number `pid` is not ours to signal. */
  let gone: Gone | undefined
  /** The signals that end workers and that we have sent. */
  const ordered = new Set<string>()
  /** Requests waiting for a worker that does not read: either counts once, however often it was made. */
  const postponed = new Set<"SIGHUP" | "SIGUSR1">()
  let said: Said = new Set()
  let lastWords: Extract<ExitStatus.ExitStatus, { readonly _tag: "Exited" }> | undefined
  let signs = 0
  const mayGiveSign = makeAllowance(performance.now())
  /** What was wrong with what it sent. Ends the belief in everything else it said. */
  let violation: string | undefined

  // --- what it says ---

  const violate = (problem: string): void => {
    if (violation !== undefined) return
    violation = problem
    kill("SIGKILL", "Group")
    channel.destroy()
    line.close()
  }

  const line = openLine((problem) => violate(`sent ${problem} on its data line`))

  const deframer = makeDeframer(maxFrameFromWorker)

  const onFrame = (frame: Uint8Array): void => {
    const message = decodeToPostmaster(frame)
    if (Result.isFailure(message)) return violate(`sent ${message.failure} on its control channel`)
    const heard = hear(said, message.success)
    if (Result.isFailure(heard)) return violate(`sent ${heard.failure} on its control channel`)
    said = heard.success
    if (isSign(message.success)) {
      signs++
      if (!mayGiveSign(performance.now())) {
        return violate(`sent ${signs} signs of life on its control channel, more than anybody needs`)
      }
    }
    switch (message.success._tag) {
      case "Listening":
        Deferred.doneUnsafe(booted, Effect.void)
        return
      case "Prepared":
        Deferred.doneUnsafe(prepared, Effect.succeed(message.success))
        return
      case "Report":
        if (report === undefined) return violate(`sent ${message.success.report} before it was launched`)
        return report(message.success.report)
      case "Beat":
      case "Progress":
        if (report === undefined) return violate(`sent ${message.success._tag} before it was launched`)
        return report(message.success)
      case "LastWords":
        lastWords = spoken(message.success)
        return
    }
  }

  let bytesRead = 0
  let silent: NodeJS.Timeout | undefined
  const onChunk = (chunk: Uint8Array): void => {
    bytesRead += chunk.length
    if (violation !== undefined) return
    deframer.push(chunk)
    for (let frame = deframer.next(); frame !== undefined; frame = deframer.next()) {
      if (typeof frame === "string") return violate(`sent ${frame} on its control channel`)
      onFrame(frame)
      if (violation !== undefined) return
    }
    clearTimeout(silent)
    if (deframer.isMidFrame()) {
      silent = setTimeout(
        () => violate("fell silent in the middle of a frame on its control channel"),
        deafPatienceMillis
      )
    }
  }
  channel.on("data", onChunk)

  /**
   * Without the channel the worker would outlive us one day, so it does not keep its life without it. It may also have
   * ended long ago, and nobody has told us: so this counts only if it is the reason of the end.
   */
  let deaf: NodeJS.Timeout | undefined
  let deafened = false
  const onChannelEnd = (): void => {
    if (gone !== undefined || deaf !== undefined) return
    deaf = setTimeout(() => {
      deafened = true
      kill("SIGKILL", "Group")
      channel.destroy()
    }, deafPatienceMillis)
  }
  // ECONNRESET and EPIPE are how a killed peer looks; they mean what the end means.
  channel.on("error", onChannelEnd)
  channel.on("end", onChannelEnd)
  channel.on("close", () => {
    onChannelEnd()
    Deferred.doneUnsafe(channelClosed, Effect.void)
  })

  // --- what it is told ---

  const request = (signal: "SIGHUP" | "SIGUSR1"): void => {
    if (channel.writableLength > 0) postponed.add(signal)
    else writeAround(channel, frames[signal], requestPostponed)
  }

  /** Called when the channel has taken what was queued; a "drain" event would only follow a queue that was full. */
  const requestPostponed = (): void => {
    const due = [...postponed]
    postponed.clear()
    for (const signal of due) request(signal)
  }

  /** Behind a queue the frame waits its turn, once: asking twice to stop is asking once. */
  const order = (signal: "SIGTERM" | "SIGQUIT"): void => {
    if (ordered.has(signal)) return
    if (channel.writableLength > 0) channel.write(frames[signal], requestPostponed)
    else writeAround(channel, frames[signal], requestPostponed)
  }

  const signal = (name: WorkerSignal, target: SignalTarget): void => {
    if (gone !== undefined) return
    switch (name) {
      case "SIGHUP":
      case "SIGUSR1":
        return request(name)
      case "SIGTERM":
        order(name)
        ordered.add(name)
        // A worker that does not listen yet would die of it; it finds the frame when it listens.
        if (said.has("Listening")) kill(name, target)
        return
      case "SIGQUIT":
        order(name)
        ordered.add(name)
        return kill(name, target)
      case "SIGKILL":
        ordered.add(name)
        return kill(name, "Group")
    }
  }

  // --- how it ends ---

  onGone((how) => {
    gone = how
    clearTimeout(deaf)
    Deferred.doneUnsafe(booted, Effect.void)
    // Whatever it had said is in our pipes by now; with nobody left to hold their other ends they say so, and the end
    // is told in this very turn. What was not read by anybody yet, or is held open, is waited for by `watch`.
    const allSaid = [readOut(channel, onChunk), stdout.isSpent(), stderr.isSpent()].every((spent) => spent)
    clearTimeout(silent)
    // Nobody but the worker has a say here: whoever else holds the line is not waited for.
    line.end()
    if (allSaid && isEmpty()) Deferred.doneUnsafe(exit, Effect.succeed(statusOf(how)))
    Deferred.doneUnsafe(exited, Effect.succeed(how))
  })

  const statusOf = ({ code, lost, signal }: Gone): ExitStatus.ExitStatus => {
    if (violation !== undefined) return ExitStatus.lost(violation)
    // Whoever has said how it leaves has left: a signal that meets it on its way out changes nothing.
    if (signal !== null && lastWords !== undefined) return lastWords
    if (signal === "SIGKILL" && deafened && !ordered.has(signal)) return ExitStatus.lost("closed its control channel")
    // Between its fork and its own session a child still hears what is meant for the application.
    if (signal !== null && !ordered.has(signal) && !said.has("Listening") && politeSignals.has(signal)) {
      return ExitStatus.exited(1, { kind: "Interrupted", message: `it was ended by ${signal} before it listened` })
    }
    if (signal !== null) {
      return ordered.has(signal)
        ? ExitStatus.signaled(signal, { ordered: true })
        : ExitStatus.signaled(signal, { detail: whyOf(signal) })
    }
    if (code === null || lost !== undefined) {
      return lastWords ?? ExitStatus.lost(lost ?? "left when nobody was there to be told how")
    }
    // Codes are not believed alone: one that never listened may be Node's own, one that broke off meant to say more.
    if (!said.has("Listening")) return ExitStatus.lost(`left with exit code ${code} before it listened`)
    if (deframer.isMidFrame()) return ExitStatus.lost(`left with exit code ${code} in the middle of a frame`)
    if (code === abortedCode && code !== lastWords?.code && saidOutOfMemory) {
      return ExitStatus.exited(code, { kind: "Defect", message: `it ${outOfMemory(limits)}` })
    }
    return code === lastWords?.code ? lastWords : ExitStatus.exited(code)
  }

  /** What a signal that nobody has ordered is due to. */
  const whyOf = (signal: NodeJS.Signals): string | undefined => {
    if (saidOutOfMemory && aborts.has(signal)) return `it ${outOfMemory(limits)}`
    if (signal === "SIGKILL" && kills.take()) return "it was probably killed by the system for want of memory"
    return signal === "SIGXCPU" && limits.cpuTimeMillis !== undefined
      ? `it used up its time on the processor (limit ${limits.cpuTimeMillis / 1_000} s)`
      : undefined
  }

  const relay = (
    tap: Tap,
    log: (line: string) => Effect.Effect<void>
  ): Effect.Effect<Fiber.Fiber<void>> =>
    Effect.forkChild(relayLines(tap, log, (lines) => logLost(lines, identity)), { startImmediately: true })

  /** What it wrote to stderr last, the newest last. */
  const lastLines: Array<string> = []
  const remember = (line: string): void => {
    lastLines.push(line.length > maxLineLength ? `${line.slice(0, maxLineLength - 1)}…` : line)
    if (lastLines.length > maxLines) lastLines.shift()
  }
  const logOut = (line: string) => logLine(line, "Info", identity)
  const logError = (line: string) => {
    remember(line)
    if (isOutOfMemory(line)) saidOutOfMemory = true
    return logLine(line, "Warn", identity)
  }

  const control: Drain = {
    isOpen: () => !Deferred.isDoneUnsafe(channelClosed),
    isDry: () => true,
    taken: () => bytesRead,
    cut: () => void channel.destroy()
  }

  const watch = Effect.gen(function*() {
    const readers = [yield* relay(stdout, logOut), yield* relay(stderr, logError)]
    const how = yield* Deferred.await(exited)
    yield* awaitEmpty(isEmpty)
    const unbound = boundDrains([stdout, stderr, control])
    yield* Effect.forEach(readers, Fiber.await)
    yield* Deferred.await(channelClosed)
    unbound()
    yield* Deferred.succeed(exit, statusOf(how))
  })

  const child: Child = {
    pid,
    signal: (name, target) => Effect.sync(() => signal(name, target)),
    exit: Deferred.await(exit),
    output: () => lastLines,
    port: line.port,
    reject: violate
  }

  return {
    launch: ({ ref, registration }, frame, to) => {
      identity = { worker: registration.name, slot: ref.slot, generation: ref.generation, pid }
      report = to
      limits = registration.limits ?? {}
      if (gone === undefined) writeAround(channel, frame, requestPostponed)
      return child
    },
    limit,
    prepare: (modules) => {
      writeAround(channel, encodeToWorker({ _tag: "Prepare", modules }), requestPostponed)
      return Deferred.await(prepared)
    },
    booted: Deferred.await(booted),
    exit: child.exit,
    isGone: () => gone !== undefined,
    watch,
    end: Effect.suspend(() => {
      if (Deferred.isDoneUnsafe(exit)) return Effect.void
      signal("SIGKILL", "Group")
      return awaitAtMost(child.exit, endPatienceMillis)
    })
  }
}

/** How long the rest of a group may take to end, once it has been sent SIGKILL. */
const emptyPatienceMillis = 1_000

/**
 * Waits until the group is empty. Uses the operating system's time, not the
 * `Clock`: what is waited for is not simulated.
 */
const awaitEmpty = (isEmpty: () => boolean): Effect.Effect<void> =>
  Effect.callback((resume) => {
    let timer: NodeJS.Timeout | undefined
    const look = (waited: number, pause: number): void => {
      if (waited >= emptyPatienceMillis || isEmpty()) return resume(Effect.void)
      timer = setTimeout(() => look(waited + pause, Math.min(pause * 2, 50)), pause)
    }
    look(0, 1)
    return Effect.sync(() => clearTimeout(timer))
  })

/** In the operating system's time, for the same reason. */
export const awaitAtMost = <A>(wait: Effect.Effect<A>, millis: number): Effect.Effect<void> =>
  Effect.raceFirst(
    Effect.asVoid(wait),
    Effect.callback<void>((resume) => {
      const timer = setTimeout(() => resume(Effect.void), millis)
      return Effect.sync(() => clearTimeout(timer))
    })
  )
