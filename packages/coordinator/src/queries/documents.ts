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
  select d.id, c.name as corpus, d.title, d.kind, d.status, d.error, d.error_code, d.duration_s, d.level_db, d.warnings, d.media_hash as media, d.node,
    d.kind = 'audio' and d.status = 'ready' and not exists (select from earshot.segments s where s.document_id = d.id) as no_speech,
    (select count(*)::int from earshot.segments s where s.document_id = d.id) as segments,
    (select count(*)::int from earshot.chunks k where k.document_id = d.id) as chunks,
    (select max(j.id) from earshot.all_jobs j where j.document_id = d.id and j.kind in ('transcribe', 'read')) as job_id,
    d.created_at, d.ready_at
  from earshot.documents d join earshot.corpora c on c.id = d.corpus_id`

/** Documents, newest first. */
export async function readDocuments(
  db: Queryable,
  { status, limit, ...asked }: DocumentFilter,
): Promise<DocumentView[]> {
  // Only what was asked stands in the statement: a plan for `$1 is null or …` serves no index.
  const texts = { id: 'd.id = $', before: 'd.id < $' }
  const given = (Object.keys(texts) as (keyof typeof texts)[]).filter(
    (key) => asked[key] !== undefined,
  )
  const all = given.map((key, at) => texts[key].replace('$', `$${at + 2}`))
  const statuses = [...new Set(status)].toSorted()
  // The index has the newest of one status, and none has those of several.
  const newest = statuses.map(
    (one) =>
      `(select d.id from earshot.documents d where ${[`d.status = '${one}'`, ...all].join(' and ')} order by d.id desc limit $1)`,
  )
  const where = newest.length > 0 ? [`d.id = any (array(${newest.join(' union all ')}))`] : all
  const rows = await call<Row>(
    db,
    ['http_documents', ...statuses, ...given].join('_'),
    `${DOCUMENTS}${where.length === 0 ? '' : ` where ${where.join(' and ')}`} order by d.id desc limit $1`,
    [limit, ...given.map((key) => asked[key])],
  )
  return rows.map(({ error, error_code, ...row }) => ({
    ...row,
    error: error === null ? null : { code: error_code ?? 'EARSHOT_INTERNAL', message: error },
    created_at: iso(row.created_at),
    ready_at: isoOrNull(row.ready_at),
  }))
}
