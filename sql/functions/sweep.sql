-- What time brings about: jobs whose hour has come, leases that ended, nodes that fell silent, deadlines that passed.
--   p_term    acts only while this term leads
--   p_leases  false on the embedded database: process and database stop together there (a laptop asleep is no dead worker)
-- Returns how many jobs were woken, requeued and failed, and the seconds until the next job comes due (null: none waits).
create or replace function earshot.sweep(p_term bigint, p_leases boolean default true)
returns table (woken int, requeued int, overdue int, next_due_s double precision)
language plpgsql security definer set search_path = earshot, pg_temp
as $$
#variable_conflict use_variable
begin
  if not earshot.is_leading(p_term) then
    return;
  end if;
  woken := earshot.wake_due_jobs();
  if p_leases then
    -- Nodes are locked before their jobs, as register_node does it; and a heartbeat that is under way renews its lease first.
    perform from earshot.nodes n where n.lease_until < clock_timestamp() and n.status <> 'offline' order by n.id for update;
  end if;
  requeued := earshot.requeue_lost_jobs(p_leases);
  overdue := (select count(*) from earshot.end_jobs(
    -- 500 at a time, so that no sweep takes long: when so many ended, more may wait.
    array(select j.id from earshot.jobs j where j.deadline < now() and j.status in ('blocked', 'pending', 'assigned', 'running')
      order by j.deadline limit 500),
    'failed', 'EARSHOT_DEADLINE', 'It was not done by its deadline.'));
  if p_leases then
    perform earshot.mark_silent_nodes();
  end if;
  next_due_s := (select extract(epoch from min(j.run_at) - clock_timestamp()) from earshot.jobs j where j.status = 'pending' and not j.due and not j.alone and isfinite(j.run_at));
  return next;
end $$;
