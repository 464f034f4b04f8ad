/**
 * What can be known about processes from outside: `/proc`, the ledger they
 * sign, and the token in their environment, by which everything that this run
 * has started, and nothing else, can be told.
 */
import * as Fs from "node:fs"
import type { Entry } from "./crew.ts"

export const tokenName = "POSTMASTER_CHAOS"

export interface Ground {
  /** Everybody who carries the token and lives, except those named. */
  readonly survivors: (...except: ReadonlyArray<number>) => ReadonlyArray<number>
  /** `true` if this number is, at this moment, a living process of ours. */
  readonly isOurs: (pid: number) => boolean
  /** Sends a signal to a process of ours, or to nobody. */
  readonly signal: (pid: number, signal: NodeJS.Signals) => boolean
  readonly entries: () => ReadonlyArray<Entry>
  /** Everybody in a group of the ledger who lives and carries the token. */
  readonly inGroups: () => ReadonlyArray<number>
}

const read = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "latin1")
  } catch {
    return undefined
  }
}

const stat = (pid: number) => {
  const text = read(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  const [state, parent, group] = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return { state: state!, parent: Number(parent), group: Number(group) }
}

export const groupOf = (pid: number): number | undefined => stat(pid)?.group
export const parentOf = (pid: number): number | undefined => stat(pid)?.parent
export const isStopped = (pid: number): boolean => stat(pid)?.state === "T"

/** How many sockets it has open. What Node calls a pipe to a child is one. */
export const socketsOf = (pid: number): number => {
  try {
    const folder = `/proc/${pid}/fd`
    return Fs.readdirSync(folder).filter((fd) => Fs.readlinkSync(`${folder}/${fd}`).startsWith("socket:")).length
  } catch {
    return 0
  }
}

/** Its title, or its command line as long as it has none. */
const titleOf = (pid: number): string =>
  (read(`/proc/${pid}/cmdline`) ?? "").replaceAll("\0", " ").replaceAll(/\S*\//g, "").trim()

/** Its title is the first thing a launcher gives itself. */
export const isLauncher = (pid: number): boolean => titleOf(pid) === "postmaster launcher"
export const isLauncherToBe = (pid: number): boolean => titleOf(pid).includes("NodeLauncherMain")
/** Ready or not. */
export const isSpare = (pid: number): boolean => titleOf(pid) === "bgworker: spare"

export const describe = (pid: number): string => `${pid} (${stat(pid)?.state ?? "gone"}, ${titleOf(pid).slice(0, 80)})`

export const make = (token: string, ledger: string): Ground => {
  const mark = `${tokenName}=${token}`
  const isOurs = (pid: number): boolean => {
    const state = stat(pid)?.state
    if (state === undefined || state === "Z" || state === "X") return false
    return read(`/proc/${pid}/environ`)?.split("\0").includes(mark) === true
  }
  const entries = (): ReadonlyArray<Entry> =>
    (read(ledger) ?? "").split("\n").filter((line) => line !== "").map((line): Entry => JSON.parse(line))
  const survivors = (...except: ReadonlyArray<number>): ReadonlyArray<number> =>
    Fs.readdirSync("/proc").map(Number).filter((pid) => Number.isInteger(pid) && !except.includes(pid) && isOurs(pid))
  return {
    survivors,
    isOurs,
    signal: (pid, signal) => {
      try {
        return isOurs(pid) && process.kill(pid, signal)
      } catch {
        return false
      }
    },
    entries,
    inGroups: () => {
      const groups = new Set(entries().map((entry) => entry.group))
      return survivors().filter((pid) => groups.has(stat(pid)?.group ?? -1))
    }
  }
}
