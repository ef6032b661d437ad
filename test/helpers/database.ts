import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openDatabase } from '@earshot/db/open'
import pg from 'pg'
import { inject } from 'vitest'
import { TEMPLATE } from './template.ts'

export type DatabaseKind = 'embedded' | 'postgres'

/** The kinds of database to run a suite on: `describe.each(databases)('… on %s', (kind) => …)`. */
export const databases: readonly DatabaseKind[] = inject('testsServer')
  ? ['embedded', 'postgres']
  : ['embedded']

export type TestDatabase = AsyncDisposable & {
  db: Database
  /**
   * Where other processes reach the same database; none for the embedded one, which is one
   * process's own.
   */
  url: string | undefined
  /** A folder of this test's own, for EARSHOT_HOME; it goes with the database. */
  home: string
}

/**
 * A migrated, empty database for one test file or one test; it goes when disposed. Disposing fails
 * when something still holds a connection to it, because a leaked connection in a test is one in
 * the product.
 *
 * @throws Error with the reason when this kind of database cannot be had here
 * @example
 * await using test = await testDatabase('postgres')
 * await test.db.pool.query('select 1')
 */
export async function testDatabase(kind: DatabaseKind): Promise<TestDatabase> {
  const { folder } = inject('databases')
  const home = await mkdtemp(join(folder, 'home-'))
  return kind === 'postgres' ? onServer(home) : embedded(home)
}

async function embedded(home: string): Promise<TestDatabase> {
  await cp(template('embedded'), home, { recursive: true })
  const db = await openDatabase({ home })
  return {
    db,
    url: undefined,
    home,
    async [Symbol.asyncDispose]() {
      await db.close()
      await rm(home, { recursive: true, force: true })
    },
  }
}

async function onServer(home: string): Promise<TestDatabase> {
  const admin = template('postgres')
  const name = `test_${randomBytes(6).toString('hex')}`
  await asAdmin(admin, (client) => client.query(`create database ${name} template ${TEMPLATE}`))
  const url = new URL(admin)
  url.pathname = `/${name}`
  const db = await openDatabase({ url: url.href, home })
  return {
    db,
    url: url.href,
    home,
    async [Symbol.asyncDispose]() {
      await db.close()
      await rm(home, { recursive: true, force: true })
      await asAdmin(admin, async (client) => {
        const leaked = await openSessions(client, name)
        await client.query(`drop database ${name} with (force)`)
        if (leaked.length > 0)
          throw new Error(
            `Connections to the test's database were left open; they last ran:\n${leaked.join('\n')}`,
          )
      })
    },
  }
}

/**
 * The sessions still there after 2 s: a server process needs a moment to end after its client left.
 */
async function openSessions(client: pg.Client, name: string): Promise<string[]> {
  const deadline = Date.now() + 2_000
  for (;;) {
    const { rows } = await client.query<{ did: string }>(
      `select coalesce(nullif(application_name, '') || ': ', '') || query as did
         from pg_stat_activity where datname = $1 and backend_type = 'client backend'`,
      [name],
    )
    if (rows.length === 0 || Date.now() > deadline) return rows.map(({ did }) => did)
    await sleep(20)
  }
}

async function asAdmin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  // The calls on it fail too and say why; unheard, this event would end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function template(kind: DatabaseKind): string {
  const found = inject('databases')[kind]
  if ('fault' in found) throw new Error(`There is no ${kind} database to test with: ${found.fault}`)
  return found.at
}
