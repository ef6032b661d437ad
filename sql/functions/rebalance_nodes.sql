-- Asks nodes to hand back what they have not started, since it could start elsewhere. A message
-- only: the node decides what that is, and hands it back under its fence (hand_back_jobs). Asked
-- again as long as it makes sense.
--   p_term  acts only while this term leads
create or replace function earshot.rebalance_nodes(p_term bigint, p_nodes text[]) returns void
language sql security definer set search_path = earshot, pg_temp
as $$ select earshot.wake_node(n.node, 'recall') from unnest(p_nodes) n (node) where earshot.is_leading(p_term) $$;
