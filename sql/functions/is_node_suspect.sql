-- Whether a job that failed on a node says more about the node than about the job. For three times
-- the job's tries at most, so that none goes round forever.
create or replace function earshot.is_node_suspect(p_job earshot.jobs, p_node text) returns boolean
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select p_job.attempt < 3 * p_job.max_tries and (
    exists (select from earshot.quarantines q where q.node = p_node and q.role = p_job.role)
    or (exists (select from earshot.node_failures f where f.node = p_node and f.role = p_job.role and f.job_id = p_job.id)
      and not p_job.requires ? 'node'
      and exists (select from earshot.nodes n where n.id <> p_node and p_job.role = any (n.roles) and n.status = 'online'
        and n.reason is null and not n.drained
        and not exists (select from earshot.node_failures f where f.node = n.id and f.job_id = p_job.id)
        and not exists (select from earshot.quarantines q where q.node = n.id and q.role in (p_job.role, '*')))))
$$;
