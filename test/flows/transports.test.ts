import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createCoordinator } from '@earshot/coordinator'
import { createClient, defineKind } from '@earshot/sdk'
import { loadConfig } from '@earshot/shared/config'
import { thisMachine } from '@earshot/shared/config/machine'
import { submitJobs } from '@earshot/db/functions/jobs'
import { nodeChannel } from '@earshot/db/functions/nodes'
import { type Database, openDatabase } from '@earshot/db/open'
import { createLog, silentLog } from '@earshot/shared/log'
import { openTransport } from '@earshot/shared/transport/open'
import type { Wake } from '@earshot/shared/transport/wakes'
import { createWorker, handle } from '@earshot/worker'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type DatabaseKind, databases, testDatabase } from '../helpers/database.ts'
import { openProxy } from '../helpers/proxy.ts'
import { findRedis, startRedis } from '../helpers/redis.ts'

const NODES = ['attic', 'cellar']
const BATCHES = 2
const BATCH = 50
/** Enqueued one by one: few enough at once to go along with the messages. */
const SINGLE = 20
/** Long enough to tell how far it is, which is done twice a second. */
const LONG_MS = 1500
/**
 * How late a message comes for the last time: after whole batches of others, and after its node
 * started again.
 */
const LATE_MS = [0, 0, 150, 1200]

const work = defineKind({
  kind: 'work',
  role: 'hands',
  payload: z.object({ ms: z.number() }),
  result: z.object({ attempt: z.number() }),
})

type Held = Awaited<ReturnType<typeof testDatabase>>
/**
 * One way by which messages come: how the workers reach the database, the address of a Redis, and
 * who meddles.
 */
type Way = AsyncDisposable & {
  workersDb: Database
  redisUrl?: string
  open?: typeof openTransport
  messages(): number
  /** Of these, those that brought the assignments themselves. */ carried(): number
}

/**
 * Repeats every notification to a node, late too. A channel is a node's, whatever its incarnation:
 * what was meant for one gets to the next.
 */
async function overNotify({ db }: Held): Promise<Way> {
  let messages = 0
  let carried = 0
  const own = new Map<string, number>()
  const sending = new Set<Promise<unknown>>()
  const channels = await Promise.all(NODES.map((node) => nodeChannel(db.pool, node)))
  const repeat = (channel: string) => (payload: string) => {
    const key = `${channel} ${payload}`
    const mine = own.get(key) ?? 0
    if (mine > 0) return void own.set(key, mine - 1)
    messages += 1
    if (payload.startsWith('{')) carried += 1
    own.set(key, LATE_MS.length)
    for (const ms of LATE_MS)
      later(sending, ms, () => db.pool.query('select pg_notify($1, $2)', [channel, payload]))
  }
  const listener = await db.listen(
    Object.fromEntries(channels.map((channel) => [channel, repeat(channel)])),
    () => {},
  )
  return {
    workersDb: db,
    messages: () => messages,
    carried: () => carried,
    async [Symbol.asyncDispose]() {
      await Promise.all(sending)
      await listener.close()
    },
  }
}

/** Sends every message again, late, and to the incarnations before and after. */
async function overRedis({ db }: Held): Promise<Way> {
  const redis = await startRedis()
  const sending = new Set<Promise<unknown>>()
  let messages = 0
  let carried = 0
  const open: typeof openTransport = async (options) => {
    const transport = await openTransport(options)
    const { wakes } = transport!
    const send = async (wake: Wake) => {
      messages += 1
      if (wake.given !== undefined) carried += 1
      await wakes.send(wake)
      for (const ms of LATE_MS)
        for (const off of [0, -1, 1])
          later(sending, ms, () => wakes.send({ ...wake, incarnation: wake.incarnation + off }))
    }
    return { ...transport!, wakes: { ...wakes, send } }
  }
  return {
    workersDb: db,
    redisUrl: redis.url,
    open,
    messages: () => messages,
    carried: () => carried,
    async [Symbol.asyncDispose]() {
      await Promise.all(sending)
      await redis[Symbol.asyncDispose]()
    },
  }
}

/** No message arrives: what is left is the heartbeat's reply. */
async function overHeartbeat({ url, home }: Held): Promise<Way> {
  const proxy = await openProxy(url!)
  proxy.muffled = true
  const workersDb = await openDatabase({ url: proxy.url, home })
  return {
    workersDb,
    messages: () => 1,
    carried: () => 1,
    async [Symbol.asyncDispose]() {
      await workersDb.close()
      await proxy[Symbol.asyncDispose]()
    },
  }
}

function later(sending: Set<Promise<unknown>>, ms: number, send: () => Promise<unknown>): void {
  const sent: Promise<unknown> = sleep(ms)
    .then(send)
    .catch(() => {}) // its mesh is gone
  sending.add(sent)
  void sent.finally(() => sending.delete(sent))
}

const ways: [name: string, database: DatabaseKind, set: (held: Held) => Promise<Way>][] = [
  ['notifications', 'embedded', overNotify],
  ...(databases.includes('postgres')
    ? ([
        ['notifications', 'postgres', overNotify],
        ["the heartbeat's reply alone", 'postgres', overHeartbeat],
      ] as typeof ways)
    : []),
  ...(databases.includes('postgres') && findRedis()
    ? ([['Redis', 'postgres', overRedis]] as typeof ways)
    : []),
]

describe.each(ways)('messages by %s on %s', (_, kind, set) => {
  test(
    'that come twice, late, and to the wrong incarnation: everything runs, nothing runs twice, and progress is told',
    { timeout: 120_000 },
    async () => {
      await using held = await testDatabase(kind)
      await using way = await set(held)
      const { db } = held
      const runs = new Map<number, number>()
      const handler = handle(work, async ({ ms }, { job, progress }) => {
        if (ms === LONG_MS) progress(0.5)
        runs.set(job.id, (runs.get(job.id) ?? 0) + 1)
        await sleep(ms)
        return { attempt: job.attempt }
      })
      const settings = (node: string) =>
        loadConfig({
          flags: { home: path.join(held.home, node), 'node-id': node, slots: '20' },
          cwd: held.home,
          machine: thisMachine(true),
          files: {},
          env: {
            ...(held.url !== undefined && { DATABASE_URL: held.url }),
            ...(way.redisUrl !== undefined && { REDIS_URL: way.redisUrl }),
            EARSHOT_PORT: '0',
            EARSHOT_INBOX: path.join(held.home, 'inbox'),
          },
        })
      const join = async (node: string) => {
        const worker = createWorker({
          db: way.workersDb,
          config: settings(node),
          log: silentLog(),
          kinds: [handler],
        })
        await worker.start()
        return worker
      }
      const coordinator = createCoordinator({
        db,
        config: settings('desk'),
        log: silentLog(),
        ...(way.open && { open: way.open }),
      })
      await coordinator.start()
      const workers = await Promise.all(NODES.map(join))
      const client = createClient({ url: coordinator.url })
      const following = new AbortController()
      const told = (async () => {
        for await (const event of client.events({ progress: true, signal: following.signal }))
          if (event.type === 'job.progress') return event
      })()
      const counts = async () =>
        (
          await db.pool.query(
            `select count(*) filter (where status = 'completed')::int as completed, count(*)::int as all from earshot.jobs`,
          )
        ).rows[0]
      try {
        for (let batch = 1; batch <= BATCHES; batch += 1) {
          const ids = (
            await submitJobs(
              db.pool,
              Array.from({ length: BATCH }, (_, at) => ({
                kind: 'work',
                payload: { ms: at === 0 ? LONG_MS : at },
              })),
            )
          ).map(({ id }) => id)
          for (let i = 0; i < SINGLE; i += 1)
            ids.push((await submitJobs(db.pool, [{ kind: 'work', payload: { ms: i } }]))[0]!.id)
          // Both ways of telling a node besides its assignments: to hand back what it has not
          // started, and that something is no longer its own.
          for (const node of NODES)
            await db.pool.query('select earshot.wake_node($1, $2)', [
              node,
              batch % 2 === 0 ? 'recall' : 'cancelled',
            ])
          if (batch === BATCHES / 2) {
            // A new incarnation of one node, while messages to the old one are still on their way.
            await workers[0]!.stop()
            workers[0] = await join(NODES[0]!)
          }
          await expect
            .poll(
              async () =>
                (
                  await db.pool.query(
                    "select count(*)::int as open from earshot.jobs where id = any ($1) and status <> 'completed'",
                    [ids],
                  )
                ).rows[0].open,
              { timeout: 60_000, interval: 20 },
            )
            .toBe(0)
        }
        expect(await counts()).toEqual({
          completed: BATCHES * (BATCH + SINGLE),
          all: BATCHES * (BATCH + SINGLE),
        })
        expect([...runs.values()].filter((count) => count !== 1)).toEqual([])
        expect(runs.size).toBe(BATCHES * (BATCH + SINGLE))
        expect(way.messages()).toBeGreaterThan(0)
        expect(way.carried()).toBeGreaterThan(0)
        expect(await told).toMatchObject({ progress: 0.5 })
        // Anyone who has Redis needs no requests for that.
        const metrics = await (await fetch(`${coordinator.url}/metrics`)).text()
        expect(metrics.includes('/v1/progress')).toBe(way.redisUrl === undefined)
      } finally {
        following.abort()
        await told.catch(() => {}) // the failure above says why
        await Promise.all(workers.map((worker) => worker.stop()))
        await coordinator.stop()
      }
    },
  )
})

describe.runIf(databases.includes('postgres') && findRedis())(
  'a worker with a Redis through which no leader sends',
  () => {
    test('hears by notification instead, and through Redis once the leader sends there', async () => {
      await using held = await testDatabase('postgres')
      await using redis = await startRedis()
      const { db } = held
      const settings = (node: string, more: Record<string, string>) =>
        loadConfig({
          flags: { home: path.join(held.home, node), 'node-id': node },
          cwd: held.home,
          machine: thisMachine(true),
          files: {},
          env: {
            DATABASE_URL: held.url!,
            EARSHOT_PORT: '0',
            EARSHOT_INBOX: path.join(held.home, 'inbox'),
            ...more,
          },
        })
      let told = ''
      const hears = (by: string) =>
        expect
          .poll(
            async () =>
              (await db.pool.query('select wake_transport from earshot.nodes')).rows[0]
                .wake_transport,
            { timeout: 60_000 },
          )
          .toBe(by)
      const worker = createWorker({
        db,
        config: settings('attic', { REDIS_URL: redis.url }),
        log: createLog({
          level: 'warn',
          destination: { write: (line: string) => void (told += line) },
          human: false,
          colours: false,
          secrets: [],
        }),
        kinds: [handle(work, async () => ({ attempt: 1 }))],
      })
      const without = createCoordinator({ db, config: settings('desk', {}), log: silentLog() })
      const coordinator = createCoordinator({
        db,
        config: settings('desk', { REDIS_URL: redis.url }),
        log: silentLog(),
      })
      await without.start()
      await worker.start()
      try {
        await hears('redis')
        await hears('notify')
        await expect
          .poll(() => told, { timeout: 60_000 })
          .toContain('No coordinator that leads sends through this Redis')
        await without.stop()
        await coordinator.start()
        await hears('redis')
      } finally {
        await worker.stop()
        await coordinator.stop()
      }
    })
  },
)
