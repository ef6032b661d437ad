import type { AddedDocument, ErrorCode } from '@earshot/contract'

/**
 * A whole file. `path`: relative to the inbox, forward slashes, also the title; `size` in bytes;
 * `mtimeNs` since 1970.
 */
export type InboxFile = {
  path: string
  absolute: string
  size: number
  mtimeNs: bigint
  hash: string
  kind: 'audio' | 'text'
}

/**
 * A thing that cannot be taken, with what people read about it. `size` and `mtimeNs` are null for
 * what is no file.
 */
export type RefusedFile = {
  path: string
  size: number | null
  mtimeNs: bigint | null
  kind: 'audio' | 'text'
  code: ErrorCode
  sentence: string
}

/** What was done about a path: a file taken as it was, or refused with this sentence. */
export type KnownFile =
  | { status: 'taken'; size: number; mtimeNs: bigint; hash: string }
  | { status: 'refused'; sentence: string }

/**
 * The inbox's memory, in the inbox's own words. Every call may be repeated after a lost answer and
 * must then change nothing. A call that throws is tried again later by the inbox; nothing is marked
 * as done before the call came back.
 */
export type InboxStore = {
  /** What is known of this inbox, by path: asked once at every start and at `rescan()`. */
  known(): Promise<Map<string, KnownFile>>
  /**
   * In one transaction: media, document, job, and the row of the path. Content that is there
   * already (under any path, in a document that did not fail) answers with that document and
   * `duplicate`. Where the path was known with another hash, the open job of its old content ends
   * with EARSHOT_MEDIA_CHANGED; with the same hash only size and mtime are noted.
   */
  take(file: InboxFile): Promise<AddedDocument>
  /**
   * In one transaction: a document and a job that have failed from the start, and the row of the
   * path.
   */
  refuse(file: RefusedFile): Promise<{ document_id: number; job_id: number }>
  /**
   * The path is really gone (not merely its disk): its row goes. Where the same content is known
   * under another path, that is where it lies now; otherwise its open job ends with
   * EARSHOT_MEDIA_GONE. What was heard already stays.
   */
  gone(path: string): Promise<void>
}
