/**
 * `closed`: its writer closed it, or it was renamed in, so it is whole. `created`: someone made it
 * just now, and `closed` will follow (unless it is a hard link). `seen`: it is there, or it
 * changed; nothing is proven.
 */
export type Proof = 'closed' | 'created' | 'seen'

/** What a watcher tells; paths are relative to the inbox with forward slashes. */
export type WatchEvents = {
  /** From now on nothing is missed; what was there before was not told. */
  ready(): void
  file(path: string, proof: Proof): void
  /** A folder appeared, perhaps with files that nothing was told about. */
  folder(path: string, proof: Proof): void
  /**
   * `sure`: this file was deleted or renamed away. Otherwise a folder, or merely no longer seen,
   * which a vanished disk looks like too.
   */
  removed(path: string, sure: boolean): void
  /** Events were lost: the whole folder has to be looked through. */
  missed(why: string): void
}

export type Watcher = {
  readonly name: WatcherName
  /**
   * Tells what happens below `root` (a real path) until the signal fires, then resolves once
   * nothing of it runs any more. Rejects with {@link WatchFailed} when it cannot go on.
   */
  watch(root: string, events: WatchEvents, signal: AbortSignal): Promise<void>
}

export const WATCHERS = ['inotifywait', 'chokidar', 'chokidar-polling'] as const
export type WatcherName = (typeof WATCHERS)[number]

/**
 * Why a watcher stopped by itself. `missing`: its program is not there; `limit`: the system allows
 * no more watches; `ended`: anything that may go better the next time.
 */
export class WatchFailed extends Error {
  readonly why: 'missing' | 'limit' | 'ended'
  constructor(why: 'missing' | 'limit' | 'ended', message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'WatchFailed'
    this.why = why
  }
}
