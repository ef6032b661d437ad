-- The awake leader passes on to the other coordinators, now and then, what no one rang for: they
-- have readers of events.
create or replace function earshot.relay_events() returns void
language sql security definer set search_path = earshot, pg_temp
as $$ select pg_notify('earshot', 'events') $$;
