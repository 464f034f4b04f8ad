/**
 * How the parts of a worker find its end of the line to the postmaster, which
 * is opened when the first of them asks.
 */
import * as Context from "effect/Context"
import * as FramePort from "../FramePort.ts"

export const WorkerPort = /* @__PURE__ */ Context.Reference<() => FramePort.FramePort>(
  "@effect-postmaster/core/internal/workerPort",
  { defaultValue: () => () => FramePort.closed }
)
