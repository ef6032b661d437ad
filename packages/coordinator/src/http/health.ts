import { EarshotError, type HealthView, PROTOCOL } from '@earshot/contract'
import { monotonicMs } from '@earshot/db/monotonic'
import type { FastifyInstance } from 'fastify'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from './context.ts'
import { countNodes } from '../queries/nodes.ts'

/** Anyone who asks for the health wants to know soon. */
const WAIT_MS = 1_000
/** An answer of the database that is no older still says that it works. */
const FRESH_MS = 10_000

/** GET /healthz, open to all: whether this coordinator and its database work. */
export function healthRoutes(
  app: FastifyInstance,
  { db, ungated, version, url, redis }: Context,
): void {
  let asking: ReturnType<typeof countNodes> | undefined
  let last: { nodes: Awaited<ReturnType<typeof countNodes>>; at: number } | undefined

  /** One question at a time, for however many ask. */
  async function nodes(): ReturnType<typeof countNodes> {
    asking ??= countNodes(ungated).finally(() => {
      asking = undefined
    })
    const answer = asking.then((nodes) => {
      last = { nodes, at: monotonicMs() }
      return nodes
    })
    answer.catch(() => {})
    const soon = await Promise.race([answer, sleep(WAIT_MS, undefined, { ref: false })])
    if (soon !== undefined) return soon
    if (last !== undefined && monotonicMs() - last.at < FRESH_MS) return last.nodes
    throw new EarshotError('EARSHOT_DATABASE', `The database did not answer in ${WAIT_MS} ms.`)
  }

  app.get('/healthz', { config: { access: 'open' } }, async (): Promise<HealthView> => ({
    status: 'ok',
    version,
    protocol: PROTOCOL,
    database: db.embedded ? 'embedded' : 'postgres',
    url: url(),
    nodes: await nodes(),
    ...(redis && { redis: redis.up ? ('up' as const) : ('away' as const) }),
  }))
}
