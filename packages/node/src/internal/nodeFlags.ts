/**
 * Decides which of the application's own Node flags a worker inherits.
 *
 * Conditions, loaders, preloads and memory limits make the application what it
 * is, and its workers are part of it. What names a port, a script of its own, a
 * mode of running or an output file belongs to one process and is left out.
 *
 * @since 0.1.0
 */

/** Flags left out, by the way they begin. */
const families = ["--inspect", "--debug-port", "--watch", "--test", "--cpu-prof", "--heap-prof", "--build-snapshot"]

/** Flags left out that stand alone. The last one would make a worker deaf to SIGUSR1. */
const bare = new Set(["-i", "--interactive", "-c", "--check", "--disable-sigusr1"])

/** Flags left out whose value may be an argument of its own. */
const valued = new Set([
  "-e",
  "--eval",
  "-p",
  "-pe",
  "--print",
  "--input-type",
  "--run",
  "--inspect-port",
  "--debug-port",
  "--inspect-publish-uid",
  "--watch-path",
  "--watch-kill-signal",
  "--test-concurrency",
  "--test-coverage-branches",
  "--test-coverage-exclude",
  "--test-coverage-functions",
  "--test-coverage-include",
  "--test-coverage-lines",
  "--test-global-setup",
  "--test-isolation",
  "--test-name-pattern",
  "--test-random-seed",
  "--test-reporter",
  "--test-reporter-destination",
  "--test-rerun-failures",
  "--test-shard",
  "--test-skip-pattern",
  "--test-timeout",
  "--cpu-prof-dir",
  "--cpu-prof-interval",
  "--cpu-prof-name",
  "--heap-prof-dir",
  "--heap-prof-interval",
  "--heap-prof-name",
  "--build-snapshot-config"
])

const nameOf = (flag: string): string => {
  const equals = flag.indexOf("=")
  return equals < 0 ? flag : flag.slice(0, equals)
}

const isOwn = (flag: string): boolean => {
  const name = nameOf(flag)
  return bare.has(name) || valued.has(name) ||
    families.some((family) => name === family || name.startsWith(`${family}-`))
}

/** Filters arguments as `process.execArgv` has them: a value may follow its flag as an argument of its own. */
export const inheritedFlags = (execArgv: ReadonlyArray<string>): Array<string> => {
  const kept: Array<string> = []
  for (let index = 0; index < execArgv.length; index++) {
    const flag = execArgv[index]!
    if (!isOwn(flag)) {
      kept.push(flag)
    } else if (valued.has(flag) && index + 1 < execArgv.length && !execArgv[index + 1]!.startsWith("-")) {
      index++
    }
  }
  return kept
}

/**
 * Flags that would say more of the heap than a worker's own limit: a share of
 * the machine's memory comes before a size, wherever the two stand.
 */
const isHeapShare = (flag: string): boolean => nameOf(flag.replaceAll("_", "-")) === "--max-old-space-size-percentage"

const partsOf = (nodeOptions: string): ReadonlyArray<string> =>
  nodeOptions.match(/(?:"(?:\\.|[^"\\])*"|[^\s"])+/g) ?? []

/** Filters arguments for a worker whose heap has a limit of its own, and adds it. */
export const withHeap = (flags: ReadonlyArray<string>, heap: number): Array<string> => [
  ...flags.filter((flag) => !isHeapShare(flag)),
  `--max-old-space-size=${heap}`
]

/** Filters `NODE_OPTIONS` for such a worker. */
export const nodeOptionsWithHeap = (options: string): string =>
  partsOf(options).filter((flag) => !isHeapShare(flag)).join(" ")

/** Filters `NODE_OPTIONS`, whose arguments are parted by spaces outside of double quotes and stay as they are quoted. */
export const inheritedNodeOptions = (options: string): string => inheritedFlags(partsOf(options)).join(" ")
