/**
 * Decides which bytes of a value are large enough to travel beside the rest of
 * it, takes them out and puts them in again.
 *
 * Places for bytes are found in the schema, not in the value: where a
 * `Schema.Uint8Array` without checks is a field of a struct, an element of an
 * array, the success of an exit, or any of these itself. Elsewhere bytes stay
 * where they are.
 */
import * as Exit from "effect/Exit"
import type * as SchemaAST from "effect/SchemaAST"

/** Smaller ones are sooner copied than sent by themselves. */
const largeBytes = 32 * 1024

/** What fits the byte that counts them; of more, the others stay where they are. */
const maxTaken = 255

/** Calls `exchange` for all bytes in a value, in order, and returns the value with what it gives in their places. */
export type Places = (value: unknown, exchange: (bytes: Uint8Array) => Uint8Array) => unknown

export interface Taken {
  readonly bytes: ReadonlyArray<Uint8Array>
  /** Which of all the bytes in the value they are, ascending. */
  readonly places: ReadonlyArray<number>
}

const here: Places = (value, exchange) => value instanceof Uint8Array ? exchange(value) : value

const nativeId = (ast: SchemaAST.AST): unknown =>
  (ast.annotations?.["representation"] as { readonly id?: unknown } | undefined)?.id

export const placesIn = (ast: SchemaAST.AST): Places | undefined => {
  // What is transformed or looked into would be another value without its bytes.
  if (ast.encoding !== undefined || ast.checks !== undefined) return undefined
  switch (ast._tag) {
    case "Declaration": {
      if (ast.encodingChecks !== undefined) return undefined
      const id = nativeId(ast)
      if (id === "effect/schema/Uint8Array") return here
      return id === "effect/schema/Exit" ? inSuccess(placesIn(ast.typeParameters[0]!)) : undefined
    }
    case "Arrays": {
      // All elements are alike.
      const like = ast.rest[0]
      if (ast.encodingChecks !== undefined || ast.rest.length !== 1) return undefined
      return ast.elements.every((element) => element === like) ? inElements(placesIn(like!)) : undefined
    }
    case "Objects":
      if (ast.encodingChecks !== undefined || ast.indexSignatures.length > 0) return undefined
      return inFields(ast.propertySignatures.map(({ name, type }) => [name, placesIn(type)]))
    default:
      return undefined
  }
}

const inSuccess = (places: Places | undefined): Places | undefined =>
  places &&
  ((value, exchange) =>
    Exit.isExit(value) && Exit.isSuccess(value) ? Exit.succeed(places(value.value, exchange)) : value)

const inElements = (places: Places | undefined): Places | undefined =>
  places &&
  ((value, exchange) => Array.isArray(value) ? value.map((element) => places(element, exchange)) : value)

const inFields = (fields: ReadonlyArray<readonly [PropertyKey, Places | undefined]>): Places | undefined => {
  if (fields.every(([, places]) => places === undefined)) return undefined
  return (value, exchange) => {
    if (typeof value !== "object" || value === null) return value
    // What is no field goes along: it is another's to refuse it.
    const whole: Record<PropertyKey, unknown> = { ...value }
    for (const [name, places] of fields) {
      if (!(name in value)) continue
      const field = (value as typeof whole)[name]
      whole[name] = places === undefined ? field : places(field, exchange)
    }
    return whole
  }
}

const nothing = new Uint8Array(0)

/** The value without its large bytes, and these. */
export const take = (places: Places, value: unknown): Taken & { readonly value: unknown } => {
  const bytes: Array<Uint8Array> = []
  const from: Array<number> = []
  let place = 0
  const small = places(value, (found) => {
    const here = place++
    if (found.length < largeBytes || bytes.length === maxTaken) return found
    bytes.push(found)
    from.push(here)
    return nothing
  })
  return { bytes, places: from, value: small }
}

/** The value with all these bytes in it, or nothing if they do not belong there. */
export const put = (
  places: Places,
  value: unknown,
  { bytes, places: to }: Taken
): { readonly value: unknown } | undefined => {
  let place = 0
  let given = 0
  let misplaced = false
  const whole = places(value, (found) => {
    if (place++ !== to[given]) return found
    misplaced ||= found.length > 0
    return bytes[given++]!
  })
  return misplaced || given < bytes.length ? undefined : { value: whole }
}
