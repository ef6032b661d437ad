import { EarshotError } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { explain } from '../why/explain.ts'
import { readFacts } from '../why/read.ts'
import type { Context } from './context.ts'
import { idOf } from './input.ts'

/** Why a job waits, node by node. */
export function whyRoutes(app: FastifyInstance, { db }: Context): void {
  app.get('/v1/jobs/:id/why', async ({ params }) => {
    const id = idOf(params)
    const facts = await readFacts(db, id)
    if (facts === undefined)
      throw new EarshotError('EARSHOT_NOT_FOUND', `There is no job ${id}.`, {
        field: 'id',
        hint: 'List jobs with: earshot jobs',
      })
    return explain(facts)
  })
}
