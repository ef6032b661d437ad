import type { JobClass, LaneView, LanesView, NodeView } from '@earshot/contract'
import { laneText, unmet } from '@earshot/shared/lanes'
import type { FastifyInstance } from 'fastify'
import { countJobs, type JobCount } from '../metrics/read.ts'
import { list } from '../why/words.ts'
import type { Context } from './context.ts'
import { readNodes } from '../queries/nodes.ts'
import { readClock } from '../queries/time.ts'

/** GET /v1/lanes: what waits, and what stands in its way where no node can run it. */
export function laneRoutes(app: FastifyInstance, { db }: Context): void {
  app.get('/v1/lanes', async (): Promise<LanesView> => {
    const [at, counts, nodes] = await Promise.all([
      readClock(db.pool),
      countJobs(db.pool),
      readNodes(db.pool),
    ])
    const lanes = counts
      .filter(({ status }) => status === 'pending')
      .map((lane): LaneView => ({
        role: lane.role,
        requires: lane.requires,
        class: lane.class as JobClass,
        waiting: lane.jobs,
        oldest_s: Math.max(0, lane.oldest_s ?? 0),
        stuck: stuck(lane, nodes),
      }))
    return { at, lanes: lanes.toSorted((a, b) => (laneText(a) < laneText(b) ? -1 : 1)) }
  })
}

/** Why no node can run it now; null when one can, be it that it is full at the moment. */
function stuck(lane: JobCount, nodes: NodeView[]): string | null {
  const able = nodes.filter((node) => unmet(node, lane).length === 0)
  const held = able.map((node) => heldUp(node, lane.role))
  if (held.includes(null)) return null
  if (held.length > 0)
    return `Only ${list(able.map(({ id }, at) => `${id} (${held[at]})`))} could run it.`
  const nearest = nodes
    .map((node) => ({ node, lacking: unmet(node, lane) }))
    .toSorted((a, b) => a.lacking.length - b.lacking.length)[0]
  return `No known node can run it${nearest === undefined ? '' : `; the nearest is ${nearest.node.id}: ${nearest.lacking.join(', ')}`}.`
}

/** Why a node gets no work of this role; null when it does. */
function heldUp({ status, drained, reason, quarantines }: NodeView, role: string): string | null {
  if (status !== 'online') return status
  if (drained) return 'drained'
  if (quarantines.some((one) => one.role === '*' || one.role === role)) return 'in quarantine'
  return reason
}
