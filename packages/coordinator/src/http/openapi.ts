import type { FastifyInstance } from 'fastify'
import type { Context } from './context.ts'
import { openApiDocument } from './openapi/document.ts'

/** GET /openapi.json: what this service understands, for machines. */
export function openApiRoutes(app: FastifyInstance, { url, version }: Context): void {
  app.get('/openapi.json', async () => openApiDocument({ url: url(), version }))
}
