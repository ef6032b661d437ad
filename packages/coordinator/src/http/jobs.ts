import {
  EarshotError,
  EnqueueRequest,
  type Enqueued,
  JOB_STATUSES,
  type JobView,
  KINDS,
  isKind,
  strict,
} from '@earshot/contract'
import type { Queryable } from '@earshot/db/functions/call'
import { type Submission, submitJobs } from '@earshot/db/functions/jobs'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Context } from './context.ts'
import { idOf, IdText, limitOf, listOf, parse } from './input.ts'
import { checkBySchema } from './json-schema.ts'
import { knownThings, readHistory, readJobs } from '../queries/jobs.ts'
import { readKinds } from '../queries/kinds.ts'

/** A thousand jobs of the longest text. */
const BODY_LIMIT = 32 * 2 ** 20
/** One job. */
const JOB_BYTES = 4 * 2 ** 20
const MOST = 1_000

export const JobListQuery = z
  .object({
    status: listOf(z.enum(JOB_STATUSES), JOB_STATUSES.length).optional(),
    kind: z.string().optional(),
    before: IdText.optional(),
    ids: listOf(IdText, MOST).optional(),
    limit: limitOf(MOST, 50),
    payload: z
      .enum(['0', '1'])
      .transform((text) => text === '1')
      .optional(),
  })
  .strict()
export const ManyJobs = z.object({ jobs: z.array(z.unknown()).min(1).max(MOST) }).strict()

/** Enqueue and look at jobs. */
export function jobRoutes(app: FastifyInstance, { db, progress }: Context): void {
  const view = async (id: number): Promise<JobView> => {
    const [job] = await readJobs(db.pool, { ids: [id], limit: 1, payload: true }, progress.of)
    if (job === undefined)
      throw new EarshotError('EARSHOT_NOT_FOUND', `There is no job ${id}.`, {
        field: 'id',
        hint: 'List jobs with: earshot jobs',
      })
    return job as JobView
  }
  const submit = async (
    request: FastifyRequest,
    bodies: { job: unknown; prefix: string }[],
  ): Promise<Enqueued[]> => {
    const asked = bodies.map(({ job, prefix }) => ({ job: submission(job, prefix), prefix }))
    await checkOthers(
      db.pool,
      request,
      asked.filter(({ job }) => !isKind(job.kind)),
    )
    await checkReferences(
      asked.filter(({ job }) => isKind(job.kind)),
      async (documents, media) => knownThings(db.pool, documents, media),
    )
    return submitJobs(
      db.pool,
      asked.map(({ job }) => job),
    )
  }

  app.post(
    '/v1/jobs',
    { bodyLimit: BODY_LIMIT, config: { partBytes: JOB_BYTES } },
    async (request, reply): Promise<Enqueued | { jobs: Enqueued[] }> => {
      reply.code(201)
      if (isObject(request.body) && 'jobs' in request.body) {
        const { jobs } = parse(ManyJobs, request.body)
        return {
          jobs: await submit(
            request,
            jobs.map((job, at) => ({ job, prefix: `jobs[${at}]` })),
          ),
        }
      }
      const [made] = await submit(request, [{ job: request.body, prefix: '' }])
      return made as Enqueued
    },
  )

  app.get('/v1/jobs', async ({ query }) => ({
    jobs: await readJobs(db.pool, parse(JobListQuery, query), progress.of),
  }))

  app.get('/v1/jobs/:id', async ({ params }) => {
    const id = idOf(params)
    const [job, history] = await Promise.all([view(id), readHistory(db.pool, id)])
    return { ...job, history }
  })
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

type Asked = { job: Submission; prefix: string }
const below = (prefix: string, field: string): string =>
  prefix === '' ? field : `${prefix}.${field}`

/** One asked job; the payload of a built-in kind is checked, and read, by its schema. */
function submission(asked: unknown, prefix: string): Submission {
  const request = parse(EnqueueRequest, asked, prefix)
  if (!isKind(request.kind)) return request
  return {
    ...request,
    payload: parse(
      strict(KINDS[request.kind].payload),
      request.payload,
      below(prefix, 'payload'),
    ) as Submission['payload'],
  }
}

/**
 * Refuses jobs of kinds that no one knows, and payloads that do not fit what was registered of
 * their kind.
 */
async function checkOthers(db: Queryable, request: FastifyRequest, asked: Asked[]): Promise<void> {
  if (asked.length === 0) return
  const known = new Map(
    (await readKinds(db, [...new Set(asked.map(({ job }) => job.kind))])).map((kind) => [
      kind.kind,
      kind,
    ]),
  )
  for (const { job, prefix } of asked) {
    const kind = known.get(job.kind)
    if (kind === undefined) throw unknownKind(job.kind, prefix, await readKinds(db))
    if (kind.payload_schema !== null)
      checkBySchema(request, kind.payload_schema, job.payload, below(prefix, 'payload'))
  }
}

function unknownKind(name: string, prefix: string, kinds: { kind: string }[]): EarshotError {
  return new EarshotError('EARSHOT_UNKNOWN_KIND', `There is no kind of job "${name}".`, {
    field: below(prefix, 'kind'),
    hint: `The kinds are: ${kinds.map(({ kind }) => kind).join(', ')}. One of your own is known once a worker that runs it has joined, or by POST /v1/kinds.`,
  })
}

type Known = (
  documents: number[],
  media: string[],
) => Promise<{ documents: number[]; media: string[] }>

/** Refuses jobs about a document or media that is nowhere: they could only wait forever. */
async function checkReferences(asked: Asked[], known: Known): Promise<void> {
  const documents = asked
    .map(({ job }) => job.payload.document_id)
    .filter((id) => typeof id === 'number')
  const media = asked.map(({ job }) => job.payload.media).filter((hash) => typeof hash === 'string')
  if (documents.length + media.length === 0) return
  const found = await known(documents, media)
  for (const { job, prefix } of asked) {
    const { document_id: id, media: hash } = job.payload
    if (typeof id === 'number' && !found.documents.includes(id))
      throw missing(`There is no document ${id}.`, prefix, 'document_id')
    if (typeof hash === 'string' && !found.media.includes(hash))
      throw missing(`No coordinator holds media ${hash.slice(0, 12)}….`, prefix, 'media')
  }
}

function missing(sentence: string, prefix: string, field: string): EarshotError {
  return new EarshotError('EARSHOT_NOT_FOUND', sentence, {
    field: below(prefix, `payload.${field}`),
  })
}
