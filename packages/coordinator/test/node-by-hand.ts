import { PROTOCOL } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import {
  type Assignment,
  finishJobs,
  type Outcome,
  startJobs,
  takeAssignments,
} from '@earshot/db/functions/jobs'
import {
  acquireLeadership,
  listLanes,
  listNextJobs,
  routeJobs,
} from '@earshot/db/functions/leadership'
import { registerNode } from '@earshot/db/functions/nodes'

export type NodeByHand = {
  id: string
  incarnation: number
  /** Routes one pending job to this node and takes it. */
  take(): Promise<Assignment>
  start(job: Assignment): Promise<void>
  finish(job: Assignment, outcome: Outcome): Promise<void>
}

/** A node whose every step the test takes itself, through the same functions as a real one. */
export async function joinNode(
  db: Database,
  id = 'box',
  models: Record<string, { kinds: string[]; engine: string }> = {},
): Promise<NodeByHand> {
  const roles = ['stt_batch', 'tts', 'rag_engine']
  const incarnation = await registerNode(db.pool, {
    id,
    name: id,
    host: null,
    port: null,
    version: '0',
    protocol: PROTOCOL,
    roles,
    tags: {
      platform: 'linux',
      ...Object.fromEntries(Object.keys(models).map((model) => [`model:${model}`, true])),
    },
    capabilities: { models },
    slots: Object.fromEntries(roles.map((role) => [role, 1])),
  })
  return {
    id,
    incarnation,
    async take() {
      const term = await acquireLeadership(db.pool, 'test', true)
      const [next] = await listNextJobs(
        db.pool,
        (await listLanes(db.pool)).map((lane) => ({ ...lane, rank: 0, most: 1 })),
        1,
      )
      if (next !== undefined)
        await routeJobs(db.pool, term ?? '', [{ job: next.id, node: id, incarnation }])
      const [job] = await takeAssignments(db.pool, id, incarnation, [])
      if (job === undefined) throw new Error('There is no job to take.')
      return job
    },
    start: async (job) => void (await startJobs(db.pool, id, incarnation, [job])),
    finish: async ({ id: job, fence }, outcome) => {
      const [answer] = await finishJobs(db.pool, id, incarnation, [{ id: job, fence, outcome }])
      if (answer?.answer !== 'done')
        throw new Error(`Job ${job} was not finished: ${answer?.answer}.`)
    },
  }
}
