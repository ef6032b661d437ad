-- A heartbeat writes a narrow row. Under a long snapshot old versions of rows stay, and those of
-- whole nodes grew to hundreds of megabytes.
create table earshot.node_leases (
  node text primary key references earshot.nodes (id) on delete cascade,
  last_seen timestamptz not null default now(),
  lease_until timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500);
comment on table earshot.node_leases is 'Written by every heartbeat. earshot.nodes shows it beside the rest.';
comment on column earshot.node_leases.last_seen is 'When the node last sent a heartbeat.';
comment on column earshot.node_leases.lease_until is 'Until when the node may keep what it was given.';
insert into earshot.node_leases select id, last_seen, lease_until from earshot.nodes;

drop view earshot.routable_nodes;
alter table earshot.nodes drop column last_seen, drop column lease_until;
alter table earshot.nodes rename to node_registry;
comment on table earshot.node_registry is
  'What nodes say of themselves. Written when something changes. Read earshot.nodes instead.';

-- A view of one table can be written like that table; only its last two columns are read-only.
create view earshot.nodes as
  select r.*,
    (select l.last_seen from earshot.node_leases l where l.node = r.id) as last_seen,
    (select l.lease_until from earshot.node_leases l where l.node = r.id) as lease_until
  from earshot.node_registry r;
comment on view earshot.nodes is 'Every node with its lease. The lease is written in earshot.node_leases.';

create view earshot.routable_nodes as
  select n.id, n.incarnation, n.protocol, n.roles, n.tags, n.slots, n.busy, n.speeds, n.warm, n.shares
  from earshot.node_registry n join earshot.node_leases l on l.node = n.id cross join earshot.settings s
  where n.status = 'online' and n.reason is null and not n.drained
    and l.last_seen > clock_timestamp() - s.routable
    and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*')
    and not exists (select from earshot.jobs j
      where j.id = n.reserved_for and j.alone and j.status in ('pending', 'assigned', 'running'));
comment on view earshot.routable_nodes is
  'The nodes that may get work now. Left out are those that a person holds back, and those reserved for a job that must run alone.';
