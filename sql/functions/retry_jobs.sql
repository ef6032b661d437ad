-- Tries jobs again, now. One that ended starts afresh: no tries, deaths or outcome, and no deadline
-- that has passed; it waits for parents that are open again (tried again in the same call, say),
-- not for those that ended. One that rests stops resting.
-- Precondition: can_retry, and in the hot table: what was archived stays archived. Returns the ids
-- that were changed.
create or replace function earshot.retry_jobs(p_ids bigint[], p_tenant text default 'default') returns setof bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_ended bigint[];
  v_resting bigint[];
begin
  select array_agg(h.id) filter (where h.status <> 'pending'), array_agg(h.id) filter (where h.status = 'pending') into v_ended, v_resting
  from (select j.id, j.status from earshot.jobs j where j.id = any (p_ids) and j.tenant_id = p_tenant and earshot.can_retry(j)
        order by j.id for update) h;
  -- Parents are held shared, as at submission: one that ends meanwhile waits, and then finds its
  -- children.
  perform from earshot.jobs j where j.id in (select p.parent_id from earshot.job_parents p where p.job_id = any (v_ended)) order by j.id for share;
  update earshot.job_parents p set counted = false from earshot.jobs j
  where p.job_id = any (v_ended) and j.id = p.parent_id
    and (j.id = any (v_ended) or j.status in ('blocked', 'pending', 'assigned', 'running'));
  update earshot.jobs j
  set status = case when w.open > 0 then 'blocked' else 'pending' end, waiting_on = w.open, run_at = now(), due = true, alone = false,
    tries = 0, deaths = 0, result = null, error = null, error_code = null, finished_at = null, assigned_node = null, incarnation = null,
    fence = null, deadline = case when j.deadline > now() then j.deadline end
  from (select e.id, (select count(*)::int from earshot.job_parents p where p.job_id = e.id and not p.counted) as open
        from unnest(v_ended) e (id)) w
  where j.id = w.id;
  update earshot.jobs j set run_at = now(), due = not j.alone where j.id = any (v_resting);
  -- One that was heard already waits for its chunks only.
  update earshot.documents d set error = null, error_code = null,
    status = case when exists (select from earshot.segments s where s.document_id = d.id) then 'processing' else 'queued' end
  from earshot.jobs j where j.id = any (v_ended) and d.id = j.document_id and d.status = 'failed';
  delete from earshot.node_failures f where f.job_id = any (v_ended) and not f.proven;
  insert into earshot.events (tenant_id, type, job_id, document_id)
  select j.tenant_id, 'job.retried', j.id, j.document_id from earshot.jobs j where j.id = any (v_ended || v_resting);
  perform earshot.ring_doorbell();
  return query select r.id from unnest(v_ended || v_resting) r (id) order by r.id;
end $$;
