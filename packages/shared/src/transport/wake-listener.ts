import type { Database } from '@earshot/db/database'
import { setWakeTransport } from '@earshot/db/functions/nodes'
import type { Log } from '../log.ts'
import { createLoop } from '../loop.ts'
import { monotonicMs } from '@earshot/db/monotonic'
import { createNotifyWakes } from './notify.ts'
import type { Transport } from './open.ts'
import type { Hearing, OnHint } from './wakes.ts'

/** A change that the database could not be told of is told again. */
const AGAIN_MS = 2000
/** For so long, in ms, a leader is taken to send through Redis after it last said so. */
const LED_MS = 4000

export type WakeListener = {
  /** Before the node joins: hears notifications, unless Redis is there. */
  open(): Promise<void>
  /**
   * Once it has joined: hears its queue, as long as Redis is there and the leader sends through it,
   * and notifications otherwise; the mesh is told which.
   */
  joined(incarnation: number, token: string | null): void
  close(): Promise<void>
}

/**
 * How a node hears: by NOTIFY without Redis; through Redis, without a connection that listens, as
 * long as that is there, and is the leader's too.
 *
 * @param onHint what was heard; `cancelled` too whenever something may have been missed
 */
export function createWakeListener(options: {
  db: Database
  transport: Transport | undefined
  node: string
  onHint: OnHint
  log: Log
}): WakeListener {
  const { db, transport, node, onHint, log } = options
  const notify = createNotifyWakes(db)
  let incarnation = 0
  let token: string | null = null
  let listening: Hearing | undefined
  let taking: Hearing | undefined
  // What a node that registers is taken to hear.
  let told: 'notify' | 'redis' = 'notify'
  let upSince = monotonicMs()
  // Until it had the time to say so.
  let ledAt = monotonicMs()
  let warned = false

  async function way(): Promise<'notify' | 'redis'> {
    if (!transport?.redis.up) return 'notify'
    if (await transport.wakes.isLed().catch(() => false)) {
      ledAt = monotonicMs()
      warned = false
    }
    if (monotonicMs() - ledAt < LED_MS) return 'redis'
    // After an outage the leader, too, needs a moment.
    if (!warned && transport.redis.up && monotonicMs() - upSince > LED_MS) {
      log.warn(
        'No coordinator that leads sends through this Redis; notifications are heard until one does. Do all have the same REDIS_URL?',
      )
      warned = true
    }
    return 'notify'
  }

  async function settle(): Promise<void> {
    const by = await way()
    if (by === 'notify') listening ??= await notify.hear(node, incarnation, onHint)
    if (transport === undefined || incarnation === 0) return
    taking ??= await transport.wakes.hear(node, incarnation, onHint)
    if (told !== by) {
      await setWakeTransport(db.pool, node, incarnation, by, token)
      told = by
      onHint('cancelled')
    }
    if (by === 'notify') return
    await listening?.close()
    listening = undefined
  }
  const settling = createLoop({ everyMs: AGAIN_MS, work: settle, log })

  return {
    open: settle,
    joined(current, drawn) {
      incarnation = current
      token = drawn
      if (transport === undefined) return
      transport.redis.onChange((up) => {
        if (up) upSince = monotonicMs()
        settling.kick()
      })
      settling.start()
      settling.kick()
    },
    async close() {
      await settling.stop()
      await Promise.all([listening?.close(), taking?.close()])
    },
  }
}
