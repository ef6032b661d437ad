import { EarshotError, type SearchAnswer } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { createQueryVectors } from '../search/query-vectors.ts'
import { search, searched } from '../search/search.ts'
import type { Context } from './context.ts'
import { limitOf, parse } from './input.ts'

/** Longer ones are no questions but texts; each word costs a look at the index. */
const MOST_CHARACTERS = 1_000

export const SearchQuery = z
  .object({ q: z.string(), limit: limitOf(100, 10), corpus: z.string().min(1).max(200).optional() })
  .strict()

/** GET /v1/search?q=: what was said where. */
export function searchRoutes(
  app: FastifyInstance,
  { db, awaitedJobs, embedWaitMs }: Context,
): void {
  const vectors = createQueryVectors({ db: db.pool, awaitedJobs, waitMs: embedWaitMs })
  app.addHook('preClose', async () => vectors.stop())

  app.get('/v1/search', async (request): Promise<SearchAnswer> => {
    const { q, limit, corpus } = parse(SearchQuery, request.query)
    if (q.trim() === '')
      throw new EarshotError('EARSHOT_BAD_REQUEST', 'The query is empty.', { field: 'q' })
    if (q.length > MOST_CHARACTERS) {
      throw new EarshotError(
        'EARSHOT_TOO_LARGE',
        `The query has ${q.length} characters; at most ${MOST_CHARACTERS} are taken.`,
        { field: 'q' },
      )
    }
    const query = searched(q)
    const { meaning, note } = await vectors.understand(query)
    const hits = await db.transaction((client) => search(client, { query, limit, corpus, meaning }))
    return { hits, ...(meaning && { model: meaning.model }), ...(note !== undefined && { note }) }
  })
}
