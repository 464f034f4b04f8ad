/**
 * Decides how an application has its processes borne by a launcher, a small
 * process beside it (`NodeLauncherMain.ts`), and what happens when that is lost.
 *
 * The fork stops whoever does it for as long as the kernel copies its page
 * tables, some 60 ms per GiB, so a large application lets somebody small do it.
 * And whoever has borne all workers can end them all when the application is
 * gone.
 *
 * A launcher that is lost is replaced. Those it had borne live on and are
 * guarded by the next one; nobody can tell how they end any more but they
 * themselves. While there is no launcher the application bears by itself.
 *
 * @since 0.1.0
 */
import type { Pid } from "@effect-postmaster/core/Identity"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import { Socket } from "node:net"
import { launcherFile } from "./bootstrap.ts"
import { type Fork, type Forked, forkHere, type Gone, limitHere } from "./fork.ts"
import { type FromLauncher, pipesPerBirth, type Ticket, type ToLauncher } from "./launcherProtocol.ts"
import type { LimitProblem } from "./limits.ts"
import * as ProcessGroup from "./processGroup.ts"
import { openSocketLine } from "./socketLine.ts"
import type { ForkOrder } from "./startGroup.ts"

/** One that lives shorter than this is not replaced at once. */
const healthyMillis = 1_000

const maxPauseMillis = 30_000

/** How often a launcher is looked at, and how often in a row it may owe an answer. Then it hangs, and is replaced. */
const lookMillis = 1_000
const maxOwed = 10

/** How long a launcher may take to leave when it is not needed any more. */
const leaveMillis = 2_000

/** A handle of Node's own, which is open until somebody closes it. */
interface Pipe {
  readonly close: () => void
}

/** A birth that was asked for and not answered. */
interface Pending {
  owed: number
  readonly pipes: Array<Pipe>
  readonly born: (pid: number, pipes: ReadonlyArray<Pipe>) => void
  readonly failed: (detail: string) => void
}

/** Limits that are to be set, and are not answered. */
interface Limiting {
  owed: number
  readonly answered: (problem: LimitProblem | undefined) => void
  readonly lost: () => void
}

/** A process that a launcher has borne. */
interface Living {
  /** Looks since its end is due: its channel has closed, which is the last sign of life but one, or it was to be killed. */
  owed: number
  killed: boolean
  readonly pid: number
  readonly channel: Socket
  readonly gone: (gone: Gone) => void
}

/** The launcher's own surroundings: nothing that would load the application's own tools into it. */
const environment = (): NodeJS.ProcessEnv => {
  const { NODE_OPTIONS: _, ...env } = process.env
  return env
}

/** Who we are to the operating system. A launcher stays what we were when it began. */
const identity = (): string =>
  [process.geteuid?.(), process.getegid?.(), process.getuid?.(), process.getgid?.(), process.getgroups?.()].join()

/**
 * Starts a launcher and keeps one for as long as the scope lives. Closing the
 * scope ends it, and with it whatever it has borne and is still alive.
 */
export const make: Effect.Effect<Fork, never, Scope.Scope> = Effect.gen(function*() {
  const log = Effect.runForkWith(yield* Effect.context())
  const pending = new Map<Ticket, Pending>()
  const limiting = new Map<Ticket, Limiting>()
  const living = new Map<Ticket, Living>()
  /** Children of launchers that are gone; and our own, whom only a launcher can end when we are. */
  const wards = new Set<number>()
  let launcher: ChildProcess.ChildProcess | undefined
  let launcherIdentity = ""
  let lastTicket = 0
  let closing = false
  let retry: NodeJS.Timeout | undefined
  /** Launchers in a row that were lost as soon as they were started. */
  let failures = 0

  const tell = (message: ToLauncher): void => {
    // One that could not be started has no channel, and says so by its error.
    if (launcher?.connected === true) launcher.send(message, () => {})
  }

  /** The application lives on for its workers, not for the launcher. */
  const hold = (): void => {
    const held = pending.size > 0 || living.size > 0
    // The process, too: when its channel has ended, its exit is still to be heard.
    for (const one of [launcher, launcher?.channel]) {
      if (held) one?.ref()
      else one?.unref()
    }
  }

  const receive = (message: FromLauncher, pipe: Pipe | undefined): void => {
    switch (message._tag) {
      case "Forked": {
        const birth = pending.get(message.ticket)
        if (birth === undefined || pipe === undefined) return
        birth.pipes.push(pipe)
        if (birth.pipes.length < pipesPerBirth) return
        pending.delete(message.ticket)
        tell({ _tag: "Taken", ticket: message.ticket })
        birth.born(message.pid, birth.pipes)
        return hold()
      }
      case "NotForked":
        pending.get(message.ticket)?.failed(message.detail)
        pending.delete(message.ticket)
        return hold()
      case "Limited":
        limiting.get(message.ticket)?.answered(message.problem)
        limiting.delete(message.ticket)
        return
      case "Gone": {
        const one = living.get(message.ticket)
        living.delete(message.ticket)
        one?.gone({ code: message.code, signal: message.signal })
        retire()
        return hold()
      }
    }
  }

  /** An application that has given up rights must not keep somebody who has them, once nobody needs it. */
  const retire = (): void => {
    if (pending.size > 0 || living.size > 0 || launcherIdentity === identity()) return
    if (launcher?.connected === true) launcher.disconnect()
  }

  const start = (): void => {
    retry = undefined
    if (closing) return
    const startedAt = performance.now()
    let child: ChildProcess.ChildProcess | undefined
    let over = false
    const lost = (how: string): void => {
      if (over) return
      over = true
      if (launcher === child) launcher = undefined
      abandon()
      if (closing) return
      const healthy = performance.now() - startedAt >= healthyMillis
      failures = healthy ? 0 : failures + 1
      const pause = healthy ? 0 : Math.min(maxPauseMillis, healthyMillis * 2 ** (failures - 1))
      log(
        Effect.logWarning(
          `launcher process (PID ${child?.pid ?? "none"}) ${how}; ${wards.size} workers go on without it` +
            (healthy ? "" : `; next start in ${pause} ms`)
        )
      )
      if (healthy) return start()
      retry = setTimeout(start, pause).unref()
    }
    try {
      // Wards are named on the command line: we may be gone before it listens to us.
      child = ChildProcess.spawn(process.execPath, [launcherFile, ...Array.from(wards, String)], {
        stdio: ["ignore", "ignore", "inherit", "ipc"],
        detached: true,
        env: environment()
      })
    } catch (cause) {
      return lost(`could not be started: ${String(cause)}`)
    }
    listenTo(child, lost)
  }

  const listenTo = (child: ChildProcess.ChildProcess, lost: (how: string) => void): void => {
    launcher = child
    launcherIdentity = identity()
    child.on("error", (cause) => lost(`was lost: ${cause.message}`))
    child.on("exit", (code, signal) => {
      const how = signal === null ? `left with exit code ${code}` : `was ended by ${signal}`
      // What it has said is heard first.
      if (child.connected) child.once("disconnect", () => lost(how))
      else lost(how)
    })
    child.on("message", (message, pipe) => receive(message as FromLauncher, pipe as Pipe | undefined))
    child.unref()
    hold()
  }

  /** The present launcher is gone. What it was asked for will not come; whom it has borne ends when its channel does. */
  const abandon = (): void => {
    for (const birth of pending.values()) {
      for (const pipe of birth.pipes) pipe.close()
      birth.failed("its launcher process was lost")
    }
    pending.clear()
    for (const one of limiting.values()) one.lost()
    limiting.clear()
    for (const one of living.values()) {
      guard(one.pid)
      // The launcher may not have come to it.
      if (one.killed && !one.channel.closed) ProcessGroup.signalGroup(one.pid, "SIGKILL")
      const gone = (): void => {
        ProcessGroup.signalGroup(one.pid, "SIGKILL")
        forget(one.pid)
        one.gone({ code: null, signal: null })
      }
      if (one.channel.closed) gone()
      else one.channel.once("close", gone)
    }
    living.clear()
  }

  // Counted in looks, so that a stall of ours is not taken for one of the launcher's.
  const look = (): void => {
    for (const one of [...pending.values(), ...limiting.values()]) one.owed++
    for (const one of living.values()) if (one.killed || one.channel.closed) one.owed++
    const owes = (one: { readonly owed: number }): boolean => one.owed > maxOwed
    if ([...pending.values(), ...limiting.values(), ...living.values()].some(owes)) launcher?.kill("SIGKILL")
  }

  const guard = (pid: number): void => {
    wards.add(pid)
    tell({ _tag: "Guard", pid })
  }

  const forget = (pid: number): void => {
    wards.delete(pid)
    tell({ _tag: "Forget", pid })
  }

  const adoptAs = (ticket: Ticket, pid: number, pipes: ReadonlyArray<Pipe>): Forked => {
    // As Node itself makes the streams of a child; its types do not speak of handles.
    const streamOf = (pipe: number, more?: object): Socket =>
      new Socket({ handle: pipes[pipe], readable: true, writable: true, ...more } as never)
    const [stdout, stderr, channel] = [streamOf(0), streamOf(1), streamOf(2)]
    let over = false
    let listener: ((gone: Gone) => void) | undefined
    const one: Living = {
      owed: 0,
      killed: false,
      pid,
      channel,
      gone: (gone) => {
        over = true
        listener?.(gone)
      }
    }
    living.set(ticket, one)
    return {
      pid: pid as Pid,
      stdout,
      stderr,
      channel,
      openLine: openSocketLine((onread) => streamOf(3, { onread })),
      isEmpty: () => ProcessGroup.isEmpty(pid),
      kill: (signal, target) => {
        if (over) return
        if (living.has(ticket)) {
          one.killed ||= signal === "SIGKILL"
          return tell({ _tag: "Kill", ticket, signal, target })
        }
        // Nobody's child any more. With its channel open it is alive, and its number its own.
        if (!channel.closed) ProcessGroup.signal(pid, signal, target)
      },
      limit: (order) =>
        Effect.callback((resume) => {
          // Who is nobody's child any more is alive, and its number its own, as long as its channel is open.
          const lost = (): void => resume(limitHere(pid, order, () => over || channel.closed))
          if (!living.has(ticket)) return lost()
          limiting.set(ticket, {
            owed: 0,
            answered: (problem) => resume(problem === undefined ? Effect.void : Effect.fail(problem)),
            lost
          })
          tell({ _tag: "Limit", ticket, order })
        }),
      onGone: (to) => {
        listener = to
      }
    }
  }

  const forkThere = <A>(order: ForkOrder, adopt: (forked: Forked) => A): Effect.Effect<A, string> =>
    Effect.callback((resume) => {
      const ticket = ++lastTicket
      pending.set(ticket, {
        owed: 0,
        pipes: [],
        born: (pid, pipes) => resume(Effect.succeed(adopt(adoptAs(ticket, pid, pipes)))),
        failed: (detail) => resume(Effect.fail(detail))
      })
      hold()
      tell({ _tag: "Fork", ticket, order })
    })

  /** Somebody we have borne ourselves is guarded like the others. */
  const forkGuarded: Fork = (order, adopt) =>
    forkHere(order, (forked) => {
      guard(forked.pid)
      return adopt({
        ...forked,
        onGone: (listener) =>
          forked.onGone((gone) => {
            forget(forked.pid)
            listener(gone)
          })
      })
    })

  yield* Effect.acquireRelease(
    Effect.sync(() => {
      start()
      return setInterval(look, lookMillis).unref()
    }),
    (watchdog) =>
      Effect.callback<void>((resume) => {
        closing = true
        clearInterval(watchdog)
        clearTimeout(retry)
        const child = launcher
        if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
          return resume(Effect.void)
        }
        const timers = [
          setTimeout(() => child.kill("SIGKILL"), leaveMillis),
          setTimeout(() => resume(Effect.void), 2 * leaveMillis)
        ]
        child.once("exit", () => {
          timers.forEach(clearTimeout)
          resume(Effect.void)
        })
        child.ref()
        if (child.connected) child.disconnect()
      })
  )

  const fork: Fork = (order, adopt) =>
    Effect.suspend(() => {
      if (launcher?.connected === true && launcherIdentity === identity()) return forkThere(order, adopt)
      retire()
      return forkGuarded(order, adopt)
    })
  return fork
})
