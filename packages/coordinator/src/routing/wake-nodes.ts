import type { Database } from '@earshot/db/database'
import { type Assigned, relayEvents } from '@earshot/db/functions/leadership'
import { livingNodes, wakeNodeByNotify } from '@earshot/db/functions/nodes'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'
import type { Transport } from '@earshot/shared/transport/open'
import type { Hint, Wake } from '@earshot/shared/transport/wakes'

const CLEAN_MS = 60_000
const LEAD_MS = 1000

export type NodeWaker = Pick<Loop, 'start' | 'stop'> & {
  /**
   * Whether nodes that hear through Redis are woken by `assigned`; the database notifies the
   * others.
   */
  byRedis(): boolean
  /** Wakes the nodes of these jobs that the database did not notify. No one waits for it. */
  assigned(jobs: readonly Assigned[]): void
  /**
   * Sends on what the database could not say itself; false when this notification is something
   * else.
   */
  passOn(payload: string): boolean
  /** Tells the coordinators' readers of events that there may be some. */
  tellReaders(): Promise<void>
}

/**
 * Wakes nodes through Redis for the leader. What Redis does not take goes by NOTIFY; what is lost
 * comes with the next heartbeat.
 */
export function createNodeWaker(options: {
  db: Database
  transport: Transport | undefined
  term: () => string | null
  log: Log
}): NodeWaker {
  const { db, transport, term, log } = options
  const byRedis = () => transport?.redis.up === true

  function send(wake: Wake): void {
    const sent =
      transport === undefined
        ? Promise.reject(new Error('There is no Redis here'))
        : transport.wakes.send(wake)
    sent
      .catch(() => wakeNodeByNotify(db.pool, wake.node, wake.hint === 'assigned' ? '' : wake.hint))
      .catch((err: unknown) =>
        log.debug({ err, node: wake.node }, 'A node could not be woken; its heartbeat tells it'),
      )
  }

  // The dead do not tidy up after themselves.
  const cleaning = createLoop({
    everyMs: CLEAN_MS,
    log,
    async work() {
      if (term() === null || !byRedis()) return
      const queues = await transport!.wakes.clean(() => livingNodes(db.pool))
      if (queues > 0) log.debug({ queues }, 'Queues of nodes that are gone were removed')
    },
  })

  // Nodes rely on Redis only as long as the leader sends through the same one.
  const leading = createLoop({
    everyMs: LEAD_MS,
    log,
    async work() {
      if (term() !== null && byRedis()) await transport!.wakes.lead().catch(() => {}) // away: the link says it
    },
  })

  return {
    start() {
      if (transport === undefined) return
      transport.redis.onChange(() => leading.kick())
      for (const loop of [cleaning, leading]) loop.start()
    },
    async stop() {
      await Promise.all([cleaning.stop(), leading.stop()])
    },
    byRedis,
    assigned(jobs) {
      // By node: each of its rows says the same.
      const nodes = new Map(jobs.filter((job) => job.by_redis).map((job) => [job.node, job]))
      for (const { node, incarnation, carried } of nodes.values())
        send({ node, incarnation, hint: 'assigned', given: carried ?? undefined })
    },
    passOn(payload) {
      const [, incarnation, hint, node] = /^wake (\d+) (\w+) (.*)$/.exec(payload) ?? []
      if (node === undefined) return false
      if (term() !== null) send({ node, incarnation: Number(incarnation), hint: hint as Hint })
      return true
    },
    async tellReaders() {
      // No one there: not even this coordinator hears itself, whose own subscription is being made
      // again.
      const heard = byRedis()
        ? await transport!.redis.publish('events', '').then(
            (readers) => readers > 0,
            () => false,
          )
        : false
      if (!heard) await relayEvents(db.pool)
    },
  }
}
