import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import pgListen from 'pg-listen'
import { EarshotError } from '@earshot/contract'
import type { Logger as Log } from 'pino'
import { monotonicMs } from './monotonic.ts'
import type { Listener, ListenerState } from './database.ts'
import { type LimitedQuery, waitsLimited } from './pool.ts'

export type ListenerSettings = {
  /** How to connect; asked again before each attempt. To the direct address where there is one. */
  connection: () => pg.ClientConfig
  /** Where the probe is sent from: it must be another connection than the one that listens. */
  pool: pg.Pool
  channels: Record<string, (payload: string) => void>
  onMissed: () => void | Promise<void>
  log?: Log | undefined
  /** Milliseconds between probes; 30,000 by default. */
  keepAliveMs?: number
  /** Milliseconds a probe may take; 2,000 by default. */
  probeMs?: number
}

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000

/**
 * Listens on the channels over a connection of its own, forever: when that is lost it connects
 * again, waiting 0.1 s and then twice as long up to 5 s. `onMissed` runs after every (re)connect,
 * once LISTEN is in force, since what was sent before was not heard. It probes itself on connect
 * and every 30 s; resolves when the first attempt is decided.
 *
 * @example
 * const listener = await createListener({ connection, pool, channels: { earshot: wake }, onMissed: readTables })
 */
export async function createListener(settings: ListenerSettings): Promise<Listener> {
  const { log, keepAliveMs = 30_000 } = settings
  const stop = new AbortController()
  const decided = Promise.withResolvers<void>()
  let state: ListenerState = 'reconnecting'
  let connects = 0
  let provedAt: number | null = null

  function become(next: ListenerState): void {
    if (next === 'pooled' && state !== 'pooled')
      log?.error({ err: pooled() }, 'Notifications do not arrive')
    if (next !== state) log?.debug({ from: state, to: next }, 'The listener changed its state')
    state = next
    decided.resolve()
  }

  /** One connection, from connecting to losing it. */
  async function listenOnce(onConnected: () => void): Promise<void> {
    const connection = await connectListener(settings)
    const cut = () => connection.lose(new Error('closing'))
    stop.signal.addEventListener('abort', cut)
    try {
      onConnected()
      connects += 1
      catchUp(settings)
      become((await connection.probe()) ? 'listening' : 'pooled')
      if (state === 'listening') provedAt = monotonicMs()
      for (;;) {
        await Promise.race([
          connection.lost,
          sleep(keepAliveMs, undefined, { signal: stop.signal, ref: false }),
        ])
        const heard = await connection.probe()
        if (heard) provedAt = monotonicMs()
        if (state === 'listening' && !heard) throw new Error('no notification arrives any more')
        if (state === 'pooled' && heard) {
          become('listening')
          catchUp(settings)
        }
      }
    } finally {
      stop.signal.removeEventListener('abort', cut)
      await connection.end()
    }
  }

  async function listenForEver(): Promise<void> {
    let wait = FIRST_WAIT_MS
    while (!stop.signal.aborted) {
      const lost = await listenOnce(() => (wait = FIRST_WAIT_MS)).then(
        () => undefined,
        (err: Error) => err,
      )
      if (stop.signal.aborted) return
      log?.warn({ err: lost, again_ms: wait }, 'The connection that listens was lost')
      become('reconnecting')
      await sleep(wait, undefined, { signal: stop.signal, ref: false }).catch(() => {}) // closed while waiting
      wait = Math.min(wait * 2, LONGEST_WAIT_MS)
    }
  }

  const running = listenForEver()
  await decided.promise
  return {
    get state() {
      return state
    },
    get connects() {
      return connects
    },
    get provedAt() {
      return provedAt
    },
    async close() {
      stop.abort()
      await running
    },
  }
}

type Connection = {
  /** Rejects when the connection is lost. */
  lost: Promise<never>
  lose(error: Error): void
  /**
   * Whether a notification sent over another connection arrives; rejects when it cannot be sent.
   */
  probe(): Promise<boolean>
  end(): Promise<void>
}

async function connectListener({
  connection,
  pool,
  channels,
  log,
  probeMs = 2_000,
}: ListenerSettings): Promise<Connection> {
  // One connection each: reconnecting is left to us, since pg-listen cannot be told to stop trying.
  const subscriber = pgListen.default(connection(), {
    paranoidChecking: false,
    parse: (payload) => payload,
    retryLimit: 1,
  })
  const probeChannel = `earshot_probe_${randomUUID().replaceAll('-', '').slice(0, 16)}`
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => {}) // somebody may be about to wait for it
  let heard: () => void = () => {}
  subscriber.events.on('error', lost.reject)
  subscriber.notifications.on(probeChannel, () => heard())
  for (const [name, handler] of Object.entries(channels))
    subscriber.notifications.on(name, (payload: string = '') =>
      deliver(handler, name, payload, log),
    )

  async function probe(): Promise<boolean> {
    const arrived = new Promise<true>((resolve) => (heard = () => resolve(true)))
    const sending: LimitedQuery = {
      text: 'select pg_notify($1, $2)',
      values: [probeChannel, ''],
      ...(waitsLimited(pool) && { query_timeout: probeMs }),
    }
    await Promise.race([lost.promise, pool.query(sending)])
    return Promise.race([lost.promise, arrived, sleep(probeMs, false as const, { ref: false })])
  }

  const end = async () =>
    void (await Promise.race([subscriber.close(), sleep(1000, undefined, { ref: false })]))
  try {
    await subscriber.connect()
    for (const name of [...Object.keys(channels), probeChannel]) await subscriber.listenTo(name)
  } catch (error) {
    await end()
    throw error
  }
  return { lost: lost.promise, lose: lost.reject, probe, end }
}

function deliver(
  handler: (payload: string) => void,
  channel: string,
  payload: string,
  log?: Log,
): void {
  try {
    handler(payload)
  } catch (err) {
    log?.error({ err, channel }, 'A notification could not be handled')
  }
}

function catchUp({ onMissed, log }: ListenerSettings): void {
  const caughtUp = async () => await onMissed()
  caughtUp().catch((err: unknown) => log?.error({ err }, 'Catching up after a reconnect failed'))
}

function pooled(): EarshotError {
  return new EarshotError(
    'EARSHOT_POOLED',
    'A transaction pooler between here and the database swallows LISTEN: work is found by polling only.',
    {
      hint: 'Set DATABASE_DIRECT_URL to the address of the database itself',
    },
  )
}
