import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type AddressInfo, createServer } from "node:net"
import { run, start } from "./run.ts"

const example = "06-observed-service"

/** The lines of the trees, with what differs from run to run left out. */
const shape = (stdout: string): ReadonlyArray<string> =>
  stdout.split("\n").filter((line) => /^ *\S.*\[\w+\]/.test(line)).map((line) =>
    line.replace(/ [\d.]+ ms/, "").replace(/worker\.pid=\d+/, "pid")
  )

/** Somebody else may take it before it is used, which is unlikely and would be seen. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

describe(example, () => {
  it.live(
    "prints a scrape in which counters outlive a life, and one trace of all processes",
    () =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* run(example)
        assert.strictEqual(code, 0, stderr)
        assert.match(
          stderr,
          /^metrics on .*\n25 primes below 100\n78498 primes below 1000000\nkilling process \d+\n1229 primes below 10000\n$/
        )
        const lines = stdout.split("\n")
        assert.includeMembers(lines, [
          "postmaster_worker_restarts_total{type=\"primes\"} 1",
          "postmaster_worker_exits_total{type=\"primes\",verdict=\"crashed\"} 1",
          "primes_sieves_total{worker=\"primes\"} 3",
          "primes_sieve_duration_seconds_count{worker=\"primes\"} 3",
          // A gauge is of the present life.
          "primes_largest_below{worker=\"primes\"} 10000"
        ])
        assert.lengthOf(lines.filter((line) => line.startsWith("trace ")), 1)
        const asked = (below: number) => [
          "    ask [application]",
          "      Count [application]",
          "        Count [primes]",
          `          sieve [primes] below=${below}`
        ]
        const life = (exit: string) => [
          `    Worker.life [application] worker.name=primes pid worker.exit=${exit}`,
          "      Worker.launch [application] worker.name=primes pid",
          "      warm up [primes]"
        ]
        assert.sameMembers(shape(stdout) as Array<string>, [
          "  application [application]",
          "    Postmaster.register [application]",
          ...life("was terminated by signal SIGKILL ERROR"),
          ...asked(100),
          ...asked(1_000_000),
          ...asked(10_000),
          ...life("exited with exit code 1: the worker was asked to stop")
        ])
      }),
    60_000
  )

  it.live("stays to be scraped on the port it is given, if it is told to", () =>
    Effect.gen(function*() {
      const port = yield* freePort
      const program = yield* start(example, ["--stay"], { PORT: `${port}` })
      yield* program.says(/10000 *$/m)
      const text = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/metrics`).then((response) => response.text())
      )
      assert.include(text.split("\n"), "# TYPE primes_sieves_total counter")
      program.child.kill("SIGINT")
      const { code, stdout } = yield* program.ended
      assert.strictEqual(code, 130)
      assert.include(stdout, "Worker.life [application]")
    }).pipe(Effect.scoped), 60_000)
})
