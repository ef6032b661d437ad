-- Wakes a node by notification, whatever it says that it hears: what a coordinator does when Redis
-- does not take its message.
--   p_hint  as in wake_node
create or replace function earshot.wake_node_by_notify(p_node text, p_hint text) returns void
language sql security definer set search_path = earshot, pg_temp
as $$ select pg_notify(earshot.node_channel(p_node), p_hint) $$;
