import { PROTOCOL } from '@earshot/contract'
import { submitJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership, listFreeNodes, sweep } from '@earshot/db/functions/leadership'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { routeAll } from '../../packages/coordinator/src/routing/route.ts'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { join } from './fixture.ts'

describe.each(databases)('rows that cannot be read, on %s', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
    await sql(`insert into earshot.job_kinds (kind, role) values ('step', 'tts')`)
    await sql(`update earshot.settings set leadership = '1 hour', routable = '10 minutes'`)
  })
  afterAll(() => held[Symbol.asyncDispose]())
  beforeEach(async () => {
    for (const table of ['jobs', 'nodes']) await sql(`delete from earshot.${table}`)
  })
  const sql = (text: string, values: unknown[] = []) => held.db.pool.query(text, values)
  const step = async () => (await submitJobs(held.db.pool, [{ kind: 'step', payload: {} }]))[0]!.id
  const route = async () =>
    routeAll(held.db, { term: (await acquireLeadership(held.db.pool, 'test', true))! })
  /** As a version before may have left it, which did not check. */
  async function insertUnchecked(requires: string, runAt = 'now'): Promise<void> {
    await sql('alter table earshot.jobs disable trigger refuse_bad_job')
    await sql(
      `insert into earshot.jobs (kind, role, requires, run_at, due) values ('step', 'tts', $1, $2, $2::timestamptz <= now())`,
      [requires, runAt],
    )
    await sql('alter table earshot.jobs enable trigger refuse_bad_job')
  }

  const bad = [
    '{"vram_gb": {"min": 8}}',
    '{"vram_gb": {"toString": 8}}',
    '{"vram_gb": {">=": "x"}}',
    '{"vram_gb": {}}',
    '{"vram_gb": null}',
    '{"vram_gb": [8]}',
    '{"vram_gb": {"not": true}}',
    '{"": 1}',
  ]
  test.each([...bad, '[8]', '8'])('needs such as %s are refused from SQL', async (requires) => {
    const code = { code: '22023' }
    await expect(
      sql(`select earshot.submit_job('step', requires => $1)`, [requires]),
    ).rejects.toMatchObject(code)
    await expect(
      sql(
        `select earshot.submit_jobs(jsonb_build_array(jsonb_build_object('kind', 'step', 'requires', $1::jsonb)))`,
        [requires],
      ),
    ).rejects.toMatchObject(code)
    if (requires.startsWith('{'))
      await expect(
        sql(`insert into earshot.jobs (kind, role, requires) values ('step', 'tts', $1)`, [
          requires,
        ]),
      ).rejects.toMatchObject(code)
  })
  test('needs that can be read are taken from SQL', async () => {
    const good = '{"a": 1, "b": "x*", "c": true, "d": {"not": "y"}, "e": {">=": 1, "<": 2.5}}'
    await sql(`select earshot.submit_job('step', requires => $1)`, [good])
  })
  test('the leader is told which lane cannot be read, and why', async () => {
    await insertUnchecked('{"vram_gb": [8]}')
    const told: string[][] = []
    const term = (await acquireLeadership(held.db.pool, 'test', true))!
    await routeAll(held.db, { term, onMalformed: (_, faults) => void told.push(faults) })
    expect(told).toEqual([['requires.vram_gb is malformed']])
  })
  test('needs of more than a hundred tags are refused from SQL', async () => {
    const tags = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`t${i}`, true]))
    await expect(
      sql(`select earshot.submit_job('step', requires => $1)`, [tags]),
    ).rejects.toMatchObject({ code: '22023' })
  })
  test.each(bad)('a job whose needs are %s stops the routing of no other', async (requires) => {
    await insertUnchecked(requires)
    await step()
    await join(held.db, 'n1')
    expect(await route()).toBe(1)
  })
  test.each(['"x"', '1.5', '-1', 'null', '1e9', '[]', '{}'])(
    'a node that reports %s as a count stops the routing to no other',
    async (count) => {
      await join(held.db, 'n1')
      await join(held.db, 'n2')
      await sql(
        `update earshot.nodes set slots = jsonb_build_object('tts', $1::jsonb), busy = jsonb_build_object('tts', $1::jsonb) where id = 'n1'`,
        [count],
      )
      await step()
      expect(
        (await listFreeNodes(held.db.pool, PROTOCOL)).find(({ id }) => id === 'n1')?.free,
      ).toMatchObject({
        tts: 0,
      })
      expect(await route()).toBe(1)
    },
  )
  test.each(['infinity', '-infinity'])('%s is refused as a time', async (time) => {
    for (const argument of ['run_at', 'deadline']) {
      await expect(
        sql(`select earshot.submit_job('step', ${argument} => $1)`, [time]),
      ).rejects.toThrow(argument)
      await expect(
        sql(
          `select earshot.submit_jobs(jsonb_build_array(jsonb_build_object('kind', 'step', '${argument}', $1::text)))`,
          [time],
        ),
      ).rejects.toThrow(argument)
    }
  })
  test('a job that never comes due does not stop the sweep', async () => {
    await insertUnchecked('{}', 'infinity')
    const term = await acquireLeadership(held.db.pool, 'test', true)
    expect(await sweep(held.db.pool, term!, true)).toMatchObject({ next_due_s: null })
  })
})
