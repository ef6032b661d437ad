-- A node says again what it offers: a model was pulled or is gone, an engine proved itself or
-- failed.
-- Precondition: this incarnation is the node's; false, with nothing changed, when a newer one took
-- over. Work in hand stays where it is.
create or replace function earshot.update_offer(p_node text, p_incarnation bigint, p_roles text[], p_tags jsonb, p_capabilities jsonb, p_slots jsonb, p_token text default null)
returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  update earshot.nodes n set roles = p_roles, tags = p_tags, capabilities = p_capabilities, slots = p_slots
  where n.id = p_node and n.incarnation = p_incarnation
    and earshot.is_node(p_node, p_incarnation, p_token);
  if not found then
    return false;
  end if;
  -- What waited for this may begin.
  perform earshot.ring_doorbell();
  return true;
end $$;
