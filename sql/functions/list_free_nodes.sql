-- The nodes that may get work now, and how much: role to free slots. Taken are those of open jobs and those that the node
-- reports as still winding down (cancelled or lost, the engine not ended yet), so that nothing is oversold. A role in
-- quarantine gets nothing until its rest is over, then one job at a time. Left out are nodes that a person holds back, and those
-- reserved for a job that must run alone.
create or replace function earshot.list_free_nodes(p_protocol int)
returns table (id text, incarnation bigint, roles text[], tags jsonb, free jsonb)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select n.id, n.incarnation, n.roles, n.tags,
    (select coalesce(jsonb_object_agg(r, greatest(0, case
        when q.probe_at > now() then 0 when q.probe_at is not null then 1 else coalesce((n.slots ->> r)::int, 1) end
        - coalesce(o.open, 0) - coalesce((n.busy ->> r)::int, 0))), '{}')
     from unnest(n.roles) r
     left join earshot.quarantines q on q.node = n.id and q.role = r
     left join (select role, count(*)::int as open from earshot.jobs
       where assigned_node = n.id and status in ('assigned', 'running') group by role) o on o.role = r)
  from earshot.nodes n, earshot.settings s
  where n.status = 'online' and n.reason is null and not n.drained and n.protocol = p_protocol and n.last_seen > clock_timestamp() - s.routable
    and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*')
    and not exists (select from earshot.jobs j where j.id = n.reserved_for and j.alone and j.status in ('pending', 'assigned', 'running'))
$$;
