import type { DocumentStatus, DocumentView, ErrorCode } from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'
import { iso, isoOrNull } from './time.ts'

type Row = Omit<DocumentView, 'error' | 'created_at' | 'ready_at'> & {
  error: string | null
  error_code: ErrorCode | null
  created_at: Date
  ready_at: Date | null
}

export type DocumentFilter = {
  id?: number
  status?: DocumentStatus[]
  before?: number
  limit: number
}

const DOCUMENTS = `
  select d.id, c.name as corpus, d.title, d.kind, d.status, d.error, d.error_code, d.duration_s, d.media_hash as media, d.node,
    (select count(*)::int from earshot.segments s where s.document_id = d.id) as segments,
    (select count(*)::int from earshot.chunks k where k.document_id = d.id) as chunks,
    (select max(j.id) from earshot.all_jobs j where j.document_id = d.id and j.kind in ('transcribe', 'read')) as job_id,
    d.created_at, d.ready_at
  from earshot.documents d join earshot.corpora c on c.id = d.corpus_id
  where ($1::bigint is null or d.id = $1) and ($2::text[] is null or d.status = any ($2)) and ($3::bigint is null or d.id < $3)
  order by d.id desc limit $4`

/** Documents, newest first. */
export async function readDocuments(
  db: Queryable,
  { id, status, before, limit }: DocumentFilter,
): Promise<DocumentView[]> {
  const rows = await call<Row>(db, 'http_documents', DOCUMENTS, [
    id ?? null,
    status ?? null,
    before ?? null,
    limit,
  ])
  return rows.map(({ error, error_code, ...row }) => ({
    ...row,
    error: error === null ? null : { code: error_code ?? 'EARSHOT_INTERNAL', message: error },
    created_at: iso(row.created_at),
    ready_at: isoOrNull(row.ready_at),
  }))
}
