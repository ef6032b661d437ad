-- Batch jobs that have been due for longer than settings.batch_patience, the longest waiting first:
-- of each lane the first job of each priority. In the order of list_next_jobs a job of low priority
-- waits behind all of higher priority, however long it waits.
--   p_lanes   lanes of list_lanes
--   p_limit   how many at all
--   p_holders as in list_next_jobs
-- A loose index scan over the priorities of each lane, at most 100 of them: no index of its own,
-- and no cost by jobs.
create or replace function earshot.list_aged_jobs(p_lanes bigint[], p_limit int, p_holders boolean default false)
returns table (id bigint, lane bigint, class text, kind text, priority int, whole boolean, holders text[])
language plpgsql stable security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive level (lane, priority, depth) as (
    select l.lane, (select j.priority from earshot.jobs j
      where j.lane = l.lane and j.class = 'batch' and j.status = 'pending' and j.due order by j.priority desc limit 1), 1
    from unnest(p_lanes) l (lane)
    union all
    select v.lane, (select j.priority from earshot.jobs j
      where j.lane = v.lane and j.class = 'batch' and j.status = 'pending' and j.due and j.priority < v.priority
      order by j.priority desc limit 1), v.depth + 1
    from level v where v.priority is not null and v.depth < 100
  ), first as (
    select j.id, v.lane, j.kind, v.priority, j.run_at, j.payload ->> 'media' as media
    from level v cross join lateral (
      select q.id, q.kind, q.run_at, q.payload from earshot.jobs q
      where q.lane = v.lane and q.class = 'batch' and q.status = 'pending' and q.due and q.priority = v.priority
      order by q.id limit 1) j
    where v.priority is not null
  )
  select f.id, f.lane, 'batch', f.kind, f.priority,
    coalesce((select k.whole from earshot.job_kinds k where k.kind = f.kind), false),
    case when p_holders then (select array_agg(m.holder) from earshot.media m where m.hash = f.media) end
  from first f cross join earshot.settings s
  where f.run_at < now() - s.batch_patience
  order by f.run_at, f.id limit p_limit;
end $$;
