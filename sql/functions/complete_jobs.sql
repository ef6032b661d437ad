-- Completes jobs that a node reports, many at once: the only place that does. Called by
-- finish_jobs, in its transaction.
--   p_outcomes  as in finish_jobs
--   p_stored    the outputs are what is to be kept, whatever the kind; otherwise failures are left
--     alone, and kinds whose output becomes something else
-- Precondition: open, under this fence and this node's. All free rows under their fence are locked,
-- also those that are left alone; it waits for none, so a row that someone else holds is left to a
-- later report.
-- Returns those that were completed, with their roles. The event of the end keeps how long the job
-- ran by its node's clock (or since it was marked as running or assigned), and how long it waited:
-- from the moment it was due until it began, that is now less the time it ran, but not before it
-- was assigned, and not after it was marked as running (its report may have come late). Shape: rows
-- found by key and updated by ctid, one statement a batch: job by job, each in a subtransaction,
-- took twenty times as long.
create or replace function earshot.complete_jobs(
  p_node text, p_incarnation bigint, p_ids bigint[], p_fences bigint[], p_outcomes jsonb[], p_stored boolean default false
) returns table (id bigint, role text)
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with held as materialized (
    select j.ctid as tid, j.kind, j.status, j.assigned_node, j.incarnation, r.outcome
    from unnest(p_ids, p_fences, p_outcomes) r (id, fence, outcome) join earshot.jobs j on j.id = r.id and j.fence = r.fence
    order by j.id for update of j skip locked
  ), chosen as materialized (
    select h.tid, h.outcome from held h
    where h.status in ('assigned', 'running') and h.assigned_node = p_node and h.incarnation = p_incarnation
      and (p_stored or (not h.outcome ? 'error' and h.kind in (select k.kind from earshot.job_kinds k where not k.built_in)))
  ), done as (
    update earshot.jobs j set status = 'completed', result = c.outcome -> 'output', error = null, error_code = null, finished_at = now()
    from chosen c where j.ctid = c.tid
    returning j.id, j.role, j.kind, j.tenant_id, j.document_id, j.attempt, j.run_at, j.assigned_at, j.started_at, c.outcome -> 'ran_s' as ran
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, document_id, node, data)
    select d.tenant_id, 'job.completed', d.id, d.document_id, p_node, jsonb_build_object('kind', d.kind, 'attempt', d.attempt,
      'ran_s', round(m.ran::numeric, 3),
      'waited_s', round(greatest(0, extract(epoch from greatest(d.assigned_at,
        least(coalesce(d.started_at, 'infinity'), clock_timestamp() - make_interval(secs => m.ran))) - case when isfinite(d.run_at) then d.run_at else d.assigned_at end))::numeric, 3))
    from done d cross join lateral (
      select greatest(0, case when jsonb_typeof(d.ran) = 'number' then least(d.ran::float8, 1e8)
        else extract(epoch from clock_timestamp() - coalesce(d.started_at, d.assigned_at))::float8 end) as ran) m
  )
  select d.id, d.role from done d;
end $$;
