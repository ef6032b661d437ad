-- What lets a job start after one look: who may get work and what a node has in hand, each described in one place.

create view earshot.routable_nodes as
  select n.id, n.incarnation, n.protocol, n.roles, n.tags, n.slots, n.busy, n.speeds, n.warm, n.shares
  from earshot.nodes n cross join earshot.settings s
  where n.status = 'online' and n.reason is null and not n.drained and n.last_seen > clock_timestamp() - s.routable
    and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*')
    and not exists (select from earshot.jobs j where j.id = n.reserved_for and j.alone and j.status in ('pending', 'assigned', 'running'));
comment on view earshot.routable_nodes is
  'The nodes that may get work now. Left out are those that a person holds back, and those reserved for a job that must run alone.';

create view earshot.assignments as
  select j.id, j.attempt, j.fence::text as fence, j.kind, j.role, j.requires, j.payload, j.tenant_id, j.document_id, j.deadline, j.class, j.priority,
    extract(epoch from k.silence)::double precision as silence_s, j.assigned_node as node, j.incarnation
  from earshot.jobs j join earshot.job_kinds k on k.kind = j.kind
  where j.status in ('assigned', 'running');
comment on view earshot.assignments is 'What nodes have in hand. silence_s: seconds that a job may run without a sign of progress.';

-- Its result changes, which create or replace cannot do; fences are drawn where they are written.
drop function if exists earshot.draw_fences(int);
drop function if exists earshot.route_jobs(bigint, bigint[], text[], bigint[], boolean);
