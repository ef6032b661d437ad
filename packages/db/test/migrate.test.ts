import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { databases, testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { checkSchema, migrate } from '../src/migrate.ts'
import { openDatabase } from '../src/open.ts'
import { SQL_FOLDER } from '../src/sql-files.ts'

describe.each(databases)('migrate (%s)', (kind) => {
  let own: TestDatabase
  let folder: string

  beforeAll(async () => void (own = await testDatabase(kind)))
  afterAll(() => own[Symbol.asyncDispose]())
  beforeEach(async () => {
    await own.db.pool.query(
      'drop schema if exists earshot cascade; drop extension if exists vector',
    )
    folder = await mkdtemp(path.join(os.tmpdir(), 'earshot sql '))
    await cp(SQL_FOLDER, folder, { recursive: true })
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const count = async (what: string) =>
    (await own.db.pool.query<{ n: number }>(`select count(*) as n from ${what}`)).rows[0]?.n
  const write = (name: string, sql: string) => writeFile(path.join(folder, name), sql)

  test('a database that a newer Earshot migrated is refused', async () => {
    await migrate(own.db)
    await own.db.pool.query(
      `insert into earshot.migrations (version, name, hash) values (9999, '9999_future.sql', 'x')`,
    )
    await expect(migrate(own.db)).rejects.toMatchObject({
      code: 'EARSHOT_SCHEMA_NEWER',
      message: expect.stringContaining('9999'),
    })
    await expect(checkSchema(own.db)).rejects.toMatchObject({ code: 'EARSHOT_SCHEMA_NEWER' })
  })

  test('an applied migration whose file changed is refused, by name; other line ends are no change', async () => {
    await migrate(own.db, { folder })
    const first = path.join(folder, 'migrations/0001_mesh.sql')
    await writeFile(first, (await readFile(first, 'utf8')).replaceAll('\n', '\r\n'))
    expect(await migrate(own.db, { folder })).toEqual({ applied: [], functions: [], vanished: [] })
    await write('migrations/0001_mesh.sql', 'select 1;')
    await expect(migrate(own.db, { folder })).rejects.toMatchObject({
      code: 'EARSHOT_MIGRATION_CHANGED',
      message: expect.stringContaining('0001_mesh'),
    })
  })

  test('a migration that fails leaves nothing of itself, and names file and line', async () => {
    await migrate(own.db, { folder })
    const { latest } = await checkSchema(own.db, { folder })
    const name = `migrations/${String(latest + 1).padStart(4, '0')}_broken.sql`
    await write(name, 'create table earshot.half ();\n\nselect nonsense;\n')
    await expect(migrate(own.db, { folder })).rejects.toMatchObject({
      code: 'EARSHOT_DATABASE',
      message: expect.stringMatching(/_broken\.sql failed in line 3/),
    })
    expect(await count(`pg_tables where tablename = 'half'`)).toBe(0)
    expect((await checkSchema(own.db, { folder })).pending).toContain(name)
  })

  test('a function that a migration drops stays until its file has replaced it', async () => {
    const zz = (body: string) =>
      `create or replace function earshot.zz_add(a int${body.includes('b') ? ', b int' : ''}) returns int language sql as $$ select ${body} $$;`
    await write('functions/zz_add.sql', zz('a + 1'))
    await migrate(own.db, { folder })
    const { latest } = await checkSchema(own.db, { folder })
    await write(
      `migrations/${String(latest + 1).padStart(4, '0')}_drop.sql`,
      'drop function earshot.zz_add(int);',
    )
    await write('functions/zz_add.sql', 'this is no function;')
    await expect(migrate(own.db, { folder })).rejects.toMatchObject({ code: 'EARSHOT_DATABASE' })
    expect((await own.db.pool.query('select earshot.zz_add(1) as n')).rows).toEqual([{ n: 2 }])
    await write('functions/zz_add.sql', zz('a + b'))
    await migrate(own.db, { folder })
    expect((await own.db.pool.query('select earshot.zz_add(1, 2) as n')).rows).toEqual([{ n: 3 }])
  })

  test.runIf(kind === 'postgres')(
    'a migration that waits for a table lets go of it, and goes on when the table is free',
    async () => {
      await migrate(own.db, { folder })
      const { latest } = await checkSchema(own.db, { folder })
      await write(
        `migrations/${String(latest + 1).padStart(4, '0')}_column.sql`,
        'alter table earshot.media add column zz int;',
      )
      const foreign = await own.db.pool.connect()
      let tries = 0
      try {
        await foreign.query('begin; select from earshot.media')
        const again = Promise.withResolvers<void>()
        const migrated = migrate(own.db, {
          folder,
          onSql: (name) => name.endsWith('_column.sql') && ++tries === 2 && again.resolve(),
        })
        // In its second try it has let go of what the first one waited for.
        await Promise.race([again.promise, migrated])
        expect(tries).toBe(2)
        await foreign.query('commit')
        expect((await migrated).applied).toHaveLength(1)
      } finally {
        foreign.release(true)
      }
    },
  )

  test('a function whose signature changed is refused with what to do, and the old one stays', async () => {
    await write(
      'functions/zz_add.sql',
      'create or replace function earshot.zz_add(a int) returns int language sql as $$ select a + 1 $$;',
    )
    await migrate(own.db, { folder })
    for (const sql of [
      'create or replace function earshot.zz_add(a int) returns text language sql as $$ select $1::text $$;',
      'create or replace function earshot.zz_add(b int) returns int language sql as $$ select 2 $$;',
      'create or replace function earshot.zz_add(a int, b int) returns int language sql as $$ select 2 $$;',
    ]) {
      await write('functions/zz_add.sql', sql)
      await expect(migrate(own.db, { folder })).rejects.toMatchObject({
        message: expect.stringContaining('functions/zz_add.sql'),
        hint: expect.stringContaining('new migration'),
      })
    }
    expect((await own.db.pool.query('select earshot.zz_add(1) as n')).rows).toEqual([{ n: 2 }])
  })

  test('a dry run reports everything and changes nothing', async () => {
    const seen: string[] = []
    const { applied, functions } = await migrate(own.db, {
      dryRun: true,
      onSql: (name, sql) => sql.length > 0 && seen.push(name),
    })
    expect(seen).toEqual(['ledger', ...applied, ...functions, 'grants.sql'])
    expect(applied[0]).toBe('migrations/0001_mesh.sql')
    expect(await count(`pg_namespace where nspname = 'earshot'`)).toBe(0)
    expect(await count(`pg_extension where extname = 'vector'`)).toBe(0)
  })

  test('an empty database is reported as empty, and a migrated one as complete', async () => {
    const before = await checkSchema(own.db)
    expect(before).toMatchObject({
      version: 0,
      upToDate: false,
      vector: null,
      vectorAvailable: true,
    })
    expect(before.pending).toHaveLength(new Set(before.pending).size)
    await migrate(own.db)
    const after = await checkSchema(own.db)
    expect(after).toMatchObject({
      version: before.latest,
      latest: before.latest,
      upToDate: true,
      pending: [],
    })
    expect(after.vector).toMatch(/^\d+\.\d+/)
  })

  test('twice in a row does nothing the second time', async () => {
    const first = await migrate(own.db)
    expect(first.applied.length).toBeGreaterThan(0)
    expect(await migrate(own.db)).toEqual({ applied: [], functions: [], vanished: [] })
    expect(await count('earshot.migrations')).toBe(first.applied.length)
  })

  test('several migrators at once do everything once', async () => {
    const all = await Promise.all(Array.from({ length: 3 }, () => migrate(own.db)))
    const { latest } = await checkSchema(own.db)
    expect(all.flatMap((one) => one.applied)).toHaveLength(latest)
    expect(all.filter((one) => one.functions.length > 0)).toHaveLength(1)
    expect(await count('earshot.migrations')).toBe(latest)
  })

  test('a changed function is applied again, an unchanged one is not, a vanished one is named', async () => {
    const file = (n: number) =>
      `create or replace function earshot.zz_one() returns int language sql as $$ select ${n} $$;`
    await write('functions/zz_one.sql', file(1))
    await write(
      'functions/zz_two.sql',
      'create or replace function earshot.zz_two() returns int language sql as $$ select earshot.zz_one() $$;',
    )
    await migrate(own.db, { folder })
    await write('functions/zz_one.sql', file(2))
    await rm(path.join(folder, 'functions/zz_two.sql'))
    expect(await migrate(own.db, { folder })).toEqual({
      applied: [],
      functions: ['functions/zz_one.sql'],
      vanished: ['functions/zz_two.sql'],
    })
    expect((await own.db.pool.query('select earshot.zz_two() as n')).rows).toEqual([{ n: 2 }])
  })

  test('a migration that drops a function lets its file come back with other arguments', async () => {
    await write(
      'functions/zz_add.sql',
      'create or replace function earshot.zz_add(a int) returns int language sql as $$ select a $$;',
    )
    await migrate(own.db, { folder })
    const { latest } = await checkSchema(own.db, { folder })
    await write(
      `migrations/${String(latest + 1).padStart(4, '0')}_drop.sql`,
      'drop function earshot.zz_add(int);',
    )
    await write(
      'functions/zz_add.sql',
      'create or replace function earshot.zz_add(a int, b int) returns int language sql as $$ select a + b $$;',
    )
    await migrate(own.db, { folder })
    expect((await own.db.pool.query('select earshot.zz_add(1, 2) as n')).rows).toEqual([{ n: 3 }])
  })

  test.runIf(kind === 'postgres')(
    'where only a superuser may create pgvector, that line is given',
    async () => {
      const url = new URL(own.url!)
      const admin = inject('databases').postgres
      if ('fault' in admin) throw new Error(admin.fault)
      const role = `plain_${url.pathname.slice(1)}`
      await own.db.pool.query(
        `create role ${role} login password 'plain'; grant create on database ${url.pathname.slice(1)} to ${role}`,
      )
      Object.assign(url, { username: role, password: 'plain' })
      const plain = await openDatabase({ url: url.href, home: own.home })
      try {
        await expect(migrate(plain)).rejects.toMatchObject({
          code: 'EARSHOT_VECTOR_MISSING',
          hint: expect.stringContaining('create extension vector schema public;'),
        })
        await own.db.pool.query(
          `create schema earshot authorization ${role}; create extension vector schema earshot`,
        )
        await expect(migrate(plain)).rejects.toMatchObject({
          code: 'EARSHOT_VECTOR_MISSING',
          hint: expect.stringContaining('alter extension'),
        })
        await own.db.pool.query('alter extension vector set schema public')
        await migrate(plain)
        expect((await checkSchema(plain)).upToDate).toBe(true)
      } finally {
        await plain.close()
        const client = new pg.Client({ connectionString: own.url! })
        await client.connect()
        await client.query(
          `drop schema if exists earshot cascade; drop owned by ${role}; drop role ${role}`,
        )
        await client.end()
      }
    },
  )
})
