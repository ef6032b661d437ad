// The whole, of which the classes are parts: the test runner does not find them by name.
import ioredis, { type Cluster, type Redis, type RedisOptions } from 'ioredis'
import type { Log } from '../log.ts'
import { type Loop, createLoop } from '../loop.ts'
import { type RedisAddress, parseRedisAddress } from './address.ts'
import { causeOf, reasonOf } from './reason.ts'

/**
 * How often it is asked whether it answers, and how long it has for that, as for every other
 * command.
 */
const PROBE_MS = 1000
const COMMAND_MS = 1000
/**
 * After so many questions without an answer the connection is made again: one whose other end
 * vanished in silence would never tell. What is still being made has its own patience, and a
 * cluster asks one node after the other meanwhile; it is not cut short.
 */
const ANEW_AFTER = 2
const ANEW_AFTER_MAKING = 10

export type RedisClient = Redis | Cluster

export type RedisLink = {
  /** Whether it took a write when it was asked last. */
  readonly up: boolean
  /** What this mesh's keys and channels begin with; the braces keep them together in a cluster. */
  readonly prefix: string
  /**
   * For commands: they fail at once while it is away, and after a second when it does not answer.
   */
  readonly client: RedisClient
  /**
   * A connection of one's own that waits for it, for what blocks; who asks for it disconnects it.
   */
  connect(): RedisClient
  /** Sends a fleeting message to those who listen now; resolves with how many that surely were. */
  publish(topic: Topic, message: string): Promise<number>
  /** Hears a topic, forever; what is sent while the connection is lost is missed. */
  subscribe(topic: Topic, hear: (message: string) => void): void
  /** Called with every change of `up`, until what it answers is called. */
  onChange(hear: (up: boolean) => void): () => void
  close(): Promise<void>
}

/** events: something was written. progress: how far jobs are. */
export type Topic = 'events' | 'progress'

/**
 * A Redis of the mesh: connects, asks it every second whether it is there, and says once when that
 * changes. Nothing waits for it.
 *
 * @param mesh what tells this mesh from others in the same Redis
 * @example
 * const redis = await openRedis({ url: 'redis://127.0.0.1:6379', mesh: await meshId(db.pool), log })
 */
export async function openRedis({
  url,
  mesh,
  log,
}: {
  url: string
  mesh: string
  log: Log
}): Promise<RedisLink> {
  const prefix = `{earshot:${mesh}}`
  const client = clientOf(url, {
    enableOfflineQueue: false,
    commandTimeout: COMMAND_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  })
  const hearers = new Set<(up: boolean) => void>()
  const subscriptions = createSubscriptions(() => clientOf(url, { maxRetriesPerRequest: null }))
  let up: boolean | undefined
  let unanswered = 0
  /** Why the last attempt to connect failed: a wrong password, say. */
  let cause: Error | undefined
  /** What it was last said to refuse with. */
  let refusal: string | undefined

  function become(next: boolean, err?: unknown): void {
    const reason = reasonOf(err)
    const isRefusal = causeOf(err) instanceof ioredis.ReplyError
    if (next === up) {
      // That a connection was lost says little; why it is not let in again does.
      if (!next && isRefusal && reason !== refusal) log.warn({ reason }, 'Redis is still away')
      if (isRefusal) refusal = reason
      return
    }
    const first = up === undefined
    up = next
    refusal = !next && isRefusal ? reason : undefined
    if (!next)
      log.warn(
        { reason },
        'Redis is away: wake-ups go by NOTIFY and with the heartbeat, progress over HTTP',
      )
    else log.info(first ? 'Redis carries wake-ups and progress' : 'Redis is back, and used again')
    if (next && !first) subscriptions.renew()
    for (const hear of hearers) hear(next)
  }
  async function ask(): Promise<void> {
    try {
      // A write: one that is full, or a replica, answers and takes no message.
      await client.set(`${prefix}:probe`, '', 'PX', 1)
      unanswered = 0
      become(true)
    } catch (err) {
      become(false, client.status === 'ready' ? err : (cause ?? err))
      unanswered += 1
      if (
        client.status === 'reconnecting' ||
        unanswered < (client.status === 'ready' ? ANEW_AFTER : ANEW_AFTER_MAKING)
      )
        return
      unanswered = 0
      client.disconnect(true)
    }
  }
  const probe: Loop = createLoop({ everyMs: PROBE_MS, log, work: ask })
  // A connection that is lost is known at once; one that is made has to answer first.
  client.on('error', (err: Error) => (cause = err))
  client.on('close', () => become(false, cause ?? new Error('the connection was lost')))
  client.on('ready', () => {
    cause = undefined
    probe.kick()
  })
  await isThere(client)
  await ask()
  probe.start()

  return {
    get up() {
      return up === true
    },
    prefix,
    client,
    connect: () => clientOf(url, { maxRetriesPerRequest: null }),
    publish: (topic, message) => client.publish(`${prefix}:${topic}`, message),
    subscribe: (topic, hear) => subscriptions.add(`${prefix}:${topic}`, hear),
    onChange(hear) {
      hearers.add(hear)
      return () => void hearers.delete(hear)
    },
    async close() {
      hearers.clear()
      client.removeAllListeners('close')
      await probe.stop()
      subscriptions.close()
      client.disconnect()
    },
  }
}

/** What is heard by subscribing, over one connection that is made for the first. */
function createSubscriptions(connectAnew: () => RedisClient) {
  const hearers = new Map<string, (message: string) => void>()
  let client: RedisClient | undefined
  // A subscription may have failed with the first connection, as when a password was wrong; to
  // subscribe twice does no harm.
  const subscribeAll = () => void client?.subscribe(...hearers.keys()).catch(() => {}) // lost again: then with the next one

  function open(): RedisClient {
    const made = connectAnew()
    made.on('message', (from: string, message: string) => hearers.get(from)?.(message))
    made.on('ready', subscribeAll)
    return made
  }

  return {
    add(channel: string, hear: (message: string) => void): void {
      hearers.set(channel, hear)
      client ??= open()
      if (client.status === 'ready') subscribeAll()
    },
    /** It says nothing of its own, and so would not notice that its other end is gone. */
    renew: () => client?.disconnect(true),
    close: () => client?.disconnect(),
  }
}

/** Waits until the first attempt to connect is decided. */
function isThere(client: RedisClient): Promise<void> {
  const decided = Promise.withResolvers<void>()
  for (const event of ['ready', 'close', 'end'] as const) client.once(event, decided.resolve)
  // One that takes connections and never answers decides nothing.
  const timer = setTimeout(decided.resolve, COMMAND_MS)
  return decided.promise.finally(() => clearTimeout(timer))
}

/**
 * A client of what an address names, which connects by itself and forever; its errors are no one's
 * unless someone listens.
 */
export function clientOf(url: string, options: RedisOptions): RedisClient {
  const address = parseRedisAddress(url)
  if (address === undefined) throw new Error('REDIS_URL is no Redis address')
  const client = connect(address, { connectTimeout: 5000, retryStrategy: patience, ...options })
  // Every failed attempt is one; `up` says it once.
  client.on('error', () => {})
  return client
}

const patience = (attempt: number): number => Math.min(attempt * 100, 1000)

function connect(
  { mode, tls, hosts, username, password, db, master }: RedisAddress,
  options: RedisOptions,
): RedisClient {
  const [first] = hosts
  const login: RedisOptions = {
    ...(username && { username }),
    ...(password && { password }),
    ...(tls && { tls: {} }),
  }
  if (mode === 'cluster') {
    const { retryStrategy: _, enableOfflineQueue = true, ...each } = options
    return new ioredis.Cluster(hosts, {
      enableOfflineQueue,
      clusterRetryStrategy: patience,
      slotsRefreshTimeout: 2000,
      redisOptions: { ...each, ...login },
    })
  }
  if (mode === 'single') return new ioredis.Redis({ ...options, ...login, ...first, db })
  return new ioredis.Redis({
    ...options,
    ...login,
    db,
    sentinels: hosts,
    name: master!,
    ...(password && { sentinelPassword: password }),
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  })
}
