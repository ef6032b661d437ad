import { readdirSync } from 'node:fs'
import { LIMITS_MS, call } from '@earshot/db/functions/call'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { leaseSeconds } from '@earshot/db/functions/nodes'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { openProxy } from '../../../test/helpers/proxy.ts'
import { openDatabase } from '../src/open.ts'

test('each limit is that of a function that there is', () => {
  const functions = readdirSync(new URL('../../../sql/functions', import.meta.url))
  expect(functions).toEqual(
    expect.arrayContaining(Object.keys(LIMITS_MS).map((name) => `${name}.sql`)),
  )
})

describe.each(databases)('calling functions during a schema update (%s)', (kind) => {
  test('a statement whose function now returns something else is prepared again, on every connection', async () => {
    await using held = await testDatabase(kind)
    const { pool } = held.db
    const make = (columns: string, value: string) =>
      pool.query(`drop function if exists public.changing();
        create function public.changing() returns table (${columns}) language sql as $$ select ${value} $$`)
    const ask = () => call(pool, 'changing', 'select * from public.changing()', [])
    await make('one int', '1')
    expect(await Promise.all([ask(), ask()])).toEqual([[{ one: 1 }], [{ one: 1 }]])
    await make('one int, two int', '1, 2')
    const both = [{ one: 1, two: 2 }]
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([both, both, both])
    await make('two int', '2')
    expect(await ask()).toEqual([{ two: 2 }])
  })
})

describe.runIf(databases.includes('postgres'))('calling functions on a server', () => {
  test('goes on behind a transaction pooler, where a statement that was prepared may be on another connection', async () => {
    await using held = await testDatabase('postgres')
    const { pool } = held.db
    const client = await pool.connect()
    try {
      expect(await leaseSeconds(client)).toBe(15)
      // What it looks like when the pooler hands out a server connection that never saw the
      // statement.
      await client.query('deallocate all')
      expect(await leaseSeconds(client)).toBe(15)
      // And one on which someone else prepared it under the same name.
      await client.query(`prepare lease_seconds as select 1`)
      expect(await leaseSeconds(client)).toBe(15)
    } finally {
      client.release()
    }
  })

  test('goes on behind a transaction pooler also when several find it out at once', async () => {
    await using held = await testDatabase('postgres')
    const { pool } = held.db
    const prepared = await Promise.all([1, 2, 3].map(() => pool.connect()))
    for (const client of prepared) await client.query('prepare lease_seconds as select 1')
    for (const client of prepared) client.release()
    expect(await Promise.all([1, 2, 3].map(() => leaseSeconds(pool)))).toEqual([15, 15, 15])
  })

  test('a connection that does not answer any more is given up, and those that idled beside it', async () => {
    await using held = await testDatabase('postgres')
    await using proxy = await openProxy(held.url!)
    const db = await openDatabase({ url: proxy.url, home: held.home })
    await Promise.all([1, 2, 3].map(() => db.pool.query('select pg_sleep(0.1)')))
    expect(db.pool.idleCount).toBe(3)
    proxy.deaden()
    await expect(acquireLeadership(db.pool, 'one', false)).rejects.toMatchObject({
      code: 'EARSHOT_DATABASE',
      message: 'The database did not answer in time.',
    })
    expect(await acquireLeadership(db.pool, 'one', false)).toBe('1')
    await db.close()
  })

  test('a transaction whose connection does not answer any more ends, and its connection with it', async () => {
    await using held = await testDatabase('postgres')
    await using proxy = await openProxy(held.url!)
    const db = await openDatabase({ url: proxy.url, home: held.home })
    const work = db.transaction(async (client) => {
      proxy.deaden()
      await client.query({ text: 'select 1', query_timeout: 200 } as { text: string })
    })
    await expect(work).rejects.toThrow('Query read timeout')
    expect(db.pool.totalCount).toBe(0)
    expect(await leaseSeconds(db.pool)).toBe(15)
    await db.close()
  })

  test('a database that is slow gets more time at each try, until its answers come soon again', async () => {
    await using held = await testDatabase('postgres')
    const { pool } = held.db
    await pool.query('create table slow (by float8); insert into slow values (0)')
    // Under the name of one that has a short limit; its first is 1.5 s.
    const asked = () =>
      call(pool, 'list_unstarted_jobs', 'select 1 as one from slow, pg_sleep(slow.by)', [])
    expect(await asked()).toEqual([{ one: 1 }])
    await pool.query('update slow set by = 1.7')
    await expect(asked()).rejects.toThrow('did not answer in time')
    expect(await asked()).toEqual([{ one: 1 }])
    expect(await asked()).toEqual([{ one: 1 }])
    // On a busy machine one quick answer may itself be slow.
    const slowAfterQuick = async () => {
      await pool.query('update slow set by = 0')
      await asked()
      await pool.query('update slow set by = 1.7')
      return asked().then(
        () => 'answered',
        (error: Error) => error.message,
      )
    }
    await expect.poll(slowAfterQuick, { timeout: 60_000 }).toContain('did not answer in time')
  })

  test('what the server undid for the sake of another is said once more, and only once', async () => {
    await using held = await testDatabase('postgres')
    const { pool } = held.db
    await pool.query(`create sequence refused; create function undone(p_times int) returns int language plpgsql as $$ begin
      if nextval('refused') <= p_times then raise 'deadlock detected' using errcode = '40P01'; end if; return 1; end $$`)
    const undone = (times: number) =>
      call(pool, `undone_${times}`, 'select undone($1) as one', [times])
    expect(await undone(1)).toEqual([{ one: 1 }])
    await pool.query('alter sequence refused restart')
    await expect(undone(2)).rejects.toThrow('deadlock')
  })
})
