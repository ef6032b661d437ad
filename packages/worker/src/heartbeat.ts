import { Worker } from 'node:worker_threads'
import { siblingModule } from '@earshot/db/sibling-module'
import type { Database, DatabaseSettings } from '@earshot/db/database'
import { type HeartbeatReply, type Measured, heartbeat } from '@earshot/db/functions/nodes'
import type { Log } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'

const BEAT_MS = 2000
const TICK_MS = 500

/**
 * When something was asked: monotonicMs(), and Date.now(), which goes on while the machine sleeps.
 */
export type Asked = { askedAt: number; askedOn: number }
export const askedNow = (): Asked => ({ askedAt: monotonicMs(), askedOn: Date.now() })

/**
 * What came back: what the database says this node holds (null: replaced), its clock, and when it
 * was asked.
 */
export type Beat = HeartbeatReply & Asked

export type HeartbeatOptions = {
  db: Database
  /** How the thread of its own connects. */
  settings: DatabaseSettings
  node: string
  incarnation: number
  token: string | null
  busy: () => Record<string, number>
  measured: () => Measured
  onBeat: (beat: Beat) => void
  /** The heartbeat itself broke: nothing renews the lease any more. */
  onFailure: (err: unknown) => void
  log: Log
}

export type Heartbeat = {
  /** Sends one soon. */
  kick(): void
  stop(): Promise<void>
}

/**
 * Renews the lease every two seconds. On a server it does so from a thread of its own, so that a
 * busy main loop loses no lease; the thread stops renewing once the main loop has not ticked for 30
 * s, so that a wedged worker loses its work. The embedded database is reached by the main thread
 * only, and has no lease to lose.
 */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  return options.db.embedded ? beatHere(options) : beatInThread(options)
}

function beatHere({
  db,
  node,
  incarnation,
  token,
  busy,
  measured,
  onBeat,
  log,
}: HeartbeatOptions): Heartbeat {
  const loop = createLoop({
    everyMs: BEAT_MS,
    log,
    work: async () => {
      const asked = askedNow()
      onBeat({
        ...(await heartbeat(db.pool, node, incarnation, busy(), measured(), token)),
        ...asked,
      })
    },
  })
  loop.start()
  return loop
}

/**
 * What the thread is started with. `tick`: one 64-bit float, when the main loop was last seen
 * alive.
 */
export type ThreadData = {
  settings: DatabaseSettings
  node: string
  incarnation: number
  token: string | null
  tick: SharedArrayBuffer
  beatMs: number
}
export type ToThread =
  | { kick: boolean; busy: Record<string, number>; measured: Measured }
  | { stop: true }
export type FromThread = { beat: Beat } | { warning: string; err?: string }

function beatInThread({
  settings,
  node,
  incarnation,
  token,
  busy,
  measured,
  onBeat,
  onFailure,
  log,
}: HeartbeatOptions): Heartbeat {
  const tick = new SharedArrayBuffer(8)
  const seen = new Float64Array(tick)
  seen[0] = monotonicMs()
  const data: ThreadData = { settings, node, incarnation, token, tick, beatMs: BEAT_MS }
  const thread = new Worker(siblingModule(import.meta.url, 'heartbeat-thread'), {
    workerData: data,
  })
  const say = (message: ToThread) => thread.postMessage(message)
  let said = ''
  const ticking = setInterval(() => {
    seen[0] = monotonicMs()
    const news = { busy: busy(), measured: measured() }
    const text = JSON.stringify(news)
    // A message wakes the thread: an idle worker is to use next to nothing.
    if (text !== said) say({ kick: false, ...news })
    said = text
  }, TICK_MS)
  thread.on('message', (message: FromThread) => {
    if ('beat' in message) onBeat(message.beat)
    else log.warn({ err: message.err && { message: message.err } }, message.warning)
  })
  thread.on('error', onFailure)
  const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
  return {
    kick: () => say({ kick: true, busy: busy(), measured: measured() }),
    async stop() {
      clearInterval(ticking)
      say({ stop: true })
      await ended
    },
  }
}
