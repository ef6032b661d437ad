-- Assigns jobs to slots, one to one. The only statement that hands out work (route_alone_job aside).
--   p_term          acts only while this term leads
--   p_ids           jobs of list_next_jobs
--   p_slots         the node that each is to run on
--   p_incarnations  the incarnation of that node; one that restarted meanwhile gets nothing that it would not know of
--   p_redis         the caller wakes those that hear through Redis (by_redis); the others are notified
-- Precondition: pending and due still; one that another transaction holds is skipped. Returns what was assigned.
-- Shape: the rows found by key (the state is compared in a way that keeps the index of pending jobs out: a plan made while the table is
-- empty would take it, and read all of it for each job), slots subscripted from the array, the update joined by ctid: joining the slots as a set cost ten
-- times as much.
create or replace function earshot.route_jobs(p_term bigint, p_ids bigint[], p_slots text[], p_incarnations bigint[], p_redis boolean default false)
returns table (id bigint, node text, role text, by_redis boolean)
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_fences bigint[] := earshot.draw_fences(cardinality(p_ids));
  v_redis text[];
begin
  if not earshot.is_leading(p_term) then
    return;
  end if;
  -- The commit does not wait for the disk: what a crash of the server undoes was not handed out, and who took it meanwhile has a fence that
  -- no later assignment draws again.
  perform set_config('synchronous_commit', 'off', true);
  if p_redis then
    v_redis := array(select n.id from earshot.nodes n where n.id = any (p_slots) and n.hears = 'redis');
  end if;
  return query
  with chosen as (
    select q.tid, c.place from unnest(p_ids) with ordinality c (id, place)
    cross join lateral (
      select j.ctid as tid from earshot.jobs j where j.id = c.id and j.status || '' = 'pending' and j.due for update skip locked) q
  ), given as (
    update earshot.jobs j
    set status = 'assigned', assigned_node = p_slots[c.place], incarnation = p_incarnations[c.place],
      attempt = j.attempt + 1, fence = v_fences[c.place], assigned_at = now(), started_at = null
    from chosen c where j.ctid = c.tid
    returning j.id, j.assigned_node as node, j.role
  ), woken as (
    select pg_notify(earshot.node_channel(n.node), '') from (select distinct node from given) n
    where n.node = any (v_redis) is not true
  )
  -- The count is compared so that the nodes are told: a join whose result nobody reads is left out of the plan, notifications and all.
  select g.id, g.node, g.role, g.node = any (v_redis) is true from given g where (select count(*) from woken) >= 0;
end $$;
