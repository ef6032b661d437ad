-- Sends back what nobody holds any more: its node's lease ended, its node was replaced by a newer incarnation (also between
-- routing's look at the node and its commit), or its node is gone from the registry. A lease that ended unannounced is a death.
create or replace function earshot.requeue_lost_jobs(p_leases boolean) returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_lost record;
  v_count int := 0;
begin
  for v_lost in
    select j.assigned_node as node, coalesce(n.incarnation = j.incarnation, false) as expired, bool_or(n.stopping) as stopping, array_agg(j.id) as ids
    from earshot.jobs j left join earshot.nodes n on n.id = j.assigned_node
    where j.status in ('assigned', 'running')
      and (n.id is null or n.incarnation <> j.incarnation or (p_leases and n.lease_until < clock_timestamp()))
    group by 1, 2
  loop
    v_count := v_count + case
      when not v_lost.expired then earshot.requeue_jobs(v_lost.ids, format('Node %s started anew.', v_lost.node), 'restart')
      when v_lost.stopping then earshot.requeue_jobs(v_lost.ids, format('Node %s stopped.', v_lost.node), 'lost')
      else earshot.bury_node(v_lost.node, v_lost.ids, format('Node %s fell silent.', v_lost.node), 'lost') end;
  end loop;
  return v_count;
end $$;
