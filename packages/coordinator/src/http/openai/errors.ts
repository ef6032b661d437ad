import { EarshotError, type ErrorCode } from '@earshot/contract'
import type { Log } from '@earshot/shared/log'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { isCutOff, RETRY_S, toEarshotError } from '../errors.ts'

/** https://platform.openai.com/docs/guides/error-codes: what clients of OpenAI's protocol read. */
export type OpenAiError = {
  error: { message: string; type: string; param: string | null; code: string }
}

/** How long a body that is refused may take to arrive. */
const DRAIN_MS = 30_000

/** Codes that clients know by OpenAI's name; all others are of docs/errors.md. */
const NAMES: Partial<Record<ErrorCode, string>> = {
  EARSHOT_UNKNOWN_MODEL: 'model_not_found',
  EARSHOT_UNAUTHORIZED: 'invalid_api_key',
  EARSHOT_CONTEXT_TOO_LONG: 'context_length_exceeded',
}
/**
 * What may be over when the same is asked again. Everything else the mesh has already tried
 * elsewhere where that made sense.
 */
const WORTH_ANOTHER_TRY = new Set<ErrorCode>([
  'EARSHOT_BUSY',
  'EARSHOT_NO_NODE',
  'EARSHOT_DATABASE',
  'EARSHOT_UNREACHABLE',
])

export function toOpenAiError(error: EarshotError): OpenAiError {
  const message = error.hint === undefined ? error.message : `${error.message} ${error.hint}`
  const type = error.status >= 500 ? 'server_error' : 'invalid_request_error'
  return {
    error: { message, type, param: error.field ?? null, code: NAMES[error.code] ?? error.code },
  }
}

/** Makes every failure of these routes answer as OpenAI's would. */
export function answerOpenAiErrors(scope: FastifyInstance, log: Log): void {
  scope.setErrorHandler(async (thrown, request, reply) => {
    const error = toEarshotError(thrown)
    if (error.status === 413) await drained(request.raw)
    const about = { err: thrown, method: request.method, url: request.url, request: request.id }
    // The client is gone: no one reads an answer.
    if (reply.raw.destroyed || isCutOff(request)) {
      log.debug(about, 'a client broke off its request')
      return reply
    }
    if (error.status >= 500) log.warn(about, 'a request failed')
    else log.debug(about, 'a request was refused')
    if (reply.raw.headersSent) {
      reply.raw.destroy()
      return reply
    }
    if (error.code === 'EARSHOT_BUSY') reply.header('retry-after', RETRY_S)
    if (!WORTH_ANOTHER_TRY.has(error.code)) reply.header('x-should-retry', 'false')
    return reply
      .code(error.status)
      .type('application/json; charset=utf-8')
      .send(toOpenAiError(error))
  })
}

/** A client that is still sending hears no answer: the rest is read and dropped. */
async function drained(request: IncomingMessage): Promise<void> {
  if (request.complete) return
  request.resume()
  await once(request, 'end', { signal: AbortSignal.timeout(DRAIN_MS) }).catch(() => {})
}
