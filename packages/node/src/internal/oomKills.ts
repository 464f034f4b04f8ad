/**
 * Decides when SIGKILL is put down to the system's want of memory: when the
 * kernel says that it has killed somebody of our control group since it was last
 * asked. It does not say whom, so this is never more than probable.
 *
 * @since 0.1.0
 */
import * as Path from "node:path"
import { Fs } from "./fs.ts"

/** Watches a counter of the kernel's; one for all workers, so that each kill is put down to one of them. */
export interface OomKills {
  /** Takes the counter as it stands: what was before is nobody's. */
  readonly note: () => void
  /** Whether somebody was killed who has not been accounted for. */
  readonly take: () => boolean
}

const read = (file: string): string | undefined => {
  try {
    return Fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

const countIn = (text: string | undefined): number | undefined => {
  const count = /^oom_kill (\d+)$/m.exec(text ?? "")?.[1]
  return count === undefined ? undefined : Number(count)
}

/**
 * Where the counter may be, by `/proc/self/cgroup`: in the group itself, or at
 * the root, which is the group to somebody in a container.
 */
const candidates = (groups: string, mount: string): ReadonlyArray<string> =>
  groups.split("\n").flatMap((line) => {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || group === undefined) return []
    if (controllers === "") return [group, "/"].map((folder) => Path.join(mount, folder, "memory.events"))
    return controllers.split(",").includes("memory")
      ? [group, "/"].map((folder) => Path.join(mount, "memory", folder, "memory.oom_control"))
      : []
  })

/** Without a counter nothing is ever put down to it. */
export const makeOomKills = (groupsFile = "/proc/self/cgroup", mount = "/sys/fs/cgroup"): OomKills => {
  let file: string | undefined
  let looked = false
  let last = 0
  let unaccounted = 0
  const count = (): number | undefined => {
    if (!looked) {
      looked = true
      file = candidates(read(groupsFile) ?? "", mount).find((one) => countIn(read(one)) !== undefined)
    }
    return file === undefined ? undefined : countIn(read(file))
  }
  return {
    note: () => {
      last = count() ?? last
      unaccounted = 0
    },
    take: () => {
      const now = count() ?? last
      unaccounted += Math.max(0, now - last)
      last = now
      if (unaccounted === 0) return false
      unaccounted--
      return true
    }
  }
}

/** Those of this application. */
export const oomKills: OomKills = makeOomKills()
