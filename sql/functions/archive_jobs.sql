-- Moves jobs that ended long enough ago out of the hot table, up to p_limit at a time. Parents that
-- someone still waits for are moved as well: children count them by their kept outcome. Acts only
-- while this term leads. Returns how many were moved.
-- Shape: one range of the index jobs_finished a status, with the time to compare with as a value.
-- Joined with the settings, it read every job each time.
create or replace function earshot.archive_jobs(p_term bigint, p_limit int default 1000) returns int
language plpgsql security definer set search_path = earshot, pg_temp
set enable_seqscan = off set jit = off
as $$
declare
  v_ended record;
  v_ids bigint[] := '{}';
begin
  if not earshot.is_leading(p_term) then
    return 0;
  end if;
  for v_ended in
    select e.status, now() - case e.status when 'failed' then s.keep_failed else s.keep_completed end as before
    from earshot.settings s cross join unnest(array['completed', 'failed', 'cancelled']) e (status)
  loop
    v_ids := v_ids || array(
      select j.id from earshot.jobs j where j.status = v_ended.status and j.finished_at < v_ended.before
      order by j.finished_at limit p_limit - cardinality(v_ids) for update skip locked);
  end loop;
  if v_ids = '{}' then
    return 0;
  end if;
  with gone as (
    delete from earshot.jobs j where j.id = any (v_ids) returning j.*
  )
  insert into earshot.jobs_archive (id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline,
    assigned_node, incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at,
    assigned_at, started_at, finished_at, waiting_on, class)
  select id, tenant_id, kind, role, requires, lane, payload, result, status, due, priority, run_at, deadline,
    assigned_node, incarnation, attempt, fence, tries, max_tries, deaths, error, error_code, idempotency_key, document_id, created_at,
    assigned_at, started_at, finished_at, waiting_on, class from gone;
  return cardinality(v_ids);
end $$;
