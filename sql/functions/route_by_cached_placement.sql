-- Assigns the one job that waits to the node that such a job went to a moment ago, without a look
-- over all nodes.
--   p_precedents  [{lane, class, node, incarnation, roles, tags}]: of lanes whose last choice was
--     made while every node that could run it was idle
--     (packages/coordinator/src/routing/placement-cache.ts)
-- Precondition: nothing else waits; the node may get work, offers what it did, and has nothing at
-- all in hand, so that it is again the best there was to choose. Returns what route_job returns;
-- null where there is no precedent. A job with media is chosen a node by who holds that. Shape: two
-- small statements, since to begin one takes longer than to run it.
create or replace function earshot.route_by_cached_placement(p_term bigint, p_protocol int, p_precedents jsonb, p_redis boolean) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
declare
  v_jobs jsonb[] := array(
    select jsonb_build_object('id', j.id, 'lane', j.lane::text, 'class', j.class, 'media', j.payload ? 'media')
    from earshot.jobs j where j.status = 'pending' and j.due order by j.lane, j.class desc, j.priority desc, j.id limit 2);
  v_to jsonb;
begin
  if cardinality(v_jobs) <> 1 or (v_jobs[1] -> 'media')::boolean then
    return null;
  end if;
  v_to := jsonb_path_query_first(p_precedents, '$[*] ? (@.lane == $lane && @.class == $class)', v_jobs[1]);
  if v_to is null or not exists (
    select from earshot.routable_nodes n
    where n.id = v_to ->> 'node' and n.incarnation = (v_to ->> 'incarnation')::bigint and n.protocol = p_protocol
      and to_jsonb(n.roles) = v_to -> 'roles' and n.tags = v_to -> 'tags' and n.busy = '{}'
      and not exists (select from earshot.quarantines q where q.node = n.id)
      and not exists (select from earshot.jobs o where o.assigned_node = n.id and o.status in ('assigned', 'running'))
      and not exists (select from earshot.jobs o where o.alone and o.status = 'pending' and o.run_at <= now())) then
    return null;
  end if;
  return earshot.route_job(p_term, (v_jobs[1] ->> 'id')::bigint, v_to ->> 'node', (v_to ->> 'incarnation')::bigint, p_redis);
end $$;
