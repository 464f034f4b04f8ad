/**
 * Proves case by case that the postmaster behaves as PostgreSQL's: collects the tests that bear a case's number, prints
 * what became of them, and writes `docs/CONFORMANCE.md`. Fails when a case has neither a test nor a reason, when a test
 * contradicts what `conformance/cases.ts` says, and when a test has failed.
 *
 *     node scripts/conformance.ts                    runs the tests of core and node
 *     node scripts/conformance.ts --report <file>    takes a report of vitest's JSON reporter
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Case, type Group, groups } from "./conformance/cases.ts"

export interface Test {
  readonly title: string
  readonly status: string
}

/** The part of a report of vitest's JSON reporter that is read here. */
interface Report {
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly message?: string
    readonly assertionResults: ReadonlyArray<Test>
  }>
}

/** The numbers at the beginning of a title: `C76, C77 exit 1: …`. */
export const numbersOf = (title: string): ReadonlyArray<number> =>
  /^C\d+\b(?:, C\d+\b)*/.exec(title)?.[0].split(", ").map((name) => Number(name.slice(1))) ?? []

const departs = (test: Test): boolean => test.title.includes("(departs)")

export interface Row {
  readonly case: Case
  readonly tests: number
  readonly result: "passed" | "failed" | "missing" | "–"
}

export interface Verdict {
  readonly rows: ReadonlyArray<{ readonly title: string; readonly rows: ReadonlyArray<Row> }>
  /** One sentence for everything that is not as it should be. */
  readonly problems: ReadonlyArray<string>
}

/** Compares the cases with the tests. */
export const judge = (groups: ReadonlyArray<Group>, tests: ReadonlyArray<Test>): Verdict => {
  const problems: Array<string> = []
  const found = new Map<number, Array<Test>>()
  for (const { cases } of groups) {
    for (const { number } of cases) {
      if (found.has(number)) problems.push(`C${number} is listed twice`)
      found.set(number, [])
    }
  }
  for (const test of tests) {
    const numbers = numbersOf(test.title)
    if (numbers.length > 0 && test.status !== "passed") problems.push(`${test.status}: ${test.title}`)
    for (const number of numbers) {
      const own = found.get(number)
      if (own === undefined) problems.push(`C${number} is no case: ${test.title}`)
      else own.push(test)
    }
  }
  const judgeCase = (one: Case): Row => {
    const own = found.get(one.number)!
    const failed = own.some((test) => test.status !== "passed")
    if (one.verdict === "inapplicable") {
      if (own.length > 0) problems.push(`C${one.number} is said not to apply, and is tested: ${own[0]!.title}`)
      return { case: one, tests: own.length, result: failed ? "failed" : "–" }
    }
    if (own.length === 0) {
      problems.push(`C${one.number} has neither a test nor a reason: ${one.line}`)
    } else if (one.verdict === "departs" && !own.some(departs)) {
      problems.push(`C${one.number} departs, and no test says "(departs)" in its title`)
    } else if (one.verdict === "same" && own.some(departs)) {
      problems.push(`C${one.number} is said not to depart, and a test does: ${own.find(departs)!.title}`)
    }
    return { case: one, tests: own.length, result: own.length === 0 ? "missing" : failed ? "failed" : "passed" }
  }
  return { rows: groups.map(({ cases, title }) => ({ title, rows: cases.map(judgeCase) })), problems }
}

const verdicts: { readonly [K in Case["verdict"]]: string } = {
  same: "PostgreSQL's",
  departs: "departs",
  inapplicable: "not applicable"
}

const reasonOf = (one: Case): string => one.verdict === "same" ? "" : one.because

/** How many cases there are of each verdict, and how many have no test. */
export const summary = ({ rows }: Verdict): string => {
  const all = rows.flatMap((group) => group.rows)
  const count = (predicate: (row: Row) => boolean): number => all.filter(predicate).length
  return `${all.length} cases: ` + [
    `${count((row) => row.case.verdict === "same")} as in PostgreSQL`,
    `${count((row) => row.case.verdict === "departs")} depart on purpose`,
    `${count((row) => row.case.verdict === "inapplicable")} do not apply`,
    `${count((row) => row.result === "missing")} without a test`
  ].join(", ")
}

export const toTable = ({ rows }: Verdict): string => {
  const lines = rows.flatMap((group) =>
    group.rows.map(({ case: one, result, tests }) =>
      [
        `C${one.number}`.padEnd(4),
        verdicts[one.verdict].padEnd(14),
        String(tests).padStart(3),
        result.padEnd(7),
        one.line
      ].join("  ")
    )
  )
  return [`case  ${"ours".padEnd(14)}  tests result   what PostgreSQL does`, ...lines].join("\n")
}

export const toMarkdown = (verdict: Verdict): string => {
  const cell = (text: string): string => text.replaceAll("|", "\\|")
  const tables = verdict.rows.flatMap(({ rows, title }) => [
    `## ${title}`,
    "",
    "| case | what PostgreSQL does | ours | because | result |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(({ case: one, result }) =>
      `| C${one.number} | ${[one.line, verdicts[one.verdict], reasonOf(one), result].map(cell).join(" | ")} |`
    ),
    ""
  ])
  return [
    "# Conformance",
    "",
    "<!-- Written by `npm run conformance`; the cases are in `scripts/conformance/cases.ts`. -->",
    "",
    "How the postmaster behaves beside PostgreSQL's, case by case. A case is proved by every test whose title begins with",
    "its number. Numbers are names; some are free.",
    "",
    `${summary(verdict)}.`,
    "",
    ...tables
  ].join("\n")
}

/** Runs the tests, or reads what a run has left behind. */
const report = (file: string | undefined): Report => {
  if (file !== undefined) return JSON.parse(readFileSync(file, "utf8"))
  const folder = mkdtempSync(join(tmpdir(), "conformance-"))
  try {
    const output = join(folder, "report.json")
    const projects = ["core", "node"].flatMap((name) => ["--project", name])
    const args = ["node_modules/vitest/vitest.mjs", "run", ...projects, "--reporter=json", `--outputFile=${output}`]
    const { status } = spawnSync(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] })
    if (status === null) throw new Error("vitest was killed")
    return JSON.parse(readFileSync(output, "utf8"))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { report: { type: "string" } } })
  const file = values.report === undefined ? undefined : resolve(values.report)
  process.chdir(fileURLToPath(new URL("..", import.meta.url)))
  const { testResults } = report(file)
  const verdict = judge(groups, testResults.flatMap(({ assertionResults }) => assertionResults))
  // A file that does not even load has no tests that could fail.
  const broken = testResults
    .filter(({ assertionResults }) => assertionResults.length === 0)
    .map(({ message, name }) => `${name} has no tests: ${message ?? ""}`)
  mkdirSync("docs", { recursive: true })
  writeFileSync("docs/CONFORMANCE.md", toMarkdown(verdict))
  console.log(toTable(verdict))
  console.log(summary(verdict))
  const problems = [...verdict.problems, ...broken]
  if (problems.length > 0) {
    console.error(problems.join("\n"))
    process.exitCode = 1
  }
}
