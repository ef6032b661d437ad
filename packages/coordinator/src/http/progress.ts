import { Id } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Context } from './context.ts'
import { parse } from './input.ts'
import type { Progress } from './progress-board.ts'
import { heldJobs } from '../queries/nodes.ts'

export const ProgressBody = z
  .object({
    node: z.string().min(1).max(200),
    incarnation: Id,
    jobs: z.array(z.object({ id: Id, fraction: z.number().min(0).max(1) }).strict()).max(1_000),
  })
  .strict()

/**
 * POST /v1/progress: a worker tells how far its jobs are. Nothing is stored; jobs that are not its
 * own are passed over.
 */
export function progressRoutes(app: FastifyInstance, { db, progress }: Context): void {
  app.post('/v1/progress', async (request) => {
    const { node, incarnation, jobs } = parse(ProgressBody, request.body)
    const held = new Set(
      await heldJobs(
        db.pool,
        node,
        incarnation,
        jobs.map((job) => job.id),
      ),
    )
    const news = newsOf(jobs.filter((job) => held.has(job.id)))
    progress.report(news)
    return { heard: news.length }
  })
}

/**
 * The same as it comes through Redis: none when it is something else. No one asks the database
 * whether these jobs are the node's: who may write to the mesh's Redis may tell how far jobs are.
 */
export function readProgress(message: string): Progress[] {
  try {
    return newsOf(ProgressBody.parse(JSON.parse(message)).jobs)
  } catch {
    return []
  }
}

const newsOf = (jobs: z.infer<typeof ProgressBody>['jobs']): Progress[] =>
  jobs.map(({ id, fraction }) => ({ job_id: id, progress: fraction }))
