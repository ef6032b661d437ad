import type { Prunable } from '@earshot/contract'
import { type Queryable, call } from './call.ts'

/**
 * How long things are kept, in seconds, each where someone said so: see the retention settings in
 * docs/configuration.md.
 */
export type Retention = {
  completed?: number
  failed?: number
  archived?: number
  events?: number
  nodes?: number
  speech?: number
  uploads?: number
  documents?: number
  media?: number
}

/**
 * Sets how long things are kept; what `given` does not say stays as it was. A stale term sets
 * nothing.
 */
export async function setRetention(db: Queryable, term: string, given: Retention): Promise<void> {
  await call(db, 'set_retention', 'select earshot.set_retention($1::bigint, $2::jsonb)', [
    term,
    JSON.stringify(given),
  ])
}

/**
 * Moves up to a thousand jobs that ended long enough ago out of the hot table; returns how many. A
 * stale term moves none.
 */
export async function archiveJobs(db: Queryable, term: string): Promise<number> {
  const [row] = await call<{ moved: number }>(
    db,
    'archive_jobs',
    'select earshot.archive_jobs($1::bigint) as moved',
    [term],
  )
  return row!.moved
}

/**
 * Deletes up to a thousand jobs that were archived too long ago, with their events; returns how
 * many.
 */
export async function pruneArchive(db: Queryable, term: string): Promise<number> {
  const [row] = await call<{ gone: number }>(
    db,
    'prune_archive',
    'select earshot.prune_archive($1::bigint) as gone',
    [term],
  )
  return row!.gone
}

/** Deletes up to a thousand old events that are about no job; returns how many. */
export async function pruneEvents(db: Queryable, term: string): Promise<number> {
  const [row] = await call<{ gone: number }>(
    db,
    'prune_events',
    'select earshot.prune_events($1::bigint) as gone',
    [term],
  )
  return row!.gone
}

/** Forgets nodes that have been offline for too long; returns their ids. */
export async function forgetNodes(db: Queryable, term: string): Promise<string[]> {
  const rows = await call<{ id: string }>(
    db,
    'forget_nodes',
    'select id from earshot.forget_nodes($1::bigint) as id',
    [term],
  )
  return rows.map((row) => row.id)
}

/**
 * Makes events readable that a restore brought in from another cluster, ten thousand at a time.
 *
 * @param upto where the last call left off; null looks whether there is anything to heal
 * @returns from where to go on, or null when nothing is left
 */
export async function renumberEvents(
  db: Queryable,
  term: string,
  upto: number | null,
): Promise<number | null> {
  const [row] = await call<{ upto: number | null }>(
    db,
    'renumber_events',
    'select earshot.renumber_events($1::bigint, $2::bigint) as upto',
    [term, upto],
  )
  return row!.upto
}

/**
 * Deletes up to a thousand artifacts and documents that are kept no longer; returns how many, of
 * the sort of which more went. `term` null: a person asked.
 */
export async function pruneContent(db: Queryable, term: string | null): Promise<number> {
  const [row] = await call<{ gone: number }>(
    db,
    'prune_content',
    'select earshot.prune_content($1::bigint) as gone',
    [term],
  )
  return row!.gone
}

/**
 * Which media of a coordinator nothing refers to, among the next after a hash; `last` null: the end
 * is reached.
 */
export async function listUnneededMedia(
  db: Queryable,
  holder: string,
  after: string,
): Promise<{ last: string | null; hashes: string[] }> {
  const [row] = await call<{ found: { last: string | null; hashes: string[] } }>(
    db,
    'list_unneeded_media',
    'select earshot.list_unneeded_media($1, $2) as found',
    [holder, after],
  )
  return row!.found
}

/**
 * Forgets media that nothing refers to; its path, or null where something does. The file goes
 * before the transaction ends.
 */
export async function forgetMedia(
  db: Queryable,
  holder: string,
  hash: string,
): Promise<string | null> {
  const [row] = await call<{ path: string | null }>(
    db,
    'forget_media',
    'select earshot.forget_media($1, $2) as path',
    [holder, hash],
  )
  return row!.path
}

/** What would go if everything that is kept no longer were deleted now. */
export function measurePrunable(db: Queryable): Promise<Prunable[]> {
  return call<Prunable>(
    db,
    'measure_prunable',
    'select what, keep_s, items, bytes from earshot.measure_prunable()',
    [],
  )
}
