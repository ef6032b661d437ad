import { EarshotError } from '@earshot/contract'
import type { Log } from '@earshot/shared/log'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Socket } from 'node:net'

type Coded = Error & { code?: unknown; statusCode?: unknown }

/**
 * Makes every failure of the service answer in the catalogue's shape, and none show what is inside.
 */
export function answerErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error, request, reply) =>
    sendError(toEarshotError(error), error, request, reply, log),
  )
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]
    const error = new EarshotError('EARSHOT_NOT_FOUND', `There is no ${request.method} ${path}.`, {
      hint: 'The routes are listed in docs/http.md.',
    })
    const { error: about } = error.toJSON()
    // Clients of OpenAI look for `type` in what they do not know.
    const type = 'invalid_request_error'
    return reply.code(error.status).send({ error: { ...about, type, param: null } })
  })
}

function sendError(
  error: EarshotError,
  cause: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Log,
): FastifyReply | void {
  const about = { err: cause, method: request.method, url: request.url, request: request.id }
  if (isCutOff(request)) return void log.debug(about, 'a client broke off its request')
  if (error.status >= 500) log.error(about, 'a request failed')
  else log.debug(about, 'a request was refused')
  // The rest of an answer that has begun cannot be taken back: cutting it is the only way to say
  // that it is not whole.
  if (reply.raw.headersSent) return void reply.raw.destroy()
  if (error.code === 'EARSHOT_BUSY') reply.header('retry-after', RETRY_S)
  return reply.code(error.status).send(error.toJSON())
}

/** Seconds: what a busy coordinator says in Retry-After. */
export const RETRY_S = 1

/**
 * Whether the client went away before all of its request was here: what failed then is no fault of
 * ours.
 */
export const isCutOff = ({ raw }: FastifyRequest): boolean => raw.destroyed && !raw.complete

/** What any thrown thing means to the one who asked. */
export function toEarshotError(error: unknown): EarshotError {
  if (error instanceof EarshotError) {
    if (!isBadValue(error)) return error
    return new EarshotError(
      'EARSHOT_BAD_REQUEST',
      'The request holds a character or a number that cannot be stored.',
      { cause: error },
    )
  }
  // JSON is read at any depth, and checked and written by recursion.
  if (error instanceof RangeError && error.message.includes('call stack'))
    return new EarshotError('EARSHOT_BAD_REQUEST', 'The request is nested too deep.', {
      cause: error,
    })
  const { code, statusCode, message } = error as Coded
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new EarshotError('EARSHOT_TOO_LARGE', 'The body is larger than this route takes.')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new EarshotError('EARSHOT_BAD_REQUEST', 'This route takes JSON only.', {
      field: 'content-type',
      hint: 'Send the header: content-type: application/json',
    })
  }
  if (typeof code === 'string' && code.startsWith('FST_') && isClientFault(statusCode)) {
    return new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `The request cannot be read: ${message}.`.replace('..', '.'),
    )
  }
  if (isClientFault(statusCode))
    return new EarshotError('EARSHOT_BAD_REQUEST', `The body cannot be read: ${message}.`)
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new EarshotError('EARSHOT_DISK_FULL', 'The disk of the coordinator is full.', {
      cause: error,
    })
  return new EarshotError(
    'EARSHOT_INTERNAL',
    "A fault in Earshot itself; the coordinator's log has the details.",
    { cause: error },
  )
}

/**
 * Text that PostgreSQL cannot hold (a NUL), or a number that no column takes: the request's fault,
 * not the mesh's.
 */
const BAD_VALUES = new Set(['22003', '22007', '22008', '22021', '22P02', '22P05'])

function isBadValue(error: EarshotError): boolean {
  const { cause } = error
  return (
    error.code === 'EARSHOT_DATABASE' &&
    cause instanceof Error &&
    'code' in cause &&
    BAD_VALUES.has(String(cause.code))
  )
}

const isClientFault = (status: unknown): boolean =>
  typeof status === 'number' && status >= 400 && status < 500

/** Answers what is not even HTTP, such as a request line or headers over the limit. */
export function answerBroken(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const answer =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? new EarshotError(
          'EARSHOT_TOO_LARGE',
          'The address and headers of the request are larger than 16 KB.',
        )
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new EarshotError('EARSHOT_BODY_LATE', 'The request did not arrive in time.')
        : new EarshotError('EARSHOT_BAD_REQUEST', 'The request is not HTTP.')
  socket.end(rawAnswer(answer))
}

/** A refusal as it goes over the connection, where there is no reply to send it with. */
export function rawAnswer(error: EarshotError): string {
  const body = JSON.stringify(error.toJSON())
  return `HTTP/1.1 ${error.status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`
}
