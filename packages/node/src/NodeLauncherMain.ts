/**
 * Decides how worker processes are borne for an application that is too large
 * to do it itself, and that they all end when the application has: the program
 * that `NodeSpawner` starts once.
 *
 * It is a program, not a library, and as small as can be: the kernel copies the
 * page tables of whoever forks, and this process has few. It hands each worker's
 * output, channel and data line over to the application and keeps none, reaps
 * and signals the workers as their parent, and guards them: when its own channel
 * ends, the application is gone, and every group it knows is sent SIGKILL,
 * whatever its members are busy with (PostgreSQL: `PostmasterIsAlive`, for those
 * who cannot look).
 *
 * Signals do not end it, since whoever sends one to everybody here (a terminal,
 * a service manager) does not mean the guardian.
 *
 * @since 0.1.0
 */
import type { FromLauncher, Ticket, ToLauncher } from "./internal/launcherProtocol.ts"
import { type LimitOrder, type LimitProblem, setLimits } from "./internal/limits.ts"
import { signal, signalGroup, startTimeOf } from "./internal/processGroup.ts"
import { type ForkOrder, startGroup } from "./internal/startGroup.ts"

/** Whose groups end with the application: children, and what other parents have left to be guarded. */
const children = new Map<number, number>()
const wards = new Map<number, string | undefined>()

/** The ends of pipes on their way to the application; ours are closed when it has its own. */
interface Pipe {
  onread: unknown
  readonly readStop: () => void
  readonly close: () => void
}
const inTransit = new Map<Ticket, ReadonlyArray<Pipe>>()

/**
 * While Node waits for a pipe to be acknowledged, it says nothing of the end of
 * our channel, so this is looked for as long as there are pipes in transit.
 */
const lookMillis = 100
let watch: NodeJS.Timeout | undefined

// A message that cannot be sent has no addressee any more; the end of the channel says what to do then.
const tell = (message: FromLauncher, pipe?: Pipe): void => {
  process.send?.(message, pipe as never, undefined, () => {})
}

/**
 * Takes the pipe away from the stream before it has read a byte: what was read
 * here would be lost to the application.
 */
const detach = (stream: unknown): Pipe => {
  const socket = stream as { _handle: Pipe | null }
  const pipe = socket._handle!
  pipe.readStop()
  pipe.onread = () => {}
  socket._handle = null
  return pipe
}

const fork = (ticket: Ticket, order: ForkOrder): void => {
  // Ours is that of the time we began; the application may have changed its own.
  process.umask(order.umask)
  const child = startGroup(order, (detail) => tell({ _tag: "NotForked", ticket, detail }))
  if (child?.pid === undefined) return
  const { pid } = child
  children.set(ticket, pid)
  child.on("exit", (code, name) => {
    // In this very turn the number is still the group's, if anybody is left in it.
    signalGroup(pid, "SIGKILL")
    children.delete(ticket)
    tell({ _tag: "Gone", ticket, code, signal: name })
  })
  const pipes = child.stdio.slice(1).map(detach)
  inTransit.set(ticket, pipes)
  watch ??= setInterval(() => {
    if (!process.connected) leave()
  }, lookMillis)
  for (const pipe of pipes) tell({ _tag: "Forked", ticket, pid }, pipe)
}

const limit = (ticket: Ticket, order: LimitOrder): void => {
  const pid = children.get(ticket)
  const done = (problem?: LimitProblem): void =>
    tell({ _tag: "Limited", ticket, problem: children.has(ticket) ? problem : undefined })
  if (pid === undefined) done()
  else setLimits(pid, order, done)
}

const guard = (pid: number): void => {
  wards.set(pid, startTimeOf(pid))
}

const receive = (message: ToLauncher): void => {
  switch (message._tag) {
    case "Fork":
      return fork(message.ticket, message.order)
    case "Taken": {
      for (const pipe of inTransit.get(message.ticket) ?? []) pipe.close()
      inTransit.delete(message.ticket)
      if (inTransit.size > 0) return
      clearInterval(watch)
      watch = undefined
      return
    }
    case "Kill": {
      const pid = children.get(message.ticket)
      if (pid !== undefined) signal(pid, message.signal, message.target)
      return
    }
    case "Limit":
      return limit(message.ticket, message.order)
    case "Guard":
      return guard(message.pid)
    case "Forget":
      wards.delete(message.pid)
      return
  }
}

const leave = (): never => {
  for (const pid of children.values()) signalGroup(pid, "SIGKILL")
  // A ward is nobody's child here: the number may have passed on to somebody else.
  for (const [pid, since] of wards) {
    if (startTimeOf(pid) === since) signalGroup(pid, "SIGKILL")
  }
  process.exit(0)
}

process.title = "postmaster launcher"
for (const name of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE"] as const) {
  process.on(name, () => {})
}
for (const pid of process.argv.slice(2)) guard(Number(pid))
process.on("message", receive)
process.on("disconnect", leave)
// The end may have come while this file was loaded, when nobody heard of it.
if (!process.connected) leave()
