-- The lanes that have work, a row for each lane and class: what they need, and whether the one that
-- is next has waited longer than batch work is to wait. A loose index scan, so it costs by lanes
-- and not by jobs (https://wiki.postgresql.org/wiki/Loose_indexscan). The leader asks all the time:
-- plpgsql keeps the plan.
--   p_after  only lanes beyond this one; null begins with the first
--   p_most   so many lanes at most; null is all of them
create or replace function earshot.list_lanes(p_after bigint default null, p_most int default null) returns table (lane bigint, class text, role text, requires jsonb, aged boolean)
language plpgsql stable security definer set search_path = earshot, pg_temp set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive l (lane) as (
    (select lane from earshot.jobs where status = 'pending' and due and lane > coalesce(p_after, -9223372036854775808) order by lane limit 1)
    union all
    select (select j.lane from earshot.jobs j where j.status = 'pending' and j.due and j.lane > l.lane order by j.lane limit 1)
    from l where l.lane is not null
  )
  select l.lane, c.class, j.role, j.requires, c.class = 'batch' and j.run_at < now() - s.batch_patience
  from (select k.lane from l k where k.lane is not null limit p_most) l cross join (values ('interactive'), ('batch')) c (class)
  cross join lateral (select role, requires, run_at from earshot.jobs j
    where j.status = 'pending' and j.due and j.lane = l.lane and j.class = c.class order by j.priority desc, j.id limit 1) j
  cross join earshot.settings s;
end $$;
