/**
 * The postmaster's own side of shared memory: the service over the cells, and
 * what only the loop may do with them.
 */
import * as Effect from "effect/Effect"
import type { PostmasterDied } from "../HandleError.ts"
import type { Present, SharedMemory, Swap } from "../SharedMemory.ts"
import { CellsExhausted, MemoryExhausted, NotAttached, SharedMemoryError } from "../SharedMemoryError.ts"
import * as Cells from "./cells.ts"

export interface Held {
  readonly memory: SharedMemory["Service"]
  /** Makes the memory anew. Runs nobody else's code: who waits is resumed later. */
  readonly clear: () => void
  /** Nothing is held any more. */
  readonly end: (died: PostmasterDied) => void
}

export const make = (limits: Cells.Limits): Held => {
  const cells = Cells.make(limits)
  let ended: PostmasterDied | undefined

  const open = <A, E>(use: () => Effect.Effect<A, E>): Effect.Effect<A, E | PostmasterDied> =>
    Effect.suspend((): Effect.Effect<A, E | PostmasterDied> => ended === undefined ? use() : Effect.fail(ended))

  const untilTold = (cell: string): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      // Whoever writes goes on first, and several writes at once are told as one.
      const leave = Cells.listen(cells, cell, () => resume(Effect.yieldNow))
      return Effect.sync(leave)
    })

  const changed = (cell: string, version: number): Effect.Effect<Present, PostmasterDied> =>
    open(() => {
      const present = Cells.read(cells, cell)
      return present.version !== version
        ? Effect.succeed(toPresent(present))
        : Effect.andThen(untilTold(cell), changed(cell, version))
    })

  return {
    memory: {
      read: (cell) => open(() => Effect.succeed(toPresent(Cells.read(cells, cell)))),
      swap: (cell, version, text) => open(() => toSwap(Cells.swap(cells, cell, version, text), cell, limits)),
      changed
    },
    clear: () => Cells.clear(cells),
    end: (died) => {
      ended ??= died
      Cells.clear(cells)
    }
  }
}

/** The memory that somebody finds who may have none. */
export const notAttached = (worker: string): SharedMemory["Service"] => {
  const refuse = (cell: string) => Effect.fail(new SharedMemoryError({ reason: new NotAttached({ worker, cell }) }))
  return { read: refuse, swap: refuse, changed: refuse }
}

const toPresent = ({ text, version }: Cells.Present): Present => ({ version, text })

const toSwap = (
  swap: Cells.Swap,
  cell: string,
  { maxBytes, maxCells }: Cells.Limits
): Effect.Effect<Swap, SharedMemoryError> => {
  switch (swap._tag) {
    case "Swapped":
      return Effect.succeed(swap)
    case "Lost":
      return Effect.succeed({ _tag: "Lost", present: toPresent(swap.present) })
    case "NoBytes": {
      const { bytes, taken } = swap
      return Effect.fail(new SharedMemoryError({ reason: new MemoryExhausted({ cell, bytes, taken, maxBytes }) }))
    }
    case "NoCells":
      return Effect.fail(new SharedMemoryError({ reason: new CellsExhausted({ cell, maxCells }) }))
  }
}
