/** Processes as Linux shows them: who belongs to a run, who is still there, and what they cost. */
import { readdirSync, readFileSync } from "node:fs"

/** A process by number and start time, so that a number used again is somebody else. */
export interface Process {
  readonly pid: number
  readonly since: string
}

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

interface Stat {
  readonly state: string
  readonly since: string
  /** For how long it has had a processor, in all its threads, in hundredths of a second. */
  readonly ticks: number
}

/** The name before the fields may hold anything, even parentheses. */
const stat = (pid: number): Stat | undefined => {
  const text = read(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return { state: fields[0]!, since: fields[19]!, ticks: Number(fields[11]) + Number(fields[12]) }
}

/** For how long a process has had a processor in all its life, in milliseconds, to the nearest ten. */
export const processor = (pid: number): number => (stat(pid)?.ticks ?? 0) * 10

export const identify = (pid: number): Process | undefined => {
  const found = stat(pid)
  return found === undefined ? undefined : { pid, since: found.since }
}

/** A zombie has ended; that nobody has collected it yet is not its doing. */
export const isAlive = ({ pid, since }: Process): boolean => {
  const found = stat(pid)
  return found !== undefined && found.since === since && found.state !== "Z" && found.state !== "X"
}

/** Everybody in whose environment at birth a variable begins so: `NAME=value`. */
export const bearing = (mark: string): ReadonlyArray<Process> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => read(`/proc/${pid}/environ`)?.split("\0").some((variable) => variable.startsWith(mark)))
    .flatMap((pid) => identify(Number(pid)) ?? [])
    .filter(isAlive)

export const kill = (process_: Process): void => {
  try {
    if (isAlive(process_)) process.kill(process_.pid, "SIGKILL")
  } catch {
    // It has gone meanwhile.
  }
}

const rollup = (pid: number, field: string): number | undefined => {
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(read(`/proc/${pid}/smaps_rollup`) ?? "")?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1024
}

/** Its fair share of the memory it uses, in MiB: what it shares with others is divided among them. */
export const pss = (pid: number): number | undefined => rollup(pid, "Pss")

/** What of it is in memory, in MiB. */
export const rss = (pid: number): number | undefined => rollup(pid, "Rss")
