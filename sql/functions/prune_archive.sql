-- Deletes jobs that were archived too long ago, with their events and edges, and deaths of nodes
-- that are older than failures are kept; up to p_limit jobs at a time. Acts only while this term
-- leads.
-- Returns how many jobs went.
create or replace function earshot.prune_archive(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = earshot, pg_temp
set enable_seqscan = off set jit = off
as $$
declare
  v_archived timestamptz := now() - (select s.keep_archived from earshot.settings s);
  v_deaths timestamptz := now() - (select s.keep_failed from earshot.settings s);
  v_ids bigint[];
  v_last record;
begin
  if not earshot.is_leading(p_term) then
    return 0;
  end if;
  delete from earshot.node_deaths d where d.at < v_deaths;
  v_ids := array(select a.id from earshot.jobs_archive a where a.archived_at < v_archived
    order by a.archived_at limit p_limit for update skip locked);
  if v_ids = '{}' then
    return 0;
  end if;
  -- Children that did not count one of them yet would wait forever.
  perform earshot.release_children(v_ids);
  delete from earshot.job_parents p where p.job_id = any (v_ids);
  with events as (
    delete from earshot.events e where e.job_id = any (v_ids) returning e.xid, e.id
  )
  select e.xid, e.id into v_last from events e order by e.xid desc, e.id desc limit 1;
  if found then
    perform earshot.record_pruned_events(v_last.xid, v_last.id);
  end if;
  delete from earshot.jobs_archive a where a.id = any (v_ids);
  return cardinality(v_ids);
end $$;
