import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { DIFFERENCES } from '../src/embedded/differences.ts'
import { vacuumNeedy } from '../src/embedded/vacuum.ts'
import { openDatabase, type Database } from '../src/open.ts'

const CHILD = fileURLToPath(new URL('./helpers/open-embedded.ts', import.meta.url))

describe('the embedded database', () => {
  let own: TestDatabase
  let db: Database

  beforeAll(async () => {
    own = await testDatabase('embedded')
    db = own.db
  })
  afterAll(() => own[Symbol.asyncDispose]())

  test.skipIf(process.platform === 'win32')(
    'its folders are closed to other users, also where they were open before',
    async () => {
      await using other = await testDatabase('embedded')
      const home = await mkdtemp(path.join(other.home, 'open-'))
      await mkdir(path.join(home, 'db'), { mode: 0o755 })
      await chmod(home, 0o755)
      const opened = await openDatabase({ home })
      try {
        for (const folder of [home, path.join(home, 'db')])
          expect((await stat(folder)).mode & 0o777).toBe(0o700)
      } finally {
        await opened.close()
      }
    },
  )

  describe('refuses COPY FROM STDIN as SQL', () => {
    test.each([
      'copy numbers from stdin',
      'COPY numbers FROM STDIN WITH (FORMAT csv)',
      '/* a /* nested */ comment */ -- and another\n Copy "numbers"(n)\nfrom\tStdin',
      `select 'copy'; copy numbers from stdin`,
      `select E'it\\'s'; copy public.numbers (n) from stdin (format binary);`,
    ])('%j', async (sql) => {
      await db.pool.query('create table if not exists numbers (n int)')
      await expect(db.pool.query(sql)).rejects.toMatchObject({
        code: '0A000',
        message: expect.stringContaining('COPY FROM STDIN'),
      })
      await expect(db.pool.query({ name: 'copy', text: sql })).rejects.toMatchObject({
        code: expect.stringMatching(/0A000|42601/),
      })
      expect((await db.pool.query('select count(*) as n from numbers')).rows).toEqual([{ n: 0 }])
    })

    test('and the transaction around it has failed', async () => {
      const refused = db.transaction(async (client) => {
        await expect(client.query('copy numbers from stdin')).rejects.toMatchObject({
          code: '0A000',
        })
        await client.query('select 1')
      })
      await expect(refused).rejects.toMatchObject({ code: '25P02' })
    })

    test('but not words that only look like it', async () => {
      const { rows } = await db.pool.query(
        `select 'copy numbers from stdin' as a, $$; copy x from stdin$$ as b -- ; copy x from stdin`,
      )
      expect(rows).toEqual([{ a: 'copy numbers from stdin', b: '; copy x from stdin' }])
    })
  })

  test('a statement over its time ends the engine, rejects every pending call, and the database comes back', async () => {
    const home = await copyOfTemplate(path.join(own.home, 'watchdog'))
    const watched = await openDatabase({ home, watchdogS: 1 })
    await watched.pool.query('create table kept (n int); insert into kept values (7)')
    const missed = Promise.withResolvers<void>()
    let connected = 0
    const listener = await watched.listen({ wake: () => {} }, () =>
      ++connected === 2 ? missed.resolve() : undefined,
    )
    const calls = await Promise.allSettled([
      watched.pool.query('select count(*) from generate_series(1, 1e12) n'),
      watched.pool.query('select 1'),
      watched.transaction((client) => client.query('select 2')),
    ])
    expect(calls.map((call) => call.status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(calls[0]).toMatchObject({
      reason: { code: 'EARSHOT_DATABASE', message: expect.stringContaining('longer than 1 s') },
    })
    expect((await watched.pool.query('select n from kept')).rows).toEqual([{ n: 7 }])
    await missed.promise
    expect(listener.state).not.toBe('pooled')
    await watched.close()
  })

  test('close waits for the transaction in hand', async () => {
    const home = await copyOfTemplate(path.join(own.home, 'closing'))
    const first = await openDatabase({ home })
    await first.pool.query('create table written (n int)')
    const begun = Promise.withResolvers<void>()
    const writing = first.transaction(async (client) => {
      await client.query('insert into written values (1)')
      begun.resolve()
      await sleep(100)
      await client.query('insert into written values (2)')
    })
    await begun.promise
    await Promise.all([first.close(), first.close(), writing])
    const second = await openDatabase({ home })
    expect((await second.pool.query('select n from written order by n')).rows).toEqual([
      { n: 1 },
      { n: 2 },
    ])
    await second.close()
  })

  test('tables that changed enough are vacuumed, others are not', async () => {
    await db.pool.query('create table churned (n int); create table still (n int)')
    await db.pool.query(
      'insert into churned select generate_series(1, 1000); update churned set n = n + 1; insert into still values (1)',
    )
    // The engine counts what happened once a second at most.
    await expect
      .poll(
        async () =>
          (
            await db.pool.query(
              `select n_dead_tup from pg_stat_user_tables where relname = 'churned'`,
            )
          ).rows[0].n_dead_tup,
        { timeout: 5000 },
      )
      .toBe(1000)
    expect(await vacuumNeedy(db.pool)).toContain('public.churned')
    const { rows } = await db.pool.query(
      `select relname, last_vacuum is not null as vacuumed from pg_stat_user_tables where relname in ('churned', 'still') order by 1`,
    )
    expect(rows).toEqual([
      { relname: 'churned', vacuumed: true },
      { relname: 'still', vacuumed: false },
    ])
  })

  test('its differences are the ones the documentation lists', async () => {
    const doc = await readFile(
      fileURLToPath(new URL('../../../docs/embedded-database.md', import.meta.url)),
      'utf8',
    )
    expect(
      doc
        .split('\n')
        .filter((line) => line.startsWith('| '))
        .slice(1),
    ).toEqual(DIFFERENCES.map(({ what, instead }) => `| ${what} | ${instead} |`))
  })

  test('memory does not grow with the number of statements', async () => {
    const text = 'x'.repeat(100_000)
    const grown: number[] = []
    let before = Infinity
    for (let round = 0; round < 6; round++) {
      for (let n = 0; n < 300; n++) await db.pool.query('select $1::text', [text])
      const now = process.memoryUsage().rss
      grown.push(now - before)
      before = now
    }
    // What is kept grows in every round, by 300 answers of 100 kB or more; what waits to be
    // collected does not.
    expect(Math.min(...grown.slice(1))).toBeLessThan(15e6)
  })
})

describe('the lock of the embedded database', () => {
  let folder: string
  beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), 'earshot-lock-'))))
  afterAll(() => rm(folder, { recursive: true, force: true }))

  let homes = 0
  const newHome = () => path.join(folder, `home with space ${++homes}`)
  const readyHome = () => copyOfTemplate(newHome())

  test('a second opener in this process is refused', async () => {
    const home = await readyHome()
    const db = await openDatabase({ home })
    await expect(openDatabase({ home })).rejects.toMatchObject({
      code: 'EARSHOT_DATABASE_IN_USE',
      hint: expect.stringContaining('HTTP'),
    })
    await db.close()
  })

  test('another process is refused, and gets in when the holder was killed; what was committed is there', async () => {
    const home = await readyHome()
    const holder = await startChild(home)
    expect(await said(holder)).toBe('open')
    holder.send('insert')
    expect(await said(holder)).toBe('inserted')
    const refused = openDatabase({ home })
    await expect(refused).rejects.toMatchObject({
      code: 'EARSHOT_DATABASE_IN_USE',
      message: expect.stringContaining(String(holder.pid)),
    })
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    const db = await openDatabase({ home })
    expect((await db.pool.query('select n from survivors')).rows).toEqual([{ n: 1 }])
    await db.close()
  })

  test('of four processes that find a stale lock at once, one gets in', async () => {
    const home = await readyHome()
    const db = await openDatabase({ home })
    await db.close()
    await writeFile(
      path.join(home, 'db.lock'),
      JSON.stringify({ pid: 2 ** 22 - 3, started: 'long ago', host: os.hostname(), token: 'x' }),
    )
    const children = await Promise.all(Array.from({ length: 4 }, () => startChild(home)))
    const answers = await Promise.all(children.map((child) => said(child)))
    expect(answers.sort()).toEqual([
      'EARSHOT_DATABASE_IN_USE',
      'EARSHOT_DATABASE_IN_USE',
      'EARSHOT_DATABASE_IN_USE',
      'open',
    ])
    for (const child of children) child.kill('SIGKILL')
  })

  test('a process id that was given out anew does not hold the lock', async () => {
    const home = await readyHome()
    const claim = { pid: process.pid, started: 'another start', host: os.hostname(), token: 'x' }
    await writeFile(path.join(home, 'db.lock'), JSON.stringify(claim))
    await (await openDatabase({ home })).close()
    expect(await readdir(home)).not.toContain('db.lock')
  })

  test('a holder on another machine counts while it touches the lock', async () => {
    const home = await readyHome()
    const lock = path.join(home, 'db.lock')
    await writeFile(lock, JSON.stringify({ pid: 1, started: 'x', host: 'elsewhere', token: 'x' }))
    let tick = 0
    const touching = setInterval(() => void utimes(lock, ++tick, tick), 200)
    await expect(openDatabase({ home })).rejects.toMatchObject({
      code: 'EARSHOT_DATABASE_IN_USE',
      message: expect.stringContaining('elsewhere'),
    })
    clearInterval(touching)
    await (await openDatabase({ home })).close()
  })

  test('a half-written lock is taken over', async () => {
    const home = await readyHome()
    await writeFile(path.join(home, 'db.lock'), '{"pid":')
    await (await openDatabase({ home })).close()
  })

  test(
    'a process killed at any moment of the very first creation leaves nothing that does not heal',
    { timeout: 240_000 },
    async () => {
      const home = newHome()
      const making = async (name: string) =>
        (await readdir(home)).some(
          (made) => made.startsWith('db.creating') && existsSync(path.join(home, made, name)),
        )
      const moments: [string, () => Promise<boolean>][] = [
        ['the folder is there', () => making('')],
        ['half of the files are there', () => making('global')],
        ['PostgreSQL has started on them', () => making('postmaster.pid')],
        ['it was renamed', async () => existsSync(path.join(home, 'db'))],
      ]
      await mkdir(home)
      for (const [moment, come] of moments) {
        const child = await startChild(home)
        await expect.poll(come, { message: moment, timeout: 50_000, interval: 5 }).toBe(true)
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      const db = await openDatabase({ home })
      expect((await db.pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
      expect((await readdir(home)).sort()).toEqual(['db', 'db.lock'])
      await db.close()
    },
  )

  test('a folder that is no database is left alone, with a sentence', async () => {
    const home = newHome()
    await mkdir(path.join(home, 'db'), { recursive: true })
    await writeFile(path.join(home, 'db', 'mine.txt'), 'keep me')
    await expect(openDatabase({ home })).rejects.toMatchObject({
      code: 'EARSHOT_DATABASE',
      message: expect.stringContaining('no database'),
    })
    expect(await readFile(path.join(home, 'db', 'mine.txt'), 'utf8')).toBe('keep me')
    expect(await readdir(home)).toEqual(['db'])
  })
})

/** Creating a database takes seconds, copying one does not. */
async function copyOfTemplate(home: string): Promise<string> {
  const { embedded } = inject('databases')
  if ('fault' in embedded) throw new Error(embedded.fault)
  await cp(embedded.at, home, { recursive: true })
  return home
}

async function startChild(home: string): Promise<ChildProcess> {
  const child = fork(CHILD, [home], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(child, 'spawn')
  return child
}

async function said(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, 'message')
  return message
}
