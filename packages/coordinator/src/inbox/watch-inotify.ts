import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { isIgnored } from './ignored.ts'
import { decodeName } from './names.ts'
import { WatchFailed, type WatchEvents, type Watcher } from './watcher.ts'

/**
 * close_write and moved_to prove that a file is whole; create finds hard links, empty files and
 * folders; attrib finds a file that became readable; the others find what went. q_overflow must be
 * asked for, or inotifywait passes over it in silence.
 */
const EVENTS =
  'close_write,moved_to,create,attrib,delete,moved_from,delete_self,move_self,unmount,q_overflow'
const OPTIONS = [
  '--monitor',
  '--recursive',
  '--no-dereference',
  '--no-newline',
  '--format',
  '%e%0%w%f%0',
  '--event',
  EVENTS,
  '--',
]
const MORE_WATCHES =
  'The system allows no more file watches, so the inbox is looked through again and again instead. To allow more: sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512'

/**
 * Watches with the program inotifywait (inotify-tools 3.22), since Node's own fs.watch cannot see
 * that a writer closed a file. Names come as bytes ended by NUL, so whatever a name holds is safe.
 */
export function createInotifyWatcher(): Watcher {
  return {
    name: 'inotifywait',
    async watch(root, events, signal) {
      // With setpriv the kernel ends the watcher even when we are killed; without it, it ends at
      // its next event.
      const guarded = ['setpriv', '--pdeathsig', 'TERM', '--', 'inotifywait', ...OPTIONS, root]
      const code = await run(guarded, root, events, signal)
      if (code === 'no program') {
        const plain = await run(['inotifywait', ...OPTIONS, root], root, events, signal)
        if (plain === 'no program') throw missing()
      }
    },
  }
}

async function run(
  [program, ...args]: string[],
  root: string,
  events: WatchEvents,
  signal: AbortSignal,
): Promise<'ended' | 'no program'> {
  if (signal.aborted) return 'ended'
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true })
  const stop = () => void child.kill('SIGTERM')
  signal.addEventListener('abort', stop, { once: true })
  const said: string[] = []
  let limit = false
  try {
    child.stdout.on(
      'data',
      createParser(root, events, () => child.kill('SIGTERM')),
    )
    readLines(child, (line) => {
      if (line === 'Watches established.') return events.ready()
      if (line.startsWith('Setting up watches.')) return
      said.push(line)
      if (said.length > 5) said.shift()
      limit ||= isLimit(line)
      // It would go on without seeing the new folder: end it, so that something else looks there.
      if (limit) stop()
    })
    const ended = await new Promise<number | NodeJS.ErrnoException>((resolve) => {
      child.once('error', resolve)
      child.once('close', (exit) => resolve(exit ?? -1))
    })
    if (signal.aborted) return 'ended'
    if (typeof ended === 'object') {
      if (ended.code === 'ENOENT') return 'no program'
      throw new WatchFailed(
        'ended',
        `The program ${program} could not be started: ${ended.message}`,
        ended,
      )
    }
    if (limit) throw new WatchFailed('limit', MORE_WATCHES)
    if (ended === 127) throw missing()
    throw new WatchFailed(
      'ended',
      `The program inotifywait ended (${[`exit code ${ended}`, ...said].join('; ')}).`,
    )
  } finally {
    signal.removeEventListener('abort', stop)
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
}

function missing(): WatchFailed {
  return new WatchFailed(
    'missing',
    'The program inotifywait is not installed, so files are taken in once they stood still. To take them at once: sudo apt-get install inotify-tools',
  )
}

function isLimit(line: string): boolean {
  return /upper limit on inotify watches|No space left on device|max_user_(instances|watches)|Too many open files/.test(
    line,
  )
}

function readLines(child: ChildProcess, onLine: (line: string) => void): void {
  let rest = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) if (line !== '') onLine(line)
  })
}

/**
 * Cuts what inotifywait prints (`EVENT,EVENT NUL path NUL`) into events, however it is cut into
 * pieces.
 */
export function createParser(
  root: string,
  events: WatchEvents,
  onRootGone: () => void,
): (piece: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (piece) => {
    const bytes = rest.length === 0 ? piece : Buffer.concat([rest, piece])
    let at = 0
    for (;;) {
      const first = bytes.indexOf(0, at)
      const second = first === -1 ? -1 : bytes.indexOf(0, first + 1)
      if (second === -1) break
      const flags = new Set(bytes.toString('latin1', at, first).split(','))
      tell(root, flags, bytes.subarray(first + 1, second), events, onRootGone)
      at = second + 1
    }
    rest = Buffer.from(bytes.subarray(at))
  }
}

function tell(
  root: string,
  flags: Set<string>,
  raw: Buffer,
  events: WatchEvents,
  onRootGone: () => void,
): void {
  if (flags.has('Q_OVERFLOW'))
    return events.missed('more happened in the inbox than the kernel keeps in mind')
  if (flags.has('UNMOUNT')) return events.missed('a disk in the inbox was unmounted')
  const absolute = decodeName(raw)
  // A name that is no UTF-8: looking through the nearest folder with a proper name finds it, and
  // says so.
  if (absolute === null) return events.folder(nearestFolder(root, raw), 'seen')
  const path = absolute.slice(root.length + 1).replace(/\/$/, '')
  if (flags.has('DELETE_SELF') || flags.has('MOVE_SELF'))
    return path === '' ? onRootGone() : undefined
  if (path === '' || isIgnored(path)) return
  // Of a folder that went, what was in it is not told one by one: a look through the inbox has to
  // find that.
  if (flags.has('DELETE') || flags.has('MOVED_FROM'))
    return events.removed(path, !flags.has('ISDIR'))
  const closed = flags.has('CLOSE_WRITE') || flags.has('MOVED_TO')
  if (flags.has('ISDIR')) events.folder(path, closed ? 'closed' : 'seen')
  else events.file(path, closed ? 'closed' : flags.has('CREATE') ? 'created' : 'seen')
}

function nearestFolder(root: string, raw: Buffer): string {
  let end = raw.lastIndexOf('/')
  for (; end > root.length; end = raw.lastIndexOf('/', end - 1)) {
    const path = decodeName(raw.subarray(root.length + 1, end))
    if (path !== null) return path
  }
  return ''
}
