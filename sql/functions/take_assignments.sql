-- What a node was assigned and does not have yet. Nothing for a caller that is not this node.
--   p_held  ids it has in hand
create or replace function earshot.take_assignments(p_node text, p_incarnation bigint, p_held bigint[], p_token text default null)
returns table (id bigint, attempt int, fence text, kind text, role text, requires jsonb, payload jsonb, tenant_id text, document_id bigint,
  deadline timestamptz, class text, priority int, silence_s double precision)
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select a.id, a.attempt, a.fence, a.kind, a.role, a.requires, a.payload, a.tenant_id, a.document_id, a.deadline, a.class, a.priority, a.silence_s
  from earshot.assignments a
  where a.node = p_node and a.incarnation = p_incarnation and a.id <> all (p_held)
    and earshot.is_node(p_node, p_incarnation, p_token)
  order by a.class desc, a.priority desc, a.id;
end $$;
