-- The lease in seconds: a node's own clock ends its jobs when it could not renew it for this long.
create or replace function earshot.lease_seconds() returns double precision
language sql stable security definer set search_path = earshot, pg_temp
as $$ select extract(epoch from lease)::double precision from earshot.settings $$;
