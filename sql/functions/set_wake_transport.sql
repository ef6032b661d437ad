-- A node says how it hears: notify | redis.
-- Precondition: this incarnation is its latest. Returns whether it is.
create or replace function earshot.set_wake_transport(p_node text, p_incarnation bigint, p_wake_transport text, p_token text default null) returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  update earshot.nodes n set wake_transport = p_wake_transport where n.id = p_node and n.incarnation = p_incarnation
    and earshot.is_node(p_node, p_incarnation, p_token);
  return found;
end $$;
