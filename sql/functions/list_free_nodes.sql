-- The nodes that may get work now, and how much.
--   free  role to free slots; * where the node has a total for all roles. Taken are those of open
--   jobs and those that the node reports as still winding down (cancelled or lost, the engine not
--   ended yet), so that nothing is oversold. A role in quarantine gets nothing until its rest is
--   over, then one job at a time. A count that is no whole number is 0 (as_count). load  role to
--   {slots, open (winding down too), running (marked: for longer than a moment), interactive, whole
--   (batch jobs that cannot be cut)}; * likewise. A role in quarantine is left out.
-- The open jobs are counted once for all nodes: with thousands of nodes, one by one took several
-- times as long. plpgsql keeps the plan, which takes longer to make than to run.
create or replace function earshot.list_free_nodes(p_protocol int)
returns table (id text, incarnation bigint, roles text[], tags jsonb, free jsonb, load jsonb, speeds jsonb, warm jsonb, shares jsonb)
language plpgsql stable security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with up as (
    select n.* from earshot.routable_nodes n where n.protocol = p_protocol
  ), held as (
    select j.assigned_node as node, j.role, 1 as open, (j.status = 'running')::int as running, (j.class = 'interactive')::int as interactive,
      (j.class = 'batch' and coalesce(k.whole, false))::int as whole
    from earshot.jobs j left join earshot.job_kinds k on k.kind = j.kind where j.status in ('assigned', 'running')
    union all
    select u.id, b.key, earshot.as_count(b.value), 0, 0, 0 from up u cross join jsonb_each(u.busy) b
  ), counted as (
    -- With a row for the whole node, whose role is *.
    select h.node, coalesce(h.role, '*') as role, sum(h.open)::int as open, sum(h.running)::int as running, sum(h.interactive)::int as interactive,
      sum(h.whole)::int as whole
    from held h group by grouping sets ((h.node, h.role), (h.node))
  ), offered as (
    select u.id, o.role, q.node is not null as doubted, coalesce(c.open, 0) as open, coalesce(c.running, 0) as running,
      coalesce(c.interactive, 0) as interactive, coalesce(c.whole, 0) as whole,
      case when q.probe_at > now() then 0 when q.probe_at is not null then 1 else case when u.slots ? o.role then earshot.as_count(u.slots -> o.role) else 1 end end as slots
    from up u
    cross join lateral (select unnest(u.roles) as role union all select '*' where u.slots ? '*') o
    left join earshot.quarantines q on q.node = u.id and q.role = o.role
    left join counted c on c.node = u.id and c.role = o.role
  ), room as (
    select o.id, jsonb_object_agg(o.role, greatest(0, least(o.slots - o.open, o.total))) as free,
      jsonb_object_agg(o.role, jsonb_build_object('slots', o.slots, 'open', o.open, 'running', o.running, 'interactive', o.interactive, 'whole', o.whole))
        filter (where not o.doubted) as load
    from (select o.*, min(o.slots - o.open) filter (where o.role = '*') over (partition by o.id) as total from offered o) o
    group by o.id
  )
  select u.id, u.incarnation, u.roles, u.tags, coalesce(r.free, '{}'), coalesce(r.load, '{}'), u.speeds, u.warm, u.shares
  from up u left join room r on r.id = u.id order by u.id;
end $$;
