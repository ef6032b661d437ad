-- A node says how it hears: notify | redis.
-- Precondition: this incarnation is its latest. Returns whether it is.
create or replace function earshot.set_hearing(p_node text, p_incarnation bigint, p_hears text) returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  update earshot.nodes n set hears = p_hears where n.id = p_node and n.incarnation = p_incarnation;
  return found;
end $$;
