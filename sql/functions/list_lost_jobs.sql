-- Open jobs that no one holds any more: their node's lease ended (expired), it was replaced by a
-- newer incarnation (also between routing's look at the node and its commit), or it is gone from
-- the registry.
--   stopping  the node had said that it would stop
create or replace function earshot.list_lost_jobs(p_leases boolean) returns table (id bigint, node text, expired boolean, stopping boolean)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select j.id, j.assigned_node, coalesce(n.incarnation = j.incarnation, false), coalesce(n.stopping, false)
  from earshot.jobs j left join earshot.nodes n on n.id = j.assigned_node
  where j.status in ('assigned', 'running')
    and (n.id is null or n.incarnation <> j.incarnation or (p_leases and n.lease_until < clock_timestamp()))
$$;
