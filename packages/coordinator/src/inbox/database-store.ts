import type { Database } from '@earshot/db/database'
import {
  type KnownInboxFile,
  forgetInboxFile,
  listInboxFiles,
  refuseInboxFile,
  takeInboxFile,
} from '@earshot/db/functions/inbox'
import type { InboxStore, KnownFile } from './store.ts'

/** The inbox's memory in the database; `holder` is the coordinator's id. */
export function createInboxStore(db: Database, holder: string): InboxStore {
  return {
    known: async () =>
      new Map((await listInboxFiles(db.pool, holder)).map((file) => [file.path, knownFile(file)])),
    take: (file) => takeInboxFile(db.pool, holder, file),
    refuse: (file) => refuseInboxFile(db.pool, holder, file),
    gone: (path) => forgetInboxFile(db.pool, holder, path),
  }
}

function knownFile({ status, size, mtime_ns, hash, error }: KnownInboxFile): KnownFile {
  if (status === 'refused') return { status, sentence: error ?? '' }
  return { status: 'taken', size: size ?? 0, mtimeNs: BigInt(mtime_ns ?? 0), hash: hash ?? '' }
}
