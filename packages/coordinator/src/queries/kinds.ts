import { isKind, type KindView, KINDS, jsonSchemaOf, strict } from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'

const COLUMNS =
  'k.kind, k.role, k.priority, k.max_tries, k.class, extract(epoch from k.silence)::float8 as silence_s, k.built_in, k.payload_schema, k.result_schema'

/** Every kind that the mesh knows, by name; or those asked for. */
export async function readKinds(
  db: Queryable,
  names: readonly string[] | null = null,
): Promise<KindView[]> {
  const text = `select ${COLUMNS} from earshot.job_kinds k where $1::text[] is null or k.kind = any ($1) order by k.kind`
  return (await call<KindView>(db, 'http_kinds', text, [names])).map(withOwnSchemas)
}

/** The schemas of Earshot's own kinds stand in the contract, not in the database. */
function withOwnSchemas(view: KindView): KindView {
  if (!isKind(view.kind)) return view
  const { payload, result } = KINDS[view.kind]
  return {
    ...view,
    payload_schema: jsonSchemaOf(strict(payload), view.kind, 'payload'),
    result_schema: jsonSchemaOf(result, view.kind, 'result'),
  }
}
