/**
 * Installs what `bench/package-lock.json` asks for, when it is needed. The contestants stand here and not in the
 * repository's own lock file, so that nobody pays for them who does not measure.
 *
 * What has been added by hand (pm2) stays until the lock file changes.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL(".", import.meta.url))
const stamp = join(folder, "node_modules", ".setup-stamp")
const wanted = readFileSync(join(folder, "package-lock.json"), "utf8")

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  console.log("bench: installing the contestants")
  // No script of theirs has to run: what esbuild's does, it does without.
  const args = ["ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
  const { npm_execpath: npm, npm_node_execpath: node = process.execPath } = process.env
  const { status } = npm === undefined
    ? spawnSync("npm", args, { stdio: "inherit" })
    : spawnSync(node, [npm, ...args], { stdio: "inherit" })
  if (status !== 0) process.exit(status ?? 1)
  writeFileSync(stamp, wanted)
}
