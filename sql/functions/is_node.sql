-- Whether the caller is the node it names: this incarnation is the latest, and the token is its
-- own. A node that registered without a token, as the version before does, has null on both sides.
-- plpgsql keeps the plan, which takes longer to make than to run.
create or replace function earshot.is_node(p_node text, p_incarnation bigint, p_token text) returns boolean
language plpgsql stable security definer set search_path = earshot, pg_temp
as $$
begin
  return exists (select from earshot.node_registry n where n.id = p_node and n.incarnation = p_incarnation
    and n.token_hash is not distinct from sha256(convert_to(p_token, 'UTF8')));
end $$;
