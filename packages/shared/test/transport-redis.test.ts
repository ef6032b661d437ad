import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { freePort } from '../../../test/helpers/cluster.ts'
import { openProxy } from '../../../test/helpers/proxy.ts'
import { type TestRedis, findRedis, startRedis } from '../../../test/helpers/redis.ts'
import { type Log, silentLog } from '../src/log.ts'
import { type QueueWakes, createQueueWakes } from '../src/transport/bullmq.ts'
import { checkRedis } from '../src/transport/check.ts'
import { type RedisLink, openRedis } from '../src/transport/redis.ts'
import type { Hint } from '../src/transport/wakes.ts'

/** It makes a certificate; none of the tests' other programs does. */
const openssl = spawnSync('openssl', ['version'])
const waiting = { timeout: 20_000, interval: 20 }
const open = (url: string, mesh = 'a') => openRedis({ url, mesh, log: silentLog() })

describe.skipIf(findRedis() === undefined)('a Redis', () => {
  let server: TestRedis
  let redis: RedisLink
  let wakes: QueueWakes
  beforeAll(async () => {
    server = await startRedis()
    redis = await open(server.url)
    wakes = createQueueWakes(redis)
  })
  afterAll(async () => {
    await redis.close()
    await server[Symbol.asyncDispose]()
  })
  const keys = () => server.client.keys('*')

  test('a message reaches the incarnation that it is for, and no other', async () => {
    const heard: string[] = []
    const first = await wakes.hear('attic', 1, (hint) => heard.push(`1 ${hint}`))
    const second = await wakes.hear('attic', 2, (hint) => heard.push(`2 ${hint}`))
    await wakes.send({ node: 'attic', incarnation: 1, hint: 'recall' })
    await wakes.send({
      node: 'attic',
      incarnation: 2,
      hint: 'assigned',
      given: { incarnation: 2, at: 1, jobs: [] },
    })
    await wakes.send({ node: 'attic', incarnation: 3, hint: 'assigned' })
    await vi.waitFor(() => expect(heard.toSorted()).toEqual(['1 recall', '2 assigned']), waiting)
    for (const hearing of [first, second]) await hearing.close()
  })

  test('nothing piles up: a message goes when it was taken, a queue with its node, or when the leader finds it', async () => {
    const hints: Hint[] = []
    const hearing = await wakes.hear('cellar', 1, (hint) => hints.push(hint))
    for (let i = 0; i < 50; i++)
      await wakes.send({ node: 'cellar', incarnation: 1, hint: 'assigned' })
    await vi.waitFor(() => expect(hints).toHaveLength(50), waiting)
    await vi.waitFor(
      async () => expect((await keys()).filter((key) => /cellar|_1:\d/.test(key))).toEqual([]),
      waiting,
    )
    await hearing.close()
    await wakes.send({ node: 'gone', incarnation: 4, hint: 'assigned' })
    await wakes.send({ node: 'gone', incarnation: 5, hint: 'assigned' })
    expect(await wakes.clean(async () => [{ id: 'gone', incarnation: 5 }])).toBeGreaterThanOrEqual(
      1,
    )
    expect((await keys()).filter((key) => key.includes('_4'))).toEqual([])
    expect((await keys()).filter((key) => key.includes('_5')).length).toBeGreaterThan(0)
    await wakes.clean(async () => [])
    expect(await keys()).toEqual([])
  })

  test('two meshes share it without hearing each other', async () => {
    const other = await open(server.url, 'b')
    const heard: string[] = []
    const hearings = [
      await wakes.hear('attic', 1, () => heard.push('a')),
      await createQueueWakes(other).hear('attic', 1, () => heard.push('b')),
    ]
    redis.subscribe('progress', () => heard.push('a progress'))
    await vi.waitFor(async () => expect(await redis.publish('progress', 'x')).toBe(1), waiting)
    await createQueueWakes(other).send({ node: 'attic', incarnation: 1, hint: 'assigned' })
    await vi.waitFor(
      () => expect([...new Set(heard)].toSorted()).toEqual(['a progress', 'b']),
      waiting,
    )
    for (const hearing of hearings) await hearing.close()
    await other.close()
  })

  test('emptied, frozen, stopped and started again, it is used again by itself; meanwhile it is known to be away', async () => {
    let heard = 0
    const hearing = await wakes.hear('attic', 7, () => (heard += 1))
    const send = () => wakes.send({ node: 'attic', incarnation: 7, hint: 'assigned' })
    const works = async () => {
      const before = heard
      await vi.waitFor(async () => {
        await send()
        expect(heard).toBeGreaterThan(before)
      }, waiting)
    }
    await works()
    await server.client.flushall()
    await works()
    server.freeze()
    await vi.waitFor(() => expect(redis.up).toBe(false), waiting)
    await expect(send()).rejects.toThrow()
    server.thaw()
    await vi.waitFor(() => expect(redis.up).toBe(true), waiting)
    await works()
    await server.stop()
    await vi.waitFor(() => expect(redis.up).toBe(false), waiting)
    await expect(send()).rejects.toThrow()
    await server.start()
    await vi.waitFor(() => expect(redis.up).toBe(true), waiting)
    await works()
    await hearing.close()
  })

  test(
    'connections that died in silence are made anew, those too over which messages are heard',
    { timeout: 60_000 },
    async () => {
      await using network = await openProxy(server.url)
      const link = await open(network.url, 'c')
      const ours = createQueueWakes(link)
      let heard = 0
      const hearing = await ours.hear('attic', 1, () => (heard += 1))
      await ours.send({ node: 'attic', incarnation: 1, hint: 'assigned' })
      await vi.waitFor(() => expect(heard).toBe(1), waiting)
      network.deaden()
      await vi.waitFor(() => expect(link.up).toBe(false), waiting)
      await vi.waitFor(() => expect(link.up).toBe(true), waiting)
      await ours.send({ node: 'attic', incarnation: 1, hint: 'assigned' })
      await vi.waitFor(() => expect(heard).toBe(2), waiting)
      await hearing.close()
      await link.close()
    },
  )

  test('one that was started anew with another password says so, besides that it was lost', async () => {
    await using other = await startRedis()
    const told: string[] = []
    const log = {
      ...silentLog(),
      warn: ({ reason }: { reason: string }) => told.push(reason),
    } as unknown as Log
    const link = await openRedis({ url: other.url, mesh: 'a', log })
    await other.client.config('SET', 'requirepass', 'another')
    await other.client.call('CLIENT', 'KILL', 'TYPE', 'normal')
    await vi.waitFor(
      () => expect(told).toEqual(['the connection was lost', expect.stringContaining('WRONGPASS')]),
      waiting,
    )
    await link.close()
  })

  test('one that answers and takes no message, being full, counts as away', async () => {
    await server.client.config('SET', 'maxmemory', '1')
    await vi.waitFor(() => expect(redis.up).toBe(false), waiting)
    await server.client.config('SET', 'maxmemory', '0')
    await vi.waitFor(() => expect(redis.up).toBe(true), waiting)
  })

  test('a wrong password is told once, as the cause; once it is right, all is heard, also what was subscribed before', async () => {
    await using other = await startRedis()
    const told: string[] = []
    const log = {
      ...silentLog(),
      warn: ({ reason }: { reason: string }) => told.push(reason),
    } as unknown as Log
    const link = await openRedis({
      url: other.url.replace(other.password, 'wrong'),
      mesh: 'a',
      log,
    })
    let heard = 0
    link.subscribe('events', () => (heard += 1))
    expect(link.up).toBe(false)
    await other.client.config('SET', 'requirepass', 'wrong')
    await vi.waitFor(async () => {
      await link.publish('events', '')
      expect(heard).toBeGreaterThan(0)
    }, waiting)
    expect(told).toEqual([expect.stringContaining('WRONGPASS')])
    await link.close()
  })

  test.each<[what: string, url: (server: TestRedis, web: string) => string, why: string]>([
    [
      'a password that is wrong',
      ({ url, password }) => url.replace(password, 'wrong'),
      'WRONGPASS',
    ],
    [
      'a password that is wrong, of a cluster',
      ({ url, password }) => url.replace(password, 'wrong').replace('redis:', 'redis+cluster:'),
      'WRONGPASS',
    ],
    [
      'a server that is no cluster',
      ({ url }) => url.replace('redis:', 'redis+cluster:'),
      'cluster support disabled',
    ],
    ['a cluster of which nobody is there', () => 'redis+cluster://127.0.0.1:1', 'does not answer'],
    [
      'a server that is no Sentinel',
      ({ url }) => `${url.replace('redis:', 'redis+sentinel:')}/mesh`,
      'unknown command',
    ],
    ['a server that is no Redis', (_, web) => web, 'no Redis'],
  ])('%s: the check ends, and says so, and so does the mesh', async (_, url, why) => {
    await using web = await openWeb()
    const address = url(server, `redis://127.0.0.1:${web.port}`)
    await expect(checkRedis(address)).rejects.toThrow(why)
    const told: string[] = []
    const log = {
      ...silentLog(),
      warn: ({ reason }: { reason: string }) => told.push(reason),
    } as unknown as Log
    await (await openRedis({ url: address, mesh: 'a', log })).close()
    expect(told).toEqual([expect.stringContaining(why)])
  })

  test('closing is not held up by one that does not answer', async () => {
    await using other = await startRedis()
    const link = await open(other.url)
    const hearing = await createQueueWakes(link).hear('attic', 1, () => {})
    other.freeze()
    await hearing.close()
    await link.close()
    other.thaw()
  })

  test('one that is not there at the start is waited for by nobody, and used once it is there', async () => {
    await using late = await startRedis()
    await late.stop()
    const link = await open(late.url)
    expect(link.up).toBe(false)
    const back = Promise.withResolvers<void>()
    link.onChange((up) => up && back.resolve())
    await late.start()
    await back.promise
    await link.close()
  })

  test('a cluster takes the same messages', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'earshot-cluster-'))
    await using cluster = await startRedis([
      '--cluster-enabled',
      'yes',
      '--cluster-config-file',
      path.join(folder, 'nodes.conf'),
      '--cluster-announce-ip',
      '127.0.0.1',
    ])
    await cluster.client.cluster('ADDSLOTSRANGE', 0, 16_383)
    await vi.waitFor(
      async () =>
        expect(String(await cluster.client.cluster('INFO'))).toContain('cluster_state:ok'),
      waiting,
    )
    await worksAt(`redis+cluster://:${cluster.password}@127.0.0.1:${cluster.port}`)
    await rm(folder, { recursive: true })
  })

  test('the set that a Sentinel watches takes them too, by its name', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'earshot-sentinel-'))
    await using primary = await startRedis()
    const port = await freePort()
    const config = path.join(folder, 'sentinel.conf')
    await writeFile(
      config,
      `port ${port}\nbind 127.0.0.1\nrequirepass ${primary.password}\nsentinel monitor mesh 127.0.0.1 ${primary.port} 1\nsentinel auth-pass mesh ${primary.password}\n`,
    )
    const sentinel = spawn(findRedis()!, [config, '--sentinel'], { stdio: 'ignore', cwd: folder })
    try {
      await worksAt(`redis+sentinel://:${primary.password}@127.0.0.1:${port}/mesh/0`)
    } finally {
      const ended = once(sentinel, 'exit')
      sentinel.kill('SIGKILL')
      await ended
      await rm(folder, { recursive: true })
    }
  })

  test.skipIf(openssl.error)(
    'over TLS it takes them from who trusts its certificate, and from nobody else',
    async () => {
      const folder = await mkdtemp(path.join(tmpdir(), 'earshot-tls-'))
      const [key, certificate] = ['key.pem', 'certificate.pem'].map((file) =>
        path.join(folder, file),
      ) as [string, string]
      const made = spawnSync('openssl', [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=127.0.0.1',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        key,
        '-out',
        certificate,
      ])
      expect(made.status, String(made.stderr)).toBe(0)
      const port = await freePort()
      await using server = await startRedis([
        '--tls-port',
        String(port),
        '--tls-cert-file',
        certificate,
        '--tls-key-file',
        key,
        '--tls-auth-clients',
        'no',
      ])
      const url = `rediss://:${server.password}@127.0.0.1:${port}`
      const stranger = await open(url)
      expect(stranger.up).toBe(false)
      await stranger.close()
      const trusted = getCACertificates('default')
      setDefaultCACertificates([...trusted, await readFile(certificate, 'utf8')])
      try {
        await worksAt(url)
      } finally {
        setDefaultCACertificates(trusted)
        await rm(folder, { recursive: true })
      }
    },
  )
})

/** A server that speaks something else. */
async function openWeb(): Promise<AsyncDisposable & { port: number }> {
  const web = createServer((_, response) => response.end()).listen(0, '127.0.0.1')
  await once(web, 'listening')
  return {
    port: (web.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      web.closeAllConnections()
      web.close()
      await once(web, 'close')
    },
  }
}

/** A message gets through, and one published. */
async function worksAt(url: string): Promise<void> {
  const link = await open(url)
  await vi.waitFor(() => expect(link.up).toBe(true), waiting)
  const heard = new Set<string>()
  const hearing = await createQueueWakes(link).hear('attic', 1, (hint) => heard.add(hint))
  link.subscribe('events', () => heard.add('published'))
  const wakes = createQueueWakes(link)
  await vi.waitFor(async () => {
    await wakes.send({ node: 'attic', incarnation: 1, hint: 'assigned' })
    await link.publish('events', '')
    expect([...heard].toSorted()).toEqual(['assigned', 'published'])
  }, waiting)
  await hearing.close()
  await link.close()
}
