/**
 * Decides how the operating system is told what a living process is held to: its
 * priority by a call, the rest by `prlimit` of util-linux.
 *
 * Both are done on a process that is there, and not in front of it, so that a
 * spare can have limits, a cold worker boots meanwhile, and what went wrong is
 * known in words before the worker begins.
 *
 * The launcher loads this too, so there is no Effect here.
 *
 * @since 0.1.0
 */
import type { LimitName, Limits } from "@effect-postmaster/core/Limits"
import * as ChildProcess from "node:child_process"
import * as Os from "node:os"
import * as Path from "node:path"
import { Fs } from "./fs.ts"
import { words } from "./startGroup.ts"

/** What a process is to be held to, and the program that can do it. */
export interface LimitOrder {
  readonly nice?: number
  readonly rlimits?: {
    readonly file: string
    readonly args: ReadonlyArray<string>
    readonly limits: ReadonlyArray<LimitName>
  }
}

/** Why limits could not be set. */
export interface LimitProblem {
  readonly limits: ReadonlyArray<LimitName>
  readonly detail: string
}

const bytes = (mebibytes: number): number => mebibytes * 2 ** 20

/** How `prlimit` calls what it sets: the soft limit, and the hard one, which nobody but the superuser can lift again. */
const options: ReadonlyArray<readonly [LimitName, (limits: Limits) => number | undefined, string]> = [
  ["openFiles", (_) => _.openFiles, "nofile"],
  ["cpuTime", (_) => _.cpuTimeMillis === undefined ? undefined : _.cpuTimeMillis / 1_000, "cpu"],
  ["addressSpace", (_) => _.addressSpace === undefined ? undefined : bytes(_.addressSpace), "as"],
  ["coreSize", (_) => _.coreSize === undefined ? undefined : bytes(_.coreSize), "core"],
  ["processes", (_) => _.processes, "nproc"],
  ["fileSize", (_) => _.fileSize === undefined ? undefined : bytes(_.fileSize), "fsize"]
]

const tool = "prlimit"

/** Where the program is, by the application's `PATH` of this moment. */
const find = (name: string): string | undefined =>
  (process.env["PATH"] ?? "").split(Path.delimiter).filter((folder) => folder !== "")
    .map((folder) => Path.resolve(folder, name)).find((file) => {
      try {
        Fs.accessSync(file, Fs.constants.X_OK)
        return true
      } catch {
        return false
      }
    })

/** What is left to be set once a worker is born; `undefined` if nothing is. */
export const limitOrder = (limits: Limits | undefined): LimitOrder | LimitProblem | undefined => {
  if (limits === undefined) return undefined
  const nice = limits.nice === undefined ? undefined : { nice: limits.nice }
  const names: Array<LimitName> = []
  const args: Array<string> = []
  for (const [name, valueOf, option] of options) {
    const value = valueOf(limits)
    if (value === undefined) continue
    names.push(name)
    // At the soft limit of time comes SIGXCPU, which tells why; SIGKILL, a second later, does not.
    args.push(`--${option}=${value}:${option === "cpu" ? value + 1 : value}`)
  }
  if (args.length === 0) return nice
  const file = find(tool)
  if (file === undefined) return { limits: names, detail: `there is no ${tool} (util-linux) on the PATH` }
  return { ...nice, rlimits: { file, args, limits: names } }
}

/** The threads of a process, the first one first; the process itself where nobody tells. */
const threadsOf = (pid: number): ReadonlyArray<number> => {
  try {
    return Fs.readdirSync(`/proc/${pid}/task`).map(Number).toSorted((a, b) => a - b)
  } catch {
    return [pid]
  }
}

/**
 * To Linux a priority is a thread's. The first thread is the one that makes
 * others, which inherit from it, so those that are there when it has its own are
 * all that are left.
 */
const setNice = (pid: number, nice: number): void => {
  Os.setPriority(pid, nice)
  for (const thread of threadsOf(pid)) {
    try {
      Os.setPriority(thread, nice)
    } catch {
      // A thread may just have ended. What is refused to one was refused to the first.
    }
  }
  try {
    // Where the kernel weighs sessions against each other, a worker's own would be worth as much as any.
    Fs.writeFileSync(`/proc/${pid}/autogroup`, String(nice))
  } catch {
    // There is no such thing, or it was asked for too often; then niceness weighs within the session.
  }
}

/** How long the tool may take. */
const patienceMillis = 5_000

/** Sets what is ordered, and calls back once, with what went wrong if something did. The process must be ours to reap. */
export const setLimits = (pid: number, order: LimitOrder, done: (problem?: LimitProblem) => void): void => {
  if (order.nice !== undefined) {
    try {
      setNice(pid, order.nice)
    } catch (cause) {
      return done({ limits: ["nice"], detail: words(cause) })
    }
  }
  if (order.rlimits === undefined) return done()
  const { args, file, limits } = order.rlimits
  const failed = (detail: string): void => done({ limits, detail })
  try {
    ChildProcess.execFile(
      file,
      ["--pid", String(pid), ...args],
      { timeout: patienceMillis, killSignal: "SIGKILL" },
      (error, _, stderr) =>
        error === null ? done() : failed(stderr.trim().replaceAll(/\s*\n\s*/g, "; ") || words(error))
    )
  } catch (cause) {
    failed(words(cause))
  }
}

/** What is said of a worker that ran out of memory. It may have had two limits, and did not say which of them it met. */
export const outOfMemory = (
  { addressSpace, heap }: { readonly addressSpace?: number | undefined; readonly heap?: number | undefined }
): string => {
  const limits = [
    ...(heap === undefined ? [] : [`heap limit ${heap} MiB`]),
    ...(addressSpace === undefined ? [] : [`address space limit ${addressSpace} MiB`])
  ]
  return `ran out of memory (${limits.join(", ") || "JavaScript heap"})`
}
