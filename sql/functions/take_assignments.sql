-- What a node was assigned and does not have yet.
--   p_held  ids it has in hand
-- silence_s: seconds that a job may run without a sign of progress.
create or replace function earshot.take_assignments(p_node text, p_incarnation bigint, p_held bigint[])
returns table (id bigint, attempt int, fence text, kind text, role text, requires jsonb, payload jsonb, tenant_id text, document_id bigint,
  deadline timestamptz, class text, priority int, silence_s double precision)
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select j.id, j.attempt, j.fence::text, j.kind, j.role, j.requires, j.payload, j.tenant_id, j.document_id, j.deadline, j.class, j.priority,
    extract(epoch from k.silence)::double precision
  from earshot.jobs j join earshot.job_kinds k on k.kind = j.kind
  where j.assigned_node = p_node and j.incarnation = p_incarnation and j.status in ('assigned', 'running') and j.id <> all (p_held)
  order by j.class desc, j.priority desc, j.id;
end $$;
