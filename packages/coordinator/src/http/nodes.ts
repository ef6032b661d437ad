import { EarshotError, type NodeView } from '@earshot/contract'
import { setNodeDrain, quarantineNode, resumeNode } from '@earshot/db/functions/nodes'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Context } from './context.ts'
import { parse } from './input.ts'
import { readNodes } from '../queries/nodes.ts'

export const QuarantineBody = z
  .object({ reason: z.string().trim().min(1).max(500).optional() })
  .strict()
type ById = { Params: { id: string } }

/** Who takes part in the mesh, and who of them gets work. */
export function nodeRoutes(app: FastifyInstance, { db }: Context): void {
  const view = async (id: string): Promise<NodeView> => {
    const [node] = await readNodes(db.pool, id)
    if (node === undefined)
      throw new EarshotError('EARSHOT_NOT_FOUND', `There is no node "${id}".`, {
        field: 'id',
        hint: 'List nodes with: earshot nodes',
      })
    return node
  }

  app.get('/v1/nodes', async () => ({ nodes: await readNodes(db.pool) }))

  app.get<ById>('/v1/nodes/:id', async ({ params }) => view(params.id))

  app.post<ById>('/v1/nodes/:id/drain', async ({ params }) => {
    await setNodeDrain(db.pool, params.id)
    return view(params.id)
  })
  app.post<ById>('/v1/nodes/:id/resume', async ({ params }) => {
    await resumeNode(db.pool, params.id)
    return view(params.id)
  })
  app.post<ById>('/v1/nodes/:id/quarantine', async ({ params, body }) => {
    await quarantineNode(db.pool, params.id, parse(QuarantineBody, body ?? {}).reason ?? null)
    return view(params.id)
  })
}
