import { type Queryable, call } from './call.ts'

/** A document's chunks in order, as they are embedded. */
export function readChunks(
  db: Queryable,
  document: number,
): Promise<{ id: number; text: string }[]> {
  return call(db, 'read_chunks', 'select * from earshot.read_chunks($1)', [document])
}

/**
 * By which model documents are embedded besides the lexical one. `dimensions`: of its vectors, null
 * until there are some; `floor`: null where none was set.
 */
export type Embedding = { model: string; dimensions: number | null; floor: number | null }

export async function readEmbedding(db: Queryable): Promise<Embedding> {
  const [row] = await call<Embedding>(
    db,
    'read_embedding',
    'select embed_model as model, embed_dimensions as dimensions, embed_floor::float8 as floor from earshot.settings',
    [],
  )
  return row!
}

/**
 * Says by which model documents are embedded; embed jobs of another one end. A stale term says
 * nothing.
 */
export async function setEmbedding(
  db: Queryable,
  term: string,
  { model, floor }: { model: string; floor: number | null },
): Promise<void> {
  await call(db, 'set_embedding', 'select earshot.set_embedding($1::bigint, $2, $3::real)', [
    term,
    model,
    floor,
  ])
}

/**
 * Does the next part of what keeps vectors in step with the settings; returns how many documents
 * were asked to be embedded, and how many former vectors removed.
 */
export async function reconcileVectors(
  db: Queryable,
  term: string,
): Promise<{ asked: number; removed: number }> {
  const [row] = await call<{ asked: number; removed: number }>(
    db,
    'reconcile_vectors',
    'select * from earshot.reconcile_vectors($1::bigint)',
    [term],
  )
  return row!
}
