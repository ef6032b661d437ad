-- Moves jobs that ended long enough ago out of the hot table, up to p_limit at a time, and deletes what was archived too long ago.
-- Parents that somebody still waits for are moved as well: children count them by their kept outcome. Acts only while this term
-- leads. Returns how many were moved.
create or replace function earshot.archive_jobs(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_moved int;
  v_last record;
begin
  if not earshot.is_leading(p_term) then
    return 0;
  end if;
  with old as (
    select j.id from earshot.jobs j cross join earshot.settings s
    where (j.status in ('completed', 'cancelled') and j.finished_at < now() - s.keep_completed)
      or (j.status = 'failed' and j.finished_at < now() - s.keep_failed)
    order by j.id limit p_limit for update of j skip locked
  ), gone as (
    delete from earshot.jobs j using old where j.id = old.id returning j.*
  )
  insert into earshot.jobs_archive (id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline,
    assigned_node, incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at,
    assigned_at, started_at, finished_at, waiting_on, class)
  select id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline,
    assigned_node, incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at,
    assigned_at, started_at, finished_at, waiting_on, class from gone;
  get diagnostics v_moved = row_count;
  with old as (
    select a.id from earshot.jobs_archive a cross join earshot.settings s where a.archived_at < now() - s.keep_archived
    order by a.id limit p_limit
  ), parents as (
    delete from earshot.job_parents p using old where p.job_id = old.id
  ), events as (
    delete from earshot.events e using old where e.job_id = old.id returning e.xid, e.id
  ), gone as (
    delete from earshot.jobs_archive a using old where a.id = old.id
  )
  select e.xid, e.id into v_last from events e order by e.xid desc, e.id desc limit 1;
  if found then
    perform earshot.record_pruned_events(v_last.xid, v_last.id);
  end if;
  delete from earshot.node_deaths d using earshot.settings s where d.at < now() - s.keep_failed;
  return v_moved;
end $$;
