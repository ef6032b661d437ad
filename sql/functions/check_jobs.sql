-- Refuses (22023) a submission that cannot be right, naming the job and the field; nothing is
-- stored then.
create or replace function earshot.check_jobs(p_jobs jsonb) returns void
language plpgsql stable security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_wrong text;
begin
  if p_jobs is null or jsonb_typeof(p_jobs) <> 'array' then
    raise exception 'submit_jobs takes a JSON array of jobs.' using errcode = '22023';
  end if;
  select format('Job %s: %s', a.ord, w.wrong) into v_wrong
  from jsonb_array_elements(p_jobs) with ordinality a (job, ord)
  left join earshot.job_kinds k on k.kind = a.job ->> 'kind'
  cross join lateral (select case
    when jsonb_typeof(a.job) <> 'object' then 'it is no JSON object.'
    when k.kind is null then format('no kind is called "%s"; there are: %s.', coalesce(a.job ->> 'kind', ''),
      (select string_agg(kind, ', ' order by kind) from earshot.job_kinds))
    when jsonb_typeof(coalesce(a.job -> 'payload', '{}')) <> 'object' then 'payload is no JSON object.'
    when earshot.requires_fault(coalesce(a.job -> 'requires', '{}')) is not null then earshot.requires_fault(a.job -> 'requires')
    when not coalesce(a.job -> 'payload', '{}') ?& k.required then format('payload of kind "%s" needs: %s.', k.kind, array_to_string(k.required, ', '))
    when k.kind = 'transcribe' and a.job -> 'payload' -> 'store' = 'false' and a.job -> 'payload' ? 'document_id' then
      'with store false there is no document; leave document_id out.'
    when coalesce(a.job ->> 'class', 'batch') not in ('interactive', 'batch') then format('class is "%s"; expected interactive or batch.', a.job ->> 'class')
    when jsonb_typeof(coalesce(a.job -> 'after', '[]')) <> 'array' then 'after is no list.'
    else (select format('after names %s; expected the id of a job, or "#1" to "#%s" for an earlier one of this submission (so no circle can be made), with a policy of fail, run or skip.',
            p.parent, a.ord - 1)
          from jsonb_array_elements(coalesce(a.job -> 'after', '[]')) p (parent)
          cross join lateral (select case jsonb_typeof(p.parent) when 'object' then p.parent ->> 'job' else p.parent #>> '{}' end as job,
            case jsonb_typeof(p.parent) when 'object' then coalesce(p.parent ->> 'policy', 'fail') else 'fail' end as policy) q
          where q.policy not in ('fail', 'run', 'skip') or q.job is null or not case
            when q.job ~ '^#[0-9]{1,6}$' then substr(q.job, 2)::int between 1 and a.ord - 1
            when q.job ~ '^[0-9]{1,15}$' then exists (select from earshot.all_jobs j where j.id = q.job::bigint)
            else false end
          limit 1)
  end as wrong) w
  where w.wrong is not null order by a.ord limit 1;
  if v_wrong is not null then
    raise exception '%', v_wrong using errcode = '22023';
  end if;
end $$;
