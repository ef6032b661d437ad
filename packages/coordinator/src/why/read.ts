import { PROTOCOL } from '@earshot/contract'
import { call } from '@earshot/db/functions/call'
import type { Transactions } from '@earshot/db/transaction'
import type { Facts, JobFacts, MeshFacts } from './facts.ts'

const seconds = (since: string): string =>
  `extract(epoch from clock_timestamp() - ${since})::float8`

const JOB = `
  select jsonb_build_object(
    'id', j.id, 'kind', j.kind, 'role', j.role, 'requires', j.requires, 'class', j.class,
    'whole', coalesce((select k.whole from earshot.job_kinds k where k.kind = j.kind), false), 'status', j.status, 'alone', coalesce(h.alone, false),
    'run_at', case when isfinite(j.run_at) then extract(epoch from j.run_at)::float8 * 1000 else 1e300 end, 'error', j.error,
    'node', j.assigned_node, 'attempt', j.attempt, 'held_s', ${seconds('coalesce(j.started_at, j.assigned_at)')},
    'took_s', extract(epoch from j.finished_at - j.assigned_at)::float8, 'ended_s', ${seconds('j.finished_at')},
    'media', j.payload ->> 'media',
    'parents', (select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'status', p.status) order by p.id), '[]')
      from earshot.job_parents e join earshot.all_jobs p on p.id = e.parent_id
      where e.job_id = j.id and p.status in ('blocked', 'pending', 'assigned', 'running'))) as job
  from earshot.all_jobs j left join earshot.jobs h on h.id = j.id where j.id = $1`

// What goes before the job in a lane of a class: three ranges of one index, and not their `or`,
// which would read the whole lane.
const BEFORE = [
  'l.class > j.class',
  'l.class = j.class and b.priority > j.priority',
  'l.class = j.class and b.priority = j.priority and b.id < j.id',
].map(
  (which) =>
    `select from earshot.jobs b where b.lane = l.lane and b.class = l.class and b.status = 'pending' and b.due and ${which}`,
)

// Free slots come from the routing's own function, so that this cannot tell another story. How much
// goes before the job is counted to 10,000 a lane, and run times come from the thousand jobs that
// were completed last: so the cost has a bound.
const MESH = `
  select extract(epoch from clock_timestamp())::float8 * 1000 as now, extract(epoch from s.routable)::float8 as routable_s,
    extract(epoch from s.batch_patience)::float8 as patience_s,
    exists (select from earshot.leader l where l.expires_at > clock_timestamp() - interval '1 second') as led,
    (select coalesce(jsonb_agg(jsonb_build_object(
        'id', n.id, 'protocol', n.protocol, 'status', n.status, 'reason', n.reason, 'stopping', n.stopping, 'drained', n.drained,
        'silent_s', ${seconds('n.last_seen')}, 'roles', n.roles, 'tags', n.tags, 'free', f.free, 'load', coalesce(f.load, '{}'),
        'open', (select coalesce(jsonb_agg(jsonb_build_object('id', o.id, 'kind', o.kind, 'role', o.role, 'class', o.class,
            'whole', coalesce(k.whole, false), 'running', o.status = 'running', 'held_s', ${seconds('coalesce(o.started_at, o.assigned_at)')}) order by o.id), '[]')
          from earshot.jobs o left join earshot.job_kinds k on k.kind = o.kind where o.assigned_node = n.id and o.status in ('assigned', 'running')),
        'quarantines', (select coalesce(jsonb_agg(jsonb_build_object('role', q.role, 'reason', q.reason,
            'probe_s', extract(epoch from q.probe_at - clock_timestamp())::float8) order by q.role), '[]')
          from earshot.quarantines q where q.node = n.id and q.role in (j.role, '*')),
        'reserved_for', (select r.id from earshot.jobs r where r.id = n.reserved_for and r.alone and r.status in ('pending', 'assigned', 'running'))
      ) order by n.id), '[]')
      from earshot.nodes n left join earshot.list_free_nodes($2) f on f.id = n.id) as nodes,
    (select coalesce(jsonb_agg(jsonb_build_object('role', l.role, 'requires', l.requires, 'class', l.class, 'own', l.lane = j.lane,
        'aged', l.aged, 'before', (select count(*) from (${BEFORE.map((which) => `(${which} limit 10000)`).join(' union all ')} limit 10000) c))), '[]')
      from earshot.list_lanes() l where l.role = j.role) as lanes,
    (select coalesce(jsonb_agg(jsonb_build_object('kind', t.kind, 'node', t.node, 'seconds', t.seconds)), '[]')
      from (select c.kind, c.assigned_node as node,
          percentile_cont(0.5) within group (order by extract(epoch from c.finished_at - coalesce(c.started_at, c.assigned_at))) as seconds
        from (select kind, assigned_node, finished_at, started_at, assigned_at from earshot.jobs
          where status = 'completed' and finished_at is not null order by finished_at desc limit 1000) c
        where c.assigned_node is not null group by 1, 2) t) as times,
    (select coalesce(jsonb_agg(jsonb_build_object('id', m.holder, 'seen_at', extract(epoch from c.last_seen)::float8 * 1000) order by m.holder), '[]')
      from earshot.media m left join earshot.coordinators c on c.id = m.holder where m.hash = j.payload ->> 'media') as holders
  from earshot.all_jobs j cross join earshot.settings s where j.id = $1`

/**
 * Everything that tells why a job is where it is, in two reads; undefined when there is no such
 * job.
 */
export async function readFacts(db: Transactions, id: number): Promise<Facts | undefined> {
  const [found, known] = await db.transaction(async (client) => {
    const [job] = await call<{ job: JobFacts }>(client, 'why_job', JOB, [id])
    const [mesh] = await call<MeshFacts & { now: number }>(client, 'why_mesh', MESH, [id, PROTOCOL])
    return [job, mesh]
  })
  if (found === undefined || known === undefined) return undefined
  const { now, ...mesh } = known
  return { now, job: found.job, mesh }
}
