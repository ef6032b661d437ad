-- A node stops in an orderly way: what it still holds goes back, uncharged, and it is offline at
-- once.
create or replace function earshot.deregister_node(p_node text, p_incarnation bigint, p_token text default null) returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_count int;
begin
  update earshot.nodes n set status = 'offline', reason = 'It was stopped.', busy = '{}' where n.id = p_node and n.incarnation = p_incarnation
    and earshot.is_node(p_node, p_incarnation, p_token);
  if not found then
    return 0;
  end if;
  update earshot.node_leases l set lease_until = now() where l.node = p_node;
  v_count := earshot.requeue_jobs(
    -- Locked while it is looked at: what another node was given meanwhile stays there.
    (select array_agg(h.id) from (
       select j.id from earshot.jobs j
       where j.assigned_node = p_node and j.incarnation = p_incarnation and j.status in ('assigned', 'running')
       order by j.id for update) h),
    format('Node %s stopped.', p_node), 'handed_back');
  insert into earshot.events (type, node) values ('node.offline', p_node);
  perform pg_notify('earshot', 'events');
  return v_count;
end $$;
