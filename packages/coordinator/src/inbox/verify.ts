import { hashHandle, type Hashed } from '@earshot/shared/media/hash'
import { examine, openFile, sameStat, statHandle } from './examine.ts'

export type Verdict = 'unchanged' | 'changed' | 'gone'

/**
 * Whether a file of the inbox still is what was taken in: size, mtime and content are compared
 * again. Size and mtime alone would miss a program that writes in place and sets the old time
 * again.
 *
 * @example
 * await verifyFile('/srv/inbox', 'talk.mp3', { size: 4211, mtimeNs: 1790000000000000000n, hash }, signal) // 'unchanged'
 */
export async function verifyFile(
  root: string,
  path: string,
  was: Hashed & { mtimeNs: bigint },
  signal?: AbortSignal,
): Promise<Verdict> {
  const sight = await examine(root, path)
  if (sight.is === 'nothing') return 'gone'
  if (sight.is !== 'file' || sight.stat.size !== was.size || sight.stat.mtimeNs !== was.mtimeNs)
    return 'changed'
  const handle = await openFile(root, path)
  if (handle === null) return 'gone'
  try {
    const { hash, size } = await hashHandle(handle, signal)
    const after = await statHandle(handle)
    return hash === was.hash && size === was.size && sameStat(sight.stat, after)
      ? 'unchanged'
      : 'changed'
  } finally {
    await handle.close()
  }
}
