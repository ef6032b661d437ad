import { isDeepStrictEqual } from 'node:util'
import { ErrorAnswer } from '@earshot/contract'
import { OPERATIONS } from '../src/http/openapi/operations.ts'

/**
 * Holds an answer of the service against the schema that /openapi.json publishes for its route.
 *
 * @throws Error when a field is missing, wrong, or not in the schema
 */
export function checkAnswer(route: string, status: number, answer: unknown): void {
  const operation = OPERATIONS[route]
  if (operation === undefined || (status >= 400 && operation.openai)) return
  const schema = status >= 400 ? ErrorAnswer : operation.answer.schema
  if (schema === undefined) throw new Error(`${route} answers with JSON and publishes no schema`)
  const sent: unknown = JSON.parse(JSON.stringify(answer))
  const parsed = schema.safeParse(sent)
  if (!parsed.success)
    throw new Error(`${route} answers otherwise than it publishes: ${parsed.error.message}`)
  // Reading drops fields that the schema lacks.
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(parsed.data)), sent))
    throw new Error(`${route} answers with more than it publishes: ${JSON.stringify(sent)}`)
}
