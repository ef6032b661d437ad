import { defineKind, EarshotError } from '@earshot/contract'
import { registerKinds } from '@earshot/db/functions/kinds'
import { submitJobs } from '@earshot/db/functions/jobs'
import { createLog } from '@earshot/shared/log'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { assignAll, join } from '../../../test/sql/fixture.ts'
import { createReporter } from '../src/report.ts'
import { judge } from '../src/verdict.ts'

const shrink = defineKind({
  kind: 'shrink',
  role: 'shrink',
  payload: z.object({ n: z.number() }),
  result: z.object({ of: z.number() }),
})
const ARGUMENTS = 'text, bigint, bigint[], bigint[], jsonb[], text'
const HIDE = `alter function earshot.finish_jobs(${ARGUMENTS}) rename to kept`
const RAISE = (code: string) => `${HIDE};
  create function earshot.finish_jobs(${ARGUMENTS}) returns table (id bigint, answer text)
  language plpgsql as $$ begin raise 'something is missing' using errcode = '${code}'; end $$`

describe.each(databases)('reporting results during a schema update (%s)', (kind) => {
  test.each([
    ['a function is missing', HIDE],
    ['a table is missing', RAISE('42P01')],
    ['a right is missing', RAISE('42501')],
    ['the server has an internal error', RAISE('XX000')],
  ])('good results are kept and reported again while %s', async (_, breakIt) => {
    await using held = await testDatabase(kind)
    const { pool } = held.db
    await registerKinds(pool, [shrink.registration])
    const incarnation = await join(held.db, 'node-1', { roles: ['shrink'], slots: { shrink: 9 } })
    await submitJobs(
      pool,
      [1, 2].map((n) => ({ kind: shrink.kind, payload: { n } })),
    )
    const jobs = await assignAll(held.db, 'node-1', incarnation)
    expect(jobs).toHaveLength(2)
    const warned = Promise.withResolvers<void>()
    const destination = {
      write: (line: string) => line.includes('sent again') && warned.resolve(),
    }
    const reporter = createReporter({
      db: held.db,
      node: { id: 'node-1', incarnation, token: null },
      log: createLog({ level: 'warn', destination, human: false }),
    })
    await pool.query(breakIt)
    const answers = jobs.map((job) =>
      reporter.finished(job, { output: { of: job.id } }, { aborted: false }),
    )
    await warned.promise
    await pool.query(`drop function if exists earshot.finish_jobs(${ARGUMENTS});
      alter function earshot.kept(${ARGUMENTS}) rename to finish_jobs`)
    expect(await Promise.all(answers)).toEqual(['done', 'done'])
    const { rows } = await pool.query('select status, error_code from earshot.jobs')
    expect(rows).toEqual(jobs.map(() => ({ status: 'completed', error_code: null })))
  })
})

test('a handler that meets a schema update hands its job back, charging nobody', () => {
  expect(judge(new EarshotError('EARSHOT_SCHEMA_MISSING', 'A function is missing.'))).toEqual({
    away: 'A function is missing.',
  })
})
