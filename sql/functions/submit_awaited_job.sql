-- Enqueues one job whose answer someone waits for with an open connection. Refuses what submit_jobs
-- refuses. Returns its id.
--   p_within  how long it may take in all
create or replace function earshot.submit_awaited_job(p_job jsonb, p_within interval, p_tenant text default 'default') returns bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_id bigint;
begin
  -- Anyone who waits loses the connection in a crash of the server, and asks again: no need to wait
  -- for the disk.
  perform set_config('synchronous_commit', 'off', true);
  v_id := (select m.id from earshot.submit_jobs(jsonb_build_array(p_job || jsonb_build_object('deadline', now() + p_within)), p_tenant) m);
  insert into earshot.waiters (job_id) values (v_id);
  return v_id;
end $$;
