import { z } from 'zod'
import { type Queryable, call } from '@earshot/db/functions/call'

const Offer = z.object({
  kinds: z.array(z.string()),
  engine: z.string(),
  size_bytes: z.number().optional().catch(undefined),
  dimensions: z.number().optional().catch(undefined),
  role: z.string().optional().catch(undefined),
  aliases: z.array(z.string()).optional().catch(undefined),
  context: z.number().optional().catch(undefined),
  voices: z.array(z.string()).optional().catch(undefined),
  languages: z.array(z.string()).optional().catch(undefined),
  translates: z.boolean().optional().catch(undefined),
})
export type NodeOffer = z.output<typeof Offer>

/** What is there and not offered, by its name, with the reason. */
const NotOffered = z.record(z.string(), z.string()).catch({})

export type NodeModels = {
  id: string
  state: string
  up: boolean
  roles: string[]
  models: Record<string, NodeOffer>
  notOffered: Record<string, string>
}

// A node that is silent for a moment is up: it may be back before anyone notices.
const NODES = `
  select n.id, n.roles, n.capabilities -> 'models' as models, coalesce(n.capabilities -> 'not_offered', '{}') as "notOffered",
    n.status = 'online' and n.reason is null and not n.drained and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*') as up,
    case when n.status <> 'online' then n.status when n.drained then 'drained' when n.reason is not null then 'kept out' else 'in quarantine' end as state
  from earshot.nodes n order by n.id`

/**
 * Which models each node offers. What a node of another version says in another way is passed over.
 */
export async function readNodeModels(db: Queryable): Promise<NodeModels[]> {
  const rows = await call<
    Omit<NodeModels, 'models' | 'notOffered'> & { models: unknown; notOffered: unknown }
  >(db, 'http_node_models', NODES, [])
  return rows.map((row) => ({
    ...row,
    models: Object.fromEntries(
      Object.entries(row.models ?? {}).flatMap(([name, offer]) => {
        const read = Offer.safeParse(offer)
        return read.success ? [[name, read.data]] : []
      }),
    ),
    notOffered: NotOffered.parse(row.notOffered),
  }))
}
