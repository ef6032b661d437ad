import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { PROTOCOL } from '@earshot/contract'
import type { Config } from '@earshot/shared/config'
import type { Database, Listener } from '@earshot/db/database'
import { touchCoordinator, type Lane } from '@earshot/db/functions/leadership'
import type { Log } from '@earshot/shared/log'
import { createLoop, type Loop } from '@earshot/shared/loop'
import { createMediaStore } from '@earshot/shared/media/store'
import type { Service } from '@earshot/shared/service'
import { type Transport, openTransport } from '@earshot/shared/transport/open'
import { VERSION } from '@earshot/shared/version'
import { createRetention } from './leader/retention.ts'
import { createEmbedding } from './leader/embedding.ts'
import { createMediaPruning } from './leader/prune-media.ts'
import { type HttpService, createHttp } from './http/server.ts'
import { createInboxStore } from './inbox/database-store.ts'
import { type Inbox, createInbox } from './inbox/inbox.ts'
import { createLeadership } from './leader/election.ts'
import { createMetrics } from './metrics/metrics.ts'
import { createPlacementCache } from './routing/placement-cache.ts'
import { createRebalance } from './routing/rebalance.ts'
import { routeAll } from './routing/route.ts'
import { createBatchAging } from './routing/batch-aging.ts'
import { createRouting } from './routing/routing.ts'
import { createSweep } from './leader/sweep.ts'
import { type NodeWaker, createNodeWaker } from './routing/wake-nodes.ts'

const GREET_MS = 5000

export type Coordinator = Service & {
  /** Where it answers, once started. */
  readonly url: string
}

/** `open`: what opens the way through Redis. */
export type CoordinatorOptions = {
  db: Database
  config: Config
  log: Log
  open?: typeof openTransport
}

/**
 * A coordinator: serves HTTP, watches its inbox, and, while it leads, routes jobs and sweeps.
 * Several may run at once.
 *
 * @throws EarshotError EARSHOT_KEY_NEEDED when it would listen beyond loopback without a key
 * @example
 * const coordinator = createCoordinator({ db, config, log })
 * await coordinator.start()
 */
export function createCoordinator({
  db,
  config,
  log,
  open = openTransport,
}: CoordinatorOptions): Coordinator {
  const id = config.node.id
  const batchAging = createBatchAging()
  const placementCache = createPlacementCache()
  const cursor = { after: null }
  const recall = createRebalance(db)
  let url = ''
  let http: HttpService | undefined
  let inbox: Inbox | undefined
  let listener: Listener | undefined
  let transport: Transport | undefined
  let waking: NodeWaker | undefined

  const leadership = createLeadership({
    db,
    holder: `${id} ${randomUUID()}`,
    force: db.embedded,
    log,
    onLead,
  })
  const routing = createRouting({
    db,
    route,
    mayHang: () => leadership.term() !== null && listener?.state === 'listening',
    tell: () => waking!.tellReaders(),
    log,
  })
  const metrics = createMetrics(db, {
    term: leadership.term,
    listener: () => listener,
    redis: () => transport?.redis,
  })
  const sweeping = createSweep({ db, leadership, onSwept: metrics.swept, log })
  const archiving = createRetention({ db, term: leadership.term, retention: config.retention, log })
  let mediaPruning: Loop | undefined
  const embedding = createEmbedding({ db, term: leadership.term, embed: config.embed, log })
  const greeting = createLoop({
    everyMs: GREET_MS,
    work: () => touchCoordinator(db.pool, { id, url, version: VERSION, protocol: PROTOCOL }),
    log,
  })

  async function route(onNodes: (count: number) => void): Promise<number> {
    const term = leadership.term()
    if (term === null) return 0
    const assigned = await routeAll(db, {
      term,
      batchAging,
      placementCache,
      cursor,
      waking,
      onNodes,
      onMalformed,
    })
    await recall.look(term, assigned)
    if (assigned > 0) log.debug({ term, jobs: assigned }, 'Jobs were given to nodes')
    metrics.routed(assigned)
    return assigned
  }

  const unreadable = new Set<string>()
  /** Once a lane, and for so many that no table of bad rows fills the log. */
  function onMalformed({ lane, role }: Lane, faults: string[]): void {
    if (unreadable.has(lane) || unreadable.size >= 1000) return
    unreadable.add(lane)
    log.warn({ lane, role, faults }, 'The needs of these jobs cannot be read, so they wait')
  }

  function onLead(): void {
    routing.kick()
    archiving.kick()
    embedding.kick()
  }

  function onHint(payload: string): void {
    if (waking?.passOn(payload)) return
    if (payload !== 'events') routing.kick()
    http?.changed()
  }

  async function start(): Promise<void> {
    transport = await open({ db, url: config.redis.url, log })
    waking = createNodeWaker({ db, transport, term: leadership.term, log })
    const media = await createMediaStore(config.home)
    mediaPruning = createMediaPruning({ db, coordinatorId: id, media, log })
    inbox = createInbox({
      dir: config.inbox.path,
      home: config.home,
      settleS: config.inbox.settleS,
      maxBytes: config.limits.maxMediaGb * 1e9,
      store: createInboxStore(db, id),
      log,
    })
    http = createHttp({
      db,
      coordinatorId: id,
      settings: {
        host: config.http.host,
        port: config.http.port,
        key: config.key ?? undefined,
        url: config.http.advertise ?? undefined,
      },
      media,
      uploads: await createMediaStore(path.join(config.home, 'uploads')),
      openaiApi: config.openaiApi,
      inbox,
      embedWaitMs: config.embed.waitS * 1000,
      limits: { mediaBytes: config.limits.maxMediaGb * 1e9 },
      metrics,
      redis: transport?.redis,
      log,
      version: VERSION,
    })
    url = (await http.start()).url
    transport?.redis.subscribe('events', () => http?.changed())
    transport?.redis.subscribe('progress', (message) => http?.progressed(message))
    await touchCoordinator(db.pool, { id, url, version: VERSION, protocol: PROTOCOL })
    listener = await db.listen({ earshot: onHint }, () => onHint(''))
    await leadership.start()
    for (const loop of [routing, sweeping, archiving, embedding, greeting, waking, mediaPruning])
      loop.start()
    onLead()
    await inbox.start()
  }

  async function stop(hurry?: AbortSignal): Promise<void> {
    await inbox?.stop()
    await Promise.all(
      [routing, sweeping, archiving, embedding, greeting, mediaPruning].map(async (loop) =>
        loop?.stop(),
      ),
    )
    await leadership.stop()
    await listener?.close()
    await http?.stop(hurry)
    await waking?.stop()
    await transport?.redis.close()
  }

  return {
    start,
    stop,
    get url() {
      return url
    },
  }
}
