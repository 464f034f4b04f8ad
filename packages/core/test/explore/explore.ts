/**
 * Walks every reachable state of the machine in a small world, breadth first,
 * so that the road to a broken law is the shortest there is.
 */
import * as Laws from "./laws.ts"
import * as World from "./world.ts"

export interface Result {
  readonly states: number
  readonly turns: number
  /** All roads were walked to their ends. */
  readonly exhausted: boolean
  readonly violation: { readonly law: string; readonly road: ReadonlyArray<string> } | undefined
}

interface Step {
  readonly world: World.World
  readonly from: Step | undefined
  readonly fact: string
}

const road = (step: Step): ReadonlyArray<string> => {
  const facts: Array<string> = []
  for (let at: Step | undefined = step; at?.from !== undefined; at = at.from) facts.unshift(at.fact)
  return facts
}

export const explore = (bounds: World.Bounds, maxStates = Number.POSITIVE_INFINITY): Result => {
  const start = World.initial(bounds)
  const seen = new Set([World.key(start)])
  let frontier: Array<Step> = [{ world: start, from: undefined, fact: "" }]
  let turns = 0
  while (frontier.length > 0) {
    const next: Array<Step> = []
    for (const step of frontier) {
      for (const { at, input } of World.facts(step.world, bounds)) {
        const { actions, world } = World.apply(step.world, input, at)
        turns++
        const reached: Step = { world, from: step, fact: World.describe(input, at) }
        const law = Laws.broken({ before: step.world, input, actions, after: world })
        if (law !== undefined) {
          return { states: seen.size, turns, exhausted: false, violation: { law, road: road(reached) } }
        }
        const key = World.key(world)
        if (seen.has(key)) continue
        seen.add(key)
        if (seen.size >= maxStates) return { states: seen.size, turns, exhausted: false, violation: undefined }
        next.push(reached)
      }
    }
    frontier = next
  }
  return { states: seen.size, turns, exhausted: true, violation: undefined }
}
