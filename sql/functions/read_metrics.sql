-- What GET /metrics counts of the events, a page at a time; read_gauges tells how things stand.
--   p_xid, p_id  the place in the order of the events up to which they were read before; null:
--     begin now
--   p_limit      events read at most
--   p_bounds     upper bounds of the histograms' buckets, in seconds
-- Returns {xid, id, more, events, runs}: events counts by type, kind and cause; runs counts
-- completed jobs by kind and by the buckets (numbered from 0) of how long they waited and ran, with
-- sums. A job that waited for parents has no waiting time here: run_at does not tell when they
-- ended. `more`: the limit was reached, ask again from (xid, id).
create or replace function earshot.read_metrics(p_xid xid8, p_id bigint, p_limit int, p_bounds double precision[]) returns jsonb
language sql stable security definer set search_path = earshot, pg_temp set jit = off
as $$
  with now as materialized (select pg_snapshot_xmin(pg_current_snapshot()) as horizon),
  page as materialized (
    select e.xid, e.id, e.type, e.job_id, e.data from earshot.events e, now
    where (e.xid, e.id) > (p_xid, p_id) and e.xid < now.horizon order by e.xid, e.id limit p_limit
  ),
  last as (select p.xid, p.id from page p order by p.xid desc, p.id desc limit 1),
  runs as (
    select p.data ->> 'kind' as kind, (p.data ->> 'ran_s')::float8 as ran,
      case when not exists (select from earshot.job_parents a where a.job_id = p.job_id) then (p.data ->> 'waited_s')::float8 end as waited
    from page p where p.type = 'job.completed' and p.data ? 'ran_s'
  )
  select jsonb_build_object(
    'xid', case when more.is then last.xid else now.horizon end::text, 'id', case when more.is then last.id else 0 end, 'more', more.is,
    'events', (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (
      select p.type, p.data ->> 'kind' as kind, p.data ->> 'cause' as cause, count(*)::int as count from page p group by 1, 2, 3) c),
    'runs', (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (
      select r.kind, width_bucket(r.waited, p_bounds) as waited, width_bucket(r.ran, p_bounds) as ran, count(*)::int as count,
        coalesce(sum(r.waited), 0) as waited_s, sum(r.ran) as ran_s
      from runs r group by 1, 2, 3) c))
  from now cross join (select count(*) >= p_limit as is from page) more left join last on true
$$;
