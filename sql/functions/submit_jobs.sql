-- Enqueues jobs, inside the caller's own transaction.
--   p_jobs    [{kind, payload, priority?, requires?, run_at?, deadline?, idempotency_key?,
--     max_tries?, role?, class?, after?}] after: what it waits for, a list of ids, of "#1" for the
--     first job of this submission, or of {job, policy}
--   p_tenant  whose jobs they are
-- What a kind requires, and what the payload of a built-in kind needs, is required of the node: see
-- register_kinds and implied_requirements.
-- Returns a row a job, in the given order. duplicate: a job with this idempotency key was there
-- already; its id is given. Refuses all of them when one is wrong (22023), or has the key of a job
-- of another kind or payload (EK001), and names it. The plan is made once a session: making it
-- takes longer than enqueueing.
create or replace function earshot.submit_jobs(p_jobs jsonb, p_tenant text default 'default')
returns table (ord int, id bigint, duplicate boolean)
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_known jsonb;
  v_made jsonb;
begin
  perform earshot.check_jobs(p_jobs);
  if not exists (select from earshot.tenants t where t.id = p_tenant) then
    raise exception 'There is no tenant "%".', p_tenant using errcode = '22023';
  end if;
  if earshot.are_plain(p_jobs) then
    return query select s.ord, s.id, false from earshot.submit_plain_jobs(p_jobs, p_tenant) s order by s.ord;
    perform earshot.ring_doorbell();
    return;
  end if;
  v_known := earshot.find_by_keys(p_jobs, p_tenant);
  p_jobs := earshot.create_documents(p_jobs, p_tenant, v_known);
  with asked as (
    -- Ids are drawn here, in the order asked: jobs of one submission start in that order, and the
    -- answer needs no guess.
    select o.*, nextval(pg_get_serial_sequence('earshot.jobs', 'id')) as id
    from (
      select a.ord::int, a.job, k.kind, k.role, k.requires, k.priority, k.max_tries, k.class, k.built_in, nullif(a.job ->> 'idempotency_key', '') as key,
        coalesce((a.job ->> 'run_at')::timestamptz, now()) as run_at
      from jsonb_array_elements(p_jobs) with ordinality a (job, ord)
      join earshot.job_kinds k on k.kind = a.job ->> 'kind'
      order by a.ord) o
  ), first as materialized (
    select distinct on (coalesce('=' || key, '#' || ord)) * from asked order by coalesce('=' || key, '#' || ord), ord
  ), made as (
    insert into earshot.jobs (id, tenant_id, kind, role, requires, payload, priority, run_at, due, deadline, max_tries,
      idempotency_key, document_id, class)
    overriding system value
    select id, p_tenant, kind, coalesce(job ->> 'role', role),
      requires || coalesce(job -> 'requires', '{}') || case when built_in then earshot.implied_requirements(kind, coalesce(job -> 'payload', '{}')) else '{}' end,
      coalesce(job -> 'payload', '{}'),
      coalesce((job ->> 'priority')::int, priority), run_at, run_at <= now(), (job ->> 'deadline')::timestamptz,
      coalesce((job ->> 'max_tries')::int, max_tries), key,
      -- In a kind of the users' own the field may be anything.
      case when built_in then (job -> 'payload' ->> 'document_id')::bigint end, coalesce(job ->> 'class', class)
    from first f where f.key is null or not v_known ? f.key
    on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
    returning id, idempotency_key as key, kind, document_id
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, document_id, data)
    select p_tenant, 'job.queued', id, document_id, jsonb_build_object('kind', kind) from made
  ), anew as (
    -- What failed is tried again. A document that is ready stays so until there is something newer.
    update earshot.documents d set status = 'queued', error = null, error_code = null
    from made m where m.kind in ('transcribe', 'read') and d.id = m.document_id and d.status = 'failed'
  )
  -- Found by id or by key: two joins, since one with either of them is quadratic.
  select jsonb_agg(jsonb_build_object('ord', a.ord, 'id', coalesce(m.id, k.id, (v_known ->> a.key)::bigint), 'duplicate', m.id is null,
      'after', a.job -> 'after', 'key', a.key) order by a.ord)
  into v_made
  from asked a left join made m on m.id = a.id left join made k on k.key = a.key;
  if jsonb_path_exists(v_made, '$[*] ? (@.id == null)') then
    -- Another submission with this key was first, a moment ago.
    v_known := earshot.find_by_keys(p_jobs, p_tenant);
    select jsonb_agg(m || case when m -> 'id' = 'null' then jsonb_build_object('id', v_known -> (m ->> 'key')) else '{}' end order by m -> 'ord')
      into v_made from jsonb_array_elements(v_made) m;
  end if;
  perform earshot.wait_for_parents(v_made);
  perform earshot.ring_doorbell();
  return query select m.ord, m.id, m.duplicate from jsonb_to_recordset(v_made) m (ord int, id bigint, duplicate boolean) order by m.ord;
end $$;
