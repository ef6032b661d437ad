-- Enqueues one job, inside the caller's own transaction: rolled back with it, and begun only after
-- its commit.
--   select earshot.submit_job('speak', '{"text": "Dinner is ready."}'); select
--   earshot.submit_job('speak', '{"text": "Later."}', run_at => now() + interval '1 hour',
--   idempotency_key => 'bell');
-- Returns the job's id; with an idempotency key that is known already, the id of that job.
create or replace function earshot.submit_job(
  kind text, payload jsonb default '{}', priority int default null, requires jsonb default '{}',
  run_at timestamptz default null, deadline timestamptz default null, idempotency_key text default null,
  max_tries int default null, role text default null, tenant text default 'default', class text default null
) returns bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
declare
  v_kind earshot.job_kinds;
  v_id bigint;
begin
  -- A job of the users' own kinds needs nothing looked up but its kind: done here it takes half the
  -- time. All else, and what is to be refused, goes the long way.
  select k.* into v_kind from earshot.job_kinds k where k.kind = submit_job.kind and not k.built_in;
  if v_kind.kind is not null and coalesce(submit_job.idempotency_key, '') = '' and coalesce(submit_job.class, 'batch') in ('interactive', 'batch')
    and jsonb_typeof(coalesce(submit_job.payload, '{}')) = 'object' and jsonb_typeof(coalesce(submit_job.requires, '{}')) = 'object'
    and coalesce(submit_job.payload, '{}') ?& v_kind.required and exists (select from earshot.tenants t where t.id = submit_job.tenant) then
    insert into earshot.jobs (tenant_id, kind, role, requires, payload, priority, run_at, due, deadline, max_tries, class)
    values (submit_job.tenant, v_kind.kind, coalesce(submit_job.role, v_kind.role), v_kind.requires || coalesce(submit_job.requires, '{}'), coalesce(submit_job.payload, '{}'),
      coalesce(submit_job.priority, v_kind.priority), coalesce(submit_job.run_at, now()), coalesce(submit_job.run_at <= now(), true), submit_job.deadline,
      coalesce(submit_job.max_tries, v_kind.max_tries), coalesce(submit_job.class, v_kind.class))
    returning jobs.id into v_id;
    insert into earshot.events (tenant_id, type, job_id, data) values (submit_job.tenant, 'job.queued', v_id, jsonb_build_object('kind', v_kind.kind));
    perform earshot.ring_doorbell();
    return v_id;
  end if;
  return (select id from earshot.submit_jobs(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
    'kind', submit_job.kind, 'priority', submit_job.priority, 'run_at', submit_job.run_at, 'deadline', submit_job.deadline,
    'idempotency_key', submit_job.idempotency_key, 'max_tries', submit_job.max_tries, 'role', submit_job.role,
    'class', submit_job.class))
    || jsonb_build_object('payload', coalesce(submit_job.payload, '{}'), 'requires', coalesce(submit_job.requires, '{}'))),
    submit_job.tenant));
end $$;
