-- Puts a role of a node into quarantine when three different jobs in a row failed there by the
-- node's own fault. Where it is in quarantine already, the job that failed was the probe: it rests
-- twice as long, up to 10 minutes. Called by finish_jobs and fail_job, after node_failures was
-- written.
create or replace function earshot.quarantine_failing_node(p_node text, p_role text) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_reason text;
begin
  update earshot.quarantines q
  set rest = least(q.rest * 2, interval '10 minutes'), probe_at = now() + least(q.rest * 2, interval '10 minutes')
  where q.node = p_node and q.role = p_role and q.probe_at <= now();
  if found then
    return;
  end if;
  select format('%s different jobs in a row failed on it, the last one was job %s: %s', count(*),
      (array_agg(f.job_id order by f.at desc, f.job_id desc))[1], (array_agg(f.message order by f.at desc, f.job_id desc))[1])
    into v_reason
  from earshot.node_failures f where f.node = p_node and f.role = p_role and f.proven
  having count(*) >= 3;
  if v_reason is null then
    return;
  end if;
  insert into earshot.quarantines (node, role, reason, rest, probe_at) values (p_node, p_role, v_reason, '30 seconds', now() + interval '30 seconds')
    on conflict (node, role) do nothing;
  if found then
    insert into earshot.events (type, node, data) values ('node.quarantined', p_node, jsonb_build_object('role', p_role, 'reason', v_reason));
  end if;
end $$;
