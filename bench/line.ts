/** What a line of the specification is: how it is measured, and what the figures are held against. */
import type * as Effect from "effect/Effect"
import type { Ground } from "./ground.ts"
import type { Outcome, Row } from "./rounds.ts"

export interface Options {
  readonly full: boolean
  /** How often the application is killed. */
  readonly trials: number
}

export type Unit = "ms" | "µs" | "MiB" | "B" | "/s" | "orphans"

/** One thing that the specification asks for. */
export interface Target {
  /** The line, and which part of it: `S3`, `S3 bundled`. */
  readonly line: string
  readonly asked: string
  readonly unit: Unit
  readonly ours: Row | undefined
  /** The best of the others, and the cheapest thing that can do the job at all. */
  readonly peer?: Row | undefined
  readonly floor?: Row | undefined
  /** Holds our median, or whatever else counts, against what is asked. `undefined`: there is nothing to judge by. */
  readonly met: boolean | undefined
  readonly note?: string | undefined
}

/** A drawing of some of the rows. */
export type Plot =
  | {
    readonly _tag: "Ranges"
    readonly file: string
    readonly title: string
    readonly figure: string
    readonly unit: Unit
    readonly rows: ReadonlyArray<Row>
  }
  | {
    readonly _tag: "Curve"
    readonly file: string
    readonly title: string
    readonly unit: Unit
    readonly x: string
    readonly points: ReadonlyArray<{ readonly x: number; readonly row: Row }>
  }

/** Lines that one run of rounds measures together. */
export interface Heat {
  readonly name: string
  readonly lines: ReadonlyArray<string>
  readonly title: string
  /** What is asked of every entrant, in a sentence. */
  readonly how: string
  readonly units: Readonly<Record<string, Unit>>
  readonly run: (options: Options) => Effect.Effect<Outcome, never, Ground>
  readonly judge: (rows: ReadonlyArray<Row>) => ReadonlyArray<Target>
  readonly plots?: (rows: ReadonlyArray<Row>) => ReadonlyArray<Plot>
}
