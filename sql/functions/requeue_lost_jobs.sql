-- Sends back what no one holds any more. A lease that ended unannounced is a death. Called by
-- sweep, which bounds how long it waits for rows that others hold: those are left to the next
-- sweep, and a node whose row is held loses its jobs all the same.
create or replace function earshot.requeue_lost_jobs(p_leases boolean) returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_ids bigint[];
  v_lost record;
  v_count int := 0;
begin
  if p_leases then
    -- A lease that ends later than any lease lasts was written before the clock was set back.
    update earshot.node_leases l set last_seen = least(l.last_seen, clock_timestamp()), lease_until = clock_timestamp() + s.lease
    from earshot.settings s
    where l.node in (select f.node from earshot.node_leases f where f.lease_until > clock_timestamp() + s.lease for update skip locked);
    -- Nodes are locked before their jobs, as register_node does it; and a heartbeat that is under
    -- way renews its lease first.
    begin
      perform from earshot.nodes n where n.lease_until < clock_timestamp() and n.status <> 'offline' order by n.id for update;
    exception when lock_not_available then
      perform from earshot.nodes n where n.lease_until < clock_timestamp() and n.status <> 'offline' order by n.id for update skip locked;
    end;
  end if;
  select array_agg(l.id) into v_ids from earshot.list_lost_jobs(p_leases) l;
  if v_ids is null then
    return 0;
  end if;
  -- Held first and looked at again: meanwhile one may have been given to a node that is alive.
  v_ids := array(select j.id from earshot.jobs j where j.id = any (v_ids) order by j.id for update skip locked);
  for v_lost in
    select l.node, l.expired, bool_or(l.stopping) as stopping, array_agg(l.id) as ids
    from earshot.list_lost_jobs(p_leases) l where l.id = any (v_ids) group by 1, 2
  loop
    begin
      v_count := v_count + case
        when not v_lost.expired then earshot.requeue_jobs(v_lost.ids, format('Node %s started anew.', v_lost.node), 'restart')
        when v_lost.stopping then earshot.requeue_jobs(v_lost.ids, format('Node %s stopped.', v_lost.node), 'lost')
        else earshot.record_node_death(v_lost.node, v_lost.ids, format('Node %s fell silent.', v_lost.node), 'lost') end;
    exception when lock_not_available then
      null;
    end;
  end loop;
  return v_count;
end $$;
