import { EarshotError, type ErrorCode } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import type { Log } from '@earshot/shared/log'
import { monotonicMs } from '@earshot/db/monotonic'
import { createEventReader, type EventReader, PAGE, SERVED } from './event-reader.ts'
import {
  type Position,
  type StoredEvent,
  isAfter,
  readBetween,
  readNow,
} from '../queries/events.ts'

/**
 * The durable events of the mesh, in the order (xid, id), for any number of followers: one reader
 * asks the database for all of them and keeps the latest in memory; only who is further behind asks
 * for itself. So a thousand followers cost the database no query each, a slow follower costs a page
 * of memory, and a follower that was away is caught up without a gap.
 */
export type EventStream = {
  /**
   * Where a stream begins: after `since`, or now (or 25 ms ago: those who come together share an
   * answer). What is committed once this has resolved is after it.
   *
   * @throws EarshotError EARSHOT_BAD_REQUEST when `since` is ahead of the database,
   *   EARSHOT_EVENTS_PRUNED when events after it are kept no more
   */
  start(since?: Position): Promise<Position>
  /**
   * Pages of events after a position, as they come, until the signal aborts or the stream is
   * stopped.
   */
  follow(from: Position, signal: AbortSignal): AsyncGenerator<readonly StoredEvent[]>
  /** Something changed: look now rather than at the next poll. */
  changed(): void
  stop(): void
}

/** For so long an answer to where "now" is may be used. */
const NOW_MS = 25

export function createEventStream(db: Database, log: Log): EventStream {
  const closing = new AbortController()
  const reader = createEventReader(db, log)
  let followers = 0
  /** The latest "now" that is known: where the reader begins when the first follower comes. */
  let now: Position = { xid: 0, id: 0 }
  let answer: ReturnType<typeof readNow> | undefined
  let askedAt = -Infinity

  function ask(): ReturnType<typeof readNow> {
    if (answer !== undefined && monotonicMs() - askedAt < NOW_MS) return answer
    askedAt = monotonicMs()
    const asked = readNow(db.pool)
    answer = asked
    asked.catch(() => {
      if (answer === asked) answer = undefined
    })
    return asked
  }

  return {
    async start(since) {
      // Anyone who was here a moment ago: all that it missed is in memory.
      if (since !== undefined && reader.covers(since)) return since
      const { horizon, next, pruned } = await ask()
      now = horizon
      if (since === undefined) return horizon
      if (since.xid > next && since.xid > (await readNow(db.pool)).next)
        throw cannotResume(
          'EARSHOT_BAD_REQUEST',
          'This event id is ahead of the database, which was restored or replaced since.',
        )
      const fromTheBeginning = since.xid === 0 && since.id === 0
      if (isAfter(pruned, since) && !fromTheBeginning)
        throw cannotResume(
          'EARSHOT_EVENTS_PRUNED',
          'Events after this id were deleted, since they were old.',
        )
      return since
    },
    async *follow(from, signal) {
      const until = AbortSignal.any([signal, closing.signal])
      if (followers++ === 0) reader.open(now)
      try {
        for (let at = from; !until.aborted;) {
          const { events, upTo } = await pageAfter(db, reader, at)
          at = upTo
          if (events.length > 0) yield events
          else if (!isAfter(reader.position(), at)) await reader.news(until)
        }
      } finally {
        if (--followers === 0) reader.close()
      }
    },
    changed: () => reader.look(),
    stop: () => closing.abort(),
  }
}

function cannotResume(code: ErrorCode, sentence: string): EarshotError {
  return new EarshotError(code, sentence, {
    field: 'last-event-id',
    hint: 'Start anew: since=0 gives all events that are kept.',
  })
}

/** The next events after a place, and up to where there are no others. */
async function pageAfter(
  db: Database,
  reader: EventReader,
  at: Position,
): Promise<{ events: readonly StoredEvent[]; upTo: Position }> {
  const read = reader.position()
  const kept = reader.after(at)
  const lastKept = kept?.at(-1)
  if (kept !== undefined)
    return {
      events: kept,
      upTo:
        kept.length === SERVED && lastKept !== undefined
          ? placeOf(lastKept)
          : isAfter(read, at)
            ? read
            : at,
    }
  const events = await readBetween(db.pool, at, read, PAGE)
  const last = events.at(-1)
  return { events, upTo: events.length === PAGE && last !== undefined ? placeOf(last) : read }
}

const placeOf = ({ xid, id }: StoredEvent): Position => ({ xid, id })
