-- A person takes a node out: it gets nothing more until it is resumed, and what it has goes back at
-- once, uncharged.
-- Precondition: known. Returns whether it is.
create or replace function earshot.quarantine_node(p_node text, p_reason text default null) returns boolean
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_reason text := coalesce(nullif(p_reason, ''), 'Put into quarantine by hand.');
begin
  perform from earshot.nodes n where n.id = p_node for no key update;
  if not found then
    return false;
  end if;
  perform earshot.requeue_jobs(
    -- Locked while it is looked at: what another node was given meanwhile stays there.
    (select array_agg(h.id) from (
       select j.id from earshot.jobs j where j.assigned_node = p_node and j.status in ('assigned', 'running') order by j.id for update) h),
    format('Node %s was put into quarantine.', p_node), 'handed_back');
  insert into earshot.quarantines (node, role, reason) values (p_node, '*', v_reason)
    on conflict (node, role) do update set reason = excluded.reason;
  insert into earshot.events (type, node, data) values ('node.quarantined', p_node, jsonb_build_object('role', '*', 'reason', v_reason));
  -- It looks at what is still its own, and stops the rest.
  perform earshot.wake_node(p_node, 'cancelled');
  perform pg_notify('earshot', 'events');
  return true;
end $$;
