-- Assigns one job to one node: what route_jobs does for many, in a third of the time. Parameters
-- and precondition as there.
-- Returns null when it was not assigned; otherwise what route_jobs returns of a job, as an object.
create or replace function earshot.route_job(p_term bigint, p_id bigint, p_node text, p_incarnation bigint, p_redis boolean default false) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $$
declare
  v_role text;
  v_message jsonb;
  v_text text;
  v_redis boolean;
begin
  if not earshot.is_leading(p_term) then
    return null;
  end if;
  -- The embedded database ends with its process (and has no doorbell): what was running must be
  -- known after that.
  perform set_config('synchronous_commit', 'off', true) from earshot.settings s where s.doorbell;
  update earshot.jobs j
  set status = 'assigned', assigned_node = p_node, incarnation = p_incarnation, attempt = j.attempt + 1,
    fence = uuid_hash_extended(gen_random_uuid(), 0), assigned_at = now(), started_at = null
  where j.ctid = (select q.ctid from earshot.jobs q where q.id = p_id and q.status || '' = 'pending' and q.due for update skip locked)
  returning j.role into v_role;
  if not found then
    return null;
  end if;
  select jsonb_build_object('incarnation', p_incarnation, 'at', extract(epoch from now()), 'jobs', jsonb_build_array(to_jsonb(a) - '{node,incarnation}'::text[])),
    p_redis and (select n.wake_transport = 'redis' from earshot.nodes n where n.id = p_node)
  into v_message, v_redis from earshot.assignments a where a.id = p_id;
  v_text := v_message;
  -- What is longer than a notification may be is fetched.
  if octet_length(v_text) >= 7900 then
    v_message := null;
    v_text := '';
  end if;
  if not v_redis then
    perform pg_notify(earshot.node_channel(p_node), v_text);
  end if;
  return jsonb_build_object('id', p_id, 'node', p_node, 'incarnation', p_incarnation, 'role', v_role, 'by_redis', v_redis, 'carried', case when v_redis then v_message end);
end $$;
