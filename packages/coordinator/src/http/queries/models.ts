import { z } from 'zod'
import { type Queryable, call } from '@earshot/shared/db/functions/call'

const Offer = z.object({
  kinds: z.array(z.string()),
  engine: z.string(),
  size_bytes: z.number().optional().catch(undefined),
  dimensions: z.number().optional().catch(undefined),
  role: z.string().optional().catch(undefined),
  aliases: z.array(z.string()).optional().catch(undefined),
  /** Why the node does not offer it, although it is there. */
  refused: z.string().optional().catch(undefined),
})
export type NodeOffer = z.output<typeof Offer>

export type NodeModels = { id: string; state: string; up: boolean; roles: string[]; models: Record<string, NodeOffer> }

// A node that is silent for a moment is up: it may be back before anybody notices.
const NODES = `
  select n.id, n.roles, n.capabilities -> 'models' as models,
    n.status = 'online' and n.reason is null and not n.drained and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*') as up,
    case when n.status <> 'online' then n.status when n.drained then 'drained' when n.reason is not null then 'kept out' else 'in quarantine' end as state
  from earshot.nodes n order by n.id`

/** Which models each node offers. What a node of another version says in another way is passed over. */
export async function readNodeModels(db: Queryable): Promise<NodeModels[]> {
  const rows = await call<Omit<NodeModels, 'models'> & { models: unknown }>(db, 'http_node_models', NODES, [])
  return rows.map((row) => ({ ...row, models: Object.fromEntries(Object.entries(row.models ?? {}).flatMap(([name, offer]) => {
    const read = Offer.safeParse(offer)
    return read.success ? [[name, read.data]] : []
  })) }))
}
