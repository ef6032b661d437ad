import type { AddedDocument, ErrorCode } from '@earshot/contract'
import { type Queryable, call } from './call.ts'
import type { DocumentKind } from './documents.ts'

/**
 * A whole file of an inbox; `path` relative with forward slashes, `absolute` where it lies,
 * `mtimeNs` since 1970, `size` in bytes.
 */
export type WholeFile = {
  path: string
  absolute: string
  size: number
  mtimeNs: bigint
  hash: string
  kind: DocumentKind
}

/**
 * Takes in a file of an inbox: media, document, job and the inbox's own row in one transaction. May
 * be repeated.
 */
export async function takeInboxFile(
  db: Queryable,
  holder: string,
  file: WholeFile,
): Promise<AddedDocument> {
  const [row] = await call<AddedDocument>(
    db,
    'take_inbox_file',
    'select * from earshot.take_inbox_file($1, $2, $3, $4, $5, $6, $7)',
    [holder, file.path, file.absolute, file.size, file.mtimeNs, file.hash, file.kind],
  )
  return row!
}

export type Refusal = {
  path: string
  size: number | null
  mtimeNs: bigint | null
  kind: DocumentKind
  code: ErrorCode
  sentence: string
}

/**
 * Writes down a file that is not taken in, with the reason: a document and a job that have failed
 * from the start.
 */
export async function refuseInboxFile(
  db: Queryable,
  holder: string,
  file: Refusal,
): Promise<{ document_id: number; job_id: number }> {
  const [row] = await call<{ document_id: number; job_id: number }>(
    db,
    'refuse_inbox_file',
    'select * from earshot.refuse_inbox_file($1, $2, $3, $4, $5, $6, $7)',
    [holder, file.path, file.size, file.mtimeNs, file.kind, file.code, file.sentence],
  )
  return row!
}

/**
 * A file is gone from the inbox: an open job that needs its content ends with EARSHOT_MEDIA_GONE.
 */
export async function forgetInboxFile(db: Queryable, holder: string, path: string): Promise<void> {
  await call(db, 'forget_inbox_file', 'select earshot.forget_inbox_file($1, $2)', [holder, path])
}

export type KnownInboxFile = {
  path: string
  status: 'taken' | 'duplicate' | 'refused'
  size: number | null
  /** Nanoseconds since 1970, as text: they need 61 bits. */
  mtime_ns: string | null
  hash: string | null
  error: string | null
}

/** What is known of an inbox. */
export function listInboxFiles(db: Queryable, holder: string): Promise<KnownInboxFile[]> {
  return call<KnownInboxFile>(
    db,
    'list_inbox_files',
    'select * from earshot.list_inbox_files($1)',
    [holder],
  )
}
