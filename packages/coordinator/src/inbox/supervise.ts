import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '@earshot/shared/log'
import { createChokidarWatcher } from './watch-chokidar.ts'
import { createInotifyWatcher } from './watch-inotify.ts'
import { WatchFailed, type WatchEvents, type Watcher, type WatcherName } from './watcher.ts'

/** Makes the watcher of a name. `pollS`: how often the polling one looks. */
export function createWatcher(name: WatcherName, pollS?: number): Watcher {
  return name === 'inotifywait'
    ? createInotifyWatcher()
    : createChokidarWatcher({ polling: name === 'chokidar-polling', pollS })
}

export type Supervision = {
  root: string
  /** The watchers to use, best first. */
  watchers: Watcher[]
  events: WatchEvents
  /** How often the folder itself is looked at, in milliseconds. */
  checkMs: number
  log: Log
  signal: AbortSignal
}

const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 10_000

/**
 * Keeps the inbox watched until the signal fires: starts a watcher that ended again, falls back to
 * the next one where one cannot work here, waits while the folder is not there, and begins again
 * when another folder or disk comes under its name.
 */
export async function supervise({
  root,
  watchers,
  events,
  checkMs,
  log,
  signal,
}: Supervision): Promise<void> {
  let index = 0
  let pauseMs = FIRST_PAUSE_MS
  let told = false

  while (!signal.aborted) {
    const identity = await identify(root)
    if (identity === null) {
      if (!told)
        log.warn(
          { path: root },
          'The inbox folder is not there; nothing is cancelled, and it is watched again when it comes back',
        )
      told = true
      await pause(checkMs, signal)
      continue
    }
    if (told) log.info({ path: root }, 'The inbox folder is back')
    told = false
    const round = new AbortController()
    const startedMs = performance.now()
    const both = AbortSignal.any([signal, round.signal])
    const guarding = guard(root, identity, checkMs, round, both)
    try {
      await watchers[index]!.watch(root, events, both)
    } catch (error) {
      if (!(error instanceof WatchFailed)) throw error
      if (performance.now() - startedMs > LONGEST_PAUSE_MS) pauseMs = FIRST_PAUSE_MS
      index = next(error, index, watchers, log)
      if (error.why === 'ended' && (await identify(root)) !== null)
        log.warn({ err: error }, 'The inbox watcher ended and is started again')
      await pause(pauseMs, signal)
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
    } finally {
      round.abort()
      await guarding
    }
  }
}

/** Which watcher comes next: where the system allows no more watches, only polling is left. */
function next(failed: WatchFailed, index: number, watchers: Watcher[], log: Log): number {
  if (failed.why === 'ended' || index === watchers.length - 1) return index
  log.warn(failed.message)
  return failed.why === 'limit' ? watchers.length - 1 : index + 1
}

/** Ends the round when the folder is no longer the one that is watched. */
async function guard(
  root: string,
  identity: string,
  checkMs: number,
  round: AbortController,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await pause(checkMs, signal)
    if (!signal.aborted && (await identify(root)) !== identity) round.abort()
  }
}

/** Which folder this is: its device and inode; null while there is none. */
async function identify(root: string): Promise<string | null> {
  try {
    const found = await stat(root, { bigint: true })
    return found.isDirectory() ? `${found.dev}:${found.ino}` : null
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return null
    throw error
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
