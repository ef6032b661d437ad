import { randomBytes } from 'node:crypto'
import { EarshotError } from '@earshot/contract'
import type { Database, DatabaseSettings } from '@earshot/db/database'
import {
  type Held,
  type Measured,
  type Registration,
  drainNode,
  leaseSeconds,
  deregisterNode,
  registerNode,
} from '@earshot/db/functions/nodes'
import type { Log } from '@earshot/shared/log'
import { monotonicMs } from '@earshot/db/monotonic'
import { type Beat, type Heartbeat, startHeartbeat } from './heartbeat.ts'
import { type Lease, createLease } from './lease.ts'

/** What a heartbeat's reply says of the work in hand. */
export type Report = {
  /** What the database says this node holds. */
  held: Held[]
  /** monotonicMs() before the heartbeat was sent: what was taken later, it cannot know. */
  askedAt: number
}

export type NodeOptions = {
  db: Database
  /** How the heartbeat's own thread connects. */
  settings: DatabaseSettings
  registration: Registration
  log: Log
  /** Role to the number of jobs that wind down: no longer ours, the engine not ended yet. */
  busy: () => Record<string, number>
  /** What this node measured of itself. */
  measured: () => Measured
  onReport: (report: Report) => void
}

export type Node = {
  readonly id: string
  readonly incarnation: number
  /** Proves to the database that a call comes from this registration. */
  readonly token: string
  /**
   * monotonicMs() until which the lease surely lasts: counted from before the last heartbeat that
   * was answered.
   */
  leaseUntil(): number
  /**
   * Whether what the database gave at this moment (seconds since 1970, by its clock) is surely
   * still this node's, see lease.ts.
   */
  isFresh(at: number): boolean
  join(): Promise<void>
  /** Sends a heartbeat soon. */
  beat(): void
  /** Tells the mesh to give this node nothing more. */
  drain(): Promise<void>
  leave(): Promise<void>
  /**
   * Rejects when a newer process with the same id took over, or when nothing renews the lease any
   * more.
   */
  readonly ended: Promise<never>
}

/** This machine's place in the mesh: joins, keeps the lease, leaves. */
export function createNode({
  db,
  settings,
  registration,
  log,
  busy,
  measured,
  onReport,
}: NodeOptions): Node {
  const { id } = registration
  const ended = Promise.withResolvers<never>()
  // Anyone who composes the worker looks at it; without anyone it must not end the process as an
  // unhandled rejection.
  ended.promise.catch(() => {})
  let incarnation = 0
  const token = randomBytes(32).toString('hex')
  let lease: Lease | undefined
  let heart: Heartbeat | undefined

  function onBeat({ held, now, askedAt, askedOn }: Beat): void {
    if (held === null) {
      ended.reject(
        new EarshotError('EARSHOT_REPLACED', `Another process took over as node ${id}.`, {
          hint: 'Give each worker an id of its own: NODE_ID, or node.id in config.yaml.',
        }),
      )
      void heart?.stop()
      return
    }
    lease?.renewed({ now, askedAt, askedOn })
    onReport({ held, askedAt })
  }

  return {
    id,
    get incarnation() {
      return incarnation
    },
    token,
    leaseUntil: () => lease?.until() ?? 0,
    isFresh: (at) => lease?.isFresh(at) ?? false,
    join: async () => {
      const leaseMs = (await leaseSeconds(db.pool)) * 1000
      const askedAt = monotonicMs()
      incarnation = await registerNode(db.pool, registration, token)
      lease = createLease(leaseMs, askedAt)
      heart = startHeartbeat({
        db,
        settings,
        node: id,
        incarnation,
        token,
        busy,
        measured,
        onBeat,
        onFailure: ended.reject,
        log,
      })
      log.info(
        { incarnation, roles: registration.roles, tags: registration.tags },
        'Joined the mesh',
      )
    },
    beat: () => heart?.kick(),
    drain: () => drainNode(db.pool, id, incarnation, token),
    leave: async () => {
      await heart?.stop()
      if (incarnation > 0) await deregisterNode(db.pool, id, incarnation, token)
    },
    ended: ended.promise,
  }
}
