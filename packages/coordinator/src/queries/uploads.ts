import { type Queryable, call } from '@earshot/db/functions/call'

/** Writes down that this coordinator holds media, unless it holds it elsewhere already. */
export async function writeHeldOnce(
  db: Queryable,
  holder: string,
  media: { hash: string; size: number; path: string },
): Promise<void> {
  await call(
    db,
    'http_write_upload',
    'insert into earshot.media (hash, size, holder, path) values ($1, $2, $3, $4) on conflict (hash, holder) do nothing',
    [media.hash, media.size, holder, media.path],
  )
}

/**
 * Forgets media at this path; false when someone has made a document of it meanwhile: then the file
 * is needed.
 */
export async function dropHeld(
  db: Queryable,
  holder: string,
  hash: string,
  path: string,
): Promise<boolean> {
  const [row] = await call<{ needed: boolean }>(
    db,
    'http_drop_upload',
    `with needed as (select from earshot.documents d where d.media_hash = $2 limit 1), gone as (
       delete from earshot.media m where m.holder = $1 and m.hash = $2 and m.path = $3 and not exists (select from needed))
     select exists (select from needed) and exists (select from earshot.media m where m.holder = $1 and m.hash = $2 and m.path = $3) as needed`,
    [holder, hash, path],
  )
  return row?.needed === false
}

/** The same for everything below a folder; answers the hashes that are needed. */
export async function dropHeldBelow(
  db: Queryable,
  holder: string,
  folder: string,
): Promise<string[]> {
  const rows = await call<{ hash: string }>(
    db,
    'http_drop_uploads',
    `with mine as (select m.hash, exists (select from earshot.documents d where d.media_hash = m.hash) as needed
       from earshot.media m where m.holder = $1 and starts_with(m.path, $2)), gone as (
       delete from earshot.media m using mine where m.holder = $1 and m.hash = mine.hash and not mine.needed)
     select mine.hash from mine where mine.needed`,
    [holder, folder],
  )
  return rows.map((row) => row.hash)
}
