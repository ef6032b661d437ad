-- Ends jobs whose deadline has passed: 500 at a time, so that no sweep takes long; when so many
-- ended, more may wait. Returns how many. Called by sweep, which bounds how long it waits for rows
-- that others hold: such a job is left to the next sweep.
create or replace function earshot.end_overdue_jobs() returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_ids bigint[] := array(select j.id from earshot.jobs j
    where j.deadline < now() and j.status in ('blocked', 'pending', 'assigned', 'running')
    order by j.deadline limit 500 for update skip locked);
  v_sentence constant text := 'It was not done by its deadline.';
  v_id bigint;
  v_count int := 0;
begin
  begin
    return (select count(*) from earshot.end_jobs(v_ids, 'failed', 'EARSHOT_DEADLINE', v_sentence));
  exception when lock_not_available then
    null;
  end;
  -- Someone holds what one of them would change, a child or a document. Each wait is short; a few
  -- are enough for one sweep.
  foreach v_id in array v_ids loop
    begin
      perform set_config('lock_timeout', '5ms', true);
      v_count := v_count + (select count(*) from earshot.end_jobs(array[v_id], 'failed', 'EARSHOT_DEADLINE', v_sentence));
    exception when lock_not_available then
      null;
    end;
  end loop;
  return v_count;
end $$;
