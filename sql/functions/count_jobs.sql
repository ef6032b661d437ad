-- How many open jobs there are, by status and lane, and for how many seconds the oldest of those
-- counted has been so.
--   p_lanes  lanes looked at, at most, in each status
--   p_most   how far each lane that waits is counted, and how far all that is blocked, rests or is
--     in hand. From six such lanes on each is counted less far: all together to five times as much
-- Statuses: pending (since it is due), resting (pending, its time has not come, or it waits to run
-- alone), blocked, assigned, running. A number at its limit means at least so many: the cost has a
-- bound, however much waits.
create or replace function earshot.count_jobs(p_lanes int default 100, p_most int default 10000)
returns table (status text, role text, requires jsonb, class text, jobs int, oldest_s double precision)
language sql stable security definer set search_path = earshot, pg_temp set jit = off
as $$
  select 'pending', l.role, l.requires, l.class, c.jobs, extract(epoch from clock_timestamp() - c.since)::float8
  from (select a.*, least(p_most, 5 * p_most / count(*) over ()) as most from (select * from earshot.list_lanes() limit p_lanes) a) l
  cross join lateral (
    select count(*)::int as jobs, min(j.run_at) as since
    from (select j.run_at from earshot.jobs j where j.lane = l.lane and j.class = l.class and j.status = 'pending' and j.due limit l.most) j) c
  union all
  (select 'blocked', j.role, j.requires, j.class, count(*)::int, extract(epoch from clock_timestamp() - min(j.created_at))::float8
   from (select * from earshot.jobs j where j.status = 'blocked' order by j.id limit p_most) j group by 2, 3, 4 order by 5 desc limit p_lanes)
  union all
  (select 'resting', j.role, j.requires, j.class, count(*)::int, extract(epoch from clock_timestamp() - min(j.created_at))::float8
   from (select * from earshot.jobs j where j.status = 'pending' and not j.due order by j.run_at limit p_most) j group by 2, 3, 4 order by 5 desc limit p_lanes)
  union all
  (select j.status, j.role, j.requires, j.class, count(*)::int,
     extract(epoch from clock_timestamp() - min(case when j.status = 'running' then coalesce(j.started_at, j.assigned_at) else j.assigned_at end))::float8
   from (select * from earshot.jobs j where j.status in ('assigned', 'running') limit p_most) j group by 1, 2, 3, 4 order by 5 desc limit p_lanes)
$$;
