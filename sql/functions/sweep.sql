-- What time brings about: jobs whose hour has come, leases that ended, nodes that fell silent,
-- deadlines that passed.
--   p_term    acts only while this term leads
--   p_leases  false on the embedded database: process and database stop together there (a laptop
--     asleep is no dead worker)
--   p_duty    wake | lost | overdue | silent; null does all of them. The leader calls each in a
--     transaction of its own
--   p_clock   what this clock shows at most, by the leader's own; where it shows more, it was set,
--     and no lease is judged
-- Returns how many jobs were woken, requeued and failed, and the seconds until the next job comes
-- due (null: none waits). Rows that others hold are left to the next sweep: one open transaction
-- must not stop fail-over.
create or replace function earshot.sweep(p_term bigint, p_leases boolean default true, p_duty text default null, p_clock timestamptz default null)
returns table (woken int, requeued int, overdue int, next_due_s double precision)
language plpgsql security definer set search_path = earshot, pg_temp set lock_timeout = '200ms'
as $$
#variable_conflict use_variable
begin
  if not earshot.is_leading(p_term) then
    return;
  end if;
  if clock_timestamp() > p_clock + interval '1 second' then
    p_leases := false;
  end if;
  woken := 0;
  requeued := 0;
  overdue := 0;
  if coalesce(p_duty, 'wake') = 'wake' then
    woken := earshot.wake_due_jobs();
    next_due_s := (select extract(epoch from min(j.run_at) - clock_timestamp()) from earshot.jobs j
      where j.status = 'pending' and not j.due and not j.alone and isfinite(j.run_at));
  end if;
  if coalesce(p_duty, 'lost') = 'lost' then
    requeued := earshot.requeue_lost_jobs(p_leases);
  end if;
  if coalesce(p_duty, 'overdue') = 'overdue' then
    overdue := earshot.end_overdue_jobs();
  end if;
  if p_leases and coalesce(p_duty, 'silent') = 'silent' then
    perform earshot.mark_silent_nodes();
  end if;
  return next;
end $$;
