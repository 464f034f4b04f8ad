/**
 * What does not fit a schema, in the one line that a message has.
 */
import type * as Schema from "effect/Schema"

export const oneLine = (error: Schema.SchemaError): string => error.message.replaceAll(/\s*\n\s*/g, " ")
