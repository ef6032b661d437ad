-- Assigns what can be assigned by precedent, or else looks: one round trip either way. Parameters
-- as in route_by_cached_placement and look.
-- Returns {assigned: [what route_job returns]}, or what look returns; null when no job waits.
create or replace function earshot.route_or_snapshot(p_term bigint, p_protocol int, p_each int, p_precedents jsonb, p_redis boolean, p_after text default null) returns jsonb
language plpgsql security definer set search_path = earshot, pg_temp
as $$
declare
  v_assigned jsonb := case when p_precedents <> '[]' then earshot.route_by_cached_placement(p_term, p_protocol, p_precedents, p_redis) end;
begin
  return case when v_assigned is null then earshot.routing_snapshot(p_protocol, p_each, p_after) else jsonb_build_object('assigned', jsonb_build_array(v_assigned)) end;
end $$;
