-- The lanes that have work, with what they need: a loose index scan, so it costs by lanes and not by jobs
-- (https://wiki.postgresql.org/wiki/Loose_indexscan).
create or replace function earshot.list_lanes() returns table (lane bigint, role text, requires jsonb)
language sql stable security definer set search_path = earshot, pg_temp set enable_seqscan = off
as $$
  with recursive l (lane) as (
    (select lane from earshot.jobs where status = 'pending' and due order by lane limit 1)
    union all
    select (select j.lane from earshot.jobs j where j.status = 'pending' and j.due and j.lane > l.lane order by j.lane limit 1)
    from l where l.lane is not null
  )
  select l.lane, j.role, j.requires from l
  cross join lateral (select role, requires from earshot.jobs j where j.status = 'pending' and j.due and j.lane = l.lane limit 1) j
  where l.lane is not null
$$;
