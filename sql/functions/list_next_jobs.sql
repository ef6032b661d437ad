-- The pending jobs of some lanes that are next: interactive ones first, then by priority, by the
-- lane's rank, by id. What routing chooses slots for; route_jobs assigns them.
--   p_lanes, p_classes  rows of list_lanes
--   p_ranks   of two lanes whose jobs are otherwise equal, the one of lower rank goes first
--   p_most    how many of each lane at most
--   p_limit   how many at all
--   p_holders whether to say which coordinators hold the media of each job
-- A bounded index scan a lane, whatever else waits. Plain columns only: no lock is taken.
create or replace function earshot.list_next_jobs(
  p_lanes bigint[], p_classes text[], p_ranks int[], p_most int[], p_limit int, p_holders boolean default false
) returns table (id bigint, lane bigint, class text, kind text, priority int, whole boolean, holders text[])
language plpgsql stable security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with next as (
    select j.id, l.lane, l.class, j.kind, j.priority, l.rank
    from unnest(p_lanes, p_classes, p_ranks, p_most) l (lane, class, rank, most)
    cross join lateral (
      select q.id, q.kind, q.priority from earshot.jobs q
      where q.lane = l.lane and q.class = l.class and q.status = 'pending' and q.due
      order by q.priority desc, q.id limit l.most) j
    order by l.class desc, j.priority desc, l.rank, j.id limit p_limit
  )
  select n.id, n.lane, n.class, n.kind, n.priority, coalesce((select k.whole from earshot.job_kinds k where k.kind = n.kind), false),
    case when p_holders then (select array_agg(m.holder) from earshot.jobs j join earshot.media m on m.hash = j.payload ->> 'media' where j.id = n.id) end
  from next n order by n.class desc, n.priority desc, n.rank, n.id;
end $$;
