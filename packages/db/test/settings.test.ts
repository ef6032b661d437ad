import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer as createTcp, type AddressInfo, type Server } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { EarshotError } from '@earshot/contract'
import { databaseError } from '../src/errors.ts'
import { openDatabase, type DatabaseSettings } from '../src/open.ts'
import { splitTls } from '../src/tls.ts'

const SECRET = 'hunter2secret'

async function failureOf(settings: Partial<DatabaseSettings>): Promise<EarshotError> {
  const error = await openDatabase({ home: '/nowhere', ...settings }).then(
    async (db) => {
      await db.close()
      throw new Error('it opened')
    },
    (err: unknown) => err,
  )
  expect(error).toBeInstanceOf(EarshotError)
  expect(JSON.stringify(error)).not.toContain(SECRET)
  return error as EarshotError
}

describe('what is wrong with a database is said in a sentence', () => {
  test('an address that is none', async () => {
    expect(await failureOf({ url: `postgresql://ada:${SECRET}@[bad` })).toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      field: 'DATABASE_URL',
    })
    expect(await failureOf({ url: 'postgresql://ada@db/x?sslmode=sometimes' })).toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      message: expect.stringContaining('sometimes'),
    })
    expect(await failureOf({ url: 'postgresql://ada@db/x?sslmode=prefer' })).toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      hint: 'Write sslmode=require for an encrypted connection, or sslmode=disable',
    })
    expect(
      await failureOf({
        url: 'postgresql://ada@db/x',
        sslmode: 'verify-ca',
        caFile: '/no/such.pem',
      }),
    ).toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      message: expect.stringContaining('/no/such.pem'),
    })
  })

  test('nobody listens there', async () => {
    const error = await failureOf({ url: `postgresql://ada:${SECRET}@127.0.0.1:1/x` })
    expect(error).toMatchObject({
      code: 'EARSHOT_DATABASE',
      message: 'No database answers at 127.0.0.1:1.',
    })
    // Both addresses of localhost refuse: Node reports them as one error without a message.
    expect((await failureOf({ url: `postgresql://ada:${SECRET}@localhost:1/x` })).message).toMatch(
      /^No database answers at .+:1\.$/,
    )
  })

  test('the host does not exist', async () => {
    expect((await failureOf({ url: 'postgresql://ada@no-such-host.invalid/x' })).message).toContain(
      'no-such-host.invalid',
    )
  })

  test('something answers, but never speaks', async () => {
    const server = createTcp(() => {}).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const error = await failureOf({
      url: `postgresql://ada@127.0.0.1:${port}/x`,
      connectTimeoutS: 0.2,
    })
    expect(error.message).toContain('did not answer in time')
    server.close()
  })

  describe.runIf(databases.includes('postgres'))('by a real server', () => {
    let own: TestDatabase
    beforeAll(async () => void (own = await testDatabase('postgres')))
    afterAll(() => own[Symbol.asyncDispose]())
    const changed = (change: (url: URL) => void) => {
      const url = new URL(own.url!)
      change(url)
      return { url: url.href }
    }

    test('none: one that is reached through a socket in a folder', async () => {
      const { hostname, port, username, password, pathname } = new URL(own.url!)
      const folder = await mkdtemp(path.join(os.tmpdir(), 'earshot socket '))
      const server = createTcp((socket) => {
        const onward = connect(Number(port), hostname)
        socket.on('error', () => onward.destroy()).on('close', () => onward.destroy())
        onward.on('error', () => socket.destroy()).on('close', () => socket.destroy())
        socket.pipe(onward).pipe(socket)
      })
      server.listen(path.join(folder, '.s.PGSQL.5432'))
      await once(server, 'listening')
      try {
        for (const host of ['', 'localhost:5432']) {
          const url = `postgresql://${username}:${password}@${host}${pathname}?host=${encodeURIComponent(folder)}`
          const db = await openDatabase({ url, home: own.home })
          expect((await db.pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
          await db.close()
        }
      } finally {
        server.close()
        await rm(folder, { recursive: true })
      }
    })

    test('a wrong password', async () => {
      expect((await failureOf(changed((url) => (url.password = SECRET)))).message).toBe(
        'The database refuses the password.',
      )
    })
    test('a database that is not there', async () => {
      expect((await failureOf(changed((url) => (url.pathname = '/nowhere')))).message).toContain(
        '"nowhere"',
      )
    })
    test('no encryption to be had', async () => {
      expect((await failureOf({ url: own.url!, sslmode: 'require' })).message).toContain(
        'encrypted',
      )
    })
    test('a schema that is not there', async () => {
      const error = await own.db.pool.query('select * from earshot.nothing').catch(databaseError)
      expect(error).toMatchObject({ code: 'EARSHOT_SCHEMA_MISSING', hint: 'Run: earshot db init' })
    })
    test('an exhausted pool', async () => {
      const db = await openDatabase({
        url: own.url!,
        home: own.home,
        poolSize: 1,
        connectTimeoutS: 2,
      })
      const client = await db.pool.connect()
      const error = await db.pool.query('select 1').catch(databaseError)
      expect(error).toMatchObject({
        code: 'EARSHOT_DATABASE',
        hint: expect.stringContaining('pool'),
      })
      client.release()
      await db.close()
    })
    test('sessions are named, and a connection that the server ends does not end the process', async () => {
      const { rows } = await own.db.pool.query(`select current_setting('application_name') as name`)
      expect(rows).toEqual([{ name: 'earshot' }])
      const client = await own.db.pool.connect()
      await expect(
        client.query('select pg_terminate_backend(pg_backend_pid())'),
      ).rejects.toMatchObject({ code: '57P01' })
      client.release(true)
      expect((await own.db.pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    })
  })
})

describe.runIf(databases.includes('postgres'))('an encrypted connection to a server', () => {
  let own: TestDatabase
  let server: Server
  beforeAll(async () => {
    own = await testDatabase('postgres')
    server = encrypt(new URL(own.url!)).listen(0)
    await once(server, 'listening')
  })
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve))
    await own[Symbol.asyncDispose]()
  })
  const through = (host: string, query: string) => {
    const url = new URL(own.url!)
    url.host = `${host}:${(server.address() as AddressInfo).port}`
    return { url: `${url.href}?${query}`, home: own.home }
  }
  const opens = async (settings: DatabaseSettings) => {
    const db = await openDatabase(settings)
    const { rows } = await db.pool.query('select 1 as one')
    const heard = Promise.withResolvers<string>()
    const listener = await db.listen({ encrypted: heard.resolve }, () => {})
    await db.pool.query(`notify encrypted, 'yes'`)
    expect([rows, await heard.promise, listener.state]).toEqual([[{ one: 1 }], 'yes', 'listening'])
    await db.close()
  }

  test('is refused without the authority, with another one, and under another name', async () => {
    const refused = {
      code: 'EARSHOT_DATABASE',
      message: expect.stringContaining('encrypted'),
      hint: expect.stringContaining('sslmode'),
    }
    expect(await failureOf(through('localhost', 'sslmode=verify-full'))).toMatchObject(refused)
    expect(
      await failureOf({ ...through('localhost', 'sslmode=verify-ca'), caFile: pem('other-ca') }),
    ).toMatchObject(refused)
    expect(
      await failureOf({ ...through('127.0.0.1', 'sslmode=verify-full'), caFile: pem('ca') }),
    ).toMatchObject(refused)
  })

  test('is made as far as its mode asks', async () => {
    await opens(through('127.0.0.1', 'sslmode=require'))
    await opens({ ...through('127.0.0.1', ''), sslmode: 'verify-ca', caFile: pem('ca') })
    await opens(
      through('localhost', `sslmode=verify-full&sslrootcert=${encodeURIComponent(pem('ca'))}`),
    )
  })
})

const pem = (name: string) => fileURLToPath(new URL(`./fixtures/tls/${name}.pem`, import.meta.url))

/**
 * Stands before a server that knows no TLS: answers the request for it with S, decrypts, and passes
 * everything on.
 */
function encrypt(target: URL): Server {
  const key = readFileSync(fileURLToPath(new URL('./fixtures/tls/server.key', import.meta.url)))
  const cert = readFileSync(pem('server'))
  return createTcp((socket) => {
    socket
      .on('error', () => socket.destroy())
      .once('data', () => {
        socket.write('S')
        const clear = new TLSSocket(socket, { isServer: true, key, cert })
        const onward = connect(Number(target.port), target.hostname)
        clear.on('error', () => clear.destroy()).on('close', () => onward.destroy())
        onward.on('error', () => onward.destroy()).on('close', () => clear.destroy())
        clear.pipe(onward).pipe(clear)
      })
  })
}

describe('sslmode', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'earshot tls '))
    await writeFile(path.join(folder, 'ca.pem'), 'PEM')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('leaves the rest of the address as it is', () => {
    expect(splitTls('postgresql://a:p%40ss@h:1/d?options=-c%20x&sslmode=disable', {})).toEqual({
      url: 'postgresql://a:p%40ss@h:1/d?options=-c+x',
      ssl: false,
    })
    expect(splitTls('postgresql://h/d', {})).toEqual({ url: 'postgresql://h/d', ssl: false })
  })

  test('means what libpq means by it', () => {
    const ca = path.join(folder, 'ca.pem')
    const checksName = (ssl: object | false) => ssl !== false && !('checkServerIdentity' in ssl)
    const of = (mode: string, more = {}) => splitTls(`postgresql://h/d?sslmode=${mode}`, more).ssl
    expect(of('require')).toMatchObject({ rejectUnauthorized: false })
    expect(of('require', { caFile: ca })).toMatchObject({ rejectUnauthorized: true, ca: 'PEM' })
    expect(of('verify-ca', { caFile: ca })).toMatchObject({ rejectUnauthorized: true, ca: 'PEM' })
    expect([of('require'), of('verify-ca'), of('verify-full')].map(checksName)).toEqual([
      false,
      false,
      true,
    ])
    expect(
      splitTls(`postgresql://h/d?sslmode=verify-full&sslrootcert=${encodeURIComponent(ca)}`, {})
        .ssl,
    ).toEqual({ rejectUnauthorized: true, ca: 'PEM' })
    expect(splitTls('postgresql://h/d?sslmode=disable', { sslmode: 'require' }).ssl).toMatchObject({
      rejectUnauthorized: false,
    })
  })
})
