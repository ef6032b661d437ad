import { rm } from 'node:fs/promises'
import type { Database } from '@earshot/db/database'
import { forgetMedia, listUnneededMedia } from '@earshot/db/functions/retention'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'
import type { MediaStore } from '@earshot/shared/media/store'

const EVERY_MS = 60_000

export type MediaHolder = { db: Database; coordinatorId: string; media: MediaStore }

/**
 * Removes media of this coordinator that nothing refers to, among the next rows after a hash. Only
 * files of its own store are deleted, never one of an inbox: of those only the row goes.
 *
 * @returns how many went, and where to go on; null when all was looked at
 */
export async function pruneMedia(
  { db, coordinatorId, media }: MediaHolder,
  after: string,
): Promise<{ removed: number; last: string | null }> {
  const { last, hashes } = await listUnneededMedia(db.pool, coordinatorId, after)
  let removed = 0
  for (const hash of hashes) {
    // No one puts the same content here meanwhile: it would be taken for kept and then be gone.
    const path = await media.exclusively(hash, () =>
      db.transaction(async (client) => {
        const forgotten = await forgetMedia(client, coordinatorId, hash)
        if (forgotten === media.path(hash)) await rm(forgotten, { force: true })
        return forgotten
      }),
    )
    if (path !== null) removed += 1
  }
  return { removed, last }
}

/**
 * Looks once a minute through a part of what this coordinator holds; every coordinator does, anyone
 * who leads.
 */
export function createMediaPruning(holder: MediaHolder & { log: Log }): Loop {
  const { log } = holder
  let after = ''
  return createLoop({
    everyMs: EVERY_MS,
    log,
    work: async () => {
      const { removed, last } = await pruneMedia(holder, after)
      after = last ?? ''
      if (removed > 0) log.info({ files: removed }, 'Media that nothing referred to was removed')
    },
  })
}
