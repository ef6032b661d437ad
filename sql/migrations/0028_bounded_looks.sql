-- These took no place to begin from before.
drop function if exists earshot.list_lanes();
drop function if exists earshot.routing_snapshot(int, int);
drop function if exists earshot.route_or_snapshot(bigint, int, int, jsonb, boolean);
drop function if exists earshot.list_isolated_jobs();
