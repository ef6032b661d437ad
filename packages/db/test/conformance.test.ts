import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { openDatabase, type Database } from '../src/open.ts'

describe.each(databases)('a database (%s)', (kind) => {
  let own: TestDatabase
  let db: Database

  beforeAll(async () => {
    own = await testDatabase(kind)
    db = own.db
    await db.pool.query(
      'create table things (id bigint generated always as identity primary key, name text unique)',
    )
  })
  afterAll(() => own[Symbol.asyncDispose]())

  const one = async <T>(sql: string, values: unknown[] = []) =>
    (await db.pool.query<{ value: T }>(sql, values)).rows[0]?.value

  describe('errors', () => {
    test('an error names its SQLSTATE and leaves the pool usable', async () => {
      await expect(db.pool.query('select * from nowhere')).rejects.toMatchObject({ code: '42P01' })
      await expect(db.pool.query('select $1::int', ['x'])).rejects.toMatchObject({ code: '22P02' })
      expect(await one('select 1 as value')).toBe(1)
    })

    test('an error leaves its own connection usable, in the simple and in the extended protocol', async () => {
      const client = await db.pool.connect()
      try {
        await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
        await expect(client.query('select 1/$1::int', [0])).rejects.toMatchObject({ code: '22012' })
        await expect(
          client.query({ name: 'div', text: 'select 1/$1::int', values: [0] }),
        ).rejects.toMatchObject({ code: '22012' })
        expect(
          (await client.query({ name: 'div', text: 'select 1/$1::int', values: [1] })).rows,
        ).toEqual([{ '?column?': 1 }])
      } finally {
        client.release()
      }
    })

    test('one failing query among queued ones fails alone', async () => {
      const client = await db.pool.connect()
      try {
        const all = await Promise.allSettled([
          client.query('select 1 as value'),
          client.query('select oops'),
          client.query('select $1::int as value', [3]),
        ])
        expect(
          all.map((one) =>
            one.status === 'fulfilled' ? one.value.rows[0].value : one.reason.code,
          ),
        ).toEqual([1, '42703', 3])
      } finally {
        client.release()
      }
    })

    test('of several statements in one text, one that fails undoes all', async () => {
      await expect(
        db.pool.query(`insert into things (name) values ('half'); select 1/0`),
      ).rejects.toMatchObject({ code: '22012' })
      expect(await one(`select count(*) as value from things where name = 'half'`)).toBe(0)
    })

    test('a unique violation names its constraint', async () => {
      await db.pool.query(`insert into things (name) values ('once')`)
      await expect(
        db.pool.query(`insert into things (name) values ('once')`),
      ).rejects.toMatchObject({
        code: '23505',
        constraint: 'things_name_key',
      })
    })
  })

  describe('transactions', () => {
    test('a pool query inside an open transaction is refused at once', async () => {
      const waiting = db.transaction(async () => db.pool.query('select 1'))
      await expect(waiting).rejects.toThrow('inside an open transaction')
      await expect(db.transaction(() => db.transaction(async () => {}))).rejects.toThrow(
        'inside an open transaction',
      )
      await expect(db.transaction(() => db.pool.connect())).rejects.toThrow(
        'inside an open transaction',
      )
    })

    test('a flow that began inside a transaction may use the pool after it', async () => {
      let later: Promise<unknown> = Promise.resolve()
      const gate = Promise.withResolvers<void>()
      await db.transaction(async () => {
        later = gate.promise.then(() => db.pool.query('select 1 as value'))
      })
      gate.resolve()
      await expect(later).resolves.toMatchObject({ rows: [{ value: 1 }] })
    })

    test('what throws is rolled back, what returns is kept', async () => {
      const fault = new Error('no')
      await expect(
        db.transaction(async (client) => {
          await client.query(`insert into things (name) values ('rolled back')`)
          throw fault
        }),
      ).rejects.toBe(fault)
      const given = await db.transaction(async (client) => {
        await client.query(`insert into things (name) values ('kept')`)
        return 'given'
      })
      expect(given).toBe('given')
      expect(
        await one(
          `select array_agg(name) as value from things where name in ('kept', 'rolled back')`,
        ),
      ).toEqual(['kept'])
    })

    test('a failed statement that nobody noticed makes the transaction fail', async () => {
      const unnoticed = db.transaction(async (client) => {
        await client.query(`insert into things (name) values ('unnoticed')`)
        await client.query('select 1/0').catch(() => {})
      })
      await expect(unnoticed).rejects.toThrow('rolled back')
      expect(await one(`select count(*) as value from things where name = 'unnoticed'`)).toBe(0)
    })

    test('a savepoint brings a failed transaction back', async () => {
      await db.transaction(async (client) => {
        await client.query(`savepoint here`)
        await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' })
        await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
        await client.query('rollback to here')
        await client.query(`insert into things (name) values ('after savepoint')`)
      })
      expect(await one(`select count(*) as value from things where name = 'after savepoint'`)).toBe(
        1,
      )
    })

    test('set local ends with its transaction', async () => {
      await db.transaction(async (client) => {
        await client.query(`set local work_mem = '77MB'`)
        expect((await client.query('show work_mem')).rows).toEqual([{ work_mem: '77MB' }])
      })
      expect((await db.pool.query('show work_mem')).rows).not.toEqual([{ work_mem: '77MB' }])
    })

    test('others see nothing of a transaction before it commits', async () => {
      const [inside, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const writing = db.transaction(async (client) => {
        await client.query(`insert into things (name) values ('late')`)
        inside.resolve()
        await go.promise
      })
      await inside.promise
      const reading = one<number>(`select count(*) as value from things where name = 'late'`)
      // The embedded database answers after the transaction, a server during it; neither may answer
      // 1 before the commit.
      const first = await Promise.race([reading, sleep(100, 'still waiting')])
      expect(first).toBe(kind === 'embedded' ? 'still waiting' : 0)
      go.resolve()
      await writing
      await reading
      expect(await one(`select count(*) as value from things where name = 'late'`)).toBe(1)
    })

    test('a client destroyed in the middle of a transaction takes it along', async () => {
      const client = await db.pool.connect()
      await client.query('begin')
      await client.query(`insert into things (name) values ('abandoned')`)
      client.release(true)
      expect(await one(`select count(*) as value from things where name = 'abandoned'`)).toBe(0)
      await db.pool.query(`insert into things (name) values ('abandoned')`)
    })

    test('a transaction that sits idle too long is rolled back, and the rest goes on', async () => {
      const hasty = await openAnother({ idleInTransactionS: 0.3 })
      const cut = hasty.db.transaction(async (client) => {
        await client.query('select 1')
        await new Promise((resolve) => client.once('error', resolve))
        await client.query('select 2')
      })
      await expect(cut).rejects.toThrow()
      expect((await hasty.db.pool.query('select 3 as value')).rows).toEqual([{ value: 3 }])
      await hasty.close()
    })
  })

  describe('values', () => {
    test('bigint is a number, also in arrays, and is refused where digits would be lost', async () => {
      expect(await one('select 9007199254740991::bigint as value')).toBe(9007199254740991)
      expect(await one(`select array[1, null, 3]::bigint[] as value`)).toEqual([1, null, 3])
      await expect(one('select 9007199254740993::bigint as value')).rejects.toThrow('does not fit')
      expect(await one('select 9007199254740993::bigint::text as value')).toBe('9007199254740993')
      expect(await one('select count(*) as value from (select 1 where false) t')).toBe(0)
    })

    test('dates, JSON, bytes, arrays, floats and nulls come back as they went in', async () => {
      const row = {
        at: new Date('2024-02-29T12:34:56.789Z'),
        json: { a: ['ü', null, 1.5] },
        bytes: Buffer.from([0, 255, 10, 39]),
      }
      const { rows } = await db.pool.query(
        'select $1::timestamptz as at, $2::jsonb as json, $3::bytea as bytes, $4::text[] as list, $5::float8 as float, null::text as nothing',
        [row.at, row.json, row.bytes, ['a"b', '', 'c,{}', 'emoji 🎧', null], 0.1],
      )
      expect(rows).toEqual([
        { ...row, list: ['a"b', '', 'c,{}', 'emoji 🎧', null], float: 0.1, nothing: null },
      ])
    })

    test('the pool leaves the global type parsers alone', () => {
      expect(pg.types.getTypeParser(pg.types.builtins.INT8)('7')).toBe('7')
    })

    test('10 MB go in and come out', async () => {
      const text = 'äbc 0123'.repeat(1.2e6)
      const { rows } = await db.pool.query(
        'select $1::text as same, md5($1) as hash, length($1) as length',
        [text],
      )
      expect(rows[0].length).toBe(text.length)
      expect(rows[0].same === text).toBe(true)
      expect(await one('select $1::bytea as value', [Buffer.alloc(10_000_000, 7)])).toHaveLength(
        10_000_000,
      )
    })

    test('a hundred thousand rows come in order', async () => {
      const { rows } = await db.pool.query<{ n: number }>(
        'select n from generate_series(1, 100000) n',
      )
      expect(rows).toHaveLength(100_000)
      expect(rows.every((row, index) => row.n === index + 1)).toBe(true)
    })

    test('vectors are compared', async () => {
      expect(await one(`select '[1,2,3]'::vector <-> '[1,2,5]'::vector as value`)).toBe(2)
    })
  })

  describe('many at once', () => {
    test('answers go to who asked, whatever the pool is asked at once', async () => {
      const asked = Array.from({ length: 500 }, (_, n) => n)
      const answers = await Promise.all(
        asked.map((n) =>
          n % 3 === 0
            ? one(`select ${n}::int as value`)
            : n % 3 === 1
              ? one('select $1::int as value', [n])
              : db.transaction(
                  async (client) =>
                    (await client.query('select $1::int as value', [n])).rows[0].value,
                ),
        ),
      )
      expect(answers).toEqual(asked)
    })

    test('an increment in each of a hundred transactions loses none', async () => {
      await db.pool.query('create table counter (n int); insert into counter values (0)')
      await Promise.all(
        Array.from({ length: 100 }, () =>
          db.transaction(async (client) => {
            const { rows } = await client.query<{ n: number }>('select n from counter for update')
            await client.query('update counter set n = $1', [rows[0]!.n + 1])
          }),
        ),
      )
      expect(await one('select n as value from counter')).toBe(100)
    })

    test('more asked for than the pool holds waits, and says so when it waited too long', async () => {
      const small = await openAnother({ poolSize: 4, connectTimeoutS: 0.3 })
      const clients = await Promise.all(Array.from({ length: 4 }, () => small.db.pool.connect()))
      await expect(small.db.pool.connect()).rejects.toThrow('timeout')
      const waiting = small.db.pool.query('select 5 as value')
      for (const client of clients) client.release()
      expect((await waiting).rows).toEqual([{ value: 5 }])
      await small.close()
    })
  })

  describe('named statements', () => {
    test('the same name is another statement, or the same, on each connection', async () => {
      const [a, b] = [await db.pool.connect(), await db.pool.connect()]
      try {
        const named = (text: string) => ({ name: 'same', text, values: [6] })
        for (let round = 0; round < 2; round++) {
          expect((await a.query(named('select $1::int * 2 as value'))).rows).toEqual([
            { value: 12 },
          ])
          expect((await b.query(named('select $1::int * 3 as value'))).rows).toEqual([
            { value: 18 },
          ])
        }
        expect(
          (await a.query({ name: 'twice', text: 'select $1::int as value', values: [1] })).rows,
        ).toEqual([{ value: 1 }])
        expect(
          (await b.query({ name: 'twice', text: 'select $1::int as value', values: [2] })).rows,
        ).toEqual([{ value: 2 }])
      } finally {
        a.release()
        b.release()
      }
    })

    test('a name is free again on a new connection', async () => {
      for (const factor of [2, 3]) {
        const client = await db.pool.connect()
        const { rows } = await client.query({
          name: 'again',
          text: `select $1::int * ${factor} as value`,
          values: [1],
        })
        expect(rows).toEqual([{ value: factor }])
        client.release(true)
      }
    })

    test('a statement prepared in a transaction that was rolled back still works', async () => {
      const client = await db.pool.connect()
      const statement = { name: 'in transaction', text: 'select $1::int as value', values: [4] }
      await client.query('begin')
      await client.query(statement)
      await client.query('rollback')
      expect((await client.query(statement)).rows).toEqual([{ value: 4 }])
      client.release()
    })
  })

  describe('the protocol', () => {
    test('rows fetched in portions, with Flush in place of Sync, keep their transaction', async () => {
      const client = await db.pool.connect()
      const got: number[] = []
      const portioned = new pg.Query({
        text: 'select n from generate_series(1, 10) n',
        rows: 3,
        name: 'portions',
      } as pg.QueryConfig)
      portioned.on('row', (row: { n: number }) => got.push(row.n))
      const ended = new Promise((resolve, reject) =>
        portioned.on('end', resolve).on('error', reject),
      )
      client.query(portioned)
      const other = db.pool.query('select 1 as value')
      await ended
      expect(got).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      expect((await other).rows).toEqual([{ value: 1 }])
      client.release()
    })

    test('several statements in one text give several results', async () => {
      const results = (await db.pool.query(
        'select 1 as a; select 2 as b',
      )) as unknown as pg.QueryResult[]
      expect(results.map((result) => result.rows[0])).toEqual([{ a: 1 }, { b: 2 }])
    })

    test('an empty statement is no error', async () => {
      expect((await db.pool.query('')).rows).toEqual([])
    })

    test('a row trigger’s notices reach the connection that caused them', async () => {
      const client = await db.pool.connect()
      const notice = new Promise<string | undefined>((resolve) =>
        client.once('notice', ({ message }) => resolve(message)),
      )
      await client.query(`do $$ begin raise notice 'hear this'; end $$`)
      expect(await notice).toBe('hear this')
      client.release()
    })
  })

  describe('notifications', () => {
    test('reach every connection that listens to the channel, and no other', async () => {
      const heard: string[] = []
      const all = Promise.withResolvers<void>()
      const hear = (who: string) => (payload: string) => {
        heard.push(`${who} ${payload}`)
        if (heard.length === 4) all.resolve()
      }
      const first = await db.listen(
        { 'Odd "name"': hear('first'), shared: hear('first') },
        () => {},
      )
      const second = await db.listen({ shared: hear('second') }, () => {})
      await db.pool.query(
        `select pg_notify('Odd "name"', 'hello'), pg_notify('shared', 'x'), pg_notify('nobody', 'y')`,
      )
      await db.pool.query(`notify "Odd ""name""", 'last'`)
      // Each connection hears in its own time: all four are waited for. The channel that no one
      // listens to would make a fifth.
      await all.promise
      await db.pool.query('select 1')
      expect(heard.sort()).toEqual(['first hello', 'first last', 'first x', 'second x'])
      await Promise.all([first.close(), second.close()])
    })

    test('one that stops listening takes nothing from the others', async () => {
      const next = Promise.withResolvers<string>()
      const first = await db.listen({ stays: next.resolve }, () => {})
      const second = await db.listen({ stays: () => {} }, () => {})
      await second.close()
      const client = await db.pool.connect()
      await client.query('listen stays')
      await client.query('unlisten stays')
      client.release()
      await db.pool.query(`notify stays, 'still here'`)
      expect(await next.promise).toBe('still here')
      await first.close()
    })

    test('are sent when their transaction commits, and not when it is rolled back', async () => {
      const heard: string[] = []
      const done = Promise.withResolvers<void>()
      const listener = await db.listen(
        { fate: (payload) => (heard.push(payload), payload === 'done' && done.resolve()) },
        () => {},
      )
      await db
        .transaction(async (client) => {
          await client.query(`notify fate, 'undone'`)
          throw new Error('undo')
        })
        .catch(() => {})
      await db.transaction(async (client) => {
        await client.query(`notify fate, 'done'`)
        expect(heard).toEqual([])
      })
      await done.promise
      expect(heard).toEqual(['done'])
      await listener.close()
    })
  })

  /**
   * A second view of a database of this kind; on the server the same one, embedded one of its own.
   */
  async function openAnother(more: object): Promise<{ db: Database; close(): Promise<void> }> {
    if (own.url !== undefined) {
      const opened = await openDatabase({ url: own.url, home: own.home, ...more })
      return { db: opened, close: () => opened.close() }
    }
    const opened = await openDatabase({ home: `${own.home}/another`, ...more })
    return { db: opened, close: () => opened.close() }
  }
})
