import type { Database } from '@earshot/db/database'
import { releaseLeadership, renewLeadership } from '@earshot/db/functions/leadership'
import type { Log } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import type { Service } from '@earshot/shared/service'

/**
 * Leadership expires after 1.5 s in the database, so one lost renewal does no harm. More often
 * would only be more that an idle mesh asks.
 */
const RENEW_MS = 600
/** When answers are farther apart than this, this box slept, or the database was away. */
const GAP_MS = 2500
/** A clock that moved by more than this against ours was set. */
const STEP_MS = 1000
/** The time of two heartbeats: how long live nodes have to renew their leases. */
const SETTLE_MS = 5000
/** The longest that a heartbeat waits on a connection that died in an outage. */
const LONGEST_WAIT_MS = 64_000

export type Leadership = Service & {
  /**
   * The current term as text, or null while another coordinator leads. Every routing statement
   * carries it.
   */
  term(): string | null
  /**
   * What the database's clock shows at most, in milliseconds since 1970, if live nodes had the time
   * to renew their leases; null while they have not, or while another one leads. They get it after
   * leadership was taken, after an outage, and after the database's clock was set.
   */
  judgesLeasesAt(): number | null
}

/** By how much the database's clock is ahead of monotonicMs(): between these. */
type Offset = { least: number; most: number }

/**
 * Takes leadership when it is free and keeps it: a guarded row in the database, on the database's
 * clock.
 *
 * @param options.holder unique to this process; a restarted coordinator is another holder
 * @param options.force takes it from anyone who held it: only the embedded database may, where no
 *   one else can be alive
 * @param options.onLead called when leadership was gained
 */
export function createLeadership(options: {
  db: Database
  holder: string
  force: boolean
  log: Log
  onLead: () => void
}): Leadership {
  const { db, holder, force, log, onLead } = options
  let term: string | null = null
  /** monotonicMs() from which leases are judged. */
  let settled = Infinity
  let answered = monotonicMs()
  let offset: Offset | undefined

  async function renew(): Promise<void> {
    const before = term
    const asked = monotonicMs()
    try {
      const reply = await renewLeadership(db.pool, holder, force)
      term = reply.term
      settle(before === null && term !== null, { asked, clock: reply.now * 1000 })
    } catch (err) {
      term = null
      if (before !== null) log.warn({ err }, 'Leadership could not be renewed')
    }
    if (term !== null && term !== before) {
      log.info({ term }, 'Leading')
      onLead()
    } else if (term === null && before !== null) {
      log.info('No longer leading')
    }
  }

  /** Gives live nodes time to renew their leases, where it takes that. */
  function settle(gained: boolean, { asked, clock }: { asked: number; clock: number }): void {
    const now = monotonicMs()
    const gap = now - answered
    // A node's heartbeat may wait on a dead connection for about as long as the outage lasted.
    const outage = gap > GAP_MS ? Math.min(gap, LONGEST_WAIT_MS) : 0
    const next = { least: clock - now, most: clock - asked }
    const set =
      offset !== undefined &&
      (next.least > offset.most + STEP_MS || next.most < offset.least - STEP_MS)
    if (set) log.warn("The database's clock was set; live nodes get time to renew their leases")
    if (gained || outage > 0 || set)
      settled = Math.max(now + outage + SETTLE_MS, gained ? 0 : settled)
    answered = now
    offset = next
  }
  const loop = createLoop({ everyMs: RENEW_MS, work: renew, log })

  return {
    term: () => term,
    judgesLeasesAt: () => {
      const now = monotonicMs()
      return term === null || offset === undefined || now < settled ? null : now + offset.most
    },
    start: async () => {
      await renew()
      loop.start()
    },
    stop: async () => {
      await loop.stop()
      // Without the database there is no one to tell: it expires by itself, and the rest of the
      // coordinator stops in order.
      if (term !== null)
        await releaseLeadership(db.pool, holder).catch((err: unknown) =>
          log.warn({ err }, 'Leadership could not be given up; it expires'),
        )
      term = null
    },
  }
}
