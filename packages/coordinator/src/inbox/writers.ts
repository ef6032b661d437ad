import { closeSync, openSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { FileStat } from './examine.ts'

/** A process that has a file open for writing. */
export type Writer = { pid: number; name: string }

export type Writers = {
  /**
   * Who has this file open for writing, as far as this user may see: another user's processes are
   * seen by root only. Null when no one is seen, and where there is no /proc.
   */
  find(absolute: string, stat: FileStat): Promise<Writer | null>
}

type Round = { at: number; byInode: Map<string, Writer>; byPath: Map<string, Writer> }

/**
 * What is open there is no file that someone could drop; but /dev/shm is a place like any other.
 */
const NO_FILE = /^\/(dev\/(?!shm\/)|proc\/|sys\/|memfd:)/

/**
 * Many files that come at once share one look through /proc, which costs 3 ms for 1,000 open files.
 */
const SHARED_MS = 250

/**
 * Finds who writes a file by looking through /proc/<pid>/fd and fdinfo (proc(5)). Files are told by
 * inode, since a writer may know the file by another hard link, or in a container by another path;
 * by path on kernels before 5.14, which do not tell inodes there. Devices are not compared (btrfs
 * gives differing ones): a false match only costs the time to stand still.
 */
export function createWriters(proc = '/proc'): Writers {
  let last: Promise<Round> | undefined
  let lastAt = 0

  async function round(): Promise<Round> {
    const found: Round = { at: performance.now(), byInode: new Map(), byPath: new Map() }
    for (const pid of list(proc)) {
      if (!/^\d+$/.test(pid)) continue
      look(`${proc}/${pid}`, Number(pid), found)
      // Between two processes the event loop gets its turn.
      await setImmediate()
    }
    return found
  }

  async function ask(fresh: boolean): Promise<Round> {
    const now = performance.now()
    if (fresh || last === undefined || now - lastAt > SHARED_MS) {
      last = round()
      lastAt = now
    }
    return last
  }

  return {
    async find(absolute, stat) {
      const asked = performance.now()
      const match = (found: Round) =>
        found.byInode.get(String(stat.ino)) ?? found.byPath.get(absolute) ?? null
      const found = await ask(false)
      const writer = match(found)
      // A look that began before we were asked may have seen a writer that has closed since.
      if (writer === null || found.at >= asked) return writer
      return match(await ask(true))
    },
  }
}

/**
 * What is read of an open file, and of a process's name, is shorter. Nothing here is read while
 * something else is.
 */
const text = Buffer.alloc(4096)

function look(process: string, pid: number, found: Round): void {
  // Databases have hundreds of files open for writing.
  let name: string | undefined
  for (const fd of list(`${process}/fd`)) {
    const target = read(() => readlinkSync(`${process}/fd/${fd}`))
    if (target === null || !target.startsWith('/') || NO_FILE.test(target)) continue
    const info = readText(`${process}/fdinfo/${fd}`)
    const flags = parseInt(/^flags:\s+(\d+)/m.exec(info ?? '')?.[1] ?? '0', 8)
    if ((flags & 3) === 0) continue // O_RDONLY
    name ??= readText(`${process}/comm`)?.trim() ?? String(pid)
    const writer = { pid, name }
    const inode = /^ino:\s+(\d+)/m.exec(info ?? '')?.[1]
    if (inode === undefined) found.byPath.set(target, writer)
    else found.byInode.set(inode, writer)
  }
}

/** Half the system calls of readFileSync, for what is read a thousand times. */
function readText(file: string): string | null {
  return read(() => {
    const opened = openSync(file, 'r')
    try {
      return text.toString('utf8', 0, readSync(opened, text))
    } finally {
      closeSync(opened)
    }
  })
}

function list(folder: string): string[] {
  return read(() => readdirSync(folder)) ?? []
}

/** Processes end and forbid while we look: whatever cannot be read of one is not seen. */
const UNSEEN = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL'])

function read<T>(work: () => T): T | null {
  try {
    return work()
  } catch (error) {
    if (UNSEEN.has((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
