/**
 * Decides what a thread of this process must do to pass for a process of its
 * own: the same channel, output and end, as far as a thread can have them.
 *
 * Its channel is a message port that carries the frames of the processes'
 * channel, and its data line another, so that everything above cannot tell the
 * two apart.
 *
 * @since 0.1.0
 */
import type { Pid } from "@effect-postmaster/core/Identity"
import * as Effect from "effect/Effect"
import { Duplex } from "node:stream"
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  type ResourceLimits,
  Worker
} from "node:worker_threads"
import type { Forked, Gone } from "./fork.ts"
import { outOfMemory } from "./limits.ts"
import { words } from "./startGroup.ts"
import { openThreadLine } from "./threadLine.ts"
import { makeThreadReader, type ThreadOutput } from "./threadOutput.ts"

/** A program for a thread, and its surroundings. */
export interface ThreadOrder {
  readonly file: string
  /** Absent: those of this process, as far as a thread can have them. */
  readonly execArgv: ReadonlyArray<string> | undefined
  readonly env: Readonly<Record<string, string>>
  readonly resourceLimits: ResourceLimits
}

/** What a thread finds in its `workerData`. */
export interface ThreadData {
  readonly channel: MessagePort
  /** The data line. */
  readonly line: MessagePort
  readonly output: ThreadOutput
}

/** Bytes in, bytes out, like a socket; anything else on the port is not ours, and ends it. */
const makeChannel = (port: MessagePort): Duplex => {
  const channel = new Duplex({
    // As a socket has it: when the thread has ended, there is nobody to write to.
    allowHalfOpen: false,
    read: () => {},
    write: (chunk: Uint8Array, _, done) => {
      port.postMessage(chunk)
      done()
    },
    destroy: (error, done) => {
      port.close()
      done(error)
    }
  })
  port.on("message", (bytes: unknown) => {
    if (channel.destroyed) return
    if (bytes instanceof Uint8Array) channel.push(bytes)
    else channel.destroy()
  })
  return channel
}

/** How long a thread that was told to end may take. */
const endPatienceMillis = 5_000

/** Bears a thread, which is at home in this process from the beginning. */
export const forkThread = <A>(order: ThreadOrder, adopt: (forked: Forked) => A): Effect.Effect<A, string> =>
  Effect.suspend(() => {
    const { port1: port, port2: theirs } = new MessageChannel()
    const { port1: line, port2: theirLine } = new MessageChannel()
    const output = makeThreadReader()
    let worker: Worker
    try {
      worker = new Worker(order.file, {
        stdout: true,
        stderr: true,
        ...(order.execArgv === undefined ? undefined : { execArgv: [...order.execArgv] }),
        env: order.env,
        resourceLimits: order.resourceLimits,
        workerData: { channel: theirs, line: theirLine, output: output.theirs } satisfies ThreadData,
        transferList: [theirs, theirLine, output.theirs.port]
      })
    } catch (cause) {
      output.end()
      return Effect.fail(words(cause))
    }
    const channel = makeChannel(port)
    output.adopt(worker.stdout, worker.stderr)
    let killed = false
    let over = false
    let lost: string | undefined
    let listener: ((gone: Gone) => void) | undefined
    // What the thread itself could not catch: it has run out of memory, or its program does not even load.
    worker.on("error", (cause) => {
      lost ??= "code" in cause && cause.code === "ERR_WORKER_OUT_OF_MEMORY"
        ? outOfMemory({ heap: order.resourceLimits.maxOldGenerationSizeMb })
        : words(cause)
    })
    const finish = (gone: Gone): void => {
      if (over) return
      over = true
      listener?.(gone)
    }
    worker.on("exit", (code) => {
      // What it said last may still lie in the port.
      for (let said = receiveMessageOnPort(port); said !== undefined; said = receiveMessageOnPort(port)) {
        if (said.message instanceof Uint8Array && !channel.destroyed) channel.push(said.message)
      }
      if (!channel.destroyed) channel.push(null)
      port.close()
      output.end()
      finish(
        killed
          ? { code: null, signal: "SIGKILL" }
          : { code, signal: null, ...(lost === undefined ? undefined : { lost }) }
      )
    })
    return Effect.succeed(adopt({
      pid: worker.threadId as Pid,
      stdout: output.stdout,
      stderr: output.stderr,
      channel,
      openLine: openThreadLine(line),
      // A thread hears of everything else on its channel, or not at all.
      kill: (signal) => {
        if (over || signal !== "SIGKILL") return
        killed = true
        void worker.terminate()
        // What blocks outside of JavaScript cannot be ended from here. Nobody waits for it for ever.
        setTimeout(() => {
          worker.unref()
          if (!over && !channel.destroyed) channel.push(null)
          finish({ code: null, signal: null, lost: "blocks outside of JavaScript and cannot be ended" })
        }, endPatienceMillis).unref()
      },
      // It was born with all that a thread can have.
      limit: () => Effect.void,
      onGone: (to) => {
        listener = to
      },
      isEmpty: () => true
    }))
  })
