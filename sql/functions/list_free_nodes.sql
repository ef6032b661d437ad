-- list_free_nodes
-- The nodes that may get work now, and how much.
--   free  role to free slots; * where the node has a total for all roles. Taken are those of open jobs and those that the node reports
--         as still winding down (cancelled or lost, the engine not ended yet), so that nothing is oversold. A role in quarantine
--         gets nothing until its rest is over, then one job at a time.
--   load  role to {slots, open (winding down too), running (marked: for longer than a moment), interactive, whole (batch jobs that
--         cannot be cut)}; * likewise. A role in quarantine is left out.
-- Left out are nodes that a person holds back, and those reserved for a job that must run alone.
create or replace function earshot.list_free_nodes(p_protocol int)
returns table (id text, incarnation bigint, roles text[], tags jsonb, free jsonb, load jsonb, speeds jsonb, warm jsonb, shares jsonb)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select n.id, n.incarnation, n.roles, n.tags, r.free, r.load, n.speeds, n.warm, n.shares
  from earshot.nodes n cross join earshot.settings s
  cross join lateral (
    with held as (
      select j.role, 1 as open, (j.status = 'running')::int as running, (j.class = 'interactive')::int as interactive,
        (j.class = 'batch' and coalesce(k.whole, false))::int as whole
      from earshot.jobs j left join earshot.job_kinds k on k.kind = j.kind
      where j.assigned_node = n.id and j.status in ('assigned', 'running')
      union all
      select b.key, b.value::int, 0, 0, 0 from jsonb_each_text(n.busy) b
    ), counted as (
      -- With a row for the whole node, whose role is *.
      select coalesce(h.role, '*') as role, sum(h.open)::int as open, sum(h.running)::int as running, sum(h.interactive)::int as interactive,
        sum(h.whole)::int as whole
      from held h group by grouping sets ((h.role), ())
    ), offered as (
      select o.role, q.node is not null as doubted, c.open, c.running, c.interactive, c.whole,
        case when q.probe_at > now() then 0 when q.probe_at is not null then 1 else coalesce((n.slots ->> o.role)::int, 1) end as slots
      from (select unnest(n.roles) as role union all select '*' where n.slots ? '*') o
      left join earshot.quarantines q on q.node = n.id and q.role = o.role
      left join counted c on c.role = o.role
    ), total as (
      select min(o.slots - coalesce(o.open, 0)) as left from offered o where o.role = '*'
    )
    select coalesce(jsonb_object_agg(o.role, greatest(0, least(o.slots - coalesce(o.open, 0), t.left))), '{}') as free,
      coalesce(jsonb_object_agg(o.role, jsonb_build_object('slots', o.slots, 'open', coalesce(o.open, 0), 'running', coalesce(o.running, 0),
        'interactive', coalesce(o.interactive, 0), 'whole', coalesce(o.whole, 0))) filter (where not o.doubted), '{}') as load
    from offered o cross join total t) r
  where n.status = 'online' and n.reason is null and not n.drained and n.protocol = p_protocol and n.last_seen > clock_timestamp() - s.routable
    and not exists (select from earshot.quarantines q where q.node = n.id and q.role = '*')
    and not exists (select from earshot.jobs j where j.id = n.reserved_for and j.alone and j.status in ('pending', 'assigned', 'running'))
  order by n.id
$$;
