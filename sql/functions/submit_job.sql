-- Enqueues one job, inside the caller's own transaction: rolled back with it, and begun only after its commit.
--   select earshot.submit_job('speak', '{"text": "Dinner is ready."}');
--   select earshot.submit_job('speak', '{"text": "Later."}', run_at => now() + interval '1 hour', idempotency_key => 'bell');
-- Returns the job's id; with an idempotency key that is known already, the id of that job.
create or replace function earshot.submit_job(
  kind text, payload jsonb default '{}', priority int default null, requires jsonb default '{}',
  run_at timestamptz default null, deadline timestamptz default null, idempotency_key text default null,
  max_tries int default null, role text default null, tenant text default 'default', class text default null
) returns bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
begin
  return (select id from earshot.submit_jobs(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
    'kind', submit_job.kind, 'priority', submit_job.priority, 'run_at', submit_job.run_at, 'deadline', submit_job.deadline,
    'idempotency_key', submit_job.idempotency_key, 'max_tries', submit_job.max_tries, 'role', submit_job.role,
    'class', submit_job.class))
    || jsonb_build_object('payload', coalesce(submit_job.payload, '{}'), 'requires', coalesce(submit_job.requires, '{}'))),
    submit_job.tenant));
end $$;
