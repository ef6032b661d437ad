import type { Database } from '../db/database.ts'
import { nodeChannel, notifyNode } from '../db/functions/nodes.ts'
import type { Hint, Wakes } from './wakes.ts'

/** By NOTIFY: a channel a node, whatever its incarnation. */
export function createNotifyWakes(db: Database): Wakes {
  return {
    send: ({ node, hint }) => notifyNode(db.pool, node, hint === 'assigned' ? '' : hint),
    async hear(node, _incarnation, onHint) {
      const channel = await nodeChannel(db.pool, node)
      return db.listen({ [channel]: (payload) => onHint(hintOf(payload)) }, () => onHint('cancelled'))
    },
  }
}

const hintOf = (payload: string): Hint => (payload === '' ? 'assigned' : payload === 'recall' ? 'recall' : 'cancelled')
