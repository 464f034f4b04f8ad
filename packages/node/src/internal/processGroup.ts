/**
 * Decides what it takes to end a process group, and when it counts as empty.
 *
 * A worker leads its own group, and the group's number is the worker's process
 * id. The operating system gives that number to nobody else while anyone is in
 * the group, and to anybody afterwards: who has seen the group empty must not
 * signal it again.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"

/** Sends a signal to the whole group and returns `false` if nobody is in it. Any other refusal changes nothing. */
export const signalGroup = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(-pid, signal)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** Process ids of the group's members that are not dead yet; `undefined` where there is no procfs to ask. */
export const livingMembers = (group: number): ReadonlyArray<number> | undefined => {
  let entries: ReadonlyArray<string>
  try {
    entries = Fs.readdirSync("/proc")
  } catch {
    return undefined
  }
  const members: Array<number> = []
  for (const entry of entries) {
    const pid = Number(entry)
    if (!Number.isInteger(pid)) continue
    const [state, , processGroup] = statOf(pid)
    if (Number(processGroup) === group && state !== "Z" && state !== "X") members.push(pid)
  }
  return members
}

/** The fields of `/proc/<pid>/stat` after the name, which may itself hold spaces and parentheses. */
const statOf = (pid: number): ReadonlyArray<string> => {
  try {
    const stat = Fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  } catch {
    return []
  }
}

/** A zombie that nobody reaps still answers to signal 0. It holds nothing any more, so it is no member. */
const isEmpty = (group: number): boolean => !signalGroup(group, 0) || livingMembers(group)?.length === 0

const patienceMillis = 1_000

/**
 * Waits until the group is empty, for a second at most. Uses the operating
 * system's time, not the `Clock`: what is waited for is not simulated.
 */
export const awaitEmpty = (group: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    let timer: NodeJS.Timeout | undefined
    const look = (waited: number, pause: number): void => {
      if (waited >= patienceMillis || isEmpty(group)) return resume(Effect.void)
      timer = setTimeout(() => look(waited + pause, Math.min(pause * 2, 50)), pause)
    }
    look(0, 1)
    return Effect.sync(() => clearTimeout(timer))
  })
