-- The beginning of an answer is about to be sent: from now on the job is not run again, see
-- requeue_jobs and fail_job.
-- Precondition: someone waits, and the job is open under this attempt and fence, which only its
-- holder knows, with nothing sent yet; or it was completed by it a moment ago: the report of a
-- short answer is quicker than its first word. Returns the node that answers, or null.
create or replace function earshot.begin_answer(p_id bigint, p_attempt int, p_fence bigint) returns text
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_node text;
begin
  -- The first word waits for this. What a crash of the server forgets is an answer whose
  -- connections are cut as well.
  perform set_config('synchronous_commit', 'off', true);
  select j.assigned_node into v_node from earshot.jobs j
  where j.id = p_id and j.attempt = p_attempt and j.fence = p_fence and j.status in ('assigned', 'running', 'completed') for no key update;
  update earshot.waiters w set begun = true where w.job_id = p_id and not w.begun and v_node is not null;
  return case when found then v_node end;
end $$;
