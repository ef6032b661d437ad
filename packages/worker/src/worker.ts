import { createHash } from 'node:crypto'
import path from 'node:path'
import { PROTOCOL } from '@earshot/contract'
import type { Config } from '@earshot/shared/config'
import type { Database } from '@earshot/db/database'
import type { GivenToNode } from '@earshot/db/functions/jobs'
import { registerKinds } from '@earshot/db/functions/kinds'
import type { Log } from '@earshot/shared/log'
import type { Loop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import { findHardware } from '@earshot/shared/platform'
import type { Service } from '@earshot/shared/service'
import { type WakeListener, createWakeListener } from '@earshot/shared/transport/wake-listener'
import { type Transport, openTransport } from '@earshot/shared/transport/open'
import type { Hint } from '@earshot/shared/transport/wakes'
import { VERSION } from '@earshot/shared/version'
import { readBootId } from './boot-id.ts'
import { type Engines, createRegistry } from './engines/registry.ts'
import type { HandledKind } from './handle.ts'
import { createMeasures } from './measure.ts'
import { createMediaClient } from './media/client.ts'
import { type Node, createNode } from './node.ts'
import { createOffer } from './offer.ts'
import { createOfferRefresh, tagsOf } from './offer-refresh.ts'
import { createProgress } from './progress.ts'
import { type Runner, createRunner } from './execute-job.ts'
import { proveKey } from './prove-key.ts'
import { startSelfTest } from './self-test.ts'
import { createStreams } from './stream.ts'
import { type StatusPort, openStatusPort } from './status.ts'

/** How long the first Ctrl-C lets work in hand run on. */
const FINISH_MS = 30_000

export type WorkerOptions = {
  db: Database
  config: Config
  log: Log
  /** What serves the built-in kinds here; none of them are offered without. */
  engines?: Engines
  /** Kinds of the users' own, made known to the mesh when it joins. */
  kinds?: readonly HandledKind[]
}

/**
 * A worker: joins the mesh with the roles this machine can serve, runs what it is given, reports,
 * and leaves.
 *
 * `stop(hurry)` takes nothing more, lets work in hand finish for up to 30 s and hands back the
 * rest, uncharged; when `hurry` fires it hands back at once. `ended` settles when another process
 * took over this node's id.
 *
 * @example
 * const worker = createWorker({ db, config, log, engines: await findEngines() })
 * await worker.start()
 */
export function createWorker({
  db,
  config,
  log: whole,
  engines = createRegistry(),
  kinds = [],
}: WorkerOptions): Service {
  const log = whole.child({ node: config.node.id })
  const ended = Promise.withResolvers<unknown>()
  let node: Node | undefined
  let runner: Runner | undefined
  let transport: Transport | undefined
  let hearing: WakeListener | undefined
  let status: StatusPort | undefined
  let offers: Loop | undefined
  let selfTest: { stop(): Promise<void> } | undefined
  const media = createMediaClient({ db, key: config.key, node: () => node! })
  const measures = createMeasures(monotonicMs)
  const progress = createProgress({
    db,
    key: config.key,
    node: () => node!,
    redis: () => transport?.redis,
    log,
  })

  async function start(): Promise<void> {
    await proveKey({ db, key: config.key, log })
    const { tags: found } = await findHardware()
    const offer = createOffer({ db, media, engines, kinds, config })
    const tags = tagsOf(found, offer, config)
    status = await openStatusPort(config.node.port, () => ({
      node: config.node.id,
      incarnation: node?.incarnation,
      version: VERSION,
      ...(transport && { redis: transport.redis.up ? 'up' : 'away' }),
    }))
    node = createNode({
      db,
      settings: config.database,
      log,
      registration: {
        id: config.node.id,
        name: config.node.name,
        host: config.node.host,
        port: status.port,
        version: VERSION,
        protocol: PROTOCOL,
        roles: offer.roles,
        tags,
        capabilities: offer.capabilities,
        slots: offer.slots,
        boot_id: await readBootId(),
      },
      busy: () => runner?.busy() ?? {},
      measured: () => ({ ...measures.now(), shares: media.shares() }),
      onReport: (report) => runner?.onReport(report),
    })
    runner = createRunner({
      db,
      node,
      log,
      handlers: offer.handlers,
      offer: { roles: offer.roles, tags },
      slots: offer.slots,
      measures,
      dir: workFolder(config),
      progress: progress.note,
      streams: createStreams({ db, key: config.key, node, log }),
      // Offered no more before the next one asks for it.
      onMissing: () => offers?.kick(),
    })
    transport = await openTransport({ db, url: config.redis.url, log })
    hearing = createWakeListener({ db, transport, node: config.node.id, onHint: wake, log })
    await hearing.open()
    if (kinds.length > 0) {
      const changed = await registerKinds(
        db.pool,
        kinds.map(({ definition }) => definition.registration),
      )
      log.info(
        { kinds: kinds.map(({ definition }) => definition.kind), changed },
        'Made its kinds known to the mesh',
      )
    }
    offers = createOfferRefresh({
      db,
      node,
      log,
      engines,
      config,
      found,
      offer,
      tags,
      make: () => createOffer({ db, media, engines, kinds, config }),
    })
    await node.join()
    hearing.joined(node.incarnation, node.token)
    node.ended.catch((err: unknown) => ended.resolve(err))
    await runner.start()
    progress.start()
    offers.start()
    if (config.node.selfTest)
      selfTest = startSelfTest({
        engines,
        home: config.home,
        log,
        onChange: () => offers?.kick(),
        onSpeed: measures.note,
      })
  }

  /**
   * New assignments are taken up, unstarted ones handed back, and a heartbeat's reply tells which
   * jobs are no longer ours.
   */
  function wake(hint: Hint, given?: GivenToNode): void {
    if (!node?.incarnation) return
    if (hint === 'assigned') runner?.look(given)
    else if (hint === 'recall') runner?.recall()
    else node.beat()
  }

  async function stop(hurry?: AbortSignal): Promise<void> {
    await selfTest?.stop()
    await offers?.stop()
    const outOfTime = AbortSignal.timeout(FINISH_MS)
    if (node?.incarnation) {
      await node
        .drain()
        .catch((err: unknown) =>
          log.warn({ err }, 'The mesh could not be told that this node stops'),
        )
    }
    await runner?.stop(hurry ? AbortSignal.any([hurry, outOfTime]) : outOfTime)
    await progress.stop()
    await engines.close()
    await hearing?.close()
    await transport?.redis.close()
    await node
      ?.leave()
      .catch((err: unknown) =>
        log.warn({ err }, 'The mesh could not be told that this node stopped; its lease will end'),
      )
    await status?.close()
  }

  return { start, stop, ended: ended.promise }
}

/** Several nodes may share a home; an id may hold anything, so its hash names the folder. */
function workFolder(config: Config): string {
  return path.join(
    config.home,
    'work',
    createHash('sha256').update(config.node.id).digest('hex').slice(0, 16),
  )
}
