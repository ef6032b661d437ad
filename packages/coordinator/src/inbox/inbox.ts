import { mkdir, realpath } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import { EarshotError } from '@earshot/contract'
import type { Log } from '@earshot/shared/log'
import { createLoop, type Loop } from '@earshot/shared/loop'
import type { Hashed } from '@earshot/shared/media/hash'
import type { Service } from '@earshot/shared/service'
import { createFiles, type Files, type Waiting } from './files.ts'
import { isIgnored } from './ignored.ts'
import { isRemote, readMounts, type Mount } from './mounts.ts'
import { createRescanner, type Rescanner } from './rescan.ts'
import type { InboxStore } from './store.ts'
import { createWatcher, supervise } from './supervise.ts'
import { verifyFile, type Verdict } from './verify.ts'
import { WATCHERS, type WatchEvents, type WatcherName } from './watcher.ts'
import { createWriters } from './writers.ts'

export type InboxSettings = {
  /** The watched folder; made when it is missing at start. */
  dir: string
  /**
   * Where Earshot keeps its own files. They must not lie in the inbox: each would be taken for a
   * recording, forever.
   */
  home?: string
  store: InboxStore
  log: Log
  /**
   * How long size and mtime must stand still where nothing better proves that a file is whole, in
   * seconds.
   */
  settleS?: number
  /** The largest file that is taken in, in bytes; any unless given. */
  maxBytes?: number
  /** How often everything is looked through besides, in seconds. */
  rescanS?: number
  /** How often the folder itself is looked at, in seconds. */
  checkS?: number
  /** How often a polling watcher looks, in seconds. */
  pollS?: number
  /** How long a file may be nowhere while it is renamed, in seconds; then it is gone. */
  renameS?: number
  /** Which watcher; found out by itself when left out. */
  watcher?: WatcherName
}

export type Inbox = Service & {
  /**
   * Looks through the folder now, with what the store knows by now; resolves when everything found
   * is in hand.
   */
  rescan(): Promise<void>
  /**
   * Whether a file taken in earlier is still the same; `path` absolute or relative to the inbox. A
   * changed one is taken again. Throws EARSHOT_NOT_FOUND for a path outside the inbox.
   */
  verify(path: string, was: Hashed & { mtimeNs: bigint }, signal?: AbortSignal): Promise<Verdict>
  /**
   * Whether a file taken in earlier that is not there (an absolute path) is gone for the inbox too,
   * which has then ended what needed it. Until then it may be under a new name in a moment, or its
   * disk may come back. True for what lies in no inbox.
   */
  isGone(absolute: string): boolean
  /** What is there but not taken in yet, and why. */
  waiting(): Waiting[]
  /** Whether an absolute path lies in this inbox. */
  holds(absolute: string): boolean
}

type Running = {
  controller: AbortController
  root: string
  files: Files
  rescanner: Rescanner
  loop: Loop
  watching: Promise<void>
}

/**
 * The watched folder: what is dropped into it and whole is handed to the store, once; the files
 * themselves are only read. Throws EARSHOT_BAD_CONFIG at start when the folder cannot be made or
 * holds `home`, and what `store.known()` throws.
 *
 * @example
 * const inbox = createInbox({ dir: './inbox', store, log })
 * await inbox.start() // resolves once nothing that is dropped is missed
 */
export function createInbox(settings: InboxSettings): Inbox {
  const {
    store,
    settleS = 10,
    maxBytes = Infinity,
    rescanS = 60,
    checkS = 2,
    renameS = 2,
  } = settings
  const log = settings.log.child({ part: 'inbox' })
  let running: Running | undefined

  async function start(): Promise<void> {
    if (running !== undefined) return
    const root = await makeFolder(settings.dir)
    if (settings.home !== undefined) await refuseHome(root, settings.home)
    const controller = new AbortController()
    const { signal } = controller
    let mounts = await readMounts()
    const seesAll = (absolute: string) => mounts !== null && !isRemote(mounts, absolute)
    const files = createFiles(
      {
        root,
        settleMs: settleS * 1000,
        renameMs: renameS * 1000,
        maxBytes,
        store,
        log,
        writers: createWriters(),
        seesAll,
        signal,
      },
      await store.known(),
    )
    const rescanner = createRescanner(root, files, log, signal)
    const loop = createLoop({
      everyMs: rescanS * 1000,
      log,
      async work() {
        mounts = await readMounts()
        await quiet(signal, rescanner.all())
      },
    })
    await new Promise<void>((ready, failed) => {
      const events = listen(files, rescanner, loop, log, signal, ready)
      const watchers = choose(settings.watcher, mounts, root).map((name) =>
        createWatcher(name, settings.pollS),
      )
      loop.start()
      const watching = supervise({ root, watchers, events, checkMs: checkS * 1000, log, signal })
      watching.then(ready, (err: unknown) => {
        log.error({ err }, 'The inbox is no longer watched')
        failed(err)
      })
      running = { controller, root, files, rescanner, loop, watching }
    })
  }

  async function stop(): Promise<void> {
    const ending = running
    running = undefined
    if (ending === undefined) return
    ending.controller.abort()
    await Promise.all([ending.watching, ending.loop.stop(), ending.files.idle()])
  }

  return {
    start,
    stop,
    async rescan() {
      if (running === undefined) return
      const { files, rescanner, controller } = running
      const known = await store.known()
      files.known.clear()
      for (const [path, file] of known) files.known.set(path, file)
      await quiet(controller.signal, rescanner.all())
    },
    async verify(path, was, signal) {
      const root = running?.root ?? (await realpath(settings.dir))
      const inside = within(root, path)
      if (inside === null)
        throw new EarshotError('EARSHOT_NOT_FOUND', 'There is no such file in the inbox.')
      const verdict = await verifyFile(root, inside, was, signal)
      if (verdict === 'changed') {
        running?.files.forget(inside)
        running?.files.look(inside, 'seen')
      }
      return verdict
    },
    isGone(absolute) {
      const inside = within(running?.root ?? resolve(settings.dir), absolute)
      return (
        inside === null ||
        (running !== undefined && running.files.known.get(inside)?.status !== 'taken')
      )
    },
    waiting: () => running?.files.waiting() ?? [],
    holds: (absolute) =>
      isAbsolute(absolute) && within(running?.root ?? resolve(settings.dir), absolute) !== null,
  }
}

/** What the watchers tell, handed to those it concerns. */
function listen(
  files: Files,
  rescanner: Rescanner,
  loop: Loop,
  log: Log,
  signal: AbortSignal,
  onReady: () => void,
): WatchEvents {
  const inBackground = (work: Promise<void>) =>
    void quiet(signal, work).catch((err: unknown) => {
      log.warn({ err }, 'A folder of the inbox could not be looked through; it is tried again')
    })
  return {
    ready() {
      files.missed()
      loop.kick()
      onReady()
    },
    file: files.look,
    folder: (path, proof) => inBackground(rescanner.folder(path, proof)),
    removed(path, sure) {
      if (sure) files.gone(path)
      else loop.kick()
    },
    missed(why) {
      log.info(`Looking through the whole inbox: ${why}`)
      files.missed()
      loop.kick()
    },
  }
}

/**
 * inotifywait proves that a writer closed its file; on a network mount no kernel tells anything, so
 * only looking again and again helps.
 */
function choose(
  wanted: WatcherName | undefined,
  mounts: Mount[] | null,
  root: string,
): WatcherName[] {
  if (wanted !== undefined) return WATCHERS.slice(WATCHERS.indexOf(wanted))
  if (mounts === null) return ['chokidar', 'chokidar-polling']
  return isRemote(mounts, root) ? ['chokidar-polling'] : [...WATCHERS]
}

async function makeFolder(dir: string): Promise<string> {
  try {
    await mkdir(dir, { recursive: true })
    return await realpath(dir)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `The inbox folder ${dir} cannot be made: ${why}.`,
      {
        field: 'inbox.path',
        hint: 'Name another folder with EARSHOT_INBOX.',
        cause,
      },
    )
  }
}

/** Under a name that is passed over, such as .earshot, nothing of it is taken. */
async function refuseHome(root: string, home: string): Promise<void> {
  const real = await realpath(home)
  const inside = real === root ? '' : within(root, real)
  if (inside === null || isIgnored(inside)) return
  throw new EarshotError(
    'EARSHOT_BAD_CONFIG',
    `The inbox ${root} holds ${home}, where Earshot keeps its own files: each would be taken for a recording.`,
    {
      field: 'inbox.path',
      hint: 'Name another folder with EARSHOT_INBOX or EARSHOT_HOME.',
    },
  )
}

function within(root: string, path: string): string | null {
  const way = relative(root, isAbsolute(path) ? path : join(root, path))
  if (way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) return null
  return way.split(sep).join('/')
}

/** What was broken off because we stop is no error. */
async function quiet(signal: AbortSignal, work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
