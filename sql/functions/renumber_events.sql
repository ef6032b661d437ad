-- After a dump was restored into another cluster, the events carry transaction numbers of the old
-- one: ahead of this cluster's, they could not be read before it has caught up. They are all
-- rewritten to transaction 0, in the order of their numbers, from the last one down, up to p_limit
-- at a time.
--   p_term  acts only while this term leads
--   p_upto  where the last call left off; null looks whether there is anything to heal at all
-- Returns from where to go on, or null when nothing is left.
create or replace function earshot.renumber_events(p_term bigint, p_upto bigint default null, p_limit int default 10000) returns bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_upto bigint := p_upto;
begin
  if not earshot.is_leading(p_term) then
    return null;
  end if;
  if v_upto is null then
    -- What was written before the restore has lower numbers than what was written since.
    select max(e.id) into v_upto from earshot.events e where e.xid >= pg_snapshot_xmax(pg_current_snapshot());
    update earshot.pruned_events p set xid = '0', id = 0 where p.xid >= pg_snapshot_xmax(pg_current_snapshot());
  end if;
  with foreign_ones as (
    select e.id from earshot.events e where e.id <= v_upto order by e.id desc limit p_limit
  ), healed as (
    update earshot.events e set xid = '0' from foreign_ones f where e.id = f.id returning e.id
  )
  select case when count(*) = p_limit then min(h.id) - 1 end into v_upto from healed h;
  return v_upto;
end $$;
