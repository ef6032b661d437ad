-- Wakes a node. One that hears through Redis, which the database cannot reach, is told by way of
-- the leader.
--   p_hint  '' look at your assignments | cancelled: something is no longer yours | recall: hand
--     back what you have not started
create or replace function earshot.wake_node(p_node text, p_hint text) returns void
language sql security definer set search_path = earshot, pg_temp
as $$
  select case n.wake_transport when 'redis' then pg_notify('earshot', concat_ws(' ', 'wake', n.incarnation, coalesce(nullif(p_hint, ''), 'assigned'), n.id))
    else pg_notify(earshot.node_channel(n.id), p_hint) end
  from earshot.nodes n where n.id = p_node
$$;
