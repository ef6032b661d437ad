-- Assigns jobs to slots, one to one. Nothing else hands out work but route_job and
-- route_isolated_job, one at a time.
--   p_term          acts only while this term leads
--   p_ids           jobs of list_next_jobs
--   p_slots         the node that each is to run on
--   p_incarnations  the incarnation of that node; one that restarted meanwhile gets nothing that it
--     would not know of
--   p_redis         the caller wakes those that hear through Redis (by_redis); the others are
--     notified
-- Precondition: pending and due still; one that another transaction holds is skipped. Returns what
-- was assigned. Few jobs go along with the message that wakes their node, {incarnation, at, jobs:
-- rows of earshot.assignments}, which need not fetch them then: by notification, or by anyone who
-- sends for those that hear through Redis (carried; the same in each row of a node). A message that
-- may be out of date is only a hint (packages/worker/src/node.ts). A fence is a random token of 64
-- bits: gen_random_uuid() is the server's strong random source that needs no extension. Shape: the
-- rows found by key (the state is compared in a way that keeps the index of pending jobs out: a
-- plan made while the table is empty would take it, and read all of it for each job), slots
-- subscripted from the array, the update joined by ctid: joining the slots as a set cost ten times
-- as much.
create or replace function earshot.route_jobs(p_term bigint, p_ids bigint[], p_slots text[], p_incarnations bigint[], p_redis boolean default false)
returns table (id bigint, node text, incarnation bigint, role text, by_redis boolean, carried jsonb)
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_redis text[];
  v_carries boolean := cardinality(p_ids) <= 8;
  v_ids bigint[];
  v_nodes text[];
  v_lives bigint[];
  v_roles text[];
begin
  if not earshot.is_leading(p_term) then
    return;
  end if;
  -- The commit does not wait for the disk: what a crash of the server undoes was not handed out,
  -- and who took it meanwhile has a fence that no later assignment draws again. The embedded
  -- database ends with its process (and has no doorbell): what was running must be known after
  -- that.
  perform set_config('synchronous_commit', 'off', true) from earshot.settings s where s.doorbell;
  if p_redis then
    v_redis := array(select n.id from earshot.nodes n where n.id = any (p_slots) and n.wake_transport = 'redis');
  end if;
  with chosen as (
    select q.tid, c.place from unnest(p_ids) with ordinality c (id, place)
    cross join lateral (
      select j.ctid as tid from earshot.jobs j where j.id = c.id and j.status || '' = 'pending' and j.due for update skip locked) q
  ), given as (
    update earshot.jobs j
    set status = 'assigned', assigned_node = p_slots[c.place], incarnation = p_incarnations[c.place],
      attempt = j.attempt + 1, fence = uuid_hash_extended(gen_random_uuid(), 0), assigned_at = now(), started_at = null
    from chosen c where j.ctid = c.tid
    returning j.id, j.assigned_node as node, j.incarnation, j.role
  )
  select array_agg(g.id), array_agg(g.node), array_agg(g.incarnation), array_agg(g.role) into v_ids, v_nodes, v_lives, v_roles from given g;
  return query
  with told as materialized (
    select a.node, jsonb_build_object('incarnation', a.incarnation, 'at', extract(epoch from now()), 'jobs', jsonb_agg(to_jsonb(a) - '{node,incarnation}'::text[])) as message
    from earshot.assignments a where v_carries and a.id = any (v_ids) group by a.node, a.incarnation
  ), messages as materialized (
    -- What is longer than a notification may be is fetched.
    select t.node, t.message from told t where octet_length(t.message::text) < 7900
  ), woken as (
    select pg_notify(earshot.node_channel(n.node), coalesce(m.message::text, ''))
    from (select distinct u.node from unnest(v_nodes) u (node)) n left join messages m on m.node = n.node
    where n.node = any (v_redis) is not true
  )
  -- The count is compared so that the nodes are told: a join whose result no one reads is left out
  -- of the plan, notifications and all.
  select g.id, g.node, g.life, g.role, r.via_redis, case when r.via_redis then m.message end
  from unnest(v_ids, v_nodes, v_lives, v_roles) g (id, node, life, role)
  cross join lateral (select g.node = any (v_redis) is true as via_redis) r
  left join messages m on m.node = g.node
  where (select count(*) from woken) >= 0;
end $$;
