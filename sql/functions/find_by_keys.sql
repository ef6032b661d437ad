-- Jobs that were submitted before under the idempotency keys of a submission, as {key: id}. Called
-- by submit_jobs, in its transaction. Refuses (EK001) all of them when a key belongs to a job of
-- another kind or payload, also within the submission. The rows are held, so that none moves to the
-- archive meanwhile: each job is found in one table or the other. A payload got its document_id
-- from create_documents where it was submitted without.
create or replace function earshot.find_by_keys(p_jobs jsonb, p_tenant text) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_keys text[] := array(select distinct a.job ->> 'idempotency_key' from jsonb_array_elements(p_jobs) a (job)
    where a.job ->> 'idempotency_key' <> '');
  v_known jsonb;
  v_wrong text;
begin
  perform from earshot.jobs j where j.tenant_id = p_tenant and j.idempotency_key = any (v_keys) order by j.id for key share;
  -- By key, one look into an index for each, however much is archived.
  select coalesce(jsonb_object_agg(k.key, jsonb_build_object('id', f.id, 'kind', f.kind, 'payload', f.payload)), '{}') into v_known
  from unnest(v_keys) k (key) cross join lateral (
    select j.id, j.kind, j.payload from earshot.jobs j where j.tenant_id = p_tenant and j.idempotency_key = k.key
    union all
    (select a.id, a.kind, a.payload from earshot.jobs_archive a
     where a.tenant_id = p_tenant and a.idempotency_key = k.key order by a.id desc limit 1)
    limit 1) f;
  with asked as (
    select a.ord, a.job ->> 'idempotency_key' as key, a.job ->> 'kind' as kind, coalesce(a.job -> 'payload', '{}') as payload
    from jsonb_array_elements(p_jobs) with ordinality a (job, ord) where a.job ->> 'idempotency_key' <> ''
  ), earlier as (
    select a.*, first_value(a.kind) over w as first_kind, first_value(a.payload) over w as first_payload, v_known -> a.key as known
    from asked a window w as (partition by a.key order by a.ord)
  )
  select format('Job %s: the idempotency key "%s" belongs to %s, of another kind or payload.', e.ord, e.key,
    coalesce('job ' || (e.known ->> 'id'), 'an earlier job of this submission')) into v_wrong
  from earlier e
  where (e.kind, e.payload) is distinct from (e.first_kind, e.first_payload)
    or e.known is not null and (e.kind <> e.known ->> 'kind' or e.payload <> case
      when e.kind in ('transcribe', 'read') and not e.payload ? 'document_id' then (e.known -> 'payload') - 'document_id'
      else e.known -> 'payload' end)
  order by e.ord limit 1;
  if v_wrong is not null then
    raise exception '%', v_wrong using errcode = 'EK001', hint = 'Use a new key for other work.';
  end if;
  return (select coalesce(jsonb_object_agg(k.key, k.value -> 'id'), '{}') from jsonb_each(v_known) k);
end $$;
