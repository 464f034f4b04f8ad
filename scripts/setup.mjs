/**
 * Makes sure that what `package-lock.json` asks for is installed, so that a fresh clone needs no step of its own:
 * `npm start`, `npm test`, `npm run check` and `npm run build` begin here.
 *
 * This file runs on whatever Node the machine has (20 or later). The script after it runs on the Node pinned in
 * `package.json`, which npm finds first on its PATH once it is installed.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

process.chdir(fileURLToPath(new URL("..", import.meta.url)))

const stamp = "node_modules/.setup-stamp"
const hiddenLockfile = "node_modules/.package-lock.json" // written by npm itself at the end of every install
const pinnedNode = "node_modules/.bin/node"

const lockfile = "package-lock.json"
const wanted = createHash("sha256").update(readFileSync(lockfile)).digest("hex")

const reason = whyInstall()
if (reason !== undefined) {
  console.log(`setup: ${reason}; running npm ci (about half a minute)`)
  install()
  checkPinnedNode()
  writeFileSync(stamp, wanted)
}

/** @returns {string | undefined} */
function whyInstall() {
  if (!existsSync("node_modules")) return "nothing is installed yet"
  if (!existsSync(hiddenLockfile)) return "the last installation did not finish"
  if (!existsSync(pinnedNode)) return "the pinned Node is missing"
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return undefined
  // an installation by hand leaves npm's own record newer than what it was made from
  if (statSync(lockfile).mtimeMs <= statSync(hiddenLockfile).mtimeMs) {
    writeFileSync(stamp, wanted)
    return undefined
  }
  return "package-lock.json has changed"
}

function install() {
  // the npm that runs this script, on the Node it runs on: the pinned one is about to be replaced
  const { npm_execpath: npm, npm_node_execpath: node = process.execPath } = process.env
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"]
  const { status, error } = npm === undefined
    ? spawnSync("npm", args, { stdio: "inherit" })
    : spawnSync(node, [npm, ...args], { stdio: "inherit" })
  if (status !== 0) fail(`npm ci failed${error === undefined ? "" : `: ${error.message}`}`, status ?? 1)
}

function checkPinnedNode() {
  const { status, stdout } = spawnSync(pinnedNode, ["--version"], { encoding: "utf8" })
  if (status !== 0) {
    fail(
      "the package `node` brought no binary; were install scripts ignored (ignore-scripts)? Run: npm ci --ignore-scripts=false"
    )
  }
  if (Number.parseInt(stdout.slice(1), 10) < 24) fail(`the pinned Node is ${stdout.trim()}, but 24 or later is needed`)
}

/**
 * @param {string} message
 * @param {number} code
 * @returns {never}
 */
function fail(message, code = 1) {
  console.error(`setup: ${message}`)
  process.exit(code)
}
