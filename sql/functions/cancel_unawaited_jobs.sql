-- Cancels jobs for whose answer no one waits any more, since the coordinator that would have passed
-- it on is gone.
--   p_term  acts only while this term leads
-- Returns the ids that ended by this.
create or replace function earshot.cancel_unawaited_jobs(p_term bigint) returns setof bigint
language plpgsql security definer set search_path = earshot, pg_temp set lock_timeout = '200ms'
as $$
declare
  v_left bigint[];
begin
  if not earshot.is_leading(p_term) then
    return;
  end if;
  -- Coordinators say so every 4 s.
  select array_agg(w.job_id) into v_left from earshot.waiters w where w.seen < clock_timestamp() - interval '20 seconds';
  if v_left is null then
    return;
  end if;
  return query select earshot.end_jobs(v_left, 'cancelled', 'EARSHOT_CANCELLED', 'Whoever waited for it is gone.');
  delete from earshot.waiters w where w.job_id = any (v_left);
end $$;
