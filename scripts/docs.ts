/**
 * Compiles every example of the documentation: the `ts` blocks of the Markdown documents and of the packages' doc
 * comments. Errors are reported where the example is written.
 *
 * A block that begins with a comment like `// resize.ts` is a file of that name, which the other blocks of the same
 * document import as `./resize.ts`. Any other block stands for itself.
 */
import { spawnSync } from "node:child_process"
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

process.chdir(fileURLToPath(new URL("..", import.meta.url)))

/** Where the examples are compiled: in the repository, so that they find its packages as any other file does. */
const folder = ".docs-check"

interface Example {
  readonly document: string
  /** The line of the document, counted from 1, that holds the first line of the code. */
  readonly line: number
  readonly code: ReadonlyArray<string>
}

/** Finds the blocks of a document in which each line begins with the prefix, as it does in a doc comment. */
const examplesIn = (document: string, prefix: RegExp): ReadonlyArray<Example> => {
  const examples: Array<Example> = []
  let open: Example | undefined
  for (const [index, raw] of readFileSync(document, "utf8").split("\n").entries()) {
    const line = prefix.test(raw) ? raw.replace(prefix, "") : undefined
    if (open === undefined) {
      if (line !== undefined && /^```ts\b/.test(line)) open = { document, line: index + 2, code: [] }
    } else if (line === undefined || line.startsWith("```")) {
      examples.push(open)
      open = undefined
    } else {
      open = { ...open, code: [...open.code, line] }
    }
  }
  if (open !== undefined) throw new Error(`${document}:${open.line}: this block is never closed`)
  return examples
}

/** The file that an example becomes: one folder per document, with the name the example gives itself, if any. */
const fileOf = (example: Example): string => {
  const name = /^\/\/ ([\w-]+\.ts)$/.exec(example.code[0] ?? "")?.[1] ?? `line-${example.line}.ts`
  return join(example.document.replaceAll(/[^\w]+/g, "-"), name)
}

const compile = (examples: ReadonlyMap<string, Example>): ReadonlyArray<string> => {
  for (const [file, { code }] of examples) {
    mkdirSync(join(folder, file, ".."), { recursive: true })
    writeFileSync(join(folder, file), [...code, "export {}", ""].join("\n"))
  }
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../tsconfig.base.json",
      compilerOptions: { composite: false, incremental: false, noEmit: true, noUnusedLocals: false },
      files: [...examples.keys()]
    })
  )
  const args = ["node_modules/typescript/bin/tsc", "-p", folder, "--pretty", "false"]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" })
  if (status === 0) return []
  return `${stdout}${stderr}`.trimEnd().split("\n").map((text) => {
    const [, file, line, rest] = /^\.docs-check\/(.+?)\((\d+),\d+\): (.*)$/.exec(text) ?? []
    const example = examples.get(file ?? "")
    return example === undefined ? text : `${example.document}:${example.line + Number(line) - 1}: ${rest}`
  })
}

const documents = ["README.md", "CONTRIBUTING.md", ...globSync("docs/*.md").toSorted()]
const found = [
  ...documents.filter((path) => existsSync(path)).flatMap((path) => examplesIn(path, /^/)),
  ...globSync("packages/*/src/**/*.ts").toSorted().flatMap((path) => examplesIn(path, /^\s*\* ?/))
]
const examples = new Map<string, Example>()
const problems: Array<string> = []
for (const example of found) {
  const file = fileOf(example)
  const earlier = examples.get(file)
  if (earlier === undefined) examples.set(file, example)
  else problems.push(`${example.document}:${example.line}: this file is already written at line ${earlier.line}`)
}

try {
  if (examples.size > 0) problems.push(...compile(examples))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

if (problems.length > 0) {
  console.error(problems.join("\n"))
  process.exitCode = 1
} else {
  console.log(`docs: ${examples.size} examples compile`)
}
