-- Deletes events that are about no job (of documents and nodes) and older than they are kept, up to
-- p_limit at a time. Acts only while this term leads. Returns how many went.
create or replace function earshot.prune_events(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_count int;
  v_last record;
begin
  if not earshot.is_leading(p_term) then
    return 0;
  end if;
  with old as (
    select e.id from earshot.events e cross join earshot.settings s
    where e.job_id is null and e.at < now() - s.keep_events
    order by e.at limit p_limit
  ), gone as (
    delete from earshot.events e using old where e.id = old.id returning e.xid, e.id
  ), last as (
    select g.xid, g.id from gone g order by g.xid desc, g.id desc limit 1
  )
  select (select count(*) from gone) as count, last.xid, last.id into v_last from last;
  v_count := coalesce(v_last.count, 0);
  if v_count > 0 then
    perform earshot.record_pruned_events(v_last.xid, v_last.id);
  end if;
  return v_count;
end $$;
