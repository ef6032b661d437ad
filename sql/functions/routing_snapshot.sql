-- All that routing needs to know, in one answer: one round trip, and where nothing waits hardly any
-- work.
--   p_protocol  as in list_free_nodes
--   p_each      how many of each lane's next jobs to tell along; none where there are more than
--     eight lanes
--   p_after  only lanes beyond this one, as text; null begins with the first. At most 200 lanes are
--     looked at: matching costs by lanes and nodes
-- Returns null when no job waits; else {after: the last lane, when there may be more beyond it,
-- alone: whether one must run alone, lanes: rows of list_lanes, each with its next jobs (null: ask
-- list_next_jobs), nodes: rows of list_free_nodes}. Lanes are text: they need 64 bits.
create or replace function earshot.routing_snapshot(p_protocol int, p_each int, p_after text default null) returns jsonb
language plpgsql stable security definer set search_path = earshot, pg_temp 
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
  v_alone boolean := exists (select from earshot.jobs j where j.alone and j.status = 'pending' and j.run_at <= now());
  v_lanes jsonb;
  v_after text;
  v_most constant int := 200;
begin
  if not v_alone and not exists (select from earshot.jobs j where j.status = 'pending' and j.due) then
    return null;
  end if;
  select jsonb_agg(jsonb_build_object('lane', l.lane::text, 'class', l.class, 'role', l.role, 'requires', l.requires, 'aged', l.aged, 'jobs', case when l.lanes <= 8 then (
    select jsonb_agg(jsonb_build_object('id', j.id, 'lane', l.lane::text, 'class', l.class, 'kind', j.kind, 'priority', j.priority,
        'whole', coalesce((select k.whole from earshot.job_kinds k where k.kind = j.kind), false), 'holders', null))
    from (select q.id, q.kind, q.priority from earshot.jobs q where q.lane = l.lane and q.class = l.class and q.status = 'pending' and q.due
      order by q.priority desc, q.id limit p_each) j) end)),
    case when count(distinct l.lane) = v_most then max(l.lane)::text end
    into v_lanes, v_after from (select a.*, count(*) over () as lanes from earshot.list_lanes(p_after::bigint, v_most) a) l;
  return jsonb_build_object('after', v_after, 'alone', v_alone, 'lanes', coalesce(v_lanes, '[]'),
    'nodes', case when v_lanes is null then '[]' else coalesce((select jsonb_agg(to_jsonb(f)) from earshot.list_free_nodes(p_protocol) f), '[]') end);
end $$;
