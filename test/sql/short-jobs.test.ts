import { defineKind, z } from '@earshot/contract'
import { cancelJobs, finishJobs, submitJobs } from '@earshot/db/functions/jobs'
import { registerKinds } from '@earshot/db/functions/kinds'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, eventTypes, join, jobRow } from './fixture.ts'

const count = defineKind({
  kind: 'count',
  role: 'numbers',
  payload: z.object({ to: z.number() }),
  result: z.object({ n: z.number() }),
  priority: 3,
  maxTries: 2,
}).registration

/** What takes a shorter way, since it needs less: it must come to the same. */
describe.each(databases)("short jobs of the users' own kinds, on %s", (kind) => {
  let held: TestDatabase
  let n1: number
  beforeAll(async () => {
    held = await testDatabase(kind)
    await registerKinds(held.db.pool, [count])
    n1 = await join(held.db, 'n1', { roles: ['numbers'], slots: { numbers: 100 } })
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  const pool = () => held.db.pool
  const report = (ids: number[], fences: string[], outcomes: string[]) =>
    pool().query<{ id: number; answer: string }>(
      `select id, answer from earshot.finish_jobs('n1', $1, $2::bigint[], $3::bigint[], $4::jsonb[]) order by id`,
      [n1, ids, fences, outcomes],
    )

  test('of a tenant that is not there are refused, one by one and many at once', async () => {
    await expect(
      submitJobs(pool(), [{ kind: 'count', payload: { to: 1 } }], 'nobody'),
    ).rejects.toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      message: 'There is no tenant "nobody".',
    })
    await expect(
      pool().query(`select earshot.submit_job('count', '{"to": 1}', tenant => 'nobody')`),
    ).rejects.toThrow('There is no tenant "nobody".')
  })

  test.each([
    ['without what the kind needs', `'{}'`, 'payload of kind "count" needs: to.'],
    ['with a payload that is no object', `'[]'`, 'payload is no JSON object.'],
    ['of a class that there is not', `'{"to": 1}', class => 'soon'`, 'class is "soon"'],
  ])('%s are refused with the same words as many', async (_, args, words) => {
    await expect(pool().query(`select earshot.submit_job('count', ${args})`)).rejects.toThrow(words)
  })

  test('are the same row and the same events, one by one and many at once', async () => {
    const {
      rows: [one],
    } = await pool().query<{ id: number }>(
      `select earshot.submit_job('count', '{"to": 1}', requires => '{"fast": true}', run_at => now() + interval '1 hour', role => 'sums') as id`,
    )
    const soon = new Date(Date.now() + 3_600_000).toISOString()
    const [many, keyed] = await submitJobs(pool(), [
      { kind: 'count', payload: { to: 1 }, requires: { fast: true }, run_at: soon, role: 'sums' },
      {
        kind: 'count',
        payload: { to: 1 },
        requires: { fast: true },
        run_at: soon,
        role: 'sums',
        idempotency_key: 'k',
      },
    ])
    const {
      rows: [alone],
    } = await pool().query<{ id: number }>(
      `select id from earshot.submit_jobs('[{"kind": "count", "payload": {"to": 1}, "requires": {"fast": true}, "role": "sums", "run_at": "${soon}"}]')`,
    )
    const rows = await Promise.all(
      [one!.id, many!.id, keyed!.id, alone!.id].map(
        async (id) =>
          (
            await pool().query(
              'select kind, role, lane::text, requires, payload, status, due, priority, max_tries, class, tenant_id, waiting_on, document_id from earshot.jobs where id = $1',
              [id],
            )
          ).rows[0],
      ),
    )
    expect(rows[0]).toMatchObject({
      role: 'sums',
      status: 'pending',
      due: false,
      priority: 3,
      max_tries: 2,
      class: 'batch',
      tenant_id: 'default',
    })
    for (const row of rows) expect(row).toEqual(rows[0])
    for (const { id } of [one!, many!, keyed!, alone!])
      expect(await eventTypes(held.db, id)).toEqual(['job.queued'])
    await cancelJobs(pool(), [one!.id, many!.id, keyed!.id, alone!.id])
  })

  test('one that the database refuses among many fails alone; one that was cancelled is lost; all said again is known', async () => {
    const [bad, good, gone] = await submitJobs(
      pool(),
      [1, 2, 3].map((to) => ({ kind: 'count', payload: { to } })),
    )
    const jobs = await assignAll(held.db, 'n1', n1)
    await cancelJobs(pool(), [gone!.id])
    const fences = jobs.map(({ fence }) => fence)
    const ids = jobs.map(({ id }) => id)
    // So long cannot be written down.
    const outcomes = ids.map(
      (id) => `{"output": {"n": 1}, "ran_s": ${id === bad!.id ? '1e400' : '0.5'}}`,
    )
    expect((await report(ids, fences, outcomes)).rows.map(({ answer }) => answer)).toEqual([
      'done',
      'done',
      'lost',
    ])
    expect(await jobRow(held.db, bad!.id)).toMatchObject({
      status: 'failed',
      error_code: 'EARSHOT_RESULT_REFUSED',
    })
    expect(await jobRow(held.db, good!.id)).toMatchObject({ status: 'completed', result: { n: 1 } })
    expect((await report(ids, fences, outcomes)).rows.map(({ answer }) => answer)).toEqual([
      'already',
      'already',
      'lost',
    ])
    expect(await eventTypes(held.db, good!.id)).toEqual(['job.queued', 'job.completed'])
  })

  test('under another fence, or another incarnation, nothing of them changes', async () => {
    await submitJobs(pool(), [{ kind: 'count', payload: { to: 1 } }])
    const [job] = await assignAll(held.db, 'n1', n1)
    const outcome = { output: { n: 1 } }
    expect(await finishJobs(pool(), 'n1', n1, [{ id: job!.id, fence: '1', outcome }])).toEqual([
      { id: job!.id, answer: 'lost' },
    ])
    expect(await finishJobs(pool(), 'n1', n1 + 1, [{ ...job!, outcome }])).toEqual([
      { id: job!.id, answer: 'lost' },
    ])
    expect(await jobRow(held.db, job!.id)).toMatchObject({ status: 'assigned', result: null })
    expect(await finishJobs(pool(), 'n1', n1, [{ ...job!, outcome }])).toEqual([
      { id: job!.id, answer: 'done' },
    ])
  })
})
