/** Decides how numbers are written for people. */
import * as ByteSize from "effect/ByteSize"

const number = new Intl.NumberFormat("en-US")

/** `1,234 files`, `1 file` */
export const count = (value: number, noun: string): string => `${number.format(value)} ${noun}${value === 1 ? "" : "s"}`

/** `12.3 MB` */
export const size = (bytes: number): string => ByteSize.format(ByteSize.bytes(bytes), { precision: 1 })

/** The first few, indented, and how many there are besides. */
export const few = <A>(items: ReadonlyArray<A>, most: number, show: (item: A) => string): ReadonlyArray<string> => [
  ...items.slice(0, most).map((item) => `  ${show(item)}`),
  ...(items.length > most ? [`  and ${number.format(items.length - most)} more`] : [])
]
