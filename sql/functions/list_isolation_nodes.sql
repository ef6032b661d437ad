-- The nodes on which a job may run alone: those that may get work, reserved ones too, with what
-- they have in hand and without the roles that are in quarantine.
create or replace function earshot.list_isolation_nodes(p_protocol int)
returns table (id text, incarnation bigint, roles text[], tags jsonb, open int, reserved_for bigint)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select n.id, n.incarnation,
    array(select r from unnest(n.roles) r where not exists (select from earshot.quarantines q where q.node = n.id and q.role in (r, '*'))),
    n.tags, (select count(*)::int from earshot.jobs j where j.assigned_node = n.id and j.status in ('assigned', 'running')),
    (select j.id from earshot.jobs j where j.id = n.reserved_for and j.alone and j.status in ('pending', 'assigned', 'running'))
  from earshot.nodes n, earshot.settings s
  where n.status = 'online' and n.reason is null and not n.drained and n.protocol = p_protocol and n.last_seen > clock_timestamp() - s.routable
$$;
