import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { submitJobs } from '@earshot/db/functions/jobs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chaos } from '../faults/kind.ts'
import { type Stage, setStage } from '../faults/stage.ts'
import { databases } from '../helpers/database.ts'
import { findServer } from '../helpers/postgres.ts'
import { type TestRedis, findRedis, startRedis } from '../helpers/redis.ts'
import { createRunFolder, removeRunFolder } from '../helpers/run-folder.ts'

const server = await findServer()
const PHASE = 400
const BATCH = 20
/**
 * The heartbeat is every 2 s; the rest is for a machine that does much else. Beyond 10 s a worker
 * looks by itself.
 */
const WAITS_AT_MOST_S = 8

describe.runIf(databases.includes('postgres') && server.kind === 'local' && findRedis())(
  'two coordinators and three workers that hear through Redis, one of them from behind a transaction pooler',
  () => {
    let stage: Stage
    let redis: TestRedis
    let folder: string
    beforeAll(async () => {
      if (server.kind !== 'local') return
      folder = await createRunFolder()
      redis = await startRedis()
      stage = await setStage({
        server,
        folder,
        coordinators: 2,
        workers: 3,
        leaseS: 15,
        redis: redis.url,
      })
    })
    afterAll(async () => {
      await stage[Symbol.asyncDispose]()
      await redis[Symbol.asyncDispose]()
      await removeRunFolder(folder)
    })

    const ask = async <Row extends object>(sql: string): Promise<Row> =>
      (await stage.db.pool.query<Row>(sql)).rows[0]!
    const submit = async (count: number) =>
      void (await submitJobs(
        stage.db.pool,
        Array.from({ length: count }, () => ({ kind: chaos.kind, payload: { ms: 5 } })),
      ))
    /**
     * So many jobs a little at a time, so that none waits for a slot; what is done to Redis
     * meanwhile falls among them.
     */
    async function phase(meanwhile: () => unknown): Promise<void> {
      for (let sent = 0; sent < PHASE; sent += BATCH) {
        await submit(BATCH)
        if (sent === PHASE / 2) await meanwhile()
        await sleep(80)
      }
    }
    const hearing = (by: string) =>
      expect
        .poll(() => ask(`select array_agg(distinct wake_transport) as by from earshot.nodes`), {
          timeout: 60_000,
        })
        .toEqual({ by: [by] })
    const health = async () => {
      const { rows } = await stage.db.pool.query<{ url: string }>(
        'select url from earshot.coordinators',
      )
      return Promise.all(
        rows.map(
          async ({ url }) =>
            ((await (await fetch(`${url}/healthz`)).json()) as { redis: string }).redis,
        ),
      )
    }
    const logOf = (name: string) => readFile(path.join(folder, `${name}.log`), 'utf8')

    test('no worker holds a connection that listens, and jobs get to all of them', async () => {
      await hearing('redis')
      const listening = `select count(*)::int as sessions from pg_stat_activity where query ilike 'listen %' and backend_type = 'client backend'`
      await expect.poll(() => ask(listening), { timeout: 20_000 }).toEqual({ sessions: 2 })
      await submit(60)
      await expect
        .poll(
          () =>
            ask(
              'select count(distinct node)::int as nodes, count(*)::int as done from chaos.effects',
            ),
          { timeout: 60_000 },
        )
        .toEqual({ nodes: 3, done: 60 })
      expect(await logOf('worker-3')).not.toContain('EARSHOT_POOLED')
      await stage.db.pool.query('truncate chaos.holds, chaos.effects')
    })

    test('2,000 jobs run while Redis is emptied, frozen, stopped and started again: each is stored once, and none waits longer than the heartbeat', async () => {
      await phase(() => {})
      await phase(() => redis.client.flushall())
      await phase(() => redis.freeze())
      await hearing('notify')
      redis.thaw()
      await hearing('redis')
      await phase(() => redis.stop())
      await hearing('notify')
      expect(await health()).toEqual(['away', 'away'])
      await phase(() => redis.start())
      await hearing('redis')
      await expect
        .poll(
          () =>
            ask(
              'select count(*)::int as effects, count(distinct job_id)::int as jobs from chaos.effects',
            ),
          { timeout: 120_000 },
        )
        .toEqual({ effects: 5 * PHASE, jobs: 5 * PHASE })
      const waits = await ask<{ longest: number; usual: number }>(`
      select extract(epoch from max(e.at - h.at))::float8 as longest, percentile_cont(0.5) within group (order by extract(epoch from e.at - h.at)) as usual
      from chaos.effects e join chaos.holds h using (job_id, fence)`)
      expect(waits.longest, JSON.stringify(waits)).toBeLessThan(WAITS_AT_MOST_S)
      expect(
        await ask(
          "select max(tries)::int as tries, count(*) filter (where status <> 'completed')::int as open from earshot.jobs",
        ),
      ).toEqual({ tries: 0, open: 0 })
      for (const name of ['coordinator-1', 'worker-1']) {
        const log = await logOf(name)
        // Once each time, and not for every message.
        expect([...log.matchAll(/Redis is away/g)], log).toHaveLength(2)
        expect([...log.matchAll(/Redis is back/g)], log).toHaveLength(2)
        // The leader needs a moment, too, to say that it sends there again: nothing to warn of.
        expect(log).not.toContain('No coordinator that leads')
      }
      expect(await health()).toEqual(['up', 'up'])
    })
  },
)
