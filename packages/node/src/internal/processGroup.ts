/**
 * Decides what it takes to signal and end a process group, and when it counts as empty.
 *
 * A worker leads its own group, and the group's number is the worker's process
 * id. The operating system gives that number to nobody else while anyone is in
 * the group, and to anybody afterwards: who has seen the group empty must not
 * signal it again.
 *
 * @since 0.1.0
 */
import type { SignalTarget } from "@effect-postmaster/core/WorkerSignal"
import { Fs } from "./fs.ts"

/** Sends a signal to the whole group and returns `false` if nobody is in it. Any other refusal changes nothing. */
export const signalGroup = (pid: number, signal: NodeJS.Signals | 0): boolean => {
  try {
    return process.kill(-pid, signal)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** Sends a signal to a process, or to its whole group. A refusal changes nothing: who was told has other ears, or is gone. */
export const signal = (pid: number, name: NodeJS.Signals, target: SignalTarget): void => {
  if (target === "Group") return void signalGroup(pid, name)
  try {
    process.kill(pid, name)
  } catch {
    // It has just gone, or become somebody whom we may not signal.
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

/** When a process began, in the kernel's own ticks; `undefined` if it is gone or there is no procfs to ask. */
export const startTimeOf = (pid: number): string | undefined => statOf(pid)[19]

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
export const isEmpty = (group: number): boolean => !signalGroup(group, 0) || livingMembers(group)?.length === 0
