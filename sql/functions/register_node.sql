-- A node joins, or comes back: it gets a new incarnation, and what an older one still held goes
-- back at once, uncharged. Where that one had not said that it would go, this is a death
-- (record_node_death). A role in quarantine is probed at once: it may be mended. Of two live
-- processes with one id the newer wins: the older one's heartbeat then answers that it was
-- replaced.
--   p_token    drawn for this registration; every later call must show it, so that no other login
--     can act as this node
--   p_boot_id  another one than before: the machine rebooted, and the node's death tells against no
--     job. Null: unknown
-- A node of another protocol is written down, gets no work and is told why.
create or replace function earshot.register_node(
  p_id text, p_name text, p_host text, p_port int, p_version text, p_protocol int,
  p_roles text[], p_tags jsonb, p_capabilities jsonb, p_slots jsonb, p_token text default null,
  p_boot_id text default null
) returns bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_before record;
  v_rebooted boolean;
  v_held bigint[];
  v_incarnation bigint := nextval('earshot.incarnations');
  v_spoken int := (select c.protocol from earshot.coordinators c order by c.last_seen desc limit 1);
  v_reason text := case when v_spoken <> p_protocol then
    format('It speaks protocol %s and the mesh speaks %s: give it the same version of Earshot.', p_protocol, v_spoken) end;
begin
  select n.status, n.stopping, n.incarnation, n.boot_id, l.last_seen into v_before
  from earshot.node_registry n join earshot.node_leases l on l.node = n.id where n.id = p_id for no key update of n;
  v_rebooted := coalesce(v_before.boot_id <> p_boot_id, false);
  with joined as (
    insert into earshot.node_registry as n (id, name, host, port, incarnation, version, protocol, roles, tags, capabilities, slots, reason, token_hash, boot_id)
    values (p_id, p_name, p_host, p_port, v_incarnation, p_version, p_protocol, p_roles, p_tags, p_capabilities, p_slots, v_reason,
      sha256(convert_to(p_token, 'UTF8')), p_boot_id)
    on conflict (id) do update set name = excluded.name, host = excluded.host, port = excluded.port, incarnation = excluded.incarnation,
      version = excluded.version, protocol = excluded.protocol, roles = excluded.roles, tags = excluded.tags,
      capabilities = excluded.capabilities, slots = excluded.slots, busy = '{}', speeds = '{}', warm = '[]', shares = '[]',
      reason = excluded.reason, token_hash = excluded.token_hash, boot_id = excluded.boot_id, stopping = false, status = 'online', wake_transport = 'notify', registered_at = now()
      -- A registration that waited for the row while a newer one went ahead must not take the node
      -- back.
      where n.incarnation < excluded.incarnation
    returning n.id
  )
  insert into earshot.node_leases (node, last_seen, lease_until)
    select j.id, now(), now() + s.lease from joined j cross join earshot.settings s
    on conflict (node) do update set last_seen = excluded.last_seen, lease_until = excluded.lease_until;
  if v_rebooted then
    -- It counted as dead before it could say why: since it was last seen.
    with excused as (
      update earshot.node_deaths d set rebooted = true
      where d.node = p_id and d.at > v_before.last_seen and not d.rebooted returning d.jobs
    )
    update earshot.jobs j set deaths = j.deaths - 1 from excused e where j.id = any (e.jobs) and j.deaths > 0;
  end if;
  -- Locked while it is looked at: what another node was given meanwhile stays there.
  select array_agg(h.id) into v_held from (
    select j.id from earshot.jobs j
    where j.assigned_node = p_id and j.status in ('assigned', 'running') and j.incarnation < v_incarnation
    order by j.id for update) h;
  if v_before.status = 'online' and not v_before.stopping and v_before.incarnation < v_incarnation then
    perform earshot.record_node_death(p_id, v_held, format('Node %s started anew.', p_id), 'restart', v_rebooted);
  else
    perform earshot.requeue_jobs(v_held, format('Node %s started anew.', p_id), 'restart');
  end if;
  update earshot.quarantines q set probe_at = now() where q.node = p_id and q.probe_at > now();
  insert into earshot.events (type, node, data) values ('node.online', p_id, jsonb_build_object('incarnation', v_incarnation));
  perform earshot.ring_doorbell();
  return v_incarnation;
end $$;
