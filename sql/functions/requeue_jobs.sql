-- Sends open jobs back to pending, charging no one. Clears the fence: whatever the old holder still
-- writes changes nothing.
--   p_cause  restart | lost | handed_back | away | node; kept in the event
--   p_delay  how long they rest before they may run again
-- Precondition: assigned or running; others are left alone. One whose answer has begun to be sent
-- does not go back, but fails: a second answer would not go on where the first one broke off.
-- Returns how many went back.
create or replace function earshot.requeue_jobs(p_ids bigint[], p_sentence text, p_cause text, p_delay interval default '0') returns int
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_count int;
begin
  perform earshot.end_jobs(array(select w.job_id from earshot.waiters w join earshot.jobs j on j.id = w.job_id
      where w.job_id = any (p_ids) and w.begun and j.status in ('assigned', 'running')),
    'failed', 'EARSHOT_ANSWER_CUT', format('The answer broke off: %s', p_sentence));
  with back as (
    update earshot.jobs j
    set status = 'pending', fence = null, incarnation = null, assigned_node = null, error = p_sentence, error_code = null,
      run_at = now() + p_delay, due = p_delay <= interval '0' and not j.alone
    from (select q.id, q.assigned_node from earshot.jobs q where q.id = any (p_ids) and q.status in ('assigned', 'running')
          order by q.id for update) held
    where j.id = held.id
    returning j.id, j.tenant_id, j.document_id, held.assigned_node as node, j.attempt
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, document_id, node, data)
    select tenant_id, 'job.requeued', id, document_id, node, jsonb_build_object('cause', p_cause, 'message', p_sentence, 'attempt', attempt)
    from back
  )
  select count(*) into v_count from back;
  if v_count > 0 then
    perform earshot.ring_doorbell();
  end if;
  return v_count;
end $$;
