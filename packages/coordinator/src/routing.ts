import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '@earshot/shared/db/database'
import { passOnEvents } from '@earshot/shared/db/functions/leadership'
import type { Log } from '@earshot/shared/log'
import type { Loop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/shared/monotonic'
import { createDoorbell } from './doorbell.ts'

/** So long after the last job was assigned it keeps looking for itself: work comes in swarms. */
const AWAKE_MS = 10
/** Between two looks while it is awake and found nothing. */
const LOOK_MS = 1
/** While it is not sure that everybody rings, or hears nothing. */
const UNSURE_MS = 1000
/** A hint may get lost; then work is this late. */
const ASLEEP_MS = 2000
/** How often, while it is awake, the readers of events are told what nobody rang for. */
const EVENTS_MS = 25

export type RoutingOptions = {
  db: Database
  /** Routes what can be routed; answers how many jobs were assigned. */
  route: () => Promise<number>
  /** Whether this coordinator leads and hears notifications: only then others need to ring for it. */
  mayHang: () => boolean
  /** Tells the readers of events that there may be some; by NOTIFY unless told otherwise. */
  tell?: () => Promise<void>
  log: Log
  /** Milliseconds between two looks in deep sleep; 2,000 by default. */
  asleepMs?: number
}

/**
 * Looks for work to route: while there is some, every few milliseconds, and whoever changes something stays silent; otherwise it
 * hangs out the doorbell and sleeps until it rings. A `kick` is a ring. The embedded database always rings.
 *
 * @example
 * const routing = createRouting({ db, route: () => routeAll(db, term), mayHang: () => true, log })
 * routing.start()
 */
export function createRouting({ db, route, mayHang, tell = () => passOnEvents(db.pool), log, asleepMs = ASLEEP_MS }: RoutingOptions): Loop {
  const bell = db.embedded ? undefined : createDoorbell({ db, onHung: kick, log })
  let wake = new AbortController()
  let running: Promise<void> | undefined
  let stopped = true
  let lastWork = -Infinity
  let lastTold = -Infinity
  let untold = false

  function kick(): void {
    wake.abort()
  }

  async function run(): Promise<void> {
    while (!stopped) {
      wake = new AbortController()
      const pause = await look()
      await sleep(pause, undefined, { signal: wake.signal }).catch(() => {}) // woken
    }
  }

  /** Looks once; answers how many milliseconds it may rest now. */
  async function look(): Promise<number> {
    try {
      const assigned = await route()
      if (assigned > 0) {
        lastWork = monotonicMs()
        bell?.take()
        untold = true
      }
      if (bell === undefined || monotonicMs() - lastWork > AWAKE_MS) return await fallAsleep()
      if (monotonicMs() - lastTold > EVENTS_MS) await tellReaders()
      return assigned > 0 ? 0 : LOOK_MS
    } catch (err) {
      // Not at once again: an outage must not make it spin.
      log.warn({ err }, 'Routing failed; it is tried again')
      return UNSURE_MS
    }
  }

  async function fallAsleep(): Promise<number> {
    if (bell === undefined) return asleepMs
    if (!mayHang()) {
      // Whoever leads and hears nothing finds work by looking alone.
      bell.take()
      return UNSURE_MS
    }
    bell.hang()
    if (!bell.hangs) return UNSURE_MS
    // What was silent until the bell hung.
    if (untold) await tellReaders()
    untold = false
    return asleepMs
  }

  async function tellReaders(): Promise<void> {
    await tell()
    lastTold = monotonicMs()
  }

  return {
    start() {
      stopped = false
      running = run()
    },
    kick,
    async stop() {
      stopped = true
      kick()
      await running
      await bell?.close()
    },
  }
}
