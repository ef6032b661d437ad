import { EarshotError, type EventView } from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'
import { iso } from './time.ts'

/** A place in the order of all events: the transaction that wrote an event, and its number. */
export type Position = { xid: number; id: number }

/** An event with its place, written out as SSE sends it. */
export type StoredEvent = Position & { type: string; frame: string }

export const isAfter = (a: Position, b: Position): boolean =>
  a.xid > b.xid || (a.xid === b.xid && a.id > b.id)

export const positionText = ({ xid, id }: Position): string => `${xid}-${id}`

/**
 * Reads an event id, `<xid>-<id>`, or `0` for the beginning.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST
 */
export function parsePosition(text: string, field: string): Position {
  const parts = text === '0' ? ['0', '0'] : /^(\d{1,16})-(\d{1,16})$/.exec(text)?.slice(1)
  const [xid, id] = (parts ?? []).map(Number)
  if (
    xid !== undefined &&
    id !== undefined &&
    Number.isSafeInteger(xid) &&
    Number.isSafeInteger(id)
  )
    return { xid, id }
  throw new EarshotError('EARSHOT_BAD_REQUEST', `"${text.slice(0, 50)}" is no event id.`, {
    field,
    hint: 'Use the id of an event, or 0 for all that are kept.',
  })
}

type Row = Omit<EventView, 'id' | 'at'> & { xid: string; id: number; at: Date }

function stored({ xid, id, at, ...row }: Row): StoredEvent {
  const view: EventView = {
    id: `${xid}-${id}`,
    type: row.type,
    at: iso(at),
    job_id: row.job_id,
    document_id: row.document_id,
    node: row.node,
    data: row.data,
  }
  return {
    xid: Number(xid),
    id,
    type: row.type,
    frame: `id: ${view.id}\nevent: ${view.type}\ndata: ${JSON.stringify(view)}\n\n`,
  }
}

const COLUMNS = 'e.xid::text as xid, e.id, e.type, e.at, e.job_id, e.document_id, e.node, e.data'

/**
 * An event may be read once every older transaction has ended (xid below the snapshot's xmin): only
 * then can none with a lower place appear any more. `waiting`: a committed event is not yet so far.
 */
const NEXT = `
  with now as materialized (
    select s.horizon, coalesce((select w.xid from earshot.events w order by w.xid desc, w.id desc limit 1) >= s.horizon, false) as waiting
    from (select pg_snapshot_xmin(pg_current_snapshot()) as horizon) s
  )
  select now.horizon::text as horizon, now.waiting, e.*
  from now left join lateral (
    select ${COLUMNS} from earshot.events e
    where (e.xid, e.id) > ($1::xid8, $2::bigint) and e.xid < now.horizon
    order by e.xid, e.id limit $3
  ) e on true`

export async function readNext(
  db: Queryable,
  after: Position,
  limit: number,
): Promise<{ events: StoredEvent[]; horizon: Position; waiting: boolean }> {
  const rows = await call<Row & { horizon: string; waiting: boolean }>(
    db,
    'http_events_next',
    NEXT,
    [String(after.xid), after.id, limit],
  )
  const [first] = rows
  if (first === undefined)
    throw new EarshotError('EARSHOT_INTERNAL', 'The database gave no snapshot.')
  const events = rows
    .filter((row) => row.id !== null)
    .map(({ horizon: _, waiting: __, ...row }) => stored(row))
  return { events, horizon: { xid: Number(first.horizon), id: 0 }, waiting: first.waiting }
}

/** Events after one place and up to another that was readable already. */
export async function readBetween(
  db: Queryable,
  after: Position,
  upTo: Position,
  limit: number,
): Promise<StoredEvent[]> {
  const rows = await call<Row>(
    db,
    'http_events_between',
    `select ${COLUMNS} from earshot.events e
     where (e.xid, e.id) > ($1::xid8, $2::bigint) and (e.xid, e.id) <= ($3::xid8, $4::bigint)
     order by e.xid, e.id limit $5`,
    [String(after.xid), after.id, String(upTo.xid), upTo.id, limit],
  )
  return rows.map(stored)
}

/**
 * The place before which everything may be read, the number of the next transaction, and the last
 * place of which an event was deleted.
 */
export async function readNow(
  db: Queryable,
): Promise<{ horizon: Position; next: number; pruned: Position }> {
  const [row] = await call<{
    horizon: string
    next: string
    pruned_xid: string
    pruned_id: number
  }>(
    db,
    'http_events_now',
    `select pg_snapshot_xmin(s)::text as horizon, pg_snapshot_xmax(s)::text as next, p.xid::text as pruned_xid, p.id as pruned_id
     from pg_current_snapshot() s, earshot.pruned_events p`,
    [],
  )
  if (row === undefined)
    throw new EarshotError('EARSHOT_INTERNAL', 'The database gave no snapshot.')
  return {
    horizon: { xid: Number(row.horizon), id: 0 },
    next: Number(row.next),
    pruned: { xid: Number(row.pruned_xid), id: row.pruned_id },
  }
}
