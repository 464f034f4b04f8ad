/**
 * PostgreSQL, where a server, its headers and a compiler are found: a cluster of its own in the run's folder, on a Unix
 * socket only, and a session that registers dynamic background workers (`postgres/bench_worker.c`).
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { chmodSync, chownSync, existsSync, mkdtempSync } from "node:fs"
import { join } from "node:path"
import { Absent, type Contestant, Failed, type Session } from "../contestant.ts"
import { Ground } from "../ground.ts"
import * as LineProgram from "../lineProgram.ts"

interface Installation {
  readonly version: string
  readonly bin: string
  readonly headers: string
}

const ask = (program: string, ...args: ReadonlyArray<string>): string | undefined => {
  const { status, stdout } = spawnSync(program, args, { encoding: "utf8" })
  return status === 0 ? stdout.trim() : undefined
}

const installation: Installation | Absent = (() => {
  const version = ask("pg_config", "--version")
  if (version === undefined) return new Absent({ reason: "there is no pg_config on the PATH" })
  const found = { version, bin: ask("pg_config", "--bindir")!, headers: ask("pg_config", "--includedir-server")! }
  const missing = ["initdb", "postgres", "psql"].find((program) => !existsSync(join(found.bin, program)))
  if (missing !== undefined) return new Absent({ reason: `there is no ${missing} in ${found.bin}` })
  if (!existsSync(join(found.headers, "postgres.h"))) {
    return new Absent({ reason: `the server's headers are missing (apt-get install postgresql-server-dev-…)` })
  }
  return ask("cc", "--version") === undefined ? new Absent({ reason: "there is no C compiler" }) : found
})()

/** The server refuses to run as root; `nobody` exists everywhere. */
const user = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const name = ask("id", "-u", "postgres") === undefined ? "nobody" : "postgres"
  return { uid: Number(ask("id", "-u", name)), gid: Number(ask("id", "-g", name)) }
}

const run = (program: string, args: ReadonlyArray<string>, options: object): Effect.Effect<void, Failed> =>
  Effect.suspend(() => {
    const { status, stderr } = spawnSync(program, args, { encoding: "utf8", ...options })
    return status === 0 ? Effect.void : Effect.fail(new Failed({ detail: `${program}: ${stderr}` }))
  })

/** A fast shutdown, and the hard way for one that does not come to its end. */
const stop = (server: ChildProcess): Effect.Effect<void> =>
  Effect.suspend(() => {
    server.kill("SIGINT")
    return LineProgram.ended(server)
  }).pipe(
    Effect.timeoutOrElse({
      duration: "10 seconds",
      orElse: () => {
        server.kill("SIGQUIT")
        return LineProgram.ended(server)
      }
    })
  )

/** Starts a server in a folder, with room for as many workers as any line asks for. */
const serve = ({ bin }: Installation, folder: string): Effect.Effect<ChildProcess, Failed, Scope.Scope> =>
  Effect.gen(function*() {
    const owner = user()
    const data = join(folder, "data")
    if (owner !== undefined) chownSync(folder, owner.uid, owner.gid)
    const options = { ...owner, cwd: folder }
    yield* run(join(bin, "initdb"), ["-D", data, "-U", "bench", "-A", "trust", "--no-sync"], options)
    const settings = {
      listen_addresses: "",
      unix_socket_directories: folder,
      max_worker_processes: "80",
      fsync: "off",
      log_min_messages: "fatal"
    }
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
    const server = yield* Effect.acquireRelease(
      // In a group of its own: the terminal's Ctrl-C is ours to pass on.
      Effect.sync(() =>
        spawn(join(bin, "postgres"), ["-D", data, ...args], { ...options, stdio: "ignore", detached: true })
      ),
      stop
    )
    yield* Effect.eventually(
      Effect.andThen(Effect.sleep("20 millis"), run(psql(bin), [...sessionIn(folder), "-c", ""], {}))
    )
      .pipe(Effect.timeoutOrElse({
        duration: "30 seconds",
        orElse: () => Effect.fail(new Failed({ detail: "the server does not answer" }))
      }))
    return server
  })

const psql = (bin: string): string => join(bin, "psql")

const sessionIn = (
  folder: string
): ReadonlyArray<string> => ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U", "bench", "postgres"]

export const postgres: Contestant = {
  name: installation instanceof Absent ? "PostgreSQL" : installation.version.replace(/ \(.*/, ""),
  rank: "peer",
  open: Effect.gen(function*() {
    if (installation instanceof Absent) return yield* installation
    const ground = yield* Ground
    const folder = mkdtempSync(join(ground.folder, "postgres-"))
    chmodSync(folder, 0o755)
    const library = join(folder, "bench_worker.so")
    const source = join(import.meta.dirname, "..", "postgres", "bench_worker.c")
    yield* run("cc", ["-O2", "-shared", "-fPIC", `-I${installation.headers}`, "-o", library, source], {})
    yield* serve(installation, folder)
    const session = yield* LineProgram.start(psql(installation.bin), sessionIn(folder))
    yield* session.ask(
      `create function bench_register(text, text, text, int) returns text as '${library}' language c; select 'made';`
    )
    const start: Session["start"] = ({ restartMillis, token }) =>
      Effect.gen(function*() {
        const answer = yield* session.ask(
          `select bench_register('${library}', '${process.env.BENCH_SIGNS}', '${token}', ${restartMillis / 1000});`
        )
        const [askedAt, startedAt, first] = answer.split(" ")
        const pid = (): number => ground.signs.last(token) ?? Number(first)
        yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(pid(), "SIGTERM")))
        const crash = Effect.sync(() => {
          const at = process.hrtime.bigint()
          // A worker of PostgreSQL that is killed takes all others along; one that exits with code 1 does not.
          process.kill(pid(), "SIGUSR2")
          return at
        })
        return { askedAt: BigInt(askedAt!), startedAt: BigInt(startedAt!), crash }
      })
    return { settled: Effect.void, start }
  })
}
