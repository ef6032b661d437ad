import { existsSync } from 'node:fs'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from './helpers/database.ts'

test('a connection left open fails the test that left it', async () => {
  const given = await testDatabase('postgres')
  const leaked = new pg.Client({ connectionString: given.url, application_name: 'forgetful' })
  // The server cuts it when the database goes.
  leaked.on('error', () => {})
  await leaked.connect()
  await leaked.query('select 1 as left_open')
  await expect(given[Symbol.asyncDispose]()).rejects.toThrow(/forgetful: select 1 as left_open/)
})

describe.each(databases)('a test database (%s)', (kind) => {
  test('holds the tables of Earshot, and nothing that another test wrote', async () => {
    await using one = await testDatabase(kind)
    await using other = await testDatabase(kind)
    await one.db.pool.query(`insert into earshot.tenants (id, name) values ('only-here', 'x')`)
    const { rows } = await other.db.pool.query('select id from earshot.tenants')
    expect(rows).toEqual([{ id: 'default' }])
  })

  test('knows vectors', async () => {
    await using given = await testDatabase(kind)
    const { rows } = await given.db.pool.query(
      `select '[1,0]'::vector <-> '[0,0]'::vector as distance`,
    )
    expect(rows).toEqual([{ distance: 1 }])
  })

  test('goes with its folder when it is disposed of', async () => {
    const given = await testDatabase(kind)
    await given[Symbol.asyncDispose]()
    expect(existsSync(given.home)).toBe(false)
    await expect(given.db.pool.query('select 1')).rejects.toThrow()
  })
})
