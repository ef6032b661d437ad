import { relative, sep } from 'node:path'
import { watch as chokidar } from 'chokidar'
import { isIgnored } from './ignored.ts'
import { WatchFailed, type Watcher } from './watcher.ts'

/**
 * chokidar reads a new folder before it watches it: what is made between the two it never sees. A
 * second look does.
 */
const SECOND_LOOK_MS = 1000

/**
 * Watches with chokidar: where there is no inotifywait, and by `polling` (every `pollS` seconds)
 * where the system tells nothing: on network mounts, whose files others write. It proves nothing
 * about wholeness; what it tells must still stand still.
 */
export function createChokidarWatcher({
  polling,
  pollS = 2,
}: {
  polling: boolean
  pollS?: number
}): Watcher {
  return {
    name: polling ? 'chokidar-polling' : 'chokidar',
    async watch(root, events, signal) {
      if (signal.aborted) return
      const inside = (absolute: string) => relative(root, absolute).split(sep).join('/')
      const watcher = chokidar(root, {
        followSymlinks: false,
        ignoreInitial: true,
        atomic: false,
        usePolling: polling,
        interval: pollS * 1000,
        binaryInterval: pollS * 1000,
        ignored: (absolute) => isIgnored(inside(absolute)),
      })
      let secondLook: NodeJS.Timeout | undefined
      try {
        await new Promise<void>((resolve, reject) => {
          signal.addEventListener('abort', () => resolve(), { once: true })
          watcher.on('ready', () => events.ready())
          watcher.on('add', (path) => events.file(inside(path), 'seen'))
          watcher.on('change', (path) => events.file(inside(path), 'seen'))
          watcher.on('addDir', (path) => {
            events.folder(inside(path), 'seen')
            clearTimeout(secondLook)
            secondLook = setTimeout(() => events.folder('', 'seen'), SECOND_LOOK_MS)
          })
          watcher.on('unlink', (path) => events.removed(inside(path), false))
          watcher.on('unlinkDir', (path) => events.removed(inside(path), false))
          watcher.on('error', (error) => {
            const failed = failure(error)
            if (failed !== null) reject(failed)
          })
        })
      } finally {
        clearTimeout(secondLook)
        await watcher.close()
      }
    },
  }
}

/**
 * What one file or folder refuses concerns that one only, and the look through the whole folder
 * reports it.
 */
const OF_ONE = new Set(['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'])

function failure(error: unknown): WatchFailed | null {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (OF_ONE.has(code)) return null
  if (code === 'ENOSPC' || code === 'EMFILE') {
    return new WatchFailed(
      'limit',
      'The system allows no more file watches, so the inbox is looked through again and again instead. On Linux, to allow more: sudo sysctl fs.inotify.max_user_watches=524288',
      error,
    )
  }
  return new WatchFailed(
    'ended',
    `Watching the inbox failed: ${error instanceof Error ? error.message : String(error)}`,
    error,
  )
}
