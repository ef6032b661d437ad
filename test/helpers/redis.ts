import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import ioredis, { type Redis } from 'ioredis'
import { freePort } from './cluster.ts'
import { type ContainerRedis, startContainerRedis } from './container.ts'

/**
 * What redis-server is started with where this machine lacks the program and a container engine
 * answers.
 */
const CONTAINER = 'container'

/** The program of a Redis server, or `container` where only a container engine can bring one. */
export function findRedis(): string | undefined {
  const program = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'redis-server'))
    .find((path) => existsSync(path))
  return program ?? (process.env.EARSHOT_TEST_CONTAINERS === '1' ? CONTAINER : undefined)
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
    ...(program === CONTAINER ? [] : ['--port', String(port), '--bind', '127.0.0.1']),
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
  const server = program === CONTAINER ? inContainer(port, args) : asProcess(program, args, folder)
  const client = new ioredis.Redis({
    port,
    password,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 30,
  })
  client.on('error', () => {})
  const start = async () => {
    await server.start()
    await answers(client, server)
  }
  await start()
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    port,
    password,
    client,
    start,
    stop: server.stop,
    freeze: server.freeze,
    thaw: server.thaw,
    async [Symbol.asyncDispose]() {
      client.disconnect()
      await server.stop()
    },
  }
}

type Server = {
  start(): Promise<void>
  stop(): Promise<void>
  freeze(): void
  thaw(): void
  ended(): boolean
}

function asProcess(program: string, args: string[], folder: string): Server {
  let child: ChildProcess | undefined
  const ended = () => child === undefined || child.exitCode !== null || child.signalCode !== null
  const killNow = () => void child?.kill('SIGKILL')
  return {
    async start() {
      child = spawn(program, args, { stdio: 'ignore', cwd: folder })
      process.once('exit', killNow)
    },
    async stop() {
      process.off('exit', killNow)
      if (child === undefined || ended()) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    ended,
  }
}

function inContainer(port: number, args: string[]): Server {
  let container: ContainerRedis | undefined
  return {
    async start() {
      container = await startContainerRedis(port, args)
    },
    async stop() {
      await container?.stop()
      container = undefined
    },
    freeze: () => void container?.pause(),
    thaw: () => void container?.unpause(),
    ended: () => false,
  }
}

/** It tells no one when it is ready, so it is asked. */
async function answers(client: Redis, server: Server): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    if (client.status === 'wait') client.connect().catch(() => {})
    const well = await client.ping().then(
      () => true,
      () => false,
    )
    if (well) return
    if (server.ended() || Date.now() > deadline)
      throw new Error('The private Redis did not come up')
    await sleep(20)
  }
}
