import {
  type AddedDocument,
  type DocumentView,
  EarshotError,
  JOB_CLASSES,
  Language,
  MediaHash,
  TRANSCRIPT_FORMATS,
} from '@earshot/contract'
import { readSegments, submitDocument } from '@earshot/db/functions/documents'
import { formatTranscript } from './transcript.ts'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Context } from './context.ts'
import { idOf, IdText, limitOf, listOf, parse } from './input.ts'
import { readDocuments } from '../queries/documents.ts'
import { readHeld } from '../queries/media.ts'

export const DocumentBody = z
  .object({
    media: MediaHash,
    title: z.string().trim().min(1).max(1_000),
    kind: z.enum(['audio', 'text']),
    class: z.enum(JOB_CLASSES).optional(),
    language: Language.optional(),
  })
  .strict()
export const DocumentListQuery = z
  .object({
    status: listOf(z.enum(['queued', 'processing', 'ready', 'failed']), 4).optional(),
    before: IdText.optional(),
    limit: limitOf(1_000, 50),
  })
  .strict()
export const TranscriptQuery = z
  .object({ format: z.enum(TRANSCRIPT_FORMATS).default('txt') })
  .strict()

const TYPES = {
  txt: 'text/plain; charset=utf-8',
  srt: 'application/x-subrip; charset=utf-8',
  vtt: 'text/vtt; charset=utf-8',
  json: 'application/json; charset=utf-8',
}

/** What was heard and read. */
export function documentRoutes(app: FastifyInstance, { db, coordinatorId }: Context): void {
  const view = async (id: number): Promise<DocumentView> => {
    const [document] = await readDocuments(db.pool, { id, limit: 1 })
    if (document === undefined)
      throw new EarshotError('EARSHOT_NOT_FOUND', `There is no document ${id}.`, { field: 'id' })
    return document
  }

  app.post('/v1/documents', async (request, reply): Promise<AddedDocument> => {
    const {
      media: hash,
      title,
      kind,
      class: jobClass,
      language,
    } = parse(DocumentBody, request.body)
    const { held } = await readHeld(db.pool, hash, coordinatorId)
    if (held === undefined) {
      throw new EarshotError(
        'EARSHOT_NOT_FOUND',
        `This coordinator does not hold media ${hash.slice(0, 12)}….`,
        { field: 'media', hint: 'Send the file first: POST /v1/media' },
      )
    }
    const added = await submitDocument(
      db.pool,
      { hash, ...held, holder: coordinatorId, title, kind, language },
      {},
      jobClass,
    )
    reply.code(added.duplicate ? 200 : 201)
    return added
  })

  app.get('/v1/documents', async ({ query }) => ({
    documents: await readDocuments(db.pool, parse(DocumentListQuery, query)),
  }))

  app.get('/v1/documents/:id', async ({ params }) => view(idOf(params)))

  app.get('/v1/documents/:id/segments', async ({ params }) => {
    const { id } = await view(idOf(params))
    return { segments: await readSegments(db.pool, id) }
  })

  app.get('/v1/documents/:id/transcript', async (request, reply) => {
    const { format } = parse(TranscriptQuery, request.query)
    const document = await view(idOf(request.params))
    const text = formatTranscript(
      { document, segments: await readSegments(db.pool, document.id) },
      format,
    )
    return reply.type(TYPES[format]).send(text)
  })
}
