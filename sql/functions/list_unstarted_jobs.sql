-- Whether nodes hold jobs that they have not started, and what those need: one row for each node,
-- role and needs. Only jobs that were given out long enough ago that short work would be done: a
-- job is marked as running after two tenths of a second.
create or replace function earshot.list_unstarted_jobs(p_nodes text[]) returns table (node text, role text, requires jsonb)
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_column
begin
  return query
  select distinct j.assigned_node, j.role, j.requires from earshot.jobs j
  where j.assigned_node = any (p_nodes) and j.status = 'assigned' and j.assigned_at < now() - interval '0.5 seconds';
end $$;
