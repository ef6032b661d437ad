-- One open job failed: charges the guilty and decides what becomes of it. Called by finish_jobs,
-- which holds the row.
--   verdict node  the node says that it was its own fault: charged to the node verdict job
--   charged to the job, unless the node is the likelier one: its role is in quarantine, or this
--   very job failed there before while other nodes have not been tried. So a broken node cannot use
--   up a job's tries.
-- Rest before the next try: 5 s, 10 s, 20 s … up to 5 minutes; none before another node gets what
-- someone waits for.
create or replace function earshot.fail_job(p_job earshot.jobs, p_node text, p_error jsonb) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_verdict text := coalesce(p_error ->> 'verdict', 'job');
  v_doubted boolean := v_verdict = 'job' and earshot.is_node_suspect(p_job, p_node);
  v_tries int := p_job.tries + (v_verdict = 'job' and not v_doubted)::int;
  v_rest interval := least(interval '5 minutes', interval '5 seconds' * power(2, least(greatest(v_tries, p_job.attempt) - 1, 10)));
begin
  if v_verdict in ('node', 'job') then
    insert into earshot.node_failures (node, role, job_id, proven, message)
      select n.id, p_job.role, p_job.id, v_verdict = 'node', coalesce(p_error ->> 'message', '') from earshot.nodes n where n.id = p_node
      on conflict (node, role, job_id) do update set proven = node_failures.proven or excluded.proven, message = excluded.message, at = now();
    update earshot.nodes n set faults = n.faults + 1 where n.id = p_node and v_verdict = 'node';
    perform earshot.quarantine_failing_node(p_node, p_job.role);
  end if;
  if v_verdict = 'node' or v_doubted then
    perform earshot.requeue_jobs(array[p_job.id], format('Node %s could not do it: %s', p_node, p_error ->> 'message'), 'node', v_rest);
    perform earshot.retry_on_another_node(p_job.id, p_node);
    return;
  end if;
  -- An answer that has begun to be sent is not begun again.
  if v_verdict = 'job' and v_tries < p_job.max_tries
    and not exists (select from earshot.waiters w where w.job_id = p_job.id and w.begun) then
    update earshot.jobs j
    set status = 'pending', tries = v_tries, assigned_node = null, incarnation = null, run_at = now() + v_rest, due = false,
      error = p_error ->> 'message', error_code = p_error ->> 'code'
    where j.id = p_job.id;
    insert into earshot.events (tenant_id, type, job_id, document_id, node, data)
      values (p_job.tenant_id, 'job.requeued', p_job.id, p_job.document_id, p_node,
        p_error || jsonb_build_object('cause', 'failed', 'tries', v_tries));
    perform earshot.retry_on_another_node(p_job.id, p_node);
    return;
  end if;
  update earshot.jobs j set tries = v_tries where j.id = p_job.id;
  -- The job was guilty: its failures tell nothing about the nodes.
  delete from earshot.node_failures f where f.job_id = p_job.id and not f.proven;
  perform earshot.end_jobs(array[p_job.id], 'failed', p_error ->> 'code', p_error ->> 'message');
end $$;
