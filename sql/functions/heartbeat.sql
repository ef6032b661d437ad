-- A node's sign of life: renews its lease and answers with what it holds by the tables.
--   p_busy      role to the number of jobs that wind down on it: no longer its own, the engine not
--     ended yet
--   p_measured  {speeds, warm, shares}, as in earshot.nodes; what is left out stays as it was
-- Returns null when a newer incarnation took over, or the token is not this node's; otherwise [{id,
-- attempt, fence}] of all its open jobs, fences as text (they need 64 bits). What the node holds
-- and this list does not, it has lost; what the list has and the node does not, it fetches.
create or replace function earshot.heartbeat(p_node text, p_incarnation bigint, p_busy jsonb, p_measured jsonb default '{}', p_token text default null) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp set lock_timeout = '1s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_was record;
  v_locked boolean;
begin
  -- The old state is read and the row locked first: a lease that was lost is not revived in
  -- silence.
  select n.status, n.busy into v_was from earshot.node_registry n where n.id = p_node and n.incarnation = p_incarnation
    and n.token_hash is not distinct from sha256(convert_to(p_token, 'UTF8')) for update skip locked;
  v_locked := found;
  if not v_locked and not earshot.is_node(p_node, p_incarnation, p_token) then
    return null;
  end if;
  update earshot.node_leases l
  set last_seen = clock_timestamp(), lease_until = clock_timestamp() + s.lease
  from earshot.settings s where l.node = p_node;
  -- The wide row is written only when something changed; while someone else holds it, with the next
  -- heartbeat.
  update earshot.nodes n
  set status = 'online', busy = p_busy, speeds = m.speeds, warm = m.warm, shares = m.shares
  from (select coalesce(p_measured -> 'speeds', o.speeds) as speeds, coalesce(p_measured -> 'warm', o.warm) as warm,
      coalesce(p_measured -> 'shares', o.shares) as shares from earshot.nodes o where o.id = p_node) m
  where v_locked and n.id = p_node
    and (n.status, n.busy, n.speeds, n.warm, n.shares) is distinct from ('online', p_busy, m.speeds, m.warm, m.shares);
  if v_locked and v_was.status <> 'online' then
    insert into earshot.events (type, node, data) values ('node.online', p_node, jsonb_build_object('incarnation', p_incarnation, 'after', v_was.status));
  end if;
  -- Back, or an engine wound down: there may be free slots.
  if v_locked and (v_was.status <> 'online' or v_was.busy <> p_busy) then
    perform earshot.ring_doorbell();
  end if;
  return (select coalesce(jsonb_agg(jsonb_build_object('id', j.id, 'attempt', j.attempt, 'fence', j.fence::text)), '[]')
    from earshot.jobs j
    where j.assigned_node = p_node and j.incarnation = p_incarnation and j.status in ('assigned', 'running'));
end $$;
