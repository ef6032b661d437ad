import { EarshotError } from '@earshot/contract'
import { listMediaHolders } from '@earshot/db/functions/documents'
import { mediaPath } from '@earshot/shared/media/sign'
import type { FastifyInstance } from 'fastify'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { Context } from './context.ts'
import { openProven } from './open-media.ts'
import { idOf } from './input.ts'
import { type ArtifactRow, readArtifact, readHeld } from '../queries/media.ts'

/** How long the address that one coordinator shows another is good for, in seconds. */
const FETCH_TTL_S = 300

/** GET /v1/artifacts/:id: a file that a job made, such as the WAV of a `speak` job. */
export function artifactRoutes(app: FastifyInstance, context: Context): void {
  app.get('/v1/artifacts/:id', async (request, reply) => {
    const id = idOf(request.params)
    const artifact = await readArtifact(context.db.pool, id)
    if (artifact === undefined)
      throw new EarshotError('EARSHOT_NOT_FOUND', `There is no artifact ${id}.`, { field: 'id' })
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    const { body, size } = await openBytes(artifact, context, gone.signal)
    return reply
      .type(artifact.type)
      .header('content-length', size)
      .header('etag', `"${artifact.hash}"`)
      .header('content-disposition', `attachment; filename*=UTF-8''${fileName(artifact)}`)
      .send(body)
  })
}

function fileName({ id, kind, type }: ArtifactRow): string {
  return encodeURIComponent(`${kind}-${id}${type === 'audio/wav' ? '.wav' : ''}`)
}

/**
 * From this coordinator's disk, or through this one from the coordinator that holds it: clients
 * know one address only.
 */
export async function openBytes(
  artifact: ArtifactRow,
  context: Context,
  signal: AbortSignal,
): Promise<{ body: Readable; size: number }> {
  const { held, secret } = await readHeld(context.db.pool, artifact.hash, context.coordinatorId)
  if (held !== undefined)
    return {
      body: (await openProven({ ...held, hash: artifact.hash }, context.inbox)).createReadStream({
        start: 0,
      }),
      size: held.size,
    }
  for (const { url, size } of await listMediaHolders(context.db.pool, artifact.hash)) {
    if (url === null) continue
    const response = await fetch(url + mediaPath(secret, artifact.hash, FETCH_TTL_S), {
      signal,
      redirect: 'error',
    }).catch((error: unknown) => {
      context.log.debug({ err: error, url }, 'a holder of an artifact does not answer')
      return undefined
    })
    if (response?.ok && response.body !== null)
      return { body: Readable.fromWeb(response.body as NodeReadableStream), size }
    await response?.body?.cancel()
  }
  throw new EarshotError(
    'EARSHOT_MEDIA_GONE',
    `The file of artifact ${artifact.id} cannot be reached now.`,
    { hint: 'The coordinator that holds it may be away.' },
  )
}
