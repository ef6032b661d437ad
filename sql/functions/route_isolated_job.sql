-- Gives a job that must run alone to a node: first the node is reserved, so that it gets nothing
-- else; once it is empty the job is assigned. Asked again and again by the leader until then.
--   p_term  acts only while this term leads
-- Precondition: pending, alone, its time has come; the node has this incarnation. Returns whether
-- it was assigned.
create or replace function earshot.route_isolated_job(p_term bigint, p_job bigint, p_node text, p_incarnation bigint) returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  if not earshot.is_leading(p_term) then
    return false;
  end if;
  update earshot.nodes n set reserved_for = case when n.id = p_node then p_job end
  where (n.id = p_node and n.incarnation = p_incarnation and n.reserved_for is distinct from p_job) or (n.reserved_for = p_job and n.id <> p_node);
  update earshot.jobs j
  set status = 'assigned', assigned_node = p_node, incarnation = p_incarnation, attempt = j.attempt + 1, fence = uuid_hash_extended(gen_random_uuid(), 0),
    assigned_at = now(), started_at = null
  where j.id = p_job and j.status = 'pending' and j.alone and j.run_at <= now()
    and exists (select from earshot.nodes n where n.id = p_node and n.incarnation = p_incarnation and n.reserved_for = p_job
      and not exists (select from jsonb_each(n.busy) b where earshot.as_count(b.value) > 0))
    and not exists (select from earshot.jobs o where o.assigned_node = p_node and o.status in ('assigned', 'running'));
  if found then
    perform earshot.wake_node(p_node, '');
  end if;
  return found;
end $$;
