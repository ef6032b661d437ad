import type { Database } from '@earshot/db/database'
import { acquireLeadership, releaseLeadership } from '@earshot/db/functions/leadership'
import type { Log } from '@earshot/shared/log'
import { createLoop } from '@earshot/shared/loop'
import { monotonicMs } from '@earshot/db/monotonic'
import type { Service } from '@earshot/shared/service'

/** Leadership expires after 1.5 s in the database, so one lost renewal does no harm. Oftener would only be more that an idle mesh asks. */
const RENEW_MS = 600
/** Nobody may have led for a while when renewals are farther apart than this: this box slept, or the database was away. */
const GAP_MS = 2500

export type Leadership = Service & {
  /** The current term as text, or null while another coordinator leads. Every routing statement carries it. */
  term(): string | null
  /** Milliseconds for which it has been renewed without a gap; 0 while another one leads. */
  ledForMs(): number
}

/**
 * Takes leadership when it is free and keeps it: a guarded row in the database, on the database's clock.
 *
 * @param options.holder unique to this process; a restarted coordinator is another holder
 * @param options.force takes it from whoever held it: only the embedded database may, where nobody else can be alive
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
  let since = 0
  let renewed = 0

  async function renew(): Promise<void> {
    const before = term
    term = await acquireLeadership(db.pool, holder, force).catch((err: unknown) => {
      if (before !== null) log.warn({ err }, 'Leadership could not be renewed')
      return null
    })
    const now = monotonicMs()
    if (term !== null && (before === null || now - renewed > GAP_MS)) since = now
    renewed = now
    if (term !== null && term !== before) {
      log.info({ term }, 'Leading')
      onLead()
    } else if (term === null && before !== null) {
      log.info('No longer leading')
    }
  }
  const loop = createLoop({ everyMs: RENEW_MS, work: renew, log })

  return {
    term: () => term,
    ledForMs: () => (term === null ? 0 : monotonicMs() - since),
    start: async () => {
      await renew()
      loop.start()
    },
    stop: async () => {
      await loop.stop()
      // Without the database there is nobody to tell: it expires by itself, and the rest of the coordinator stops in order.
      if (term !== null)
        await releaseLeadership(db.pool, holder).catch((err: unknown) =>
          log.warn({ err }, 'Leadership could not be given up; it expires'),
        )
      term = null
    },
  }
}
