-- What is known of an inbox.
create or replace function earshot.list_inbox_files(p_holder text)
returns table (path text, status text, size bigint, mtime_ns text, hash text, error text)
language sql stable security definer set search_path = earshot, pg_temp
as $$ select f.path, f.status, f.size, f.mtime_ns::text, f.hash, f.error from earshot.inbox_files f where f.holder = p_holder $$;
