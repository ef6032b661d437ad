import { EarshotError, MediaHash, type MediaView } from '@earshot/contract'
import { hashHandle } from '@earshot/shared/media/hash'
import { verifyMedia } from '@earshot/shared/media/sign'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { FILE_TIMES } from './body-times.ts'
import type { Context } from './context.ts'
import { hasSignature } from './guard.ts'
import { missing, openMedia, openProven } from './open-media.ts'
import { parse } from './input.ts'
import { type HeldMedia, readHeld, readInboxMtime, writeHeld } from '../queries/media.ts'
import { answerSlowly } from './slow-answer.ts'

export const UploadQuery = z
  .object({
    size: z
      .string()
      .regex(/^\d{1,15}$/, 'expected a number of bytes')
      .transform(Number)
      .optional(),
  })
  .strict()
const Params = z.object({ hash: MediaHash })
const Signature = z.object({ expires: z.string(), signature: z.string() }).strict()

/** Takes in and hands out files, named by the SHA-256 of their content. */
export function mediaRoutes(app: FastifyInstance, context: Context): void {
  const { db, media, coordinatorId, limits } = context

  // A scope of its own: here, and only here, a body of any type is a stream that no one reads
  // beforehand.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
    scope.post(
      '/v1/media',
      { config: { bodyTimes: FILE_TIMES } },
      async (request, reply): Promise<MediaView> => {
        const { size } = parse(UploadQuery, request.query)
        const declared = size ?? Number(request.headers['content-length'] ?? 0)
        if (declared > limits.mediaBytes)
          throw new EarshotError(
            'EARSHOT_TOO_LARGE',
            `The file is larger than the limit of ${limits.mediaBytes} bytes.`,
          )
        const kept = await media.put(bodyOf(request.raw, size), {
          maxBytes: limits.mediaBytes,
          record: (file) => writeHeld(db.pool, coordinatorId, file),
        })
        reply.code(201)
        return { hash: kept.hash, size: kept.size, duplicate: kept.duplicate }
      },
    )
  })

  app.get('/v1/media/:hash', { config: { access: 'signed' } }, async (request, reply) => {
    const { hash, held } = await find(request, context)
    const file = await openProven({ ...held, hash }, context.inbox)
    return reply
      .type('application/octet-stream')
      .header('content-length', held.size)
      .header('cache-control', 'private, immutable')
      .send(file.createReadStream({ start: 0 }))
  })

  app.post('/v1/media/:hash/verify', { config: { access: 'signed' } }, async (request, reply) => {
    const { hash, held } = await find(request, context)
    // All of it is hashed again: of a file of many gigabytes that takes longer than clients wait in
    // silence.
    return answerSlowly(reply, async (signal) => ({
      unchanged: held.path === media.path(hash) || (await isUnchanged(hash, held, context, signal)),
    }))
  })
}

/**
 * The body, piece by piece. Not destroyed when taking it in fails: the answer goes over the same
 * connection.
 *
 * @throws EarshotError EARSHOT_MEDIA_EMPTY; EARSHOT_BAD_REQUEST when it is not as long as was said
 */
async function* bodyOf(
  request: IncomingMessage,
  size: number | undefined,
): AsyncGenerator<Uint8Array> {
  let got = 0
  try {
    for await (const piece of request.iterator({
      destroyOnReturn: false,
    }) as AsyncIterable<Uint8Array>) {
      got += piece.length
      yield piece
    }
  } finally {
    // What is left of a refused upload is read and dropped, so that the refusal can be heard.
    request.resume()
  }
  if (size !== undefined && got !== size) {
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `The upload has ${got} bytes, but ${size} were announced.`,
      { field: 'size' },
    )
  }
  if (got === 0) throw new EarshotError('EARSHOT_MEDIA_EMPTY', 'The upload is empty.')
}

/** The file that is asked for, once it is clear that it may be. */
async function find(
  request: FastifyRequest,
  { db, coordinatorId }: Context,
): Promise<{ hash: string; held: HeldMedia }> {
  const { hash } = parse(Params, request.params)
  const { held, secret } = await readHeld(db.pool, hash, coordinatorId)
  // The guard has let in who showed any signature; one that is shown must be right.
  if (hasSignature(request)) verifyMedia(secret, { hash, ...parse(Signature, request.query) })
  if (held === undefined)
    throw new EarshotError(
      'EARSHOT_NOT_FOUND',
      `This coordinator does not hold media ${hash.slice(0, 12)}….`,
      { field: 'hash' },
    )
  return { hash, held }
}

/**
 * @throws EarshotError EARSHOT_MEDIA_GONE when it is not there at all; EARSHOT_UNREACHABLE while
 *   its disk may come back
 */
async function isUnchanged(
  hash: string,
  held: HeldMedia,
  context: Context,
  signal: AbortSignal,
): Promise<boolean> {
  const { db, coordinatorId, inbox } = context
  // What was taken in from another folder, before the inbox was moved, is no longer the inbox's.
  const mtimeNs = inbox?.holds(held.path)
    ? await readInboxMtime(db.pool, coordinatorId, hash, held.path)
    : undefined
  if (inbox === undefined || mtimeNs === undefined) return hasContent(hash, held, context, signal)
  const verdict = await inbox.verify(held.path, { hash, size: held.size, mtimeNs }, signal)
  if (verdict === 'gone') throw missing(held.path, inbox)
  return verdict === 'unchanged'
}

async function hasContent(
  hash: string,
  held: HeldMedia,
  { inbox }: Context,
  signal: AbortSignal,
): Promise<boolean> {
  const file = await openMedia(held, inbox).catch((error: unknown) => {
    if (error instanceof EarshotError && error.code === 'EARSHOT_MEDIA_CHANGED') return undefined
    throw error
  })
  if (file === undefined) return false
  try {
    return (await hashHandle(file, signal)).hash === hash
  } finally {
    await file.close()
  }
}
