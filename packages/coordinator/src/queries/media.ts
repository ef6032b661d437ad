import { type Queryable, call } from '@earshot/db/functions/call'

/** A file that this coordinator holds: bytes, and where it lies. */
export type HeldMedia = { size: number; path: string }

/** Where this coordinator has media of this hash, and the mesh's secret that signs its address. */
export async function readHeld(
  db: Queryable,
  hash: string,
  holder: string,
): Promise<{ held: HeldMedia | undefined; secret: string }> {
  const [row] = await call<{ secret: string; size: number | null; path: string | null }>(
    db,
    'http_held_media',
    'select s.secret, m.size, m.path from earshot.settings s left join earshot.media m on m.hash = $1 and m.holder = $2',
    [hash, holder],
  )
  const held =
    row === undefined || row.size === null || row.path === null
      ? undefined
      : { size: row.size, path: row.path }
  return { held, secret: row?.secret ?? '' }
}

/**
 * Writes down that this coordinator holds media, as new: an upload is kept for a while until
 * something refers to it. A file in the store wins over one in an inbox, which people may remove.
 */
export async function writeHeld(
  db: Queryable,
  holder: string,
  media: { hash: string; size: number; path: string },
): Promise<void> {
  await call(
    db,
    'http_write_media',
    `insert into earshot.media (hash, size, holder, path) values ($1, $2, $3, $4)
     on conflict (hash, holder) do update set path = excluded.path, created_at = now()`,
    [media.hash, media.size, holder, media.path],
  )
}

/**
 * When the inbox file at this absolute path was last written, by the inbox's own row; undefined
 * when the path was forgotten or renewed.
 */
export async function readInboxMtime(
  db: Queryable,
  holder: string,
  hash: string,
  path: string,
): Promise<bigint | undefined> {
  const [row] = await call<{ mtime_ns: string }>(
    db,
    'http_inbox_mtime',
    `select f.mtime_ns::text as mtime_ns from earshot.inbox_files f
     where f.holder = $1 and f.hash = $2 and f.mtime_ns is not null and right($3, length(f.path) + 1) = '/' || f.path`,
    [holder, hash, path.replaceAll('\\', '/')],
  )
  return row === undefined ? undefined : BigInt(row.mtime_ns)
}

export type ArtifactRow = { id: number; kind: string; hash: string; type: string }

export async function readArtifact(db: Queryable, id: number): Promise<ArtifactRow | undefined> {
  const [row] = await call<ArtifactRow>(
    db,
    'http_artifact',
    'select a.id, a.kind, a.media_hash as hash, a.mime as type from earshot.artifacts a where a.id = $1',
    [id],
  )
  return row
}
