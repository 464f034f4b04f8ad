/**
 * The worker of `spawn`, `fork`, execa and pm2, with nothing but Node. Without a token it is a spare: it waits for one
 * to come by message.
 */
import { sign } from "./sign.mjs"

/** @param {string} token */
const live = (token) => {
  sign("entered", token)
  process.on("SIGUSR2", () => {
    sign("leaving", token)
    process.exit(1)
  })
  if (process.argv[3] === "spin") { for (;;); }
}

if (process.argv[2] !== undefined) live(process.argv[2])
else {
  process.once("message", (token) => live(String(token)))
  process.send?.("ready")
}

// Keeps a process alive that has no channel of its own.
setInterval(() => {}, 1_000_000)
