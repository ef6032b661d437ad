import type { PruneView } from '@earshot/contract'
import { measurePrunable, pruneContent } from '@earshot/db/functions/retention'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { pruneMedia } from '../leader/prune-media.ts'
import type { Context } from './context.ts'
import { parse } from './input.ts'
import { answerSlowly } from './slow-answer.ts'

export const PruneBody = z.object({ dry_run: z.boolean().default(true) }).strict()

/** POST /v1/prune: what is kept no longer, and its removal. */
export function pruneRoutes(app: FastifyInstance, context: Context): void {
  const { db } = context
  app.post('/v1/prune', async ({ body }, reply) => {
    const { dry_run: dryRun } = parse(PruneBody, body ?? {})
    return answerSlowly(reply, async (signal): Promise<PruneView> => {
      const things = await measurePrunable(db.pool)
      if (!dryRun) {
        while (!signal.aborted && (await pruneContent(db.pool, null)) > 0);
        let after: string | null = ''
        while (after !== null && !signal.aborted) after = (await pruneMedia(context, after)).last
      }
      return { dry_run: dryRun, things }
    })
  })
}
