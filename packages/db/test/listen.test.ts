import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import pg from 'pg'
import { databases, testDatabase, type TestDatabase } from '../../../test/helpers/database.ts'
import { openProxy } from '../../../test/helpers/proxy.ts'
import { createListener } from '../src/listen.ts'
import { openDatabase } from '../src/open.ts'
import { pino } from 'pino'

describe.each(databases)('a listener (%s)', (kind) => {
  let own: TestDatabase
  beforeEach(async () => void (own = await testDatabase(kind)))
  afterEach(() => own[Symbol.asyncDispose]())

  test('a handler that throws is logged and does not stop it', async () => {
    const lines: string[] = []
    const heard = Promise.withResolvers<string>()
    const listener = await createListener({
      pool: own.db.pool,
      connection: connectionOf(own),
      channels: {
        bad: () => {
          throw new Error('handler broke')
        },
        good: heard.resolve,
      },
      onMissed: () => Promise.reject(new Error('catching up broke')),
      log: pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }),
    })
    await own.db.pool.query(`notify bad; notify good, 'fine'`)
    expect(await heard.promise).toBe('fine')
    expect(lines.join('')).toMatch(/catching up broke[^]*handler broke/)
    await listener.close()
  })

  test('resolves once LISTEN is in force, having asked its owner to catch up', async () => {
    let missed = 0
    const listener = await own.db.listen({ quiet: () => {} }, () => void missed++)
    expect(listener.state).toBe('listening')
    expect(missed).toBe(1)
    await listener.close()
    await own.db.pool.query('notify quiet')
  })

  test('the regular probe goes unnoticed while all is well', async () => {
    const probes: string[] = []
    const listener = await createListener({
      pool: own.db.pool,
      connection: connectionOf(own),
      channels: {},
      keepAliveMs: 20,
      onMissed: () => void probes.push('missed'),
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    const query = own.db.pool.query.bind(own.db.pool) as (...given: unknown[]) => Promise<unknown>
    let seen = 0
    own.db.pool.query = ((...given: unknown[]) => {
      if (JSON.stringify(given[0]).includes('pg_notify') && ++seen === 3) resolve()
      return query(...given)
    }) as typeof own.db.pool.query
    await promise
    expect(listener.state).toBe('listening')
    expect(probes).toEqual(['missed'])
    await listener.close()
  })
})

describe.runIf(databases.includes('postgres'))('a listener on a server', () => {
  let own: TestDatabase
  beforeEach(async () => void (own = await testDatabase('postgres')))
  afterEach(() => own[Symbol.asyncDispose]())

  test('whose connection is cut connects again, catches up and hears again', async () => {
    const { db } = own
    const heard = Promise.withResolvers<string>()
    const again = Promise.withResolvers<void>()
    let connected = 0
    const listener = await db.listen({ wake: heard.resolve }, () =>
      ++connected === 2 ? again.resolve() : undefined,
    )
    await db.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen earshot_probe%' and datname = current_database()`,
    )
    await again.promise
    await db.pool.query(`notify wake, 'back'`)
    expect(await heard.promise).toBe('back')
    await expect.poll(() => listener.state).toBe('listening')
    await listener.close()
  })

  test('that no notification reaches says so, names the cause, and recovers', async () => {
    const lines: string[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) })
    // NOTIFY does not cross databases: listening in another one is as silent as a transaction
    // pooler.
    const elsewhere = new URL(own.url!)
    elsewhere.pathname = '/postgres'
    let target = elsewhere.href
    let missed = 0
    const listener = await createListener({
      pool: own.db.pool,
      connection: () => ({ connectionString: target }),
      channels: {},
      log,
      onMissed: () => void missed++,
      probeMs: 200,
      keepAliveMs: 50,
    })
    expect(listener.state).toBe('pooled')
    expect(lines.join('')).toMatch(/pooler.*EARSHOT_POOLED/)
    target = own.url!
    const admin = new pg.Client({ connectionString: elsewhere.href })
    await admin.connect()
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen earshot_probe%' and datname = 'postgres'`,
    )
    await admin.end()
    await expect.poll(() => listener.state, { timeout: 10_000 }).toBe('listening')
    expect(missed).toBe(2)
    await listener.close()
  })

  test('that cannot connect at first does not fail: it goes on trying', async () => {
    const gate = await gateTo(own.url!)
    const db = await openDatabase({ url: own.url!, directUrl: gate.url, home: own.home })
    await gate.close()
    const missed = Promise.withResolvers<void>()
    const listener = await db.listen({}, missed.resolve)
    expect(listener.state).toBe('reconnecting')
    await gate.open()
    await missed.promise
    await expect.poll(() => listener.state).toBe('listening')
    await db.close()
    await gate.close()
  })

  test('whose line goes dead without a word is found out by the probe', async () => {
    const gate = await gateTo(own.url!)
    const again = Promise.withResolvers<void>()
    let connected = 0
    const listener = await createListener({
      pool: own.db.pool,
      connection: () => ({ connectionString: gate.url }),
      channels: {},
      onMissed: () => (++connected === 2 ? again.resolve() : undefined),
      keepAliveMs: 100,
      probeMs: 300,
    })
    expect(listener.state).toBe('listening')
    gate.freeze()
    await again.promise
    await expect.poll(() => listener.state).toBe('listening')
    await listener.close()
    await gate.close()
  })

  test('whose probe cannot be sent does not wait for ever: it connects again', async () => {
    await using proxy = await openProxy(own.url!)
    const db = await openDatabase({ url: proxy.url, home: own.home })
    const again = Promise.withResolvers<void>()
    let connected = 0
    const listener = await createListener({
      pool: db.pool,
      connection: () => ({ connectionString: own.url! }),
      channels: {},
      onMissed: () => (++connected === 2 ? again.resolve() : undefined),
      keepAliveMs: 100,
      probeMs: 300,
    })
    proxy.deaden()
    await again.promise
    await expect.poll(() => listener.state).toBe('listening')
    await listener.close()
    await db.close()
  })

  test('closing ends it at once, also while it waits to connect again', async () => {
    const gate = await gateTo(own.url!)
    await gate.close()
    const db = await openDatabase({ url: own.url!, directUrl: gate.url, home: own.home })
    const listener = await db.listen({}, () => {})
    await listener.close()
    await db.close()
  })
})

function connectionOf(own: TestDatabase): () => pg.ClientConfig {
  // The pool's own way to connect serves the listener too: a socket to the server, or a stream to
  // the engine.
  const { host, port, user, password, database, stream, connectionString, ssl, types } =
    own.db.pool.options
  return () =>
    ({
      host,
      port,
      user,
      password,
      database,
      stream,
      connectionString,
      ssl,
      types,
    }) as pg.ClientConfig
}

type Gate = { url: string; open(): Promise<void>; close(): Promise<void>; freeze(): void }

/**
 * A port that passes everything on to the server, until it is closed or the connections through it
 * are frozen.
 */
async function gateTo(url: string): Promise<Gate> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  const pass = (socket: Socket) => {
    const onward = connect(Number(target.port), target.hostname)
    for (const end of [socket, onward]) {
      sockets.add(end)
      end
        .on('error', () => end.destroy())
        .on('close', () => (sockets.delete(end), socket.destroy(), onward.destroy()))
    }
    socket.pipe(onward).pipe(socket)
  }
  let server: Server
  let port = 0
  const open = async () => {
    server = createServer(pass).listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }
  await open()
  const through = new URL(url)
  through.port = String(port)
  return {
    url: through.href,
    open,
    async close() {
      for (const socket of sockets) socket.destroy()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
    freeze() {
      for (const socket of sockets) socket.unpipe().pause()
    },
  }
}
