-- How long an open job took and how long it had waited before, in seconds: {"ran_s", "waited_s"}, kept in the event of its end.
--   p_ran  what the node measured by its own clock, a JSON number; without it, since the job was marked as running or assigned
-- It waited from the moment it was due until it began: now less the time it ran, but not before it was assigned, and not after it
-- was marked as running (its report may have come late).
create or replace function earshot.measure_run(p_job earshot.jobs, p_ran jsonb) returns jsonb
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select jsonb_build_object('ran_s', round(m.ran::numeric, 3),
    'waited_s', round(greatest(0, extract(epoch from greatest(p_job.assigned_at,
      least(coalesce(p_job.started_at, 'infinity'), clock_timestamp() - make_interval(secs => m.ran))) - p_job.run_at))::numeric, 3))
  from (select greatest(0, case when jsonb_typeof(p_ran) = 'number' then least(p_ran::float8, 1e8)
    else extract(epoch from clock_timestamp() - coalesce(p_job.started_at, p_job.assigned_at))::float8 end) as ran) m
$$;
