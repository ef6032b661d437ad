import { EarshotError, EnqueueRequest, type Enqueued, JOB_STATUSES, type JobView, KINDS, isKind } from '@earshot/shared/contract'
import { type Submission, submitJobs } from '@earshot/shared/db/functions/jobs'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Context } from './context.ts'
import { idOf, IdText, limitOf, listOf, parse } from './input.ts'
import { knownThings, readHistory, readJobs } from './queries/jobs.ts'

/** A thousand jobs of the longest text. */
const BODY_LIMIT = 32 * 2 ** 20
const MOST = 1_000

const ListQuery = z.object({
  status: listOf(z.enum(JOB_STATUSES), JOB_STATUSES.length).optional(),
  kind: z.string().optional(),
  before: IdText.optional(),
  ids: listOf(IdText, MOST).optional(),
  limit: limitOf(MOST, 50),
}).strict()
const Many = z.object({ jobs: z.array(z.unknown()).min(1).max(MOST) }).strict()

/** Enqueue and look at jobs. */
export function jobRoutes(app: FastifyInstance, { db, progress }: Context): void {
  const view = async (id: number): Promise<JobView> => {
    const [job] = await readJobs(db.pool, { ids: [id], limit: 1 }, progress.of)
    if (job === undefined) throw new EarshotError('EARSHOT_NOT_FOUND', `There is no job ${id}.`, { field: 'id', hint: 'List jobs with: earshot jobs' })
    return job
  }
  const submit = async (asked: { job: unknown; prefix: string }[]): Promise<Enqueued[]> => {
    const jobs = asked.map(({ job, prefix }) => ({ job: submission(job, prefix), prefix }))
    await checkReferences(jobs, async (documents, media) => knownThings(db.pool, documents, media))
    return submitJobs(db.pool, jobs.map(({ job }) => job))
  }

  app.post('/v1/jobs', { bodyLimit: BODY_LIMIT }, async (request, reply): Promise<Enqueued | { jobs: Enqueued[] }> => {
    reply.code(201)
    if (isObject(request.body) && 'jobs' in request.body) {
      const { jobs } = parse(Many, request.body)
      return { jobs: await submit(jobs.map((job, at) => ({ job, prefix: `jobs[${at}]` }))) }
    }
    const [made] = await submit([{ job: request.body, prefix: '' }])
    return made as Enqueued
  })

  app.get('/v1/jobs', async ({ query }) => ({ jobs: await readJobs(db.pool, parse(ListQuery, query), progress.of) }))

  app.get('/v1/jobs/:id', async ({ params }) => {
    const id = idOf(params)
    const [job, history] = await Promise.all([view(id), readHistory(db.pool, id)])
    return { ...job, history }
  })
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/** One asked job, its payload checked by its kind's schema. */
function submission(asked: unknown, prefix: string): Submission {
  const request = parse(EnqueueRequest, asked, prefix)
  const at = (field: string): string => (prefix === '' ? field : `${prefix}.${field}`)
  if (!isKind(request.kind)) {
    throw new EarshotError('EARSHOT_UNKNOWN_KIND', `There is no kind of job "${request.kind}".`, {
      field: at('kind'),
      hint: `The kinds are: ${Object.keys(KINDS).join(', ')}.`,
    })
  }
  // Strict, since a slip in the name of an optional field would otherwise be dropped in silence.
  return { ...request, payload: parse(KINDS[request.kind].payload.strict(), request.payload, at('payload')) }
}

type Asked = { job: Submission; prefix: string }
type Known = (documents: number[], media: string[]) => Promise<{ documents: number[]; media: string[] }>

/** Refuses jobs about a document or media that is nowhere: they could only wait for ever. */
async function checkReferences(asked: Asked[], known: Known): Promise<void> {
  const documents = asked.map(({ job }) => job.payload.document_id).filter((id) => typeof id === 'number')
  const media = asked.map(({ job }) => job.payload.media).filter((hash) => typeof hash === 'string')
  if (documents.length + media.length === 0) return
  const found = await known(documents, media)
  for (const { job, prefix } of asked) {
    const { document_id: id, media: hash } = job.payload
    if (typeof id === 'number' && !found.documents.includes(id)) throw missing(`There is no document ${id}.`, prefix, 'document_id')
    if (typeof hash === 'string' && !found.media.includes(hash)) throw missing(`No coordinator holds media ${hash.slice(0, 12)}….`, prefix, 'media')
  }
}

function missing(sentence: string, prefix: string, field: string): EarshotError {
  return new EarshotError('EARSHOT_NOT_FOUND', sentence, { field: `${prefix === '' ? '' : `${prefix}.`}payload.${field}` })
}
