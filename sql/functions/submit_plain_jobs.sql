-- Enqueues jobs that are plain (are_plain), in the caller's transaction. Called by submit_jobs,
-- which has checked them, and rings. Ids are drawn in the order asked: jobs of one submission start
-- in that order.
create or replace function earshot.submit_plain_jobs(p_jobs jsonb, p_tenant text) returns table (ord int, id bigint)
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  return query
  with asked as materialized (
    select o.*, nextval('earshot.jobs_id_seq') as id
    from (
      select a.ord::int, a.job, k.kind, k.role, k.requires, k.priority, k.max_tries, k.class, coalesce((a.job ->> 'run_at')::timestamptz, now()) as run_at
      from jsonb_array_elements(p_jobs) with ordinality a (job, ord) join earshot.job_kinds k on k.kind = a.job ->> 'kind'
      order by a.ord) o
  ), made as (
    insert into earshot.jobs (id, tenant_id, kind, role, requires, payload, priority, run_at, due, deadline, max_tries, class)
    overriding system value
    select id, p_tenant, kind, coalesce(job ->> 'role', role), requires || coalesce(job -> 'requires', '{}'), coalesce(job -> 'payload', '{}'),
      coalesce((job ->> 'priority')::int, priority), run_at, run_at <= now(), (job ->> 'deadline')::timestamptz,
      coalesce((job ->> 'max_tries')::int, max_tries), coalesce(job ->> 'class', class)
    from asked
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, data)
    select p_tenant, 'job.queued', id, jsonb_build_object('kind', kind) from asked
  )
  select a.ord, a.id from asked a;
end $$;
