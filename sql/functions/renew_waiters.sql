-- A coordinator says that it still waits for these jobs.
create or replace function earshot.renew_waiters(p_ids bigint[]) returns void
language sql security definer set search_path = earshot, pg_temp
as $$
  update earshot.waiters w set seen = clock_timestamp()
  from (select q.job_id from earshot.waiters q where q.job_id = any (p_ids) order by q.job_id for update) k
  where w.job_id = k.job_id
$$;
