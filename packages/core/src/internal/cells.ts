/**
 * Shared memory itself: a text per cell, and the version it was written at.
 *
 * 1. Versions come from one counter that never goes back, not even when the
 *    memory is cleared. Nobody who has seen a cell before can swap it after.
 * 2. A cell that nobody has written is not there: it takes no room, and has the
 *    version of the moment when last some cell was taken away. A version it had
 *    before it was written does not come back either.
 * 3. `bytes` is the sum over all cells, and never above `maxBytes`; there are
 *    never more than `maxCells`. A swap that is refused has changed nothing.
 * 4. A listener is told once, of the first change after it began to listen. It
 *    looks for itself what there is, so one who is slow sees the newest only.
 */

/** What a cell holds: `undefined` if nobody has written it. */
export interface Present {
  readonly version: number
  readonly text: string | undefined
}

export interface Limits {
  readonly maxBytes: number
  readonly maxCells: number
}

interface Cell extends Present {
  readonly text: string
  readonly bytes: number
}

export interface Cells {
  readonly limits: Limits
  readonly written: Map<string, Cell>
  readonly listeners: Map<string, Set<() => void>>
  bytes: number
  version: number
  /** The version of every cell that is not there. */
  absent: number
}

export type Swap =
  | { readonly _tag: "Swapped"; readonly version: number }
  /** Somebody was faster. */
  | { readonly _tag: "Lost"; readonly present: Present }
  /** It would take so many bytes, and the others take `taken`. */
  | { readonly _tag: "NoBytes"; readonly bytes: number; readonly taken: number }
  | { readonly _tag: "NoCells" }

/** The most a memory may be given, so that any cell fits into one frame to a worker. */
export const mostBytes = 32 * 1024 * 1024

const utf8 = new TextEncoder()

/** What a cell takes: the name counts, so that a thousand empty ones are not free. */
export const bytesOf = (name: string, text: string): number => utf8.encode(name).length + utf8.encode(text).length

export const make = (limits: Limits): Cells => ({
  limits,
  written: new Map(),
  listeners: new Map(),
  bytes: 0,
  version: 0,
  absent: 0
})

export const read = (self: Cells, name: string): Present =>
  self.written.get(name) ?? { version: self.absent, text: undefined }

/** Writes the cell, or takes it away, if it still has this version. */
export const swap = (self: Cells, name: string, version: number, text: string | undefined): Swap => {
  const before = self.written.get(name)
  const present = before?.version ?? self.absent
  if (version !== present) return { _tag: "Lost", present: read(self, name) }
  const taken = self.bytes - (before?.bytes ?? 0)
  if (text === undefined) {
    if (before === undefined) return { _tag: "Swapped", version }
    self.written.delete(name)
    self.bytes = taken
    self.absent = ++self.version
  } else {
    const { maxBytes, maxCells } = self.limits
    if (before === undefined && self.written.size >= maxCells) return { _tag: "NoCells" }
    const bytes = bytesOf(name, text)
    if (taken + bytes > maxBytes) return { _tag: "NoBytes", bytes, taken }
    self.written.set(name, { version: ++self.version, text, bytes })
    self.bytes = taken + bytes
  }
  tell(self, name)
  return { _tag: "Swapped", version: self.version }
}

/** Makes the memory anew. */
export const clear = (self: Cells): void => {
  self.written.clear()
  self.bytes = 0
  self.absent = ++self.version
  tellAll(self)
}

/** Tells `listener` of the next change; what is returned takes it back. */
export const listen = (self: Cells, name: string, listener: () => void): () => void => {
  const present = self.listeners.get(name)
  const those = present ?? new Set()
  if (present === undefined) self.listeners.set(name, those)
  those.add(listener)
  return () => {
    // By then the name may have listeners of a later time.
    if (those.delete(listener) && those.size === 0) self.listeners.delete(name)
  }
}

/** Ends every wait. */
export const tellAll = (self: Cells): void => {
  for (const name of [...self.listeners.keys()]) tell(self, name)
}

const tell = (self: Cells, name: string): void => {
  const listeners = self.listeners.get(name)
  if (listeners === undefined) return
  self.listeners.delete(name)
  const due = [...listeners]
  listeners.clear()
  for (const listener of due) listener()
}
