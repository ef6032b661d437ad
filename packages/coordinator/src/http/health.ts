import { type HealthView, PROTOCOL } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import type { Context } from './context.ts'
import { countNodes } from '../queries/nodes.ts'

/** GET /healthz, open to all: whether this coordinator and its database work. */
export function healthRoutes(app: FastifyInstance, { db, version, url, redis }: Context): void {
  app.get('/healthz', { config: { access: 'open' } }, async (): Promise<HealthView> => {
    const nodes = await countNodes(db.pool)
    return {
      status: 'ok',
      version,
      protocol: PROTOCOL,
      database: db.embedded ? 'embedded' : 'postgres',
      url: url(),
      nodes,
      ...(redis && { redis: redis.up ? ('up' as const) : ('away' as const) }),
    }
  })
}
