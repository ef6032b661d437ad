import type { HealthView, NodeView, QuarantineView } from '@earshot/contract'
import { type Queryable, call } from '@earshot/db/functions/call'
import { iso } from './time.ts'

type Row = Omit<NodeView, 'last_seen'> & { last_seen: Date }

const NODES = `
  select n.id, n.name, n.host, n.port, n.incarnation, n.version, n.protocol, n.status,
    coalesce(n.reason, case when n.drained then 'It is drained.' end, (select 'It is in quarantine: ' || q.reason from earshot.quarantines q where q.node = n.id and q.role = '*'),
      case when n.status <> 'online' then 'It sent no heartbeat for ' || earshot.duration_text(clock_timestamp() - n.last_seen) || '.' end) as reason,
    n.drained,
    (select coalesce(jsonb_agg(jsonb_build_object('role', q.role, 'reason', q.reason, 'since', q.since, 'probe_at', q.probe_at) order by q.role), '[]')
      from earshot.quarantines q where q.node = n.id) as quarantines,
    n.roles, n.tags, n.capabilities,
    n.slots, n.speeds,
    (select count(*)::int from earshot.jobs j where j.assigned_node = n.id and j.status in ('assigned', 'running')) as open_jobs,
    n.last_seen
  from earshot.nodes n
  where $1::text is null or n.id = $1
  order by n.id`

/** All nodes by id, or the one asked for. */
export async function readNodes(db: Queryable, id: string | null = null): Promise<NodeView[]> {
  const rows = await call<Row>(db, 'http_nodes', NODES, [id])
  return rows.map((row) => ({
    ...row,
    quarantines: row.quarantines.map(inUtc),
    last_seen: iso(row.last_seen),
  }))
}

/** Times inside JSON come in the session's zone. */
function inUtc({ since, probe_at: probeAt, ...quarantine }: QuarantineView): QuarantineView {
  return {
    ...quarantine,
    since: iso(new Date(since)),
    probe_at: probeAt === null ? null : iso(new Date(probeAt)),
  }
}

const COUNT = `
  select count(*) filter (where status = 'online')::int as online, count(*) filter (where status = 'degraded')::int as degraded,
    count(*) filter (where status = 'offline')::int as offline
  from earshot.nodes`

export async function countNodes(db: Queryable): Promise<HealthView['nodes']> {
  const [row] = await call<HealthView['nodes']>(db, 'http_count_nodes', COUNT, [])
  return row ?? { online: 0, degraded: 0, offline: 0 }
}

/** Which of these jobs this incarnation of the node holds: only its word on them counts. */
export async function heldJobs(
  db: Queryable,
  node: string,
  incarnation: number,
  ids: readonly number[],
): Promise<number[]> {
  const rows = await call<{ id: number }>(
    db,
    'http_held_jobs',
    `select j.id from earshot.jobs j
     where j.id = any ($3::bigint[]) and j.assigned_node = $1 and j.incarnation = $2 and j.status in ('assigned', 'running')`,
    [node, incarnation, ids],
  )
  return rows.map((row) => row.id)
}
