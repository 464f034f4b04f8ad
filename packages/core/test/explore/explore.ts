/**
 * Walks every reachable state of the machine in a small world, breadth first,
 * so that the road to a broken law is the shortest there is.
 */
import * as Laws from "./laws.ts"
import * as World from "./world.ts"

export interface Result {
  readonly states: number
  readonly turns: number
  readonly seconds: number
  /** All roads were walked to their ends. */
  readonly exhausted: boolean
  readonly violation: { readonly law: string; readonly road: ReadonlyArray<string> } | undefined
}

interface Road {
  readonly fact: World.Fact
  readonly from: Road | undefined
}

const facts = (end: Road | undefined): ReadonlyArray<string> => {
  const roads: Array<string> = []
  for (let at = end; at !== undefined; at = at.from) roads.unshift(World.describe(at.fact))
  return roads
}

/** Stops at the first broken law, or when it has found more than `maxStates` states. */
export const explore = (bounds: World.Bounds, maxStates = Number.POSITIVE_INFINITY): Result => {
  // Refusals are errors, and nobody reads where these come from.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return walk(bounds, maxStates)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const walk = (bounds: World.Bounds, maxStates: number): Result => {
  const started = performance.now()
  const start = World.initial(bounds)
  const seen = new Set([World.key(start, bounds)])
  let frontier: Array<{ readonly world: World.World; readonly road: Road | undefined }> = [
    { world: start, road: undefined }
  ]
  let turns = 0
  const result = (exhausted: boolean, law?: string, end?: Road): Result => ({
    states: seen.size,
    turns,
    seconds: (performance.now() - started) / 1000,
    exhausted,
    violation: law === undefined ? undefined : { law, road: facts(end) }
  })
  while (frontier.length > 0) {
    const next: typeof frontier = []
    for (const { road: from, world: before } of frontier) {
      for (const fact of World.facts(before, bounds)) {
        const { actions, world: after } = World.apply(before, fact.input, fact.at)
        turns++
        const turn = Laws.turn(before, fact, actions, after)
        const broken = Laws.broken(Laws.laws, turn)
        if (broken !== undefined) return result(false, broken, { fact, from })
        const key = World.key(after, bounds)
        if (seen.has(key)) continue
        seen.add(key)
        const prospect = Laws.broken(Laws.prospects, turn)
        if (prospect !== undefined) return result(false, prospect, { fact, from })
        if (seen.size >= maxStates) return result(false)
        next.push({ world: after, road: { fact, from } })
      }
    }
    frontier = next
  }
  return result(true)
}
