import { z } from 'zod'
import type { JobClass } from './classes.ts'
import { EarshotError } from './errors.ts'
import {
  isKind,
  type KindDefinition,
  KindRegistration,
  KINDS,
  type PayloadSchema,
} from './kinds.ts'
import { parse } from './parse.ts'

/**
 * Defines a kind of job of your own. Put it into a file that both the program that enqueues and the
 * worker import.
 *
 * What travels is JSON: payloads as they are enqueued and results as handlers give them back. Each
 * side reads what it gets by the schema, so that defaults and transformations happen there. A field
 * that the payload does not name is refused when it is enqueued.
 *
 * @param definition.role what a node must offer to run it. Each worker that offers a role is given
 *   jobs of all its kinds: kinds that are run by different workers need different roles
 * @param definition.class interactive: someone waits for it; batch unless told otherwise
 * @param definition.silence seconds that a handler may work without calling `progress`; then its
 *   job fails with EARSHOT_SILENT. 600 unless told otherwise
 * @throws EarshotError EARSHOT_BAD_CONFIG for a name or role of Earshot's own, and for schemas of
 *   what JSON cannot carry
 * @example
 * export const thumbnail = defineKind({
 *   kind: 'thumbnail', role: 'images',
 *   payload: z.object({ image: z.url(), width: z.number().int().positive().default(200) }),
 *   result: z.object({ bytes: z.number().int() }),
 * })
 */
export function defineKind<
  const Name extends string,
  P extends PayloadSchema,
  R extends z.ZodType,
>(definition: {
  kind: Name
  role: string
  payload: P
  result: R
  priority?: number
  maxTries?: number
  class?: JobClass
  silence?: number
}): KindDefinition<Name, P, R> {
  const { kind, role, payload, result, priority, maxTries, class: jobClass, silence } = definition
  if (isKind(kind))
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `"${kind}" is a kind of Earshot's own; give yours another name.`,
      { field: 'kind' },
    )
  if (Object.values(KINDS).some((own) => own.role === role)) {
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `Role "${role}" belongs to Earshot's own kinds; give kind "${kind}" another one.`,
      { field: 'role' },
    )
  }
  const registration = parse(
    KindRegistration,
    {
      kind,
      role,
      priority,
      max_tries: maxTries,
      class: jobClass,
      silence_s: silence,
      payload_schema: jsonSchemaOf(strict(payload), kind, 'payload'),
      result_schema: jsonSchemaOf(result, kind, 'result'),
    },
    '',
    'EARSHOT_BAD_CONFIG',
  )
  return { kind, role, payload, result, registration }
}

/**
 * The schema that senders check by: a slip in the name of an optional field would otherwise be
 * dropped in silence.
 */
export function strict(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodObject && schema.def.catchall === undefined
    ? schema.strict()
    : schema
}

/**
 * What may be sent for a schema, as JSON Schema of draft 7 (https://json-schema.org/draft-07).
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG when it asks for what JSON has not: dates, maps,
 *   undefined
 */
export function jsonSchemaOf(
  schema: z.ZodType,
  kind: string,
  field: string,
): Record<string, unknown> {
  try {
    return { ...z.toJSONSchema(schema, { target: 'draft-7', io: 'input' }) }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `The ${field} of kind "${kind}" cannot travel as JSON: ${reason}.`,
      {
        field,
        hint: 'Send dates as z.iso.datetime(), maps and sets as objects and arrays.',
        cause,
      },
    )
  }
}
