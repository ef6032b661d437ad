import type { FastifyInstance } from 'fastify'
import type { Context } from './context.ts'

/** GET /metrics for Prometheus; counts every answered request by its route. */
export function metricsRoutes(app: FastifyInstance, { metrics }: Context): void {
  app.addHook('onResponse', async ({ method, routeOptions }, reply) =>
    metrics.requested(method, routeOptions.url ?? 'none', reply.statusCode),
  )
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics.text()),
  )
}
