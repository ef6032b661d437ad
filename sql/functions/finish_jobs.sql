-- A node reports how jobs ended: output and state, in one transaction.
--   p_outcomes  one a job: {"output": …} or {"error": {"code", "message", "verdict"}}, and how long
--     it ran there: {"ran_s"} verdict   final: it can never succeed; job: charged to the job, tried
--     again up to max_tries; node: charged to the node, the job goes back
-- Precondition: the caller is this node; open, under this fence. Answers a job: done; already (this
-- very holder reported it before); lost (it is not this holder's any more: nothing was changed);
-- busy (another transaction holds it, or a job or document that its end would change: nothing was
-- changed, and the same report may be sent again). A result that the database refuses fails its own
-- job and no other. Outputs that are kept as they are (of kinds of the users' own) go all at once;
-- failures, outputs that become documents, and a batch of which the database refuses something, job
-- by job.
create or replace function earshot.finish_jobs(
  p_node text, p_incarnation bigint, p_ids bigint[], p_fences bigint[], p_outcomes jsonb[], p_token text default null
) returns table (id bigint, answer text)
language plpgsql security definer set search_path = earshot, pg_temp set lock_timeout = '200ms' set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
  v_completed bigint[] := '{}';
  v_roles text[] := '{}';
  v_job earshot.jobs;
  v_busy bigint[] := earshot.list_busy_jobs(p_ids, exists (select from unnest(p_outcomes) o where o ? 'error'));
  v_error jsonb;
  i int;
begin
  if not earshot.is_node(p_node, p_incarnation, p_token) then
    return query select f.id, 'lost' from unnest(p_ids) f (id);
    return;
  end if;
  -- The nodes that may be charged are locked before any job, in one order, as register_node does
  -- it. Mostly nothing failed anywhere.
  if exists (select from earshot.node_failures) or exists (select from unnest(p_outcomes) o where o ? 'error') then
    perform from earshot.nodes n
    where n.id = any (array(select f.node from earshot.node_failures f where f.job_id = any (p_ids)
      union select p_node from unnest(p_outcomes) o where o ? 'error'))
    order by n.id for no key update skip locked;
  end if;
  if v_busy <> '{}' then
    return query select b.id, 'busy' from unnest(v_busy) b (id);
    select coalesce(array_agg(r.id), '{}'), coalesce(array_agg(r.fence), '{}'), coalesce(array_agg(r.outcome), '{}') into p_ids, p_fences, p_outcomes
      from unnest(p_ids, p_fences, p_outcomes) r (id, fence, outcome) where r.id <> all (v_busy);
  end if;
  begin
    select array_agg(c.id), array_agg(distinct c.role) into v_completed, v_roles
    from earshot.complete_jobs(p_node, p_incarnation, p_ids, p_fences, p_outcomes) c having count(*) > 0;
  exception when data_exception or integrity_constraint_violation or raise_exception then
    -- Something among it is refused: one by one it shows what.
    null;
  end;
  v_completed := coalesce(v_completed, '{}');
  v_roles := coalesce(v_roles, '{}');
  return query select d.id, 'done' from unnest(v_completed) d (id);
  for i in
    select o.place from unnest(p_ids) with ordinality o (id, place)
    where cardinality(v_completed) < cardinality(p_ids) and not exists (select from unnest(v_completed) d (id) where d.id = o.id) order by o.id
  loop
    id := p_ids[i];
    select j.* into v_job from earshot.jobs j where j.id = p_ids[i] and j.fence = p_fences[i] for update skip locked;
    if v_job.id is null then
      answer := case when exists (select from earshot.jobs j where j.id = p_ids[i] and j.fence = p_fences[i]) then 'busy' else 'lost' end;
    elsif v_job.status not in ('assigned', 'running') then
      -- It waits under this fence when this report failed it. Others may have ended it: by request,
      -- at its deadline, since its media is gone.
      answer := case when v_job.status in ('pending', 'completed')
        or v_job.error_code = coalesce(p_outcomes[i] -> 'error' ->> 'code', 'EARSHOT_RESULT_REFUSED') then 'already' else 'lost' end;
    elsif v_job.assigned_node <> p_node or v_job.incarnation <> p_incarnation then
      answer := 'lost';
    else
      answer := 'done';
      v_error := p_outcomes[i] -> 'error';
      if v_error is null then
        begin
          perform earshot.complete_jobs(p_node, p_incarnation, p_ids[i:i], p_fences[i:i], array[p_outcomes[i]
            || jsonb_build_object('output', earshot.store_output(v_job, p_node, p_outcomes[i] -> 'output'))], true);
          v_completed := v_completed || v_job.id;
          v_roles := v_roles || v_job.role;
        exception when lock_not_available then
          answer := 'busy';
        when data_exception or integrity_constraint_violation or raise_exception then
          v_error := jsonb_build_object('code', 'EARSHOT_RESULT_REFUSED', 'verdict', 'final',
            'message', format('The database refused the result of job %s: %s', v_job.id, sqlerrm));
        end;
      end if;
      if v_error is not null then
        begin
          perform earshot.fail_job(v_job, p_node, v_error);
        exception when lock_not_available then
          answer := 'busy';
        end;
      end if;
    end if;
    return next;
  end loop;
  perform earshot.release_children(v_completed);
  if exists (select from earshot.node_failures) or exists (select from earshot.quarantines q where q.node = p_node) then
    begin
      perform earshot.record_success(p_node, v_completed, v_roles);
    exception when lock_not_available then
      -- Someone holds a node. The next success says the same.
      null;
    end;
  end if;
  perform earshot.ring_doorbell();
end $$;
