/** The worker of a bare `Worker`: leaves with code 1 when it is told to. */
import { parentPort, workerData } from "node:worker_threads"
import { sign } from "./sign.mjs"

sign("entered", workerData.token)
parentPort?.on("message", () => process.exit(1))
if (workerData.spin) { for (;;); }
