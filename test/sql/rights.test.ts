import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'

describe.each(databases)('the rights of earshot_worker, on %s', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  const asWorker = <T>(work: (client: pg.PoolClient) => Promise<T>) =>
    held.db.transaction(async (client) => {
      await client.query('set local role earshot_worker')
      return work(client)
    })

  test.each([
    ['read a table', 'select * from earshot.jobs'],
    ['read the secret that signs media', 'select secret from earshot.settings'],
    ['write a table', `update earshot.nodes set status = 'offline'`],
    ['route', `select * from earshot.route_jobs(1, '{}', '{}', '{}')`],
    ['take leadership', `select earshot.acquire_leadership('me', true)`],
    [
      'fail jobs that it does not hold',
      `select * from earshot.end_jobs('{1}', 'failed', 'X', 'x')`,
    ],
    ['go round the fence', `select earshot.requeue_jobs('{1}', 'x', 'lost')`],
  ])('do not let it %s', async (_, sql) => {
    await expect(asWorker((client) => client.query(sql))).rejects.toThrow('permission denied')
  })

  test('let it join, beat, take, hand back and leave', async () => {
    await asWorker(async (client) => {
      const {
        rows: [joined],
      } = await client.query(
        `select earshot.register_node('n', 'n', null, 0, '1', 1, '{tts}', '{}', '{}', '{"tts": 1}') as i`,
      )
      await client.query('select earshot.heartbeat($1, $2, $3)', ['n', joined.i, {}])
      await client.query('select * from earshot.take_assignments($1, $2, $3::bigint[])', [
        'n',
        joined.i,
        [],
      ])
      await client.query('select * from earshot.read_segments(1), earshot.read_chunks(1)')
      await client.query(
        `select earshot.schema_version(), earshot.lease_seconds(), earshot.node_channel('n')`,
      )
      await client.query('select earshot.deregister_node($1, $2)', ['n', joined.i])
    })
  })

  test("no function that runs with its owner's rights looks into a schema where others may put things", async () => {
    const { rows } = await held.db.pool.query(`select proname, proconfig from pg_proc
      where pronamespace = 'earshot'::regnamespace and not coalesce('search_path=earshot, pg_temp' = any (proconfig), false)`)
    expect(rows).toEqual([])
  })

  test('nobody else may call anything', async () => {
    const { rows } = await held.db.pool
      .query(`select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where n.nspname = 'earshot' and a.grantee = 0`)
    expect(rows).toEqual([])
  })
})
