-- A person lets a node work again: undoes set_node_drain and quarantine_node, and forgets what was
-- held against it.
-- Precondition: known. Returns whether it is.
create or replace function earshot.resume_node(p_node text) returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  update earshot.nodes n set drained = false where n.id = p_node;
  if not found then
    return false;
  end if;
  delete from earshot.node_failures f where f.node = p_node;
  delete from earshot.quarantines q where q.node = p_node;
  insert into earshot.events (type, node, data) values ('node.resumed', p_node, '{"by": "person"}');
  perform earshot.ring_doorbell();
  return true;
end $$;
