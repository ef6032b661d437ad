-- Completes jobs with what is kept of their results, many at once: the only place that does. Called by finish_jobs, in its transaction, which
-- holds the rows and knows that they are its caller's.
--   p_ran  how long each ran by its node's clock, JSON numbers; without one, since it was marked as running or assigned
-- Precondition: open. Returns those that were completed, with their roles. The event of the end keeps how long the job ran, and how long it
-- waited: from the moment it was due until it began, that is now less the time it ran, but not before it was assigned, and not
-- after it was marked as running (its report may have come late).
-- Shape: rows found by key (the state is compared so that the index of open jobs stays out); one statement a batch, since job by job, each in a
-- subtransaction, took ten times as long.
create or replace function earshot.complete_jobs(p_node text, p_ids bigint[], p_results jsonb[], p_ran jsonb[]) returns table (id bigint, role text)
language plpgsql security definer set search_path = earshot, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with done as (
    update earshot.jobs j set status = 'completed', result = c.result, error = null, error_code = null, finished_at = now()
    from unnest(p_ids, p_results, p_ran) c (id, result, ran)
    where j.id = c.id and j.status || '' in ('assigned', 'running')
    returning j.id, j.role, j.kind, j.tenant_id, j.document_id, j.attempt, j.run_at, j.assigned_at, j.started_at, c.ran
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, document_id, node, data)
    select d.tenant_id, 'job.completed', d.id, d.document_id, p_node, jsonb_build_object('kind', d.kind, 'attempt', d.attempt,
      'ran_s', round(m.ran::numeric, 3),
      'waited_s', round(greatest(0, extract(epoch from greatest(d.assigned_at,
        least(coalesce(d.started_at, 'infinity'), clock_timestamp() - make_interval(secs => m.ran))) - d.run_at))::numeric, 3))
    from done d cross join lateral (
      select greatest(0, case when jsonb_typeof(d.ran) = 'number' then least(d.ran::float8, 1e8)
        else extract(epoch from clock_timestamp() - coalesce(d.started_at, d.assigned_at))::float8 end) as ran) m
  )
  select d.id, d.role from done d;
end $$;
