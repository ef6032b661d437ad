-- A job that someone waits for failed on a node: another one that has what it needs gets it at
-- once, without the usual rest. Once a job: whatever fails on two nodes is not saved by a third.
-- Called by fail_job, which has sent the job back.
-- Precondition: pending, nothing of its answer was sent, not pinned to a node, and another node
-- with its tags is up. Of patterns only that of the language is looked at.
create or replace function earshot.retry_on_another_node(p_id bigint, p_node text) returns void
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  update earshot.jobs j set requires = j.requires || jsonb_build_object('node', jsonb_build_object('not', p_node)), run_at = now(), due = true
  where j.id = p_id and j.status = 'pending' and not j.alone and not j.requires ? 'node'
    and exists (select from earshot.waiters w where w.job_id = j.id and not w.begun)
    and exists (select from earshot.nodes n where n.id <> p_node and j.role = any (n.roles) and n.tags @> (j.requires - 'languages')
      and (not j.requires ? 'languages' or n.tags ->> 'languages' like replace(j.requires ->> 'languages', '*', '%'))
      and n.status = 'online' and n.reason is null and not n.drained
      and not exists (select from earshot.quarantines q where q.node = n.id and q.role in (j.role, '*')));
  if found then
    perform earshot.ring_doorbell();
  end if;
end $$;
