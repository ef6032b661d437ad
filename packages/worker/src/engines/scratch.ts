import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

/**
 * Does something in a new folder, which is removed afterwards.
 *
 * @example
 * await inFolder('earshot-speak-', async (dir) => writeFile(path.join(dir, 'text.txt'), 'Hello'))
 */
export async function inFolder<T>(prefix: string, work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(path.join(os.tmpdir(), prefix))
  try {
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
