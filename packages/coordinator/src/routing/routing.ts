import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '@earshot/db/database'
import { relayEvents } from '@earshot/db/functions/leadership'
import type { Log } from '@earshot/shared/log'
import type { Loop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import { createDoorbell } from './doorbell.ts'

/**
 * Jobs come in swarms when a look found so many, or so many looks one after another found some,
 * each within this time of the one before.
 */
const SWARM_JOBS = 10
const SWARM_LOOKS = 4
const SWARM_MS = 10
/** So long after the last job of a swarm was assigned it keeps looking for itself. */
const AWAKE_MS = 10
/** After some were assigned: the next batch is to be worth a look. */
const NEXT_MS = 5
/** Between two looks while it is awake and found nothing. */
const LOOK_MS = 1
/**
 * How long it rests after each look for every node that this was over, anyone who rings: so what
 * comes meanwhile is routed by one look, which costs by nodes. A thousand nodes: 50 ms. The first
 * job after a rest does not wait.
 */
const REST_MS_A_NODE = 0.05
/** From so many nodes on. */
const MANY_NODES = 100
/** While it is not sure that everyone rings, or hears nothing. */
const UNSURE_MS = 1000
/** A hint may get lost; then work is this late. */
const ASLEEP_MS = 2000
/** How often, while it is awake, the readers of events are told what no one rang for. */
const EVENTS_MS = 25

export type RoutingOptions = {
  db: Database
  /**
   * Routes what can be routed; answers how many jobs were assigned. `onNodes`: over how many nodes
   * it looked.
   */
  route: (onNodes: (count: number) => void) => Promise<number>
  /**
   * Whether this coordinator leads and hears notifications: only then others need to ring for it.
   */
  mayHang: () => boolean
  /** Tells the readers of events that there may be some; by NOTIFY unless told otherwise. */
  tell?: () => Promise<void>
  log: Log
  /** Milliseconds between two looks in deep sleep; 2,000 by default. */
  asleepMs?: number
}

/**
 * Looks for work to route: while it comes in swarms, every few milliseconds, and anyone who changes
 * something stays silent; otherwise it hangs out the doorbell and sleeps until it rings. Jobs that
 * come now and then leave it asleep: each rings, and one look finds it. A `kick` is a ring. The
 * embedded database always rings.
 *
 * @example
 * const routing = createRouting({ db, route: () => routeAll(db, { term }), mayHang: () => true, log })
 * routing.start()
 */
export function createRouting({
  db,
  route,
  mayHang,
  tell = () => relayEvents(db.pool),
  log,
  asleepMs = ASLEEP_MS,
}: RoutingOptions): Loop {
  const bell = db.embedded ? undefined : createDoorbell({ db, onHung: kick, log })
  let kicked = false
  let wake = () => {}
  let running: Promise<void> | undefined
  let stopped = true
  let lastWork = -Infinity
  let lastTold = -Infinity
  let untold = false
  let awake = false
  let streak = 0

  function kick(): void {
    kicked = true
    wake()
  }

  /**
   * Until it is kicked, which may have been since the look began. No AbortSignal: its error costs
   * more than the rest of a job's way.
   */
  function rest(ms: number): Promise<void> {
    if (kicked) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function run(): Promise<void> {
    while (!stopped) {
      kicked = false
      let nodes = 0
      const pause = await look((count) => {
        nodes = count
      })
      if (nodes >= MANY_NODES && !stopped) await sleep(nodes * REST_MS_A_NODE)
      await rest(pause)
    }
  }

  /** Looks once; answers how many milliseconds it may rest now. */
  async function look(onNodes: (count: number) => void): Promise<number> {
    try {
      const assigned = await route(onNodes)
      if (assigned > 0) {
        awake ||= isSwarm(assigned)
        lastWork = monotonicMs()
        if (awake) bell?.take()
        if (bell?.hangs !== true) untold = true
      }
      if (bell === undefined || !awake || monotonicMs() - lastWork > AWAKE_MS) {
        awake = false
        return await fallAsleep()
      }
      if (monotonicMs() - lastTold > EVENTS_MS) await tellReaders()
      return assigned > 0 ? NEXT_MS : LOOK_MS
    } catch (err) {
      // Not at once again: an outage must not make it spin.
      log.warn({ err }, 'Routing failed; it is tried again')
      return UNSURE_MS
    }
  }

  function isSwarm(assigned: number): boolean {
    streak = monotonicMs() - lastWork < SWARM_MS ? streak + 1 : 1
    return assigned >= SWARM_JOBS || streak >= SWARM_LOOKS
  }

  async function fallAsleep(): Promise<number> {
    if (bell === undefined) return asleepMs
    if (!mayHang()) {
      // Anyone who leads and hears nothing finds work by looking alone.
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
