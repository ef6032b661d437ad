import type { Database } from '@earshot/db/database'
import { type GivenToNode, givenToNode } from '@earshot/db/functions/jobs'
import { nodeChannel, wakeNodeByNotify } from '@earshot/db/functions/nodes'
import type { OnHint, Wakes } from './wakes.ts'

/**
 * By NOTIFY: a channel a node, whatever its incarnation. What is carried comes from route_jobs
 * itself.
 */
export function createNotifyWakes(db: Database): Wakes {
  return {
    send: ({ node, hint }) => wakeNodeByNotify(db.pool, node, hint === 'assigned' ? '' : hint),
    async hear(node, _incarnation, onHint) {
      const channel = await nodeChannel(db.pool, node)
      return db.listen({ [channel]: (payload) => read(payload, onHint) }, () => onHint('cancelled'))
    },
  }
}

function read(payload: string, onHint: OnHint): void {
  if (payload.startsWith('{')) onHint('assigned', givenToNode(JSON.parse(payload) as GivenToNode))
  else onHint(payload === '' ? 'assigned' : payload === 'recall' ? 'recall' : 'cancelled')
}
