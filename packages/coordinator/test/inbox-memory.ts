import { EventEmitter, once } from 'node:events'
import type { InboxFile, InboxStore, KnownFile, RefusedFile } from '../src/inbox/store.ts'

export type Told =
  | { did: 'take'; path: string; file: InboxFile; duplicate: boolean; atMs: number }
  | { did: 'refuse'; path: string; file: RefusedFile; atMs: number }
  | { did: 'gone'; path: string; atMs: number }

/**
 * A store in memory that remembers what it was told, in order; for the tests of the watching
 * itself.
 */
export function createMemoryStore(before: Iterable<[string, KnownFile]> = []) {
  const rows = new Map(before)
  const documents = new Map<string, number>()
  const told: Told[] = []
  const bell = new EventEmitter().setMaxListeners(0)
  let ids = 0
  /** What the next calls throw, oldest first. */
  const failures: Error[] = []

  function tell(entry: Told): void {
    told.push(entry)
    bell.emit('told')
  }
  function maybeFail(): void {
    const failure = failures.shift()
    if (failure) throw failure
  }

  const store: InboxStore = {
    known: async () => new Map(rows),
    async take(file) {
      maybeFail()
      const first = documents.get(file.hash)
      documents.set(file.hash, first ?? ++ids)
      rows.set(file.path, {
        status: 'taken',
        size: file.size,
        mtimeNs: file.mtimeNs,
        hash: file.hash,
      })
      tell({
        did: 'take',
        path: file.path,
        file,
        duplicate: first !== undefined,
        atMs: performance.now(),
      })
      return { document_id: first ?? ids, job_id: first ?? ids, duplicate: first !== undefined }
    },
    async refuse(file) {
      maybeFail()
      rows.set(file.path, { status: 'refused', sentence: file.sentence })
      tell({ did: 'refuse', path: file.path, file, atMs: performance.now() })
      return { document_id: ++ids, job_id: ids }
    },
    async gone(path) {
      maybeFail()
      rows.delete(path)
      tell({ did: 'gone', path, atMs: performance.now() })
    },
  }

  /** Waits until it was told what the test waits for. */
  async function until<T>(look: () => T | undefined | false, ms = 15_000): Promise<T> {
    const signal = AbortSignal.timeout(ms)
    for (;;) {
      const found = look()
      if (found !== undefined && found !== false) return found
      await once(bell, 'told', { signal }).catch(() => {
        throw new Error(
          `Not told within ${ms} ms; told so far: ${JSON.stringify(told.map(({ did, path }) => `${did} ${path}`))}`,
        )
      })
    }
  }

  const of = <D extends Told['did']>(did: D, path: string, nth = 1) =>
    until(
      () =>
        told.filter(
          (entry): entry is Extract<Told, { did: D }> => entry.did === did && entry.path === path,
        )[nth - 1],
    )

  return { store, told, failures, rows, until, of }
}
