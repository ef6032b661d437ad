-- Ends jobs without a result, and the documents for which no other job is open.
--   p_status  failed | cancelled
-- Precondition: not ended yet. Returns the ids that ended; where none did, no one is told anything.
create or replace function earshot.end_jobs(p_ids bigint[], p_status text, p_code text, p_sentence text) returns setof bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_ended bigint[];
begin
  if exists (select from earshot.job_parents p where p.parent_id = any (p_ids) and not p.counted) then
    -- What ends and what waits below it is locked together, by id: two that end jobs of one tree at
    -- once must not wait for each other.
    perform from earshot.jobs j where j.id in (
        with recursive below (id) as (
          select unnest(p_ids)
          union select p.job_id from below b join earshot.job_parents p on p.parent_id = b.id and not p.counted
        ) select b.id from below b)
      and j.status in ('blocked', 'pending', 'assigned', 'running') order by j.id for update;
  end if;
  with ended as (
    update earshot.jobs j set status = p_status, error = p_sentence, error_code = p_code, finished_at = now()
    from (select q.id from earshot.jobs q where q.id = any (p_ids) and q.status in ('blocked', 'pending', 'assigned', 'running') order by q.id for update) o
    where j.id = o.id
    returning j.id
  )
  select array_agg(e.id) into v_ended from ended e;
  if v_ended is null then
    return;
  end if;
  -- Held before their other jobs are looked at: of two jobs of one document that end at once, the
  -- later sees the earlier.
  perform from earshot.documents d where d.id in (select j.document_id from earshot.jobs j where j.id = any (v_ended)) order by d.id for update;
  with ended as (
    select j.id, j.tenant_id, j.document_id, j.assigned_node, j.attempt, j.kind from earshot.jobs j where j.id = any (v_ended)
  ), documents as (
    update earshot.documents d set status = 'failed', error = p_sentence, error_code = p_code
    from ended e where d.id = e.document_id and d.status in ('queued', 'processing')
      and not earshot.has_open_work(d.id)
    returning d.id, d.tenant_id
  )
  insert into earshot.events (tenant_id, type, job_id, document_id, node, data)
  select e.tenant_id, 'job.' || p_status, e.id, e.document_id, e.assigned_node,
    jsonb_build_object('kind', e.kind, 'code', p_code, 'message', p_sentence, 'attempt', e.attempt) from ended e
  union all
  select d.tenant_id, 'document.failed', null, d.id, null, jsonb_build_object('code', p_code, 'message', p_sentence) from documents d;
  perform earshot.wake_node(n.assigned_node, 'cancelled')
    from (select distinct j.assigned_node from earshot.jobs j where j.id = any (v_ended) and j.assigned_node is not null) n;
  perform earshot.release_children(v_ended);
  perform earshot.ring_doorbell();
  return query select unnest(v_ended);
end $$;
