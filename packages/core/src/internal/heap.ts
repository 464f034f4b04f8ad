/**
 * A binary heap whose entries may silently become void: the owner says which
 * are, and they are dropped when met or when they outnumber the valid ones.
 */

export interface Heap<A> {
  items: Array<A>
  readonly before: (self: A, that: A) => boolean
  readonly isValid: (entry: A) => boolean
  /** Size at which void entries are swept out. */
  sweepAt: number
}

const minSweep = 64

export const make = <A>(
  before: (self: A, that: A) => boolean,
  isValid: (entry: A) => boolean
): Heap<A> => ({ items: [], before, isValid, sweepAt: minSweep })

/** The first valid entry, left in its place. */
export const peek = <A>(self: Heap<A>): A | undefined => {
  while (true) {
    const first = self.items[0]
    if (first === undefined || self.isValid(first)) return first
    removeFirst(self)
  }
}

/** The first valid entry, taken out. */
export const pop = <A>(self: Heap<A>): A | undefined => {
  const first = peek(self)
  if (first !== undefined) removeFirst(self)
  return first
}

export const push = <A>(self: Heap<A>, entry: A): void => {
  if (self.items.length >= self.sweepAt) sweep(self)
  self.items.push(entry)
  siftUp(self, self.items.length - 1)
}

// Sweeping doubles the bound, so its cost is spread over as many pushes.
const sweep = <A>(self: Heap<A>): void => {
  const items = self.items.filter(self.isValid)
  self.items = items
  for (let index = (items.length >> 1) - 1; index >= 0; index--) siftDown(self, index)
  self.sweepAt = Math.max(minSweep, items.length * 2)
}

const removeFirst = <A>(self: Heap<A>): void => {
  const last = self.items.pop()!
  if (self.items.length === 0) return
  self.items[0] = last
  siftDown(self, 0)
}

const siftUp = <A>({ items, before }: Heap<A>, start: number): void => {
  const entry = items[start]!
  let index = start
  while (index > 0) {
    const parent = (index - 1) >> 1
    if (!before(entry, items[parent]!)) break
    items[index] = items[parent]!
    index = parent
  }
  items[index] = entry
}

const siftDown = <A>({ items, before }: Heap<A>, start: number): void => {
  const entry = items[start]!
  const size = items.length
  let index = start
  while (true) {
    let child = 2 * index + 1
    if (child >= size) break
    if (child + 1 < size && before(items[child + 1]!, items[child]!)) child++
    if (!before(items[child]!, entry)) break
    items[index] = items[child]!
    index = child
  }
  items[index] = entry
}
