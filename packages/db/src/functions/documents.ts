import type { AddedDocument, JobClass, Segment } from '@earshot/contract'
import { type Queryable, call } from './call.ts'

export type DocumentKind = 'audio' | 'text'

export type NewDocument = {
  hash: string
  size: number
  holder: string
  path: string
  title: string
  kind: DocumentKind
  /** That is spoken, as `en`. */ language?: string | undefined
}

/**
 * Takes in one piece of media: media row, document and job in one transaction. Known content
 * answers with its document.
 */
export async function submitDocument(
  db: Queryable,
  doc: NewDocument,
  requires: Record<string, unknown> = {},
  jobClass: JobClass | null = null,
): Promise<AddedDocument> {
  const [row] = await call<AddedDocument>(
    db,
    'submit_document',
    'select * from earshot.submit_document($1, $2, $3, $4, $5, $6, $7::jsonb, p_class => $8, p_language => $9)',
    [
      doc.hash,
      doc.size,
      doc.holder,
      doc.path,
      doc.title,
      doc.kind,
      JSON.stringify(requires),
      jobClass,
      doc.language ?? null,
    ],
  )
  return row!
}

/** A document's segments in order. */
export function readSegments(db: Queryable, document: number): Promise<Segment[]> {
  return call<Segment>(db, 'read_segments', 'select * from earshot.read_segments($1)', [document])
}

/**
 * Where media can be had. `url` is null when the holder never said where it is; `seen_s`: seconds
 * since it last greeted; `path`: on its own box.
 */
export type MediaHolder = {
  holder: string
  url: string | null
  size: number
  seen_s: number | null
  path: string
}
/**
 * `expires` (seconds since 1970) and `signature` let a node fetch this one content, from any
 * holder.
 */
export type MediaLocation = MediaHolder & { expires: number; signature: string }

/** Proves to the database which node calls. */
export type NodeProof = { id: string; incarnation: number; token: string | null }

/** Who holds this media, last seen first. */
export function listMediaHolders(db: Queryable, hash: string): Promise<MediaHolder[]> {
  return call<MediaHolder>(
    db,
    'list_media_holders',
    'select * from earshot.list_media_holders($1)',
    [hash],
  )
}

/** Who holds this media, last seen first, and a signature with which this node can fetch it. */
export function locateMedia(
  db: Queryable,
  hash: string,
  node: NodeProof,
): Promise<MediaLocation[]> {
  return call<MediaLocation>(
    db,
    'locate_media',
    'select * from earshot.locate_media($1, $2, $3, $4)',
    [hash, node.id, node.incarnation, node.token],
  )
}

/** Coordinators that were there lately, last seen first. */
export function listCoordinators(
  db: Queryable,
): Promise<{ id: string; url: string; seen_s: number }[]> {
  return call(db, 'list_coordinators', 'select * from earshot.list_coordinators()', [])
}
