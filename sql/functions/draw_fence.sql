-- A random 64-bit token. gen_random_uuid() is the server's strong random source that needs no extension.
create or replace function earshot.draw_fence() returns bigint
language sql volatile set search_path = earshot, pg_temp
as $$ select ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint $$;
