-- The jobs that an action would change, oldest first, a hundred thousand at most.
--   p_action  cancel: those not ended; retry: those that failed or were cancelled, and those that
--     rest after a failure
--   p_filter  {ids?, status?, kind?, node?, older_s?}; all that is given must hold. older_s:
--     seconds since it ended, or since it was submitted where it has not
-- Refuses (22023) a filter that says nothing, since that would mean every job there is.
create or replace function earshot.find_jobs(p_action text, p_filter jsonb, p_tenant text default 'default') returns setof bigint
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
begin
  if not coalesce(p_filter, '{}') ?| array['ids', 'status', 'kind', 'node', 'older_s'] then
    raise exception 'Say which jobs: ids, status, kind, node or older_s.' using errcode = '22023';
  end if;
  return query
  select j.id from earshot.jobs j
  where j.tenant_id = p_tenant
    and case p_action when 'cancel' then j.status in ('blocked', 'pending', 'assigned', 'running')
      when 'retry' then earshot.can_retry(j) else false end
    and (not p_filter ? 'ids' or j.id = any (array(select jsonb_array_elements(p_filter -> 'ids')::bigint)))
    and (not p_filter ? 'status' or p_filter -> 'status' ? j.status)
    and (not p_filter ? 'kind' or j.kind = p_filter ->> 'kind')
    and (not p_filter ? 'node' or j.assigned_node = p_filter ->> 'node')
    and (not p_filter ? 'older_s' or coalesce(j.finished_at, j.created_at) < now() - make_interval(secs => (p_filter ->> 'older_s')::double precision))
  order by j.id limit 100000;
end $$;
