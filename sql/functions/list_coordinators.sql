-- The coordinators that were there lately, for a worker that has something to send; the last seen
-- first.
create or replace function earshot.list_coordinators() returns table (id text, url text, seen_s double precision)
language sql stable security definer set search_path = earshot, pg_temp
as $$
  select c.id, c.url, extract(epoch from clock_timestamp() - c.last_seen)::double precision from earshot.coordinators c order by c.last_seen desc
$$;
