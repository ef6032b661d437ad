-- Gives leadership up at an orderly stop, so that the next one need not wait for it to expire.
create or replace function earshot.release_leadership(p_holder text) returns void
language sql security definer set search_path = earshot, pg_temp
as $$ update earshot.leader set expires_at = '-infinity' where holder = p_holder $$;
