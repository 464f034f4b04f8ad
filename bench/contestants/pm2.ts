/**
 * pm2, if somebody has installed it: its licence is not ours, so the bench does not bring it. It gets a home and a
 * daemon of its own in the run's folder.
 */
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Absent, type Contestant, Failed, type Session } from "../contestant.ts"
import { Ground, onPath, version, worker } from "../ground.ts"

interface Pm2 {
  readonly connect: (done: (error?: unknown) => void) => void
  readonly start: (
    options: {
      readonly script: string
      readonly name: string
      readonly args: ReadonlyArray<string>
      readonly restart_delay: number
      readonly pmx: false
    },
    done: (error?: unknown) => void
  ) => void
  readonly delete: (name: string, done: (error?: unknown) => void) => void
  readonly killDaemon: (done: (error?: unknown) => void) => void
  readonly disconnect: () => void
}

const now = (): bigint => process.hrtime.bigint()

/** The folder of the package, beside the bench or behind the program on the PATH. */
const find = (): string | undefined => {
  const beside = join(dirname(import.meta.dirname), "node_modules", "pm2")
  if (existsSync(beside)) return beside
  const program = onPath("pm2")
  return program === undefined ? undefined : dirname(dirname(program))
}

const call = (begin: (done: (error?: unknown) => void) => void): Effect.Effect<void, Failed> =>
  Effect.callback((resume) =>
    begin((error) => resume(error ? Effect.fail(new Failed({ detail: `pm2: ${String(error)}` })) : Effect.void))
  )

const folder = find()

export const pm2: Contestant = {
  name: folder === undefined ? "pm2" : `pm2 ${version(folder)}`,
  rank: "peer",
  open: Effect.gen(function*() {
    if (folder === undefined) {
      return yield* new Absent({ reason: "pm2 is not installed; npm install --no-save --prefix bench pm2" })
    }
    const ground = yield* Ground
    // Read when the package is loaded.
    process.env.PM2_HOME = join(ground.folder, "pm2")
    const pm2 = createRequire(import.meta.url)(folder) as Pm2
    yield* Effect.acquireRelease(
      call((done) => pm2.connect(done)),
      () =>
        call((done) => pm2.killDaemon(done)).pipe(
          Effect.ensuring(Effect.sync(() => pm2.disconnect())),
          Effect.ignore
        )
    )
    const start: Session["start"] = ({ restartMillis, spin, token }) =>
      Effect.gen(function*() {
        const askedAt = now()
        yield* Effect.acquireRelease(
          call((done) =>
            pm2.start({
              script: worker("bare.mjs"),
              name: token,
              args: [token, spin ? "spin" : "idle"],
              restart_delay: restartMillis,
              // Its own instrumentation of the worker.
              pmx: false
            }, done)
          ),
          () => Effect.ignore(call((done) => pm2.delete(token, done)))
        )
        const startedAt = now()
        const crash = Effect.sync(() => {
          const at = now()
          process.kill(ground.signs.last(token)!, "SIGKILL")
          return at
        })
        return { askedAt, startedAt, crash }
      })
    return { settled: Effect.void, start }
  })
}
