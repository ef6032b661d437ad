-- Marks jobs as running: written only for what takes longer than a moment, many at once.
-- Precondition: assigned, under this fence; the caller is this node. Returns the ids that were
-- marked.
create or replace function earshot.start_jobs(p_node text, p_incarnation bigint, p_ids bigint[], p_fences bigint[], p_token text default null) returns setof bigint
language plpgsql security definer set search_path = earshot, pg_temp
as $$
begin
  return query
  with started as (
    update earshot.jobs j set status = 'running', started_at = now()
    from (select q.id from earshot.jobs q join unnest(p_ids, p_fences) f (id, fence) on q.id = f.id and q.fence = f.fence
          where q.status = 'assigned' and q.assigned_node = p_node and q.incarnation = p_incarnation
            and earshot.is_node(p_node, p_incarnation, p_token) order by q.id for update of q) held
    where j.id = held.id
    returning j.id, j.tenant_id, j.document_id, j.attempt
  ), shown as (
    update earshot.documents d set status = 'processing' from started s where d.id = s.document_id and d.status = 'queued'
  ), told as (
    insert into earshot.events (tenant_id, type, job_id, document_id, node, data)
    select s.tenant_id, 'job.started', s.id, s.document_id, p_node, jsonb_build_object('attempt', s.attempt) from started s
  )
  select s.id from started s;
  perform pg_notify('earshot', 'events');
end $$;
