import type { Database } from '@earshot/db/database'
import type { Log } from '@earshot/shared/log'
import { monotonicMs } from '@earshot/db/monotonic'
import {
  type Position,
  type StoredEvent,
  isAfter,
  positionText,
  readNext,
} from '../queries/events.ts'

/** Reads each event once for everyone, in order, and keeps the latest in memory. */
export type EventReader = {
  /** Up to here everything has been read. */
  position(): Position
  /**
   * A page of the kept events after a place, the same for all who are there; undefined when some of
   * them are kept no more.
   */
  after(at: Position): readonly StoredEvent[] | undefined
  /** Whether it reads, and has read up to this place, and keeps all after it. */
  covers(at: Position): boolean
  /** Begins to read, at this place; a reader that is reading already stays where it is. */
  open(at: Position): void
  /** Looks now rather than at the next poll. */
  look(): void
  /** Resolves with the next events, or when the signal aborts. */
  news(signal: AbortSignal): Promise<void>
  close(): void
}

/** Events asked for at once. */
export const PAGE = 500
/** Events kept in memory for all; about a quarter of a megabyte. */
const KEPT = 1_000
/** Events of them that are written to a follower at once: what one that reads slowly costs. */
export const SERVED = 200
/**
 * For each follower it waits so long, in ms, before it wakes them all again: a thousand of them get
 * ten pages a second.
 */
const REST_MS = 0.1
/** A hint may get lost; then events are this late, in ms. */
const POLL_MS = 1_000
/**
 * The first waits while a committed event is held back by an older transaction, whose end no one
 * announces.
 */
const QUICK_MS = 25

export function createEventReader(db: Database, log: Log): EventReader {
  const window = createWindow()
  const sleepers = new Set<() => void>()
  let isOpen = false
  let timer: NodeJS.Timeout | undefined
  let reading = false
  let again = false
  let failing = false
  let pause = QUICK_MS
  let waking: NodeJS.Timeout | undefined
  let lastWoken = -Infinity

  const wakeAll = (): void => {
    waking = undefined
    lastWoken = monotonicMs()
    for (const wake of [...sleepers]) wake()
  }
  const rouse = (): void => {
    const rest = lastWoken + sleepers.size * REST_MS - monotonicMs()
    if (rest <= 1) wakeAll()
    else waking ??= setTimeout(wakeAll, rest)
  }
  /** Reads until there is nothing more to read; answers whether something is held back. */
  const readAll = async (): Promise<boolean> => {
    for (;;) {
      again = false
      const { events, horizon, waiting } = await readNext(db.pool, window.position(), PAGE)
      const isFull = events.length === PAGE
      // Short of a full page everything below the horizon has been read: what comes later has later
      // transactions.
      window.add(events, isFull ? undefined : horizon)
      if (events.length > 0) rouse()
      if (!isFull && !again) return waiting
    }
  }
  const read = async (): Promise<void> => {
    again = true
    if (reading || !isOpen) return
    reading = true
    clearTimeout(timer)
    try {
      pause = (await readAll()) ? Math.min(pause * 2, POLL_MS) : QUICK_MS
      failing = false
    } catch (error) {
      // Followers keep what they have and get the rest once the database answers: rows do not go
      // away.
      if (!failing) log.warn({ err: error }, 'events cannot be read, trying again')
      failing = true
      pause = QUICK_MS
    } finally {
      reading = false
    }
    if (isOpen) timer = setTimeout(() => void read(), pause === QUICK_MS ? POLL_MS : pause)
  }
  return {
    position: window.position,
    after: window.after,
    covers: (at) => isOpen && !isAfter(at, window.position()) && window.after(at) !== undefined,
    open(at) {
      // A look still under way would add to the new window what belongs to the old one: then it
      // goes on from there.
      if (!isOpen && !reading) window.restart(at)
      isOpen = true
      void read()
    },
    look: () => void read(),
    news: (signal) =>
      new Promise((resolve) => {
        const wake = (): void => {
          sleepers.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        sleepers.add(wake)
        signal.addEventListener('abort', wake)
        if (signal.aborted) wake()
      }),
    close() {
      isOpen = false
      clearTimeout(timer)
      clearTimeout(waking)
      waking = undefined
    },
  }
}

/** The latest events, and between which places they are all there are. */
function createWindow() {
  let events: StoredEvent[] = []
  /** By where they begin: most followers are at the same place. */
  let pages = new Map<string, readonly StoredEvent[]>()
  let from: Position = { xid: 0, id: 0 }
  let to = from
  return {
    position: () => to,
    after(at: Position): readonly StoredEvent[] | undefined {
      if (isAfter(from, at)) return undefined
      const key = positionText(at)
      const page = pages.get(key) ?? pageOf(events, at)
      pages.set(key, page)
      return page
    },
    add(page: readonly StoredEvent[], upTo: Position | undefined): void {
      pages = new Map()
      events.push(...page)
      from = place(events.splice(0, events.length - KEPT).at(-1)) ?? from
      const last = place(page.at(-1)) ?? to
      to = upTo !== undefined && isAfter(upTo, last) ? upTo : last
    },
    restart(at: Position): void {
      events = []
      pages = new Map()
      from = at
      to = at
    },
  }
}

function pageOf(events: readonly StoredEvent[], at: Position): readonly StoredEvent[] {
  const first = events.findLastIndex((event) => !isAfter(event, at)) + 1
  return events.slice(first, first + SERVED)
}

const place = (event: StoredEvent | undefined): Position | undefined =>
  event && { xid: event.xid, id: event.id }
