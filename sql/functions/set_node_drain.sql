-- A person drains a node: what it has started it finishes, the rest goes back, and it gets nothing
-- more until it is resumed, restarts or not.
-- Precondition: known. Returns whether it is; drained already is no error.
create or replace function earshot.set_node_drain(p_node text) returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  update earshot.nodes n set drained = true where n.id = p_node and not n.drained;
  if found then
    insert into earshot.events (type, node) values ('node.drained', p_node);
    -- What it has not started can start elsewhere.
    perform earshot.wake_node(p_node, 'recall');
    perform pg_notify('earshot', 'events');
  end if;
  return exists (select from earshot.nodes n where n.id = p_node);
end $$;
