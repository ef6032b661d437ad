import { EarshotError, Id, JOB_STATUSES, type JobAction } from '@earshot/contract'
import { cancelJobs, findJobs, retryJobs } from '@earshot/db/functions/jobs'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Context } from './context.ts'
import { idOf, parse } from './input.ts'
import { jobExists } from '../queries/jobs.ts'

const MOST_IDS = 1_000

/** All that is given must hold. */
const Choice = z.object({
  ids: z.array(Id).min(1).max(MOST_IDS).optional(),
  status: z.array(z.enum(JOB_STATUSES)).min(1).optional(),
  kind: z.string().min(1).optional(),
  node: z.string().min(1).optional(),
  older_s: z.number().nonnegative().max(1e9).optional(),
})
export const JobChoiceBody = Choice.extend({ dry_run: z.boolean().default(false) })
  .strict()
  .refine(
    ({ dry_run: _, ...choice }) => Object.values(choice).some((value) => value !== undefined),
    'say which jobs, by ids, status, kind, node or older_s',
  )

/** Cancel and retry jobs: one, many, or all that fit a choice. */
export function jobActionRoutes(app: FastifyInstance, { db }: Context): void {
  const existing = async (params: unknown): Promise<number> => {
    const id = idOf(params)
    if (await jobExists(db.pool, id)) return id
    throw new EarshotError('EARSHOT_NOT_FOUND', `There is no job ${id}.`, {
      field: 'id',
      hint: 'List jobs with: earshot jobs',
    })
  }
  const act = async (
    action: 'cancel' | 'retry',
    body: unknown,
  ): Promise<{ dry_run: boolean; changed: number[] }> => {
    const { dry_run: dryRun, ...choice } = parse(JobChoiceBody, body)
    const ids = await findJobs(db.pool, action, choice)
    if (dryRun) return { dry_run: true, changed: ids }
    return {
      dry_run: false,
      changed: await (action === 'cancel' ? cancelJobs : retryJobs)(db.pool, ids),
    }
  }

  app.post('/v1/jobs/:id/cancel', async ({ params }): Promise<JobAction<'cancelled'>> => {
    return { cancelled: await cancelJobs(db.pool, [await existing(params)]) }
  })
  app.post('/v1/jobs/:id/retry', async ({ params }): Promise<JobAction<'retried'>> => {
    return { retried: await retryJobs(db.pool, [await existing(params)]) }
  })
  app.post('/v1/jobs/cancel', async ({ body }): Promise<JobAction<'cancelled'>> => {
    const { dry_run: dryRun, changed } = await act('cancel', body)
    return { cancelled: changed, ...(dryRun ? { dry_run: true } : {}) }
  })
  app.post('/v1/jobs/retry', async ({ body }): Promise<JobAction<'retried'>> => {
    const { dry_run: dryRun, changed } = await act('retry', body)
    return { retried: changed, ...(dryRun ? { dry_run: true } : {}) }
  })
}
