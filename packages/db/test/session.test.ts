import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { submitDocument } from '../src/functions/documents.ts'
import { migrate } from '../src/migrate.ts'
import { type Database, openDatabase } from '../src/open.ts'

/**
 * What an administrator may have set for a database or a role, and what broke something, or could.
 */
const ODD: Record<string, string> = {
  DateStyle: "'German, DMY'",
  IntervalStyle: "'sql_standard'",
  TimeZone: "'Asia/Kolkata'",
  bytea_output: "'escape'",
  search_path: 'pg_catalog',
  standard_conforming_strings: 'off',
  extra_float_digits: '-3',
  quote_all_identifiers: 'on',
}
const MOMENT = '2026-02-03T04:05:06.789Z'

describe.each(databases)('a database or role with settings of its own, %s', (kind) => {
  describe.each(['database', 'role'])('of the %s', (owner) => {
    let own: TestDatabase
    let db: Database
    beforeAll(async () => {
      own = await testDatabase(kind)
      const { rows } = await own.db.pool.query<Record<string, string>>(
        'select quote_ident(current_database()) as database, quote_ident(current_user) as role',
      )
      const whose = owner === 'role' ? `role ${rows[0]!.role} in ` : ''
      const alter = `alter ${whose}database ${rows[0]!.database} set`
      for (const [name, value] of Object.entries(ODD))
        await own.db.pool.query(`${alter} ${name} = ${value}`)
      await own.db.pool.query('drop schema earshot cascade')
      await own.db.close()
      db = await openDatabase({ url: own.url, home: own.home })
    })
    afterAll(async () => {
      await db.close()
      await own[Symbol.asyncDispose]()
    })

    test('is set up', async () => {
      expect((await migrate(db)).applied.length).toBeGreaterThan(0)
      // Beside a schema that is there already, every function is compared with the one before.
      await db.pool.query('delete from earshot.function_files')
      expect((await migrate(db)).applied).toEqual([])
    })

    test('gives the same values as any other', async () => {
      const reading = `select timestamptz '${MOMENT}' as at, array[timestamptz '${MOMENT}'] as ats,
        to_jsonb(timestamptz '${MOMENT}') as json, '\\x00ff'::bytea as bytes, 0.25::float8 as part`
      const expected = {
        at: new Date(MOMENT),
        ats: [new Date(MOMENT)],
        json: MOMENT.replace('Z', '+00:00'),
        bytes: Buffer.from([0, 255]),
        part: 0.25,
      }
      expect((await db.pool.query(reading)).rows).toEqual([expected])
      expect((await db.transaction((client) => client.query(reading))).rows).toEqual([expected])
      const direct = db.direct()
      await direct.connect()
      expect((await direct.query(reading)).rows).toEqual([expected])
      await direct.end()
    })

    test('takes a document, finds its words and signs its media', async () => {
      const hash = 'a'.repeat(64)
      const at = {
        hash,
        size: 3,
        holder: 'box',
        path: '/a',
        title: 'Brücke',
        kind: 'text',
      } as const
      const { document_id } = await submitDocument(db.pool, at)
      const { rows } = await db.pool.query(
        `select created_at, earshot.sign_media($1, 1) as signed, earshot.search_text('Brücke', true) as text
           from earshot.documents where id = $2`,
        [hash, document_id],
      )
      expect(Math.abs(Date.now() - rows[0].created_at.getTime())).toBeLessThan(600_000)
      expect(rows[0].signed).toMatch(/^[0-9a-f]{64}$/)
      expect(rows[0].text).toContain('brucke')
    })
  })
})

describe.runIf(databases.includes('postgres'))('a database that cannot hold every text', () => {
  test('is refused before the schema, with the command that makes another', async () => {
    await using own = await testDatabase('postgres')
    const name = `${new URL(own.url!).pathname.slice(1)}_latin`
    await own.db.pool.query(
      `create database ${name} encoding 'LATIN1' locale 'C' template template0`,
    )
    const url = new URL(own.url!)
    url.pathname = `/${name}`
    try {
      const opening = openDatabase({ url: url.href, home: own.home })
      await expect(opening.then((db) => db.close())).rejects.toMatchObject({
        code: 'EARSHOT_DATABASE',
        message: expect.stringContaining('LATIN1'),
        hint: expect.stringContaining('createdb --encoding=UTF8'),
      })
    } finally {
      await own.db.pool.query(`drop database ${name} with (force)`)
    }
  })
})
