import { heartbeat } from '@earshot/db/functions/nodes'
import type { Database } from '@earshot/db/open'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../helpers/database.ts'
import { join } from './fixture.ts'

const MEASURED = { speeds: { speak: 4 }, warm: ['speak'], shares: [] }

async function bytesOfNodes(db: Database): Promise<number> {
  const { rows } = await db.pool.query<{ bytes: number }>(
    `select sum(pg_relation_size(oid))::int as bytes from pg_class
     where relnamespace = 'earshot'::regnamespace and relname like 'node%'`,
  )
  return rows[0]!.bytes
}

describe.each(databases)('the lease of a node on %s', (kind) => {
  test('stands in earshot.nodes, and a heartbeat renews it without writing the node', async () => {
    await using held = await testDatabase(kind)
    const rows = async (text: string) => (await held.db.pool.query(text)).rows
    const incarnation = await join(held.db, 'n1')
    await heartbeat(held.db.pool, 'n1', incarnation, { tts: 1 }, MEASURED)
    await rows(`update earshot.node_leases set last_seen = now() - interval '1 minute',
      lease_until = now() - interval '1 minute'`)
    const [before] = await rows('select ctid from earshot.node_registry')

    await heartbeat(held.db.pool, 'n1', incarnation, { tts: 1 }, MEASURED)
    expect(await rows('select ctid from earshot.node_registry')).toEqual([before])
    expect(
      await rows(`select busy, speeds, last_seen > now() - interval '10 seconds' as seen,
        lease_until > now() as leased from earshot.nodes`),
    ).toEqual([{ busy: { tts: 1 }, speeds: { speak: 4 }, seen: true, leased: true }])

    await heartbeat(held.db.pool, 'n1', incarnation, {}, MEASURED)
    expect(await rows('select busy from earshot.nodes')).toEqual([{ busy: {} }])
    await rows('delete from earshot.nodes')
    expect(await rows('select node from earshot.node_leases')).toEqual([])
  })
})

describe.runIf(databases.includes('postgres'))('under a long snapshot', () => {
  test('a thousand heartbeats of a node that offers much add little to the tables', async () => {
    await using held = await testDatabase('postgres')
    const tags = Object.fromEntries(
      Array.from({ length: 100 }, (_, n) => [`tag-${n}`, `what it is good for ${n}`]),
    )
    const incarnation = await join(held.db, 'n1', { tags })
    await heartbeat(held.db.pool, 'n1', incarnation, {}, MEASURED)
    const reader = new pg.Client({ connectionString: held.url })
    await reader.connect()
    try {
      await reader.query('begin isolation level repeatable read; select count(*) from earshot.jobs')
      const before = await bytesOfNodes(held.db)
      for (let n = 0; n < 1000; n += 1)
        await heartbeat(held.db.pool, 'n1', incarnation, {}, MEASURED)
      // Each version of a narrow row takes about 64 bytes, and half of each page stays free.
      expect((await bytesOfNodes(held.db)) - before).toBeLessThan(200_000)
    } finally {
      await reader.end()
    }
  })
})
