import { join } from 'node:path'
import type { ErrorCode } from '@earshot/contract'
import type { Log } from '@earshot/shared/log'
import { hashHandle } from '@earshot/shared/media/hash'
import { examine, openFile, sameStat, statHandle, type FileStat } from './examine.ts'
import { kindOf, orForbidden, tooLarge, unreadable } from './media-kind.ts'
import { createQueue } from './queue.ts'
import type { InboxStore, KnownFile } from './store.ts'
import type { Proof } from './watcher.ts'
import type { Writers } from './writers.ts'

export type FilesSettings = {
  root: string
  settleMs: number
  /**
   * A rename within the inbox is two events; between them the file is nowhere, for no longer than
   * this.
   */
  renameMs: number
  /** The largest file that is taken in. */
  maxBytes: number
  store: InboxStore
  log: Log
  writers: Writers
  /**
   * Whether this kernel sees all that is written there: a Linux, and no network mount. Elsewhere
   * files must stand still.
   */
  seesAll(absolute: string): boolean
  signal: AbortSignal
}

/** Why a file is not taken in yet, for people. */
export type Waiting = { path: string; reason: string }

export type Files = {
  /** Looks at a path, now or as soon as its turn comes; anyone who asks twice is answered once. */
  look(path: string, proof: Proof): void
  /** Whether a file is as it was when it was dealt with, so that nothing is to be done. */
  isDone(path: string, stat: FileStat): boolean
  /** Something that is no file and cannot become one: said once. */
  refuse(path: string, sentence: string): Promise<void>
  /**
   * A path that is surely gone; after a moment, so that a file renamed within the inbox is found
   * under its new name first.
   */
  gone(path: string): void
  /** Events were lost: that a writer closed its file may be among them. */
  missed(): void
  /** Forgets that a file was dealt with: its content changed although size and time did not. */
  forget(path: string): void
  known: Map<string, KnownFile>
  waiting(): Waiting[]
  /** Settles when everything in hand is done or given up, after the signal fired. */
  idle(): Promise<void>
}

type Entry = {
  path: string
  proof: Proof
  state: 'looking' | 'standing' | 'queued' | 'taking'
  /** Something happened while it was looked at or taken. */
  again: boolean
  stat: FileStat | null
  /** When it has stood still for long enough, on this process's own clock. */
  dueMs: number
  hashed: { stat: FileStat; hash: string } | null
  failures: number
  reason: string
}

/** From this size on hashing takes seconds. */
const HEAVY_BYTES = 64 * 2 ** 20
/**
 * A file whose writer was seen to begin and not to end is given up waiting for after so many times
 * the settle time.
 */
const PATIENCE = 60
const MAX_RETRY_MS = 30_000

/**
 * Carries each path of the inbox from "something is there" to taken, refused or gone. What is in
 * hand lives in `entries` only; a path that was dealt with is one line in `known`.
 */
export function createFiles(settings: FilesSettings, known: Map<string, KnownFile>): Files {
  const { root, settleMs, renameMs, store, log, writers, signal } = settings
  const entries = new Map<string, Entry>()
  const lastTaken = new Map<string, number>()
  /**
   * Files whose making was seen, and whose closing must follow, anyone who writes them and however
   * long the pauses.
   */
  const unclosed = new Set<string>()
  const departed = new Map<string, number>()
  const onError = (err: unknown) =>
    void (signal.aborted || log.error({ err }, 'a file of the inbox could not be looked at'))
  const looking = createQueue(4, onError)
  const taking = createQueue(2, onError)
  const timer = setInterval(tick, Math.min(1000, Math.max(20, settleMs / 5)))
  signal.addEventListener('abort', () => (clearInterval(timer), looking.clear(), taking.clear()), {
    once: true,
  })

  function tick(): void {
    const now = performance.now()
    for (const entry of entries.values()) {
      if (entry.state === 'standing' && entry.dueMs <= now) look(entry.path, 'seen')
    }
    for (const [path, at] of departed) {
      if (at > now) continue
      departed.delete(path)
      looking.add(() => confirmGone(path))
    }
    for (const [path, at] of lastTaken) if (now - at > settleMs) lastTaken.delete(path)
  }

  function look(path: string, proof: Proof): void {
    if (signal.aborted) return
    if (proof === 'created') unclosed.add(path)
    if (proof === 'closed') unclosed.delete(path)
    let entry = entries.get(path)
    if (entry === undefined) {
      entry = {
        path,
        proof,
        state: 'standing',
        again: false,
        stat: null,
        dueMs: 0,
        hashed: null,
        failures: 0,
        reason: '',
      }
      entries.set(path, entry)
    } else if (proof === 'closed') {
      entry.proof = proof
    }
    if (entry.state === 'standing') lookSoon(entry)
    else entry.again = true
  }

  function lookSoon(entry: Entry): void {
    if (signal.aborted) return
    entry.state = 'looking'
    entry.again = false
    looking.add(() => attempt(entry, () => decide(entry)))
  }

  /** Whatever goes wrong with one file is logged, and tried again later; the others go on. */
  async function attempt(entry: Entry, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (err) {
      if (signal.aborted) return
      entry.failures++
      const delayMs = Math.min(MAX_RETRY_MS, 500 * 2 ** Math.min(entry.failures, 10))
      entry.reason = `it could not be taken in and is tried again: ${err instanceof Error ? err.message : String(err)}`
      log.warn(
        { err, path: entry.path, retry_s: delayMs / 1000 },
        'A file could not be taken in; it is tried again',
      )
      stand(entry, delayMs)
    }
  }

  async function decide(entry: Entry): Promise<void> {
    // The proof is used up: what happens from now on needs its own.
    const closed = entry.proof === 'closed'
    entry.proof = 'seen'
    const sight = await orForbidden(examine(root, entry.path))
    if (sight === 'forbidden')
      return refuseEntry(entry, 'EARSHOT_MEDIA_UNREADABLE', unreadable(entry.path))
    if (sight.is === 'nothing') return finish(entry)
    if (sight.is === 'refused') return refuseEntry(entry, 'EARSHOT_MEDIA_REFUSED', sight.sentence)
    if (sight.is !== 'file') return forgetRefusal(entry)
    const { stat } = sight
    if (isDone(entry.path, stat)) return finish(entry)
    if (isWhole(entry, stat, closed)) return queue(entry, stat)
    const same = entry.stat !== null && sameStat(entry.stat, stat)
    if (same && entry.dueMs <= performance.now()) return queue(entry, stat)
    const open = isUnclosed(entry.path, stat)
    const patienceMs = open ? settleMs * PATIENCE : settleMs
    entry.reason ||= open
      ? 'its writer has not closed it yet'
      : 'it must stand still for a while before it counts as whole'
    entry.stat = stat
    stand(entry, same ? Math.min(entry.dueMs - performance.now(), patienceMs) : patienceMs)
  }

  /** Whether it may be taken without having watched it stand still. */
  function isWhole(entry: Entry, stat: FileStat, closed: boolean): boolean {
    if (entry.failures > 0 || !settings.seesAll(join(root, entry.path))) return false
    // A writer that closes the file between two strokes: from the second time on the file must
    // stand still.
    if (lastTaken.has(entry.path)) return false
    // Writers often create a file first and fill it later, so an empty one proves nothing by being
    // closed.
    if (closed && stat.size > 0) return true
    const ageMs = Date.now() - Number(stat.mtimeNs / 1_000_000n)
    return ageMs > settleMs && entry.stat === null && !isUnclosed(entry.path, stat)
  }

  /** A hard link is made, too, and never closed; but then the file has another name besides. */
  function isUnclosed(path: string, stat: FileStat): boolean {
    return unclosed.has(path) && stat.links === 1
  }

  function queue(entry: Entry, stat: FileStat): void {
    entry.state = 'queued'
    entry.stat = stat
    taking.add(() => attempt(entry, () => take(entry, stat)), stat.size >= HEAVY_BYTES)
  }

  async function take(entry: Entry, stat: FileStat): Promise<void> {
    entry.state = 'taking'
    entry.again = false
    if (stat.size > settings.maxBytes)
      return refuseEntry(
        entry,
        'EARSHOT_TOO_LARGE',
        tooLarge(entry.path, stat.size, settings.maxBytes),
      )
    const handle = await orForbidden(openFile(root, entry.path))
    if (handle === 'forbidden')
      return refuseEntry(entry, 'EARSHOT_MEDIA_UNREADABLE', unreadable(entry.path))
    if (handle === null) return lookSoon(entry)
    try {
      if (!sameStat(await statHandle(handle), stat)) return lookAnew(entry, stat)
      const writer = await writers.find(join(root, entry.path), stat)
      if (writer !== null)
        return waitForWriter(
          entry,
          `it is still open for writing by ${writer.name} (process ${writer.pid})`,
        )
      const known =
        entry.hashed !== null && sameStat(entry.hashed.stat, stat) ? entry.hashed.hash : null
      const hash = known ?? (await hashHandle(handle, signal)).hash
      if (!sameStat(await statHandle(handle), stat)) return lookAnew(entry, stat)
      entry.hashed = { stat, hash }
      await hand(entry, stat, hash)
    } finally {
      await handle.close()
    }
  }

  async function hand(entry: Entry, stat: FileStat, hash: string): Promise<void> {
    const { path } = entry
    const kind = kindOf(path)
    signal.throwIfAborted()
    const answer = await store.take({
      path,
      absolute: join(root, path),
      size: stat.size,
      mtimeNs: stat.mtimeNs,
      hash,
      kind,
    })
    known.set(path, { status: 'taken', size: stat.size, mtimeNs: stat.mtimeNs, hash })
    lastTaken.set(path, performance.now())
    departed.delete(path)
    log.info(
      { path, ...answer },
      answer.duplicate ? 'This content is known already' : 'A file was taken in',
    )
    finish(entry)
  }

  function lookAnew(entry: Entry, stat: FileStat): void {
    // Not the old state: one that was seen once need not be the one that stood still.
    entry.stat = stat
    entry.reason = 'it is being written'
    lookSoon(entry)
  }

  function waitForWriter(entry: Entry, reason: string): void {
    if (entry.reason !== reason)
      log.info({ path: entry.path }, `A file is not taken in yet: ${reason}`)
    entry.reason = reason
    stand(entry, settleMs)
  }

  function stand(entry: Entry, forMs: number): void {
    entry.dueMs = performance.now() + forMs
    entry.state = 'standing'
    if (entry.again) lookSoon(entry)
  }

  /** The path is dealt with, unless something happened meanwhile. */
  function finish(entry: Entry): void {
    if (entry.again)
      return lookSoon(Object.assign(entry, { stat: null, hashed: null, failures: 0, reason: '' }))
    entries.delete(entry.path)
    unclosed.delete(entry.path)
  }

  async function forgetRefusal(entry: Entry): Promise<void> {
    if (known.get(entry.path)?.status === 'refused') {
      await store.gone(entry.path)
      known.delete(entry.path)
    }
    finish(entry)
  }

  async function refuseEntry(entry: Entry, code: ErrorCode, sentence: string): Promise<void> {
    await refuseOnce(entry.path, code, sentence, entry.stat)
    finish(entry)
  }

  async function refuseOnce(
    path: string,
    code: ErrorCode,
    sentence: string,
    stat: FileStat | null,
  ): Promise<void> {
    const before = known.get(path)
    if (before?.status === 'refused' && before.sentence === sentence) return
    // Beforehand: a look through the folder and an event may come upon the same thing at once.
    const refused: KnownFile = { status: 'refused', sentence }
    known.set(path, refused)
    try {
      await store.refuse({
        path,
        size: stat?.size ?? null,
        mtimeNs: stat?.mtimeNs ?? null,
        kind: kindOf(path),
        code,
        sentence,
      })
    } catch (error) {
      if (before === undefined) known.delete(path)
      else known.set(path, before)
      throw error
    }
    log.warn({ path, code }, sentence)
  }

  async function confirmGone(path: string): Promise<void> {
    if (!known.has(path) || entries.has(path) || (await examine(root, path)).is !== 'nothing')
      return
    await store.gone(path)
    known.delete(path)
    log.info({ path }, 'A file is gone from the inbox')
  }

  function isDone(path: string, stat: FileStat): boolean {
    const before = known.get(path)
    return (
      before?.status === 'taken' && before.size === stat.size && before.mtimeNs === stat.mtimeNs
    )
  }

  return {
    look,
    isDone,
    known,
    refuse: (path, sentence) => refuseOnce(path, 'EARSHOT_MEDIA_REFUSED', sentence, null),
    missed: () => unclosed.clear(),
    gone(path) {
      unclosed.delete(path)
      if (known.has(path) && !departed.has(path)) departed.set(path, performance.now() + renameMs)
    },
    forget: (path) => void known.delete(path),
    waiting: () =>
      [...entries.values()]
        .filter((entry) => entry.state === 'standing')
        .map(({ path, reason }) => ({ path, reason })),
    async idle() {
      await looking.idle()
      await taking.idle()
    },
  }
}
