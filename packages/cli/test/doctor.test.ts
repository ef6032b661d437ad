import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { expect, test } from 'vitest'
import { findRedis, startRedis } from '../../../test/helpers/redis.ts'
import { createClient } from '@earshot/sdk'
import type { Context } from '../src/context.ts'
import { checkRedisHealth } from '../src/doctor-redis.ts'
import { earshot, emptyFolder, unusedAddress } from './helpers/run.ts'

type Report = {
  ok: boolean
  checks: { name: string; status: string; found: string; fix: string | null }[]
}

const portOf = (url: string) => new URL(url).port
const check = ({ checks }: Report, name: string) =>
  checks.find((candidate) => candidate.name === name)

async function doctor(env: Record<string, string>, cwd = emptyFolder()) {
  const ran = await earshot(['doctor', '--json'], {
    cwd,
    env: { EARSHOT_PORT: portOf(await unusedAddress()), ...env },
  })
  return { ...ran, report: JSON.parse(ran.stdout) as Report }
}

test.skipIf(process.platform !== 'linux')(
  'a machine without any program: each is named with the command that brings it',
  async () => {
    // The package manager of another distribution, so that nothing of this machine shows through.
    const bin = path.join(emptyFolder(), 'bin')
    mkdirSync(bin)
    writeFileSync(path.join(bin, 'dnf'), '')
    chmodSync(path.join(bin, 'dnf'), 0o755)
    const { code, report } = await doctor({ PATH: bin })
    expect({ code, ok: report.ok }).toEqual({ code: 1, ok: false })
    expect(check(report, 'ffmpeg')).toMatchObject({
      status: 'missing',
      fix: 'dnf install -y ffmpeg-free',
    })
    expect(check(report, 'transcribe: pocketsphinx')).toMatchObject({
      status: 'missing',
      fix: 'dnf install -y pocketsphinx pocketsphinx-models',
    })
    expect(check(report, 'speak: flite')).toMatchObject({
      status: 'missing',
      fix: 'dnf install -y flite',
    })
    expect(check(report, 'embed: lexical')).toMatchObject({ status: 'ok', fix: null })
    expect(check(report, 'inotifywait')).toMatchObject({
      status: 'warning',
      fix: 'dnf install -y inotify-tools',
    })
  },
)

test('a server of the settings that does not answer is told, with what to do', async () => {
  const { report } = await doctor({ EARSHOT_OPENAI_URLS: `${await unusedAddress()}/v1` })
  const [server] = report.checks.filter(({ name }) => name.startsWith('generate: openai:'))
  expect(server).toMatchObject({
    status: 'warning',
    found: expect.stringContaining('ECONNREFUSED'),
    fix: expect.stringContaining('EARSHOT_OPENAI_URLS'),
  })
})

test('another program on the port, a database that does not answer, and a short key are told, with what to do', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  // Nothing HTTP answers there: the connection is closed at once.
  other.on('connection', (socket) => socket.destroy())
  const { code, report, stdout } = await doctor({
    EARSHOT_PORT: String(port),
    EARSHOT_KEY: 'sesame',
    DATABASE_URL: (await unusedAddress()).replace('http://', 'postgres://ada:hunter2@') + '/mesh',
  })
  other.close()
  expect(code).toBe(1)
  expect(check(report, 'port')).toMatchObject({
    status: 'missing',
    fix: expect.stringContaining(`EARSHOT_PORT=${port + 1}`),
  })
  expect(check(report, 'database')).toMatchObject({ status: 'missing' })
  expect(check(report, 'key')).toMatchObject({ status: 'warning', found: 'only 6 characters long' })
  expect(stdout).not.toMatch(/hunter2|sesame/)
})

test.skipIf(findRedis() === undefined)(
  'a Redis that is away, refuses the password, may forget, or is well is told as such, with what to do',
  async () => {
    await using redis = await startRedis()
    const away = new URL(await unusedAddress()).host
    const database = (await unusedAddress()).replace('http://', 'postgres://ada@') + '/mesh'
    const place = `127.0.0.1:${redis.port}`
    const { report, stdout } = await doctor({ DATABASE_URL: database, REDIS_URL: redis.url })
    expect(stdout).not.toContain(redis.password)
    expect(check(report, 'redis')).toEqual({
      name: 'redis',
      status: 'ok',
      found: expect.stringMatching(new RegExp(`^${place}, version \\d`)),
      fix: null,
    })
    // The same without a process each time.
    const client = createClient({ url: await unusedAddress() })
    const told = (url: string) =>
      checkRedisHealth({
        config: { redis: { url }, database: { url: database } },
        client,
        interrupts: { first: new AbortController().signal },
      } as unknown as Context)
    await redis.client.config('SET', 'maxmemory', '100mb')
    await redis.client.config('SET', 'maxmemory-policy', 'allkeys-lru')
    expect(await told(redis.url)).toMatchObject({
      status: 'warning',
      fix: 'redis-cli config set maxmemory-policy noeviction',
    })
    expect(await told(redis.url.replace(redis.password, 'hunter2'))).toMatchObject({
      status: 'warning',
      found: expect.stringContaining('WRONGPASS'),
      fix: expect.stringContaining('right password'),
    })
    expect(await told(`redis://${place}`)).toMatchObject({
      status: 'warning',
      found: expect.stringContaining('NOAUTH'),
      fix: expect.stringContaining('right password'),
    })
    expect(await told(`redis://${away}`)).toMatchObject({
      status: 'warning',
      found: expect.stringContaining('ECONNREFUSED'),
      fix: expect.stringContaining('Start that Redis'),
    })
    expect(await told(`rediss://:${redis.password}@${place}`)).toMatchObject({
      status: 'warning',
      fix: expect.stringContaining('Start that Redis'),
    })
    redis.freeze()
    expect(await told(redis.url)).toMatchObject({
      status: 'warning',
      fix: expect.stringContaining('Start that Redis'),
    })
    redis.thaw()
  },
)

test('it creates nothing', async () => {
  const cwd = emptyFolder()
  const { report } = await doctor({}, cwd)
  expect(check(report, 'database')).toMatchObject({
    status: 'ok',
    found: expect.stringContaining('made at the first start'),
  })
  expect(check(report, 'node')).toMatchObject({ status: 'ok', found: process.versions.node })
  expect(readdirSync(cwd)).toEqual([])
})
