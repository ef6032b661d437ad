import type { Database } from '@earshot/db/database'
import type { Log } from '@earshot/shared/log'
import type pg from 'pg'

/**
 * While it hangs, anyone who changes something rings; while it is taken down, changes are silent
 * and cost less.
 */
export type Doorbell = {
  /** Whether it is sure that every change from now on rings. */
  readonly hangs: boolean
  /**
   * Asks for it to hang; `onHung` is called once it is sure. Those who change something ring from
   * the moment this is asked.
   */
  hang(): void
  /** The leader looks for itself again. */
  take(): void
  close(): Promise<void>
}

/** The query waits for as long as someone's transaction lasts. */
const PATIENCE_MS = 24 * 3600 * 1000

/**
 * The doorbell of the leader: an advisory lock that it holds alone while it sleeps
 * (sql/functions/ring_doorbell.sql), on a direct connection of its own, since the request blocks
 * and the lock belongs to the session. When that connection is lost, the bell is down until it is
 * hung again; anyone who uses it must not sleep deeply meanwhile.
 *
 * @param options.onHung there may have been silent changes up to now: look once more
 */
export function createDoorbell({
  db,
  onHung,
  log,
}: {
  db: Database
  onHung: () => void
  log: Log
}): Doorbell {
  let client: pg.Client | undefined
  let wanted = false
  let closed = false
  let state: 'down' | 'asked' | 'hung' = 'down'
  let work: Promise<void> = Promise.resolve()

  async function hangIt(): Promise<void> {
    // What was asked before it was closed may get its turn afterwards.
    if (closed) return
    try {
      const session = (client ??= await open())
      if (closed) return await drop()
      await session.query({
        text: 'select earshot.arm_doorbell()',
        query_timeout: PATIENCE_MS,
      } as pg.QueryConfig)
      // Taken down while it was being hung.
      if (!wanted) return await takeIt()
      state = 'hung'
      onHung()
    } catch (err) {
      log.debug({ err }, 'The doorbell could not be hung; the leader looks once a second')
      await drop()
    }
  }

  async function takeIt(): Promise<void> {
    state = 'down'
    try {
      await client?.query('select earshot.disarm_doorbell()')
    } catch {
      await drop()
    }
  }

  async function open(): Promise<pg.Client> {
    const session = db.direct()
    // Lost: the lock is gone with it, and no one rings any more.
    session.on('error', () => void lose(session))
    session.on('end', () => void lose(session))
    await session.connect()
    return session
  }

  function lose(session: pg.Client): void {
    if (client !== session) return
    client = undefined
    state = 'down'
    if (wanted) onHung()
  }

  async function drop(): Promise<void> {
    state = 'down'
    const session = client
    client = undefined
    // It is of no use any more, and has said why already.
    await session?.end().catch(() => {})
  }

  return {
    get hangs() {
      return state === 'hung'
    },
    hang() {
      wanted = true
      if (state !== 'down') return
      state = 'asked'
      work = work.then(hangIt)
    },
    take() {
      wanted = false
      if (state !== 'hung') return
      state = 'down'
      work = work.then(takeIt)
    },
    async close() {
      closed = true
      wanted = false
      const session = client
      client = undefined
      state = 'down'
      // Not waited for: a request that still blocks ends with its connection.
      session?.connection.stream.destroy()
    },
  }
}
