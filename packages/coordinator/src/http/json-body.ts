import { EarshotError } from '@earshot/contract'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * How many bytes one object or text inside a JSON body may have; as many as the whole body
     * unless given.
     */
    partBytes?: number
  }
}

/** Levels of arrays and objects. */
const MOST_LEVELS = 100
/** Entries of arrays and objects in all: each costs far more time than its bytes. */
const MOST_ENTRIES = 100_000

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c]
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d]

/** Reads the JSON of all routes, whose limits hold before anything is parsed. */
export function readJsonBodies(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request: FastifyRequest, body, done) => {
      try {
        checkJson(body, request.routeOptions.config.partBytes)
      } catch (error) {
        return done(error as Error)
      }
      return parseJson(request, body.toString(), done)
    },
  )
}

/**
 * Looks over JSON without reading it, in time that grows with its bytes alone. What is no JSON may
 * pass.
 *
 * @param partBytes the most bytes of one object or text below the outermost
 * @throws EarshotError EARSHOT_TOO_LARGE with too many entries or too large a part;
 *   EARSHOT_BAD_REQUEST when nested too deep
 * @example
 * checkJson(Buffer.from('[[1, 2], 3]')) // nothing to say
 */
export function checkJson(body: Buffer, partBytes = Infinity): void {
  const starts: number[] = []
  let entries = 0
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (byte === QUOTE) {
      const start = at
      at = endOfText(body, at)
      if (at - start > partBytes) throw tooLargePart(partBytes)
    } else if (byte === COMMA) entries++
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      entries++
      starts.push(at)
      if (starts.length > MOST_LEVELS)
        throw new EarshotError(
          'EARSHOT_BAD_REQUEST',
          `The body is nested deeper than ${MOST_LEVELS} levels.`,
        )
    } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
      const size = at - (starts.pop() ?? at)
      if (byte === CLOSE_OBJECT && starts.length > 0 && size > partBytes)
        throw tooLargePart(partBytes)
    }
    if (entries > MOST_ENTRIES)
      throw new EarshotError(
        'EARSHOT_TOO_LARGE',
        `The body has more than ${MOST_ENTRIES} entries in its lists and objects.`,
      )
  }
}

/** Where the text that begins at `start` ends. */
function endOfText(body: Buffer, start: number): number {
  for (let at = start + 1; at < body.length; at++) {
    if (body[at] === BACKSLASH) at++
    else if (body[at] === QUOTE) return at
  }
  return body.length
}

const tooLargePart = (bytes: number): EarshotError =>
  new EarshotError('EARSHOT_TOO_LARGE', `One object or text of the body is over ${bytes} bytes.`, {
    hint: 'Send large content as a file: POST /v1/media',
  })
