import type { KindRegistration } from '@earshot/contract'
import { type Queryable, call } from './call.ts'

/**
 * Makes kinds of the users' own known to the mesh; returns the names of those that are new or were
 * changed.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST for a name or role of Earshot's own, and for another
 *   role of a kind whose jobs are open
 * @example
 * await registerKinds(db.pool, [thumbnail.registration])
 */
export async function registerKinds(
  db: Queryable,
  kinds: readonly KindRegistration[],
): Promise<string[]> {
  const rows = await call<{ kind: string }>(
    db,
    'register_kinds',
    'select kind from earshot.register_kinds($1::jsonb) as kind',
    [JSON.stringify(kinds)],
  )
  return rows.map((row) => row.kind)
}
