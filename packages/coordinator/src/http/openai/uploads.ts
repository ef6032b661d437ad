import type { Queryable } from '@earshot/db/functions/call'
import type { MediaStore } from '@earshot/shared/media/store'
import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { dropHeld, dropHeldBelow, writeHeldOnce } from '../../queries/uploads.ts'

/** A recording that is kept for one answer. */
export type Upload = AsyncDisposable & { hash: string; size: number }

export type Uploads = {
  /** Forgets what an earlier process left behind. */
  open(): Promise<void>
  /**
   * Keeps a stream under its hash, for nodes to fetch, until the upload is disposed. @throws
   * EarshotError EARSHOT_TOO_LARGE, EARSHOT_DISK_FULL
   */
  keep(stream: AsyncIterable<Uint8Array>, options: { maxBytes: number }): Promise<Upload>
}

/**
 * Recordings that were sent to be heard and not to be kept: in a store of their own, so that what
 * is deleted there is never what someone took in.
 *
 * @param store used for nothing else
 */
export function createUploads({
  db,
  store,
  holder,
}: {
  db: Queryable
  store: MediaStore
  holder: string
}): Uploads {
  /** How many answers need it: the same recording may be sent twice at once. */
  const used = new Map<string, number>()

  /** Called while no other work on this content is under way. */
  const drop = async (hash: string): Promise<void> => {
    const left = (used.get(hash) ?? 1) - 1
    if (left > 0) return void used.set(hash, left)
    used.delete(hash)
    if (await dropHeld(db, holder, hash, store.path(hash)))
      await rm(store.path(hash), { force: true })
  }

  const use = async (kept: { hash: string; size: number; path: string }): Promise<void> => {
    await writeHeldOnce(db, holder, kept)
    used.set(kept.hash, (used.get(kept.hash) ?? 0) + 1)
  }

  return {
    async open() {
      const root = dirname(dirname(store.path('0'.repeat(64))))
      const needed = new Set(await dropHeldBelow(db, holder, root))
      for (const name of await readdir(root, { recursive: true })) {
        const hash = name.slice(-64)
        if (/^[0-9a-f]{64}$/.test(hash) && !needed.has(hash))
          await rm(join(root, name), { force: true })
      }
    },
    async keep(stream, { maxBytes }) {
      const { hash, size } = await store.put(stream, { maxBytes, record: use })
      const dispose = () => store.exclusively(hash, () => drop(hash))
      return { hash, size, [Symbol.asyncDispose]: dispose }
    },
  }
}
