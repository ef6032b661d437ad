-- The number of the newest migration, for a worker that may not read tables.
create or replace function earshot.schema_version() returns int
language sql stable security definer set search_path = earshot, pg_temp
as $$ select max(version)::int from earshot.migrations $$;
