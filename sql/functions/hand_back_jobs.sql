-- A node hands jobs back unfinished, charging no one: it is stopping, or the media is out of reach.
-- Precondition: the caller is this node; open, under this fence. The rows are locked while that is
-- looked at, or a job that was given to another node meanwhile would be taken from it. Returns how
-- many went back.
create or replace function earshot.hand_back_jobs(
  p_node text, p_incarnation bigint, p_ids bigint[], p_fences bigint[], p_sentence text, p_cause text default 'handed_back', p_delay interval default '0', p_token text default null
) returns int
language sql security definer set search_path = earshot, pg_temp
as $$
  select earshot.requeue_jobs(
    (select array_agg(h.id) from (
       select j.id from earshot.jobs j join unnest(p_ids, p_fences) f (id, fence) on j.id = f.id and j.fence = f.fence
       where j.status in ('assigned', 'running') and j.assigned_node = p_node and j.incarnation = p_incarnation
         and earshot.is_node(p_node, p_incarnation, p_token)
       order by j.id for update of j) h),
    p_sentence, p_cause, p_delay)
$$;
