-- Assigns the one job that waits to the node that such a job went to a moment ago, without a look over all nodes.
--   p_precedents  [{lane, class, node, incarnation, roles, tags}]: of lanes whose last choice was made while every node that could run it was
--                 idle (packages/coordinator/src/precedents.ts)
-- Precondition: nothing else waits; the node may get work, offers what it did, and has nothing at all in hand, so that it is again the
-- best there was to choose. Returns what route_jobs returns; nothing where there is no precedent.
-- A job with media is chosen a node by who holds that.
create or replace function earshot.route_by_precedent(p_term bigint, p_protocol int, p_precedents jsonb, p_redis boolean)
returns table (id bigint, node text, incarnation bigint, role text, by_redis boolean, carried jsonb)
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  v_jobs bigint[] := array(select j.id from earshot.jobs j where j.status = 'pending' and j.due order by j.lane, j.class desc, j.priority desc, j.id limit 2);
  v_node text;
  v_incarnation bigint;
begin
  if cardinality(v_jobs) <> 1 or exists (select from earshot.jobs j where j.alone and j.status = 'pending' and j.run_at <= now()) then
    return;
  end if;
  select n.id, n.incarnation into v_node, v_incarnation
  from earshot.jobs j
  join jsonb_to_recordset(p_precedents) p (lane bigint, class text, node text, incarnation bigint, roles jsonb, tags jsonb) on p.lane = j.lane and p.class = j.class
  join earshot.routable_nodes n on n.id = p.node
  where j.id = v_jobs[1] and not j.payload ? 'media'
    and n.incarnation = p.incarnation and n.protocol = p_protocol and to_jsonb(n.roles) = p.roles and n.tags = p.tags and n.busy = '{}'
    and not exists (select from earshot.quarantines q where q.node = n.id)
    and not exists (select from earshot.jobs o where o.assigned_node = n.id and o.status in ('assigned', 'running'));
  if found then
    return query select r.* from earshot.route_jobs(p_term, v_jobs, array[v_node], array[v_incarnation], p_redis) r;
  end if;
end $$;
