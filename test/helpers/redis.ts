import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import ioredis, { type Redis } from 'ioredis'
import { freePort } from './cluster.ts'

/** The program of a Redis server, where this machine has it. */
export function findRedis(): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'redis-server'))
    .find((path) => existsSync(path))
}

/** A Redis of a test's own, which it may break. */
export type TestRedis = AsyncDisposable & {
  url: string
  port: number
  password: string
  /** For looking into it, and for emptying it. */
  client: Redis
  /** Freezes it: connections stay, and nothing is answered. */
  freeze(): void
  thaw(): void
  /** Kills it; what was in it is gone. */
  stop(): Promise<void>
  start(): Promise<void>
}

/**
 * Starts a Redis on a free loopback port, with a random password; it writes nothing to any disk.
 *
 * @param more settings of its own, such as ['--cluster-enabled', 'yes']
 */
export async function startRedis(more: string[] = [], folder = '/'): Promise<TestRedis> {
  const program = findRedis()
  if (program === undefined)
    throw new Error('There is no redis-server on this machine. Run: npm test')
  const port = await freePort()
  const password = randomBytes(16).toString('hex')
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--requirepass',
    password,
    '--masterauth',
    password,
    ...more,
  ]
  let child: ChildProcess | undefined
  const client = new ioredis.Redis({
    port,
    password,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 30,
  })
  client.on('error', () => {})
  const killNow = () => void child?.kill('SIGKILL')
  const stop = async () => {
    process.off('exit', killNow)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  const start = async () => {
    child = spawn(program, args, { stdio: 'ignore', cwd: folder })
    process.once('exit', killNow)
    await answers(client, child)
  }
  await start()
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    port,
    password,
    client,
    start,
    stop,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      client.disconnect()
      await stop()
    },
  }
}

/** It tells nobody when it is ready, so it is asked. */
async function answers(client: Redis, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    if (client.status === 'wait') client.connect().catch(() => {})
    const well = await client.ping().then(
      () => true,
      () => false,
    )
    if (well) return
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error('The private Redis did not come up')
    await sleep(20)
  }
}
